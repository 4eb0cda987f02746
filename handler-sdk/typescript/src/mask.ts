/**
 * Masks secrets in text that people will read: logs, error bodies, manifests.
 *
 * Secrets are recognized by their shape, so some are missed and now and then a harmless text is masked. Recognized are PEM
 * blocks, JSON web tokens, tokens with a vendor's prefix, passwords in URLs, `Bearer` and `Basic` credentials, and values under
 * names like `password`, `token` or `api_key`, as `name=value`, `name: value` or JSON: what the Rust SDK recognizes.
 *
 * The host masks Slack messages, log lines and stories again. This module is for text that a handler cuts, because half a
 * token can no longer be recognized.
 */

import { PREFIXES } from "./prefixes.ts";

/** The text that replaces a secret. */
export const MASK = "[masked]";

/** The longest name of a value, and the longest scheme of a URL. */
const NAME_CHARS_MAX = 64;
/** A value that contains the mask within this distance of its beginning has been masked before. */
const MASKED_WITHIN_CHARS = 1 << 10;

/** A secret at a place of a text: how many characters stay, and how many are replaced. */
interface Secret {
  shown: number;
  hidden: number;
}

/**
 * Returns the text with secrets masked.
 *
 * ```ts
 * mask("connecting to postgres://app:hunter2@db/x") // "connecting to postgres://app:[masked]@db/x"
 * ```
 */
export function mask(text: string): string {
  const parts: string[] = [];
  let copied = 0;
  let at = 0;
  while (at < text.length) {
    const secret = find(text, at);
    if (secret === undefined) {
      at += 1;
      continue;
    }
    parts.push(text.slice(copied, at + secret.shown), MASK);
    at += secret.shown + secret.hidden;
    copied = at;
  }
  return copied === 0 ? text : parts.join("") + text.slice(copied);
}

function find(text: string, at: number): Secret | undefined {
  const first = text.charCodeAt(at);
  if (at > 0 && isAlphanumeric(text.charCodeAt(at - 1))) return undefined;
  if (first === 0x2d) return pem(text, at);
  if (first >= 0x30 && first <= 0x39) return vendorToken(text, at);
  if (first === 0x5f) return vendorToken(text, at) ?? named(text, at);
  if (!isAlphanumeric(first)) return undefined;
  return vendorToken(text, at) ?? jsonWebToken(text, at) ?? scheme(text, at) ?? url(text, at) ?? named(text, at);
}

/** Finds `-----BEGIN PRIVATE KEY-----` up to its end, or to the end of the text if the block was cut off. */
function pem(text: string, at: number): Secret | undefined {
  const begin = "-----BEGIN ";
  if (!text.startsWith(begin, at)) return undefined;
  const from = at + begin.length;
  const labelEnds = text.indexOf("-----", from);
  if (labelEnds < 0) return undefined;
  const label = text.slice(from, labelEnds);
  if (label.includes("\n") || label.includes("CERTIFICATE") || label.includes("PUBLIC")) return undefined;
  const contentBegins = labelEnds + 5;
  const end = text.indexOf("-----END ", contentBegins);
  return { shown: contentBegins - at, hidden: (end < 0 ? text.length : end) - contentBegins };
}

/** The alphabets of tokens, each with its bit in {@link PREFIXES}. */
const KINDS = [
  "0123456789",
  "abcdef",
  "ghijklmnopqrstuvwxyz",
  "ABCDEF",
  "GHIJKLMNOPQRSTUVWXYZ",
  "-",
  "_",
  ".",
  "=",
  "/",
  "+",
];

/** Prefixes that the list lacks or for which this module requires more letters, with the least number of letters. */
const MORE_PREFIXES: [string, number][] = [
  ["GOCSPX-", 16],
  ["dckr_pat_", 16],
  ["hvb.", 16],
  ["hvs.", 16],
  ["sk-", 24],
  ["whsec_", 12],
  ["ya29.", 16],
];

/** For each ASCII character the bit of its alphabet. */
const KIND_OF: readonly number[] = Array.from({ length: 128 }, (_, code) =>
  KINDS.reduce((bits, kind, bit) => (kind.includes(String.fromCharCode(code)) ? bits | (1 << bit) : bits), 0),
);

/** The prefixes by their first character. */
const BY_FIRST = new Map<string, (typeof PREFIXES)[number][]>();
for (const entry of PREFIXES) {
  const first = entry[0].charAt(0);
  BY_FIRST.set(first, [...(BY_FIRST.get(first) ?? []), entry]);
}

function vendorToken(text: string, at: number): Secret | undefined {
  let longest: Secret | undefined;
  for (const [prefix, kinds, least, given] of BY_FIRST.get(text.charAt(at)) ?? []) {
    if (!text.startsWith(prefix, at)) continue;
    const most = given === 0xffff ? Number.MAX_SAFE_INTEGER - 1 : given;
    const from = at + prefix.length;
    let hidden = 0;
    while (hidden <= most && ((KIND_OF[text.charCodeAt(from + hidden)] ?? 0) & kinds) !== 0) hidden += 1;
    if (hidden < least || hidden > most) continue;
    const secret = { shown: prefix.length, hidden };
    // Of equal lengths the last counts, as in the Rust SDK.
    if (longest === undefined || prefix.length + hidden >= longest.shown + longest.hidden) longest = secret;
  }
  if (longest !== undefined) return longest;
  for (const [prefix, least] of MORE_PREFIXES) {
    if (!text.startsWith(prefix, at)) continue;
    const hidden = lengthOf(text, at + prefix.length, /[A-Za-z0-9_\-.=/+]*/y);
    if (hidden >= least) return { shown: prefix.length, hidden };
  }
  return undefined;
}

