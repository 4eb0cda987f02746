/** Checks of values before they go to the host, which would accept some wrong ones and stop at others without a line. */

/**
 * A value that the contract does not take, or a handler that does not have the right form: a mistake in the handler's code.
 * The step fails permanently, because a retry would make the same mistake. The message names the value.
 */
export class MisuseError extends TypeError {
  override readonly name = "MisuseError";
}

/** The greatest `u32`. */
export const U32_MAX = 0xffff_ffff;

/** Returns what a value is, in words: `the number 14`, `a Promise`, `undefined`. */
export function describeValue(value: unknown): string {
  switch (typeof value) {
    case "undefined":
      return "undefined";
    case "string":
      return `the text ${JSON.stringify(value.slice(0, 40))}`;
    case "number":
      return `the number ${value}`;
    case "bigint":
      return `the bigint ${value}n`;
    case "boolean":
      return `the boolean ${value}`;
    case "function":
      return "a function";
    case "symbol":
      return "a symbol";
    default:
      break;
  }
  if (value === null) return "null";
  if (isPromise(value)) return "a Promise";
  if (Array.isArray(value)) return "an array";
  const name = (value as { constructor?: { name?: string } }).constructor?.name;
  return name === undefined || name === "Object" || name === "" ? "an object" : `a ${name}`;
}

/** Returns whether a value is a Promise, or behaves like one. */
export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

/** Returns whether a value is an object with fields: not an array, a Promise, a Date or an instance of another class. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

/** Returns the error for a wrong value. */
export function wrong(field: string, expected: string, value: unknown): MisuseError {
  const async = isPromise(value) ? "; a handler is synchronous: remove `async` and `await`" : "";
  return new MisuseError(`${field}: ${expected} is expected, not ${describeValue(value)}${async}`);
}

/** Returns text. Halves of characters (lone surrogates), which UTF-8 cannot express, are replaced by U+FFFD. */
export function text(field: string, value: unknown): string {
  if (typeof value === "string") return wellFormed(value);
  let hint = "";
  if (typeof value === "number" || typeof value === "boolean" || typeof value === "bigint") {
    hint = `: write String(…)`;
  } else if (value instanceof Date) {
    hint = `: write date.toISOString()`;
  } else if (value instanceof Uint8Array) {
    hint = `: write decodeUtf8(bytes)`;
  } else if (isPlainObject(value) || Array.isArray(value)) {
    hint = `: write JSON.stringify(…)`;
  }
  const error = wrong(field, "text", value);
  throw hint === "" ? error : new MisuseError(error.message + hint);
}

/** Returns text, or `undefined` if there is none. */
export function optionalText(field: string, value: unknown): string | undefined {
  return value === undefined || value === null ? undefined : text(field, value);
}

/** Returns a whole number within bounds. */
export function wholeNumber(field: string, value: unknown, least: number, most: number): number {
  const expected = `a whole number from ${least} to ${most}`;
  if (value instanceof Date) throw new MisuseError(`${wrong(field, expected, value).message}: write date.getTime()`);
  if (typeof value === "bigint") throw new MisuseError(`${wrong(field, expected, value).message}: write Number(…)`);
  if (typeof value !== "number" || !Number.isInteger(value) || value < least || value > most) {
    throw wrong(field, expected, value);
  }
  return value;
}

/** Returns a length of time in whole units, rounded up. */
export function length(field: string, value: unknown): number {
  if (typeof value !== "number" || Number.isNaN(value) || value < 0) {
    throw wrong(field, "a number of at least 0", value);
  }
  return Math.min(Math.ceil(value), U32_MAX);
}

/** Returns a length of time in whole units, rounded up, or `undefined` if there is none. */
export function optionalLength(field: string, value: unknown): number | undefined {
  return value === undefined || value === null ? undefined : length(field, value);
}

/** Returns bytes. Text is encoded as UTF-8 if `encode` is given. */
export function bytes(field: string, value: unknown, encode?: (text: string) => Uint8Array): Uint8Array {
  if (value instanceof Uint8Array) return value;
  if (typeof value === "string" && encode !== undefined) return encode(value);
  const expected = encode === undefined ? "a Uint8Array" : "text or a Uint8Array";
  const hint = typeof value === "string" ? ": write encodeUtf8(text)" : "";
  throw new MisuseError(wrong(field, expected, value).message + hint);
}

/** Returns names with values, sorted by name, from an object whose values are text. */
export function pairs(field: string, value: unknown): [string, string][] {
  if (!isPlainObject(value)) throw wrong(field, "an object with text values", value);
  const names = Object.keys(value).sort(byBytes);
  return names.map((name) => [wellFormed(name), text(`${field}.${name}`, value[name])]);
}

/** Returns facts, sorted by name, without those that are `undefined`. */
export function facts(field: string, value: unknown): [string, string][] {
  return pairs(field, isPlainObject(value) ? known(value) : value);
}

/** Returns an object without the fields that are `undefined`. */
export function known<T>(value: Readonly<Record<string, T | undefined>>): Record<string, T> {
  return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, T] => entry[1] !== undefined));
}

/** Compares text in the order of its UTF-8 bytes, which is that of its code points. */
export function byBytes(a: string, b: string): number {
  const left = Array.from(a);
  const right = Array.from(b);
  for (let index = 0; index < Math.min(left.length, right.length); index += 1) {
    const difference = (left[index]?.codePointAt(0) ?? 0) - (right[index]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

function wellFormed(value: string): string {
  return value.replace(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, "\uFFFD");
}
