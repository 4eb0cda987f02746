/** Log lines for the operator. */

import { describeValue } from "./check.ts";
import type { Imports, WireLevel } from "./wire.ts";

/** The level of a log line. */
export type Level = WireLevel;

/** The fields of a log line by name. */
export type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * The log that the operator reads. The host adds the handler, the delivery and the alertname to each line.
 *
 * Writing never fails and never blocks; lines over the host's limit are dropped and counted.
 *
 * ```ts
 * cx.log.info("asked the API server", { pods: 3, namespace: "customer" });
 * ```
 */
export class Log {
  readonly #write: Imports["log"]["write"];

  /** Authors get it as `cx.log`. */
  constructor(log: Imports["log"]) {
    this.#write = (level, message, fields) => log.write(level, message, fields);
  }

  /** Writes a line of detail for the handler's author. */
  trace(message: string, fields: Fields = {}): void {
    this.write("trace", message, fields);
  }

  /** Writes a line that helps to find a mistake. */
  debug(message: string, fields: Fields = {}): void {
    this.write("debug", message, fields);
  }

  /** Writes a line about normal operation. */
  info(message: string, fields: Fields = {}): void {
    this.write("info", message, fields);
  }

  /** Writes a line about a problem that someone should look at eventually. */
  warn(message: string, fields: Fields = {}): void {
    this.write("warn", message, fields);
  }

  /** Writes a line about a problem that someone should look at now. */
  error(message: string, fields: Fields = {}): void {
    this.write("error", message, fields);
  }

  /** Writes a line. A value that is no text is written as text: a log line never fails. */
  write(level: Level, message: string, fields: Fields = {}): void {
    const pairs = Object.entries(fields).map(([name, value]): [string, string] => [name, shown(value)]);
    this.#write(level, shown(message), pairs);
  }
}

/** Returns a value as a person reads it: text as it is, an error with its message, anything else as JSON. */
export function shown(value: unknown): string {
  if (typeof value === "string") return value;
  if (value instanceof Error) return `${value.name}: ${value.message}`;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (typeof value !== "object" || value === null) return String(value);
  try {
    return JSON.stringify(value);
  } catch {
    return describeValue(value);
  }
}
