/** How a step fails, and what the host does about it. */

import type { WireFailure } from "./wire.ts";

/** What can be said about a failure besides its message. */
export interface FailureOptions {
  /** The shortest time until the next attempt, in milliseconds. */
  afterMs?: number;
  /** The error that led to it. */
  cause?: unknown;
}

/** A failure that says by its class whether the step is tried again. Throw one of the three classes that extend it. */
export abstract class Failure extends Error {
  /** The shortest time until the next attempt, in milliseconds, if one was set. */
  readonly afterMs: number | undefined;

  constructor(message: string, options: FailureOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.afterMs = options.afterMs;
  }

  /** Returns whether the failure is permanent. */
  isPermanent(): boolean {
    return this instanceof PermanentError;
  }

  /** Returns a failure of the same kind with a description of the failed action before its message. */
  abstract withContext(doing: string): Failure;
}

/** A transient failure. The step is retried with backoff until its attempts are used up. */
export class RetryableError extends Failure {
  override readonly name = "RetryableError";

  override withContext(doing: string): RetryableError {
    return new RetryableError(`${doing}: ${this.message}`, optionsOf(this));
  }
}

/**
 * The failure of a service that the handler depends on: a rate limit, a 5xx, a timeout. The step is retried until the alert
 * is too old; the failure does not count as an attempt.
 */
export class UnavailableError extends Failure {
  override readonly name = "UnavailableError";

  override withContext(doing: string): UnavailableError {
    return new UnavailableError(`${doing}: ${this.message}`, optionsOf(this));
  }
}

/** A failure that a retry cannot fix. The delivery is dead-lettered and reported to a person. */
export class PermanentError extends Failure {
  override readonly name = "PermanentError";

  override withContext(doing: string): PermanentError {
    return new PermanentError(`${doing}: ${this.message}`, optionsOf(this));
  }
}

/**
 * The error of a call to the host: of HTTP, Slack, kv, history or a timer. A handler that does not catch it fails with
 * {@link CallError.toFailure}, so that transient errors are retried and permanent ones are dead-lettered.
 */
export abstract class CallError extends Error {
  /** Returns the failure that the error becomes if the handler does not catch it. */
  abstract toFailure(): Failure;
}

/** Returns the failure that an error means; `undefined` if it is neither a failure nor the error of a call. */
export function failureOf(error: unknown): Failure | undefined {
  if (error instanceof Failure) return error;
  return error instanceof CallError ? error.toFailure() : undefined;
}

/** Returns the failure in the contract's form. */
export function toWireFailure(failure: Failure): WireFailure {
  const { message, afterMs } = failure;
  if (failure instanceof PermanentError) return { tag: "permanent", val: message };
  const wait = afterMs === undefined || !(afterMs >= 0) ? undefined : Math.min(Math.ceil(afterMs), 0xffff_ffff);
  const tag = failure instanceof UnavailableError ? "unavailable" : "retryable";
  return { tag, val: { message, afterMs: wait } };
}

/** Returns the variant that the host threw; `undefined` if the error is another. */
export function payloadOf(error: unknown): { tag: string; val: unknown } | undefined {
  const payload = (error as { payload?: unknown } | null | undefined)?.payload;
  const tag = (payload as { tag?: unknown } | null | undefined)?.tag;
  if (typeof tag !== "string") return undefined;
  return { tag, val: (payload as { val?: unknown }).val };
}

function optionsOf(failure: Failure): FailureOptions {
  const { afterMs, cause } = failure;
  return { ...(afterMs === undefined ? {} : { afterMs }), ...(cause === undefined ? {} : { cause }) };
}
