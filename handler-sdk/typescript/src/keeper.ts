/** What an incident keeps between deliveries. No message is held back for the store: a call of it that fails is only logged. */

import type { Call } from "./context.ts";
import { CallError, Failure } from "./failure.ts";
import type { Kv } from "./kv.ts";
import type { Log } from "./log.ts";
import type { Slack } from "./slack.ts";
import { DAY, SECOND } from "./time.ts";

/** What an incident needs of the context: the needs `slack` and `kv`. */
export interface IncidentContext {
  readonly call: Call;
  readonly slack: Slack;
  readonly kv: Kv;
  readonly log: Log;
  config(key: string): string | undefined;
  now(): Date;
}

/** How long it is kept after the last delivery: the longest time that an update of a message is useful. */
export const KEPT_SECONDS = (7 * DAY) / SECOND;

/** The store of an incident. */
export class Keeper {
  readonly #cx: IncidentContext;

  constructor(cx: IncidentContext) {
    this.#cx = cx;
  }

  /** Returns a value that {@link Keeper.write} or a counter has kept. */
  read<T>(key: string, problem: string): T | undefined {
    return this.guarded(problem, () => this.#cx.kv.getJson<T>(key));
  }

  /** Keeps a value. */
  write(key: string, value: unknown, problem: string): void {
    this.guarded(problem, () => this.#cx.kv.setJson(key, value, { ttlSeconds: KEPT_SECONDS }));
  }

  /** Makes a call of the store; if it fails, logs `problem` and returns `undefined`. */
  guarded<T>(problem: string, call: () => T): T | undefined {
    try {
      return call();
    } catch (error) {
      if (!(error instanceof CallError) && !(error instanceof Failure)) throw error;
      this.#cx.log.warn(problem, { why: error.message });
      return undefined;
    }
  }
}
