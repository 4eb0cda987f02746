/** Timers: run this handler's `act` again later. */

import * as check from "./check.ts";
import type { Facts } from "./enrichment.ts";
import { hostCall } from "./history.ts";
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
   *
   * ```ts
   * cx.timer.after("remind", 1_800, { asked: "twice" });
   * ```
   *
   * @throws {HostError} if the key, the delay (at most 30 days) or the facts are over their limit.
   */
  after(key: string, delaySeconds: number, facts: Readonly<Facts> = {}): void {
    const name = check.text("timer.after key", key);
    const delay = check.wholeNumber("timer.after delaySeconds", delaySeconds, 0, check.U32_MAX);
    const pairs = check.pairs("timer.after facts", facts);
    hostCall("timer", () => this.#timer.after(name, delay, pairs));
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
