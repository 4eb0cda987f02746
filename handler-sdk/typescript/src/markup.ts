/** Slack's markup as strings: how plain text is escaped, how long markup is, and where it may be cut. */

import * as check from "./check.ts";
import { utf8Length } from "./utf8.ts";

/** The most that a part of a text may have. */
export interface Most {
  /** Lines. */
  lines: number;
  /** Characters of markup. */
  chars: number;
  /** Bytes of markup in a JSON string. */
  jsonBytes: number;
}

/** Characters that are invisible or change the direction of writing, without newline, tab and zero-width space. */
const INVISIBLE =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]|\udb40[\udc00-\udc7f]/g;

const ESCAPES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const FENCE = "```";
/** A cut goes back to the last gap between words if the word has at most so many characters. */
const WORD_CHARS_MAX = 200;

/** Returns plain text as mrkdwn: `&`, `<` and `>` are escaped, and invisible characters are left out. */
export function escapeMrkdwn(plain: string): string {
  return visibleOnly(check.text("text", plain)).replace(/[&<>]/g, (char) => ESCAPES[char] ?? char);
}

/** Returns text without control characters, newlines and tabs excepted, and without those that reorder or hide text. */
export function visibleOnly(plain: string): string {
  return plain.replace(INVISIBLE, "");
}

/** Returns the number of characters (code points) of a text. */
export function charCount(text: string): number {
  let count = text.length;
  for (let index = 0; index < text.length - 1; index += 1) {
    if (isPair(text, index)) {
      count -= 1;
      index += 1;
    }
  }
  return count;
}

/** Returns the first characters (code points) of a text. */
export function firstChars(text: string, charsMax: number): string {
  let index = 0;
  for (let count = 0; count < charsMax && index < text.length; count += 1) index += isPair(text, index) ? 2 : 1;
  return text.slice(0, index);
}

/** Returns the number of bytes of a text in a JSON string, without the quotes. */
export function jsonBytes(text: string): number {
  let bytes = utf8Length(text);
  for (const [char] of text.matchAll(/["\\\u0000-\u001f]/g)) bytes += jsonBytesOf(char) - 1;
  return bytes;
}

/** Returns the number of bytes of a character in a JSON string. */
export function jsonBytesOf(char: string): number {
  if ('"\\\n\r\t\b\f'.includes(char)) return 2;
  return (char.codePointAt(0) ?? 0) < 0x20 ? 6 : utf8Length(char);
}

/** Cuts markup to so many characters; see {@link split}. */
export function truncate(markup: string, charsMax: number): string {
  return split(markup, { lines: Infinity, chars: charsMax, jsonBytes: Infinity })[0];
}

/**
 * Splits markup into a beginning of at most this size, with an ellipsis if it is not all, and the rest, which is empty if all
 * of it fits.
 *
 * Markup is never cut within an escape or a link. It is cut between words if a gap is near enough; in a code block, only
 * between lines or characters. A code block that is cut is closed in the beginning and opened again in the rest.
 */
export function split(markup: string, most: Most): [beginning: string, rest: string] {
  const byLines = endOfLines(markup, most.lines);
  if (byLines === markup.length && fits(markup, most)) return [markup, ""];
  // Leaves space for an ellipsis, a newline or a space, and a fence.
  const room: Most = { lines: most.lines, chars: Math.max(0, most.chars - 5), jsonBytes: Math.max(0, most.jsonBytes - 8) };
  const isByLines = fits(markup.slice(0, byLines), room);
  const end = isByLines ? byLines : endOfWords(markup, endOfSize(markup, byLines, room));
  let kept = markup.slice(0, end).trimEnd();
  let isInCode = fences(kept) % 2 === 1;
  if (isInCode && kept.endsWith(FENCE)) {
    // Nothing of the code block is in the beginning.
    kept = kept.slice(0, -FENCE.length).trimEnd();
    isInCode = false;
  }
  const head = isByLines ? `${kept} …${isInCode ? FENCE : ""}` : `${kept}…${isInCode ? `\n${FENCE}` : ""}`;
  const left = markup.slice(kept.length).trimStart();
  if (!isInCode) return [head, left];
  return [head, left.startsWith(FENCE) ? left.slice(FENCE.length).trimStart() : `${FENCE}\n${left}`];
}

function isPair(text: string, index: number): boolean {
  const low = text.charCodeAt(index + 1);
  return (text.charCodeAt(index) & 0xfc00) === 0xd800 && (low & 0xfc00) === 0xdc00;
}

function fits(text: string, most: Most): boolean {
  return charCount(text) <= most.chars && (most.jsonBytes === Infinity || jsonBytes(text) <= most.jsonBytes);
}

function fences(text: string): number {
  return text.split(FENCE).length - 1;
}

/**
 * Returns the end of the first lines, without the last newline. If there are more lines, a code block that has to be closed
 * leaves a line for its fence.
 */
function endOfLines(markup: string, linesMax: number): number {
  if (linesMax === Infinity) return markup.length;
  const newline = (lines: number): number => {
    let at = -1;
    for (let count = 0; count <= Math.max(0, lines - 1); count += 1) {
      at = markup.indexOf("\n", at + 1);
      if (at < 0) return -1;
    }
    return at;
  };
  const at = newline(linesMax);
  if (at < 0) return markup.length;
  return markup.includes(FENCE) ? Math.max(0, newline(Math.max(1, linesMax - 1))) : at;
}

/** Returns the end of the longest beginning, up to `limit`, that fits and is not within an escape, a link or a fence. */
function endOfSize(markup: string, limit: number, most: Most): number {
  let chars = 0;
  let bytes = 0;
  let end = limit;
  for (let at = 0; at < limit;) {
    const char = isPair(markup, at) ? markup.slice(at, at + 2) : markup.charAt(at);
    chars += 1;
    bytes += jsonBytesOf(char);
    if (chars > most.chars || bytes > most.jsonBytes) {
      end = at;
      break;
    }
    at += char.length;
  }
  for (const [opens, closes] of [
    ["<", ">"],
    ["&", ";"],
  ] as const) {
    const open = markup.slice(0, end).lastIndexOf(opens);
    if (open >= 0 && !markup.slice(open, end).includes(closes)) end = open;
  }
  // All of a code block's fence, or none of it.
  if (markup.startsWith("`", end)) end = markup.slice(0, end).replace(/`+$/, "").length;
  return end;
}

/** Returns the end of the last word before a cut, if it is near. Within a code block the cut stays: a log has no words. */
function endOfWords(markup: string, end: number): number {
  const kept = markup.slice(0, end);
  if (/^\s/.test(markup.slice(end, end + 1)) || fences(kept) % 2 === 1) return end;
  const gap = kept.search(/\s\S*$/);
  if (gap < 0) return end;
  const word = charCount(kept.slice(gap));
  const isInLink = kept.lastIndexOf("<", gap - 1) > kept.lastIndexOf(">", gap - 1) && gap > 0;
  return word <= WORD_CHARS_MAX && word * 2 <= charCount(kept) && !isInLink ? gap : end;
}
