/** Timers: run this handler's `act` again later. */

import * as check from "./check.ts";
import type { Facts } from "./enrichment.ts";
import { hostCall } from "./history.ts";
import { SECOND } from "./time.ts";
import type { Imports } from "./wire.ts";

/** Runs this handler's `act` again later. Needs no grant. Denied during `enrich`. */
export class Timer {
  readonly #timer: NonNullable<Imports["timer"]>;

  /** Authors get it as `cx.timer`. */
  constructor(timer: NonNullable<Imports["timer"]>) {
    this.#timer = timer;
  }

  /**
   * Runs `act` on this alert after the delay, with these facts and the fact `timer.key`. The same key replaces.
   * The delay is in milliseconds, and rounded up to whole seconds.
   *
   * ```ts
   * cx.timer.after("remind", 30 * MINUTE, { asked: "twice" });
   * ```
   *
   * @throws {HostError} if the key, the delay (at most 30 days) or the facts are over their limit.
   */
  after(key: string, delayMs: number, facts: Readonly<Facts> = {}): void {
    const name = check.text("timer.after key", key);
    const delaySeconds = Math.ceil(check.length("timer.after delayMs", delayMs) / SECOND);
    const pairs = check.facts("timer.after facts", facts);
    hostCall("timer", () => this.#timer.after(name, delaySeconds, pairs));
  }

  /**
   * Removes a timer; no error if there is none.
   *
   * @throws {HostError} if the timers cannot be changed now.
   */
  cancel(key: string): void {
    const name = check.text("timer.cancel key", key);
    hostCall("timer", () => this.#timer.cancel(name));
  }
}