/** Finds three parts of base64url, of which the first is an encoded `{"`. */
function jsonWebToken(text: string, at: number): Secret | undefined {
  if (!text.startsWith("eyJ", at)) return undefined;
  // Only from the start of the token: a text of dashes would otherwise be scanned again from each of them.
  if (at > 0 && /[A-Za-z0-9\-_.]/.test(text.charAt(at - 1))) return undefined;
  const length = lengthOf(text, at + 3, /[A-Za-z0-9\-_.]*/y);
  const [first, second] = text.slice(at + 3, at + 3 + length).split(".");
  const isLong = (part: string | undefined): boolean => part !== undefined && part.length >= 5;
  return isLong(first) && isLong(second) ? { shown: 0, hidden: 3 + length } : undefined;
}

/** Finds `Bearer x` and `Basic x`. */
function scheme(text: string, at: number): Secret | undefined {
  const shown = ["bearer ", "basic "].find((name) => text.slice(at, at + name.length).toLowerCase() === name)?.length;
  if (shown === undefined) return undefined;
  const from = at + shown;
  const hidden = endOfCredential(text, from) - from;
  const credential = text.slice(from, from + hidden);
  // "Basic auth" and "bearer of news" are prose. A credential has a digit, a symbol or at least 16 letters.
  const isProse = /^[a-z]{0,15}$/.test(credential);
  return isProse || credential === MASK ? undefined : { shown, hidden };
}

/** Finds the password of `scheme://user:password@host`. */
function url(text: string, at: number): Secret | undefined {
  const schemeLength = Math.min(lengthOf(text, at, /[A-Za-z0-9+\-.]{0,64}/y), NAME_CHARS_MAX);
  const from = at + schemeLength;
  if (!text.startsWith("://", from)) return undefined;
  const authorityBegins = from + 3;
  const authority = text.slice(authorityBegins, authorityBegins + lengthOf(text, authorityBegins, /[^\s/?#"']*/y));
  const hostBegins = authority.lastIndexOf("@");
  const passwordBegins = authority.indexOf(":") + 1;
  if (hostBegins < 0 || passwordBegins === 0 || passwordBegins > hostBegins) return undefined;
  const hidden = hostBegins - passwordBegins;
  return hidden > 0 ? { shown: authorityBegins - at + passwordBegins, hidden } : undefined;
}

/** Parts of names whose values are secrets, in lower case and without separators. */
// prettier-ignore
const SECRET_NAMES = [
  "password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "accesskey", "privatekey", "signingkey",
  "encryptionkey", "credential", "authorization", "cookie", "authkey",
];
/** Endings of names that contain one of the above and whose values are not secret. */
const HARMLESS_ENDINGS = ["name", "count", "type", "file", "path", "length", "expiry", "id"];
/** Values that say nothing. */
const EMPTY_VALUES = ["", "null", "nil", "None", "true", "false", "***", "Bearer", "Basic"];

/** Finds the value of `name=value`, `name: value`, `"name": "value"` and `name => value`. */
function named(text: string, at: number): Secret | undefined {
  const nameLength = lengthOf(text, at, /[A-Za-z0-9_\-.]{0,65}/y);
  if (nameLength > NAME_CHARS_MAX) return undefined;
  const name = text
    .slice(at, at + nameLength)
    .replace(/[^A-Za-z0-9]/g, "")
    .toLowerCase();
  if (!SECRET_NAMES.some((part) => name.includes(part))) return undefined;
  if (HARMLESS_ENDINGS.some((ending) => name.endsWith(ending))) return undefined;
  let from = at + nameLength;
  from += lengthOf(text, from, /[\\"']*/y);
  from += lengthOf(text, from, / */y);
  const mark = ["=>", ":=", "=", ":"].find((known) => text.startsWith(known, from));
  if (mark === undefined) return undefined;
  from += mark.length;
  from += lengthOf(text, from, / */y);
  const opening = lengthOf(text, from, /\\*["']/y);
  const quote = opening > 0 ? text.charAt(from + opening - 1) : undefined;
  from += opening;

  // Of `Authorization: Bearer x` the name of the scheme stays.
  const inner = scheme(text, from);
  if (inner !== undefined) return { shown: from - at + inner.shown, hidden: inner.hidden };
  // Checked first, and only near the beginning: a hostile text would otherwise be scanned again from each name.
  const near = text.slice(from, from + MASKED_WITHIN_CHARS);
  const nearEnds = quote === undefined ? endOfCredential(near, 0) : endOfQuoted(near, 0, quote);
  if (near.slice(0, nearEnds).includes(MASK)) return undefined;
  const valueEnds = quote === undefined ? endOfCredential(text, from) : endOfValue(text, from, quote);
  const content = text.slice(from, valueEnds).replace(/\\+$/, "");
  return EMPTY_VALUES.includes(content) ? undefined : { shown: from - at, hidden: content.length };
}

/** Returns where a quoted value ends: at the quote, or else at the end of the line, or of the text. */
function endOfValue(text: string, from: number, quote: string): number {
  for (const mark of [quote, "\n"]) {
    const end = text.indexOf(mark, from);
    if (end >= 0) return end;
  }
  return text.length;
}

/** Returns where the first of the quote and a newline is. */
function endOfQuoted(text: string, from: number, quote: string): number {
  const ends = [text.indexOf(quote, from), text.indexOf("\n", from)].filter((end) => end >= 0);
  return Math.min(text.length, ...ends);
}

function endOfCredential(text: string, from: number): number {
  return from + lengthOf(text, from, /[^\s"',;&})<>`]*/y);
}

/** Returns how many characters a sticky pattern matches at a place. */
function lengthOf(text: string, from: number, pattern: RegExp): number {
  pattern.lastIndex = from;
  return pattern.exec(text)?.[0].length ?? 0;
}

function isAlphanumeric(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
}
