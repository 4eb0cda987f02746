/**
 * The globals that QuickJS does not bring and that a handler may use: `console`, `TextEncoder`, `TextDecoder` and a seeded
 * `Math.random`. Other globals of Node and of browsers stay undefined, so that libraries can look for them; using one is an
 * error, to which {@link remedyFor} adds what to use instead.
 */

import { MisuseError } from "./check.ts";
import { shown, type Level } from "./log.ts";
import { seeded } from "./random.ts";
import { decodeUtf8, encodeUtf8 } from "./utf8.ts";
import type { Imports, WireLabels } from "./wire.ts";

/** What to use instead of what a handler does not have. */
export const ABSENT: Readonly<Record<string, string>> = {
  fetch: "use cx.http.get(url), which returns the response at once",
  XMLHttpRequest: "use cx.http.get(url), which returns the response at once",
  WebSocket: "a handler has no connections of its own; use cx.http",
  setTimeout: "a handler cannot wait: throw RetryableError with afterMs, or use cx.timer.after(key, milliseconds)",
  setInterval: "a handler cannot wait: use cx.timer.after(key, milliseconds)",
  setImmediate: "a handler is synchronous: call the function",
  crypto: "a handler has no cryptography: the host signs and adds credentials; Math.random() is seeded for each step",
  URL: "write the URL as text; encode(text) from handler-sdk percent-encodes a part of it",
  URLSearchParams: "give `query` to cx.http.get(url, { query })",
  Intl: "a handler has no locales: format numbers and dates by hand; human(ms) from handler-sdk formats a length of time",
  structuredClone: "use JSON.parse(JSON.stringify(value))",
  process: "a handler has no environment: declare a Setting and read it with cx.setting(SETTING)",
  Buffer: "use Uint8Array, encodeUtf8 and decodeUtf8 from handler-sdk",
  require: "use import; the builder bundles what is imported",
  __dirname: "a handler has no files; import JSON, or keep values in cx.kv",
  localStorage: "use cx.kv",
  window: "a handler does not run in a browser",
  document: "a handler does not run in a browser",
};

/** Returns what to use instead, if an error says that a global is missing. */
export function remedyFor(error: unknown): string | undefined {
  const message = error instanceof Error ? error.message : "";
  const name = /^'?([A-Za-z_$][\w$]*)'? is not defined$/.exec(message)?.[1];
  return name !== undefined && Object.hasOwn(ABSENT, name) ? ABSENT[name] : undefined;
}

/** The log that `console` writes to: that of the step that runs. While a handler is built there is none. */
let log: Imports["log"] | undefined;

/** What a step's random numbers depend on, and the function that makes them, once it is asked for. */
let seed: (() => string) | undefined;
let random: (() => number) | undefined;

/** Begins a step: `console` writes to this log, and `Math.random` is seeded with what `of` returns. */
export function beginStep(to: Imports["log"], of: () => string): void {
  log = to;
  seed = of;
  random = undefined;
}

/** Puts the globals in place. Only in a component: in Node its own are there. */
export function installGlobals(): void {
  const write =
    (level: Level) =>
    (...values: unknown[]): void => {
      const fields: WireLabels = [];
      log?.write(level, values.map(shown).join(" "), fields);
    };
  const globals: Record<string, unknown> = {
    console: {
      trace: write("trace"),
      debug: write("debug"),
      log: write("info"),
      info: write("info"),
      warn: write("warn"),
      error: write("error"),
    },
    TextEncoder: class TextEncoder {
      readonly encoding = "utf-8";
      encode(text = ""): Uint8Array {
        return encodeUtf8(text);
      }
    },
    TextDecoder: class TextDecoder {
      readonly encoding = "utf-8";
      constructor(label = "utf-8") {
        if (!/^utf-?8$/i.test(label)) throw new RangeError(`the encoding ${label} is not known: a handler has UTF-8 alone`);
      }
      decode(bytes: Uint8Array | ArrayBuffer = new Uint8Array()): string {
        return decodeUtf8(bytes instanceof Uint8Array ? bytes : new Uint8Array(bytes)).replace(/^\ufeff/, "");
      }
    },
  };
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
  }
  Math.random = () => {
    if (seed === undefined) {
      throw new MisuseError(
        "Math.random() at the top of a module would give the same number for ever: call it in enrich or act",
      );
    }
    random ??= seeded(seed());
    return random();
  };
}
