/**
 * The globals of a handler besides those of the language. `alert-manager build` checks a project's sources with this file and
 * without the types of Node and of browsers: a handler has neither.
 */

/** A global that a handler does not have. Its argument says what to use instead. */
interface NotInAHandler<Remedy extends string> {
  readonly __remedy: Remedy;
}

/** Writes to the delivery's log. */
declare const console: {
  trace(...values: unknown[]): void;
  debug(...values: unknown[]): void;
  log(...values: unknown[]): void;
  info(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
};

/** UTF-8. */
declare class TextEncoder {
  readonly encoding: string;
  encode(text?: string): Uint8Array;
}

/** UTF-8. */
declare class TextDecoder {
  readonly encoding: string;
  constructor(label?: string);
  decode(bytes?: Uint8Array | ArrayBuffer): string;
}

declare const fetch: NotInAHandler<"use cx.http.get(url), which returns the response at once">;
declare const XMLHttpRequest: NotInAHandler<"use cx.http.get(url), which returns the response at once">;
declare const WebSocket: NotInAHandler<"a handler has no connections of its own; use cx.http">;
declare const setTimeout: NotInAHandler<"a handler cannot wait: throw RetryableError with afterMs, or use cx.timer.after(key, milliseconds)">;
declare const setInterval: NotInAHandler<"a handler cannot wait: use cx.timer.after(key, milliseconds)">;
declare const setImmediate: NotInAHandler<"a handler is synchronous: call the function">;
declare const crypto: NotInAHandler<"a handler has no cryptography: the host signs and adds credentials; Math.random() is seeded for each step">;
declare const URL: NotInAHandler<"write the URL as text; encode(text) from handler-sdk percent-encodes a part of it">;
declare const URLSearchParams: NotInAHandler<"give `query` to cx.http.get(url, { query })">;
declare const structuredClone: NotInAHandler<"use JSON.parse(JSON.stringify(value))">;
declare const process: NotInAHandler<"a handler has no environment: declare a Setting and read it with cx.setting(SETTING)">;
declare const Buffer: NotInAHandler<"use Uint8Array, encodeUtf8 and decodeUtf8 from handler-sdk">;
declare const require: NotInAHandler<"use import; the builder bundles what is imported">;
declare const localStorage: NotInAHandler<"use cx.kv">;
