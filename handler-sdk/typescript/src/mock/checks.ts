/** The checks that the real host makes before a call, with its default limits. */

import { utf8Length } from "../utf8.ts";
import type { WireRequest } from "../wire.ts";

/** The real host's default limits of one step. */
export const HOST_LIMITS = {
  httpCalls: 50,
  slackCalls: 50,
  kvCalls: 1_000,
  historyCalls: 20,
  timerCalls: 100,
  timersOpen: 100,
  logLines: 200,
  responseBytes: 8 << 20,
  kvKeyBytes: 512,
  kvValueBytes: 64 << 10,
  kvKeys: 50_000,
  kvBytes: 16 << 20,
} as const;

const REQUEST_BYTES_MAX = 4 << 20;
const EFFECT_KEY_BYTES_MAX = 256;
const URL_BYTES_MAX = 8 << 10;
const HEADERS_MAX = 100;
const HEADER_BYTES_MAX = 64 << 10;
const EMOJI_BYTES_MAX = 100;
const HISTORY_LABELS_MAX = 16;
const HISTORY_LABEL_BYTES_MAX = 256;
const HISTORY_SECONDS_MAX = 90 * 86_400;
const TIMER_KEY_BYTES_MAX = 256;
const TIMER_SECONDS_MAX = 30 * 86_400;
const FACTS_MAX = 256;
const FACT_NAME_BYTES_MAX = 256;
const FACT_BYTES_MAX = 8 << 10;
/** What the names of the host's own facts begin with. */
const HOSTS_PREFIXES = ["enrich_failed.", "storm.", "timer."];

/** Headers that describe the connection or the framing: only the host sets them. */
// prettier-ignore
const RESERVED_HEADERS = [
  "alt-used", "connection", "content-length", "expect", "host", "http2-settings", "keep-alive", "te", "trailer",
  "transfer-encoding", "upgrade",
];

/** Returns what is wrong with an author's key. */
export function wrongKey(key: string | null | undefined): string | undefined {
  if (key === undefined || key === null) return undefined;
  if (key === "") return "key: it is empty; leave it out if there is none";
  const bytes = utf8Length(key);
  return bytes > EFFECT_KEY_BYTES_MAX ? `key: ${bytes} bytes, at most ${EFFECT_KEY_BYTES_MAX}` : undefined;
}

/** Returns what is wrong with a request regardless of grants. */
export function wrongRequest(request: WireRequest): string | undefined {
  const key = wrongKey(request.key);
  if (key !== undefined) return key;
  const bytes = utf8Length(request.url);
  if (bytes > URL_BYTES_MAX) return `url: ${bytes} bytes, at most ${URL_BYTES_MAX}`;
  const parts = /^([A-Za-z][A-Za-z0-9+.-]*):(.*)$/s.exec(request.url);
  if (!parts) return "url: relative URL without a base";
  const isWeb = ["http", "https"].includes((parts[1] ?? "").toLowerCase());
  if (isWeb && (parts[2] ?? "").replace(/^[/\\]+/, "") === "") return "url: empty host";
  const body = request.body?.length ?? 0;
  return body > REQUEST_BYTES_MAX ? `request_bytes: a body of ${body} bytes, at most ${REQUEST_BYTES_MAX}` : undefined;
}

/** Returns what is wrong with the headers of a granted request. */
export function wrongHeaders(headers: readonly (readonly [string, string])[]): string | undefined {
  const bytes = headers.reduce((sum, [name, value]) => sum + utf8Length(name) + utf8Length(value), 0);
  if (headers.length > HEADERS_MAX || bytes > HEADER_BYTES_MAX) {
    return `headers: ${headers.length} of ${bytes} bytes, at most ${HEADERS_MAX} of ${HEADER_BYTES_MAX}`;
  }
  for (const [name, value] of headers) {
    if (!/^[A-Za-z0-9!#$%&'*+\-.^_`|~]+$/.test(name)) return `headers: ${JSON.stringify(name)} is no header's name`;
    // Some servers treat `content_length` like the header's own name.
    const folded = name.toLowerCase().replaceAll("_", "-");
    if (RESERVED_HEADERS.includes(folded) || folded.startsWith("proxy-")) {
      return `headers: ${name} is the host's to set: leave it out`;
    }
    if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value)) {
      return `headers: the value of ${name} holds a line break or another character that no header carries`;
    }
  }
  return undefined;
}

/** Returns what is wrong with the name of an emoji. */
export function wrongEmoji(name: string): string | undefined {
  const isBad = name === "" || utf8Length(name) > EMOJI_BYTES_MAX || /[:\u0000-\u001f\u007f-\u009f]/.test(name);
  return isBad ? "emoji: its name without colons, at most 100 bytes" : undefined;
}

/** Returns what is wrong with what `history.earlier` is asked for. */
export function wrongEarlier(same: readonly string[], withinSeconds: number): string | undefined {
  if (same.length > HISTORY_LABELS_MAX) return `same: ${same.length} labels, at most ${HISTORY_LABELS_MAX}`;
  if (same.some((name) => utf8Length(name) > HISTORY_LABEL_BYTES_MAX)) {
    return `same: a name of over ${HISTORY_LABEL_BYTES_MAX} bytes`;
  }
  return withinSeconds > HISTORY_SECONDS_MAX
    ? `within-seconds: ${withinSeconds} s, at most ${HISTORY_SECONDS_MAX}`
    : undefined;
}

/** Returns what is wrong with a timer's key. */
export function wrongTimerKey(key: string): string | undefined {
  const bytes = utf8Length(key);
  if (bytes === 0) return "key: it is empty";
  return bytes > TIMER_KEY_BYTES_MAX ? `key: ${bytes} bytes, at most ${TIMER_KEY_BYTES_MAX}` : undefined;
}

/** Returns what is wrong with what a timer is set to. */
export function wrongTimer(
  delaySeconds: number,
  facts: readonly (readonly [string, string])[],
): string | undefined {
  return delaySeconds > TIMER_SECONDS_MAX
    ? `delay: ${delaySeconds} s, at most ${TIMER_SECONDS_MAX}`
    : wrongFacts(facts);
}

/** Returns facts without those that have the host's names. */
export function withoutHosts(facts: readonly (readonly [string, string])[]): (readonly [string, string])[] {
  return facts.filter(([name]) => !isHosts(name));
}

function isHosts(name: string): boolean {
  return HOSTS_PREFIXES.some((prefix) => name.startsWith(prefix));
}

/** Returns what is wrong with the facts of a handler. */
export function wrongFacts(facts: readonly (readonly [string, string])[]): string | undefined {
  if (facts.length > FACTS_MAX) return `facts: ${facts.length} facts, at most ${FACTS_MAX}`;
  for (const [name, value] of facts) {
    const shown = JSON.stringify(name);
    if (/^$|[\u0000-\u001f\u007f-\u009f]/.test(name)) return `a fact without a valid name: ${shown}`;
    if (isHosts(name)) return `a fact ${shown}: such names are the host's`;
    if (utf8Length(name) > FACT_NAME_BYTES_MAX) return `fact_name_bytes: at most ${FACT_NAME_BYTES_MAX}`;
    if (utf8Length(value) > FACT_BYTES_MAX) return `fact_bytes: the fact ${shown}, at most ${FACT_BYTES_MAX}`;
  }
  return undefined;
}
