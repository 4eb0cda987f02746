/** Lengths of time and moments: parsing, and formatting for people. Lengths are in milliseconds unless a name says otherwise. */

import type { WireTimestamp } from "./wire.ts";

/** A second, in milliseconds. */
export const SECOND = 1_000;
/** A minute, in milliseconds. */
export const MINUTE = 60 * SECOND;
/** An hour, in milliseconds. */
export const HOUR = 60 * MINUTE;
/** A day, in milliseconds. */
export const DAY = 24 * HOUR;

/**
 * Formats a length in milliseconds for people, in its two largest units: `41s`, `12m 3s`, `2h 5m`, `3d 4h`.
 *
 * ```ts
 * human(7_500_000) // "2h 5m"
 * ```
 */
export function human(lengthMs: number): string {
  const seconds = Math.max(0, Math.floor(lengthMs / SECOND));
  const part = (unit: number, large: string, smaller: number, small: string): string => {
    const rest = Math.floor((seconds % unit) / smaller);
    const first = `${Math.floor(seconds / unit)}${large}`;
    return rest === 0 ? first : `${first} ${rest}${small}`;
  };
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return part(60, "m", 1, "s");
  if (seconds < 86_400) return part(3_600, "h", 60, "m");
  return part(86_400, "d", 3_600, "h");
}

const UNITS: [string, number][] = [
  ["y", 365 * DAY],
  ["w", 7 * DAY],
  ["d", DAY],
  ["h", HOUR],
  ["m", MINUTE],
  ["s", SECOND],
  ["ms", 1],
];

/** Returns the milliseconds of a duration in Prometheus' syntax, `30s` or `1h30m`; `undefined` if it is none. */
export function parseDuration(text: string): number | undefined {
  if (text === "0") return 0;
  let units = UNITS;
  let total = 0;
  let rest = text;
  while (rest !== "") {
    const part = /^(\d+)([a-z]+)/.exec(rest);
    const at = units.findIndex(([unit]) => unit === part?.[2]);
    if (part === null || at < 0) return undefined;
    total += Number(part[1]) * (units[at]?.[1] ?? 0);
    // Each unit at most once, from the largest to the smallest.
    units = units.slice(at + 1);
    rest = rest.slice(part[0].length);
  }
  return text === "" ? undefined : total;
}

/** Formats a moment as RFC 3339 in UTC, without the fraction of a second: `2026-03-02T07:31:57Z`. */
export function rfc3339(moment: Date): string {
  return `${moment.toISOString().slice(0, -5)}Z`;
}

/**
 * Returns a moment in Slack's date format, which each reader sees in their own time zone. The text is mrkdwn: use it with
 * `Mrkdwn.raw`.
 */
export function slackDate(moment: Date): string {
  const seconds = Math.floor(moment.getTime() / SECOND);
  return `<!date^${seconds}^{date_short_pretty} {time}|${rfc3339(moment)}>`;
}

/** Returns the moment of an RFC 3339 time; `undefined` if the text is none. */
export function parseTime(text: string): Date | undefined {
  const shape = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;
  if (!shape.test(text)) return undefined;
  const moment = new Date(text.replace(" ", "T").toUpperCase());
  return Number.isNaN(moment.getTime()) ? undefined : moment;
}

/** Returns the moment of an HTTP header: `Wed, 21 Oct 2026 07:28:00 GMT` (RFC 9110's preferred form only). */
export function parseHttpDate(text: string): Date | undefined {
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const part = /^[A-Z][a-z]{2}, (\d{2}) ([A-Z][a-z]{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/.exec(text);
  const month = months.indexOf(part?.[2] ?? "");
  if (part === null || month < 0) return undefined;
  const [day, year, hour, minute, second] = [1, 3, 4, 5, 6].map((group) => Number(part[group]));
  return new Date(Date.UTC(year ?? 0, month, day, hour, minute, second));
}

/** Returns a moment of the contract, without the part of a millisecond. */
export function fromWire(moment: WireTimestamp): Date {
  return new Date(Number(moment.seconds) * SECOND + Math.floor(moment.nanoseconds / 1e6));
}

/** Returns a moment in the contract's form. */
export function toWire(moment: Date): WireTimestamp {
  const seconds = Math.floor(moment.getTime() / SECOND);
  return { seconds, nanoseconds: (moment.getTime() - seconds * SECOND) * 1e6 };
}
