/** The handler's key-value store, kept between alerts. */

import * as check from "./check.ts";
import { CallError, PermanentError, UnavailableError, payloadOf, type Failure } from "./failure.ts";
import { decodeUtf8, encodeUtf8 } from "./utf8.ts";
import type { Imports } from "./wire.ts";

/** What can be said about a value that is kept. */
export interface KeepOptions {
  /** The seconds after which the value expires, rounded up; never by default. */
  ttlSeconds?: number;
}

/** Why a call of kv was not done. */
export type KvErrorKind = "too-large" | "quota-exceeded" | "unavailable" | "budget-exhausted";

/**
 * The error of a call of kv. A handler that does not catch it fails: *unavailable* if the store fails, *permanent* for the
 * rest.
 */
export class KvError extends CallError {
  override readonly name = "KvError";
  /** The kind of error. */
  readonly kind: KvErrorKind;

  constructor(kind: KvErrorKind, detail = "") {
    super(messageOf(kind, detail));
    this.kind = kind;
  }

  override toFailure(): Failure {
    return new (this.kind === "unavailable" ? UnavailableError : PermanentError)(this.message, { cause: this });
  }
}

/** This handler's keys and values. Other handlers have no access to them. Each method throws {@link KvError}. */
export class Kv {
  readonly #kv: NonNullable<Imports["kv"]>;

  /** Authors get it as `cx.kv`. */
  constructor(kv: NonNullable<Imports["kv"]>) {
    this.#kv = kv;
  }

  /** Returns the value; `undefined` if it was never set, was removed or has expired. */
  get(key: string): Uint8Array | undefined {
    const name = check.text("kv.get key", key);
    return attempt(() => this.#kv.get(name)) ?? undefined;
  }

  /** Returns the value as text; bytes that are not UTF-8 are replaced by U+FFFD. */
  getString(key: string): string | undefined {
    const value = this.get(key);
    return value === undefined ? undefined : decodeUtf8(value);
  }

  /**
   * Returns the value that {@link Kv.setJson} wrote. The type is what the caller says it is; nothing checks it.
   *
   * @throws {PermanentError} if the value is not JSON.
   */
  getJson<T = unknown>(key: string): T | undefined {
    const value = this.getString(key);
    if (value === undefined) return undefined;
    try {
      return JSON.parse(value) as T;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new PermanentError(`the kept value \`${key}\` can't be read: ${why}`, { cause: error });
    }
  }

  /**
   * Sets the value; text is kept as UTF-8.
   *
   * ```ts
   * cx.kv.set("seen", "yes", { ttlSeconds: 3_600 });
   * ```
   */
  set(key: string, value: string | Uint8Array, options: KeepOptions = {}): void {
    const [name, bytes, ttl] = kept("kv.set", key, value, options);
    attempt(() => this.#kv.set(name, bytes, ttl));
  }

  /** Sets the value as JSON. */
  setJson(key: string, value: unknown, options: KeepOptions = {}): void {
    const json = JSON.stringify(value) as string | undefined;
    if (json === undefined) throw check.wrong("kv.setJson value", "a value that JSON has", value);
    this.set(key, json, options);
  }

  /** Sets the value if the key is absent; returns whether it did. */
  setIfAbsent(key: string, value: string | Uint8Array, options: KeepOptions = {}): boolean {
    const [name, bytes, ttl] = kept("kv.setIfAbsent", key, value, options);
    return attempt(() => this.#kv.setIfAbsent(name, bytes, ttl));
  }

  /**
   * Adds to a number and returns the sum; an absent key counts as 0.
   *
   * @throws {PermanentError} if the sum is over 2^53 - 1: a `number` does not have its last digits. It is kept all the same.
   */
  increment(key: string, by = 1, options: KeepOptions = {}): number {
    const [name, , ttl] = kept("kv.increment", key, "", options);
    const amount = check.wholeNumber("kv.increment by", by, -(2 ** 31), 2 ** 31 - 1);
    const sum = attempt(() => this.#kv.increment(name, amount, ttl));
    if (Number.isSafeInteger(Number(sum))) return Number(sum);
    throw new PermanentError(`kv: \`${key}\` is now ${sum}, which a number of JavaScript cannot hold exactly`);
  }

  /** Removes the value. Removing an absent key is not an error. */
  remove(key: string): void {
    const name = check.text("kv.remove key", key);
    attempt(() => this.#kv.remove(name));
  }
}

function kept(
  call: string,
  key: string,
  value: string | Uint8Array,
  options: KeepOptions,
): [key: string, value: Uint8Array, ttlSeconds: number | undefined] {
  if (!check.isPlainObject(options)) throw check.wrong(`${call} options`, "an object like { ttlSeconds: 60 }", options);
  const ttl = check.optionalLength(`${call} ttlSeconds`, options.ttlSeconds);
  const name = check.text(`${call} key`, key);
  return [name, check.bytes(`${call} value`, value, encodeUtf8), ttl === undefined ? undefined : Math.max(1, ttl)];
}

function attempt<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    const payload = payloadOf(error);
    if (payload === undefined) throw error;
    throw new KvError(payload.tag as KvErrorKind, String(payload.val ?? ""));
  }
}

function messageOf(kind: KvErrorKind, detail: string): string {
  switch (kind) {
    case "too-large":
      return `kv: the key or value is over its limit of ${detail} bytes`;
    case "quota-exceeded":
      return "kv: this handler's keys and values are over their limit in all; give them a time to live, or remove some";
    case "budget-exhausted":
      return `kv: the step's limit is used up: ${detail}`;
    default:
      return `kv: ${detail}`;
  }
}
