/** What the server has of earlier alerts. */

import * as check from "./check.ts";
import { CallError, PermanentError, UnavailableError, payloadOf, type Failure } from "./failure.ts";
import { fromWire } from "./time.ts";
import type { Imports } from "./wire.ts";

/** One time that an alert fired. */
export interface Occurrence {
  /** Its delivery; it may be past its retention. */
  readonly deliveryId: string;
  /** When it began to fire. */
  readonly startsAt: Date;
  /** When it ended; `undefined` while it fires. */
  readonly endsAt: Date | undefined;
  /** `queued`, `running`, `retrying`, `done` or `dead`. */
  readonly state: string;
}

/** What is known of earlier alerts. */
export interface Past {
  /** How many there are in that time, this one not counted. */
  readonly count: number;
  /** Newest first, at most 50. */
  readonly occurrences: readonly Occurrence[];
}

/** The error of a call of history or of a timer: *unavailable* if it is transient, *permanent* otherwise. */
export class HostError extends CallError {
  override readonly name = "HostError";
  /** `denied`, `invalid`, `unavailable` or `budget-exhausted`. */
  readonly kind: string;

  constructor(what: string, kind: string, detail: string) {
    super(`${what}: ${kind === "budget-exhausted" ? `the step's limit is used up: ${detail}` : detail}`);
    this.kind = kind;
  }

  override toFailure(): Failure {
    return new (this.kind === "unavailable" ? UnavailableError : PermanentError)(this.message, { cause: this });
  }
}

/** Makes a call and turns the host's error into a {@link HostError}. */
export function hostCall<T>(what: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    const payload = payloadOf(error);
    if (payload === undefined) throw error;
    throw new HostError(what, payload.tag, String(payload.val ?? ""));
  }
}

/** What this server has of earlier alerts. Needs no grant. */
export class History {
  readonly #history: NonNullable<Imports["history"]>;

  /** Authors get it as `cx.history`. */
  constructor(history: NonNullable<Imports["history"]>) {
    this.#history = history;
  }

  /**
   * Returns earlier occurrences of alerts with this alert's name and the same values of the labels named in `same`, on routes
   * that this handler serves.
   *
   * ```ts
   * const { count } = cx.history.earlier({ same: ["namespace", "pod"], withinSeconds: 86_400 });
   * ```
   *
   * @throws {HostError} if there are too many labels, or the time is too long.
   */
  earlier(query: { same: readonly string[]; withinSeconds: number }): Past {
    if (!check.isPlainObject(query)) throw check.wrong("history.earlier", "an object { same, withinSeconds }", query);
    if (!Array.isArray(query.same)) throw check.wrong("history.earlier same", "an array of label names", query.same);
    const same = query.same.map((name: unknown, index) => check.text(`history.earlier same[${index}]`, name));
    const within = check.length("history.earlier withinSeconds", query.withinSeconds);
    const past = hostCall("history", () => this.#history.earlier(same, within));
    return {
      count: past.count,
      occurrences: past.occurrences.map((one) => ({
        deliveryId: one.deliveryId,
        startsAt: fromWire(one.startsAt),
        endsAt: one.endsAt ? fromWire(one.endsAt) : undefined,
        state: one.state,
      })),
    };
  }
}
