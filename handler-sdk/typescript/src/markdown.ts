/** Converts Markdown, as handlers write it in an enrichment, to Slack's mrkdwn. */

import { isWebUrl } from "./alert.ts";
import { escapeMrkdwn, firstChars } from "./markup.ts";
import { Mrkdwn } from "./mrkdwn.ts";

/** The part of a text that is converted; a section shows less. */
const CHARS_MAX = 4_000;

/** Converts paragraphs, headings, emphasis, code, links and lists; anything else stays as text. */
export function toMrkdwn(markdown: string): Mrkdwn {
  const lines = firstChars(markdown, CHARS_MAX).split(/\r?\n/);
  const shown: string[] = [];
  while (lines.length > 0) {
    const line = lines.shift() ?? "";
    if (!line.trimStart().startsWith("```")) {
      shown.push(lineOf(line));
      continue;
    }
    const end = lines.findIndex((other) => other.trimStart().startsWith("```"));
    const code = lines.splice(0, end < 0 ? lines.length : end + 1);
    shown.push(String(new Mrkdwn().preformatted((end < 0 ? code : code.slice(0, -1)).join("\n"))));
  }
  return Mrkdwn.raw(shown.join("\n").trim());
}

function lineOf(line: string): string {
  const text = line.trimStart();
  const indent = line.slice(0, line.length - text.length);
  const heading = /^#{1,6} (.*)$/.exec(text);
  // Emphasis within a heading would end the heading's own.
  if (heading) {
    const plain = (heading[1] ?? "").trim().replace(/#+$/, "").replaceAll("**", "").replaceAll("__", "");
    return String(new Mrkdwn().bold(plain.trim()));
  }
  if (/^[-*+] /.test(text)) return `${indent}• ${inline(text.slice(2))}`;
  if (text.startsWith(">")) return `> ${inline(text.slice(1).trimStart())}`;
  return indent + inline(text);
}

/** What is at the start of a text: how many characters it has, and its markup. */
type Taken = [length: number, markup: string] | undefined;

const EMPHASIS: readonly (readonly [mark: string, slack: string])[] = [
  ["**", "*"],
  ["__", "*"],
  ["~~", "~"],
  ["*", "_"],
  ["_", "_"],
];

function inline(text: string): string {
  let out = "";
  let at = 0;
  while (at < text.length) {
    const rest = text.slice(at);
    const opens = !/[\p{L}\p{N}]$/u.test(text.slice(Math.max(0, at - 2), at));
    const [length, markup] =
      code(rest) ?? link(rest) ?? (opens ? emphasis(rest) : undefined) ?? bareUrl(rest) ?? literal(rest);
    out += markup;
    at += length;
  }
  return out;
}

function code(text: string): Taken {
  const inner = /^`([^`]+)`/.exec(text);
  return inner ? [inner[0].length, String(new Mrkdwn().code(inner[1] ?? ""))] : undefined;
}

/** Converts `[title](url)`, and `![title](url)`, whose picture becomes a link. */
function link(text: string): Taken {
  const parts = /^!?\[((?:(?!\]\()[^[])*)\]\(([^)]*)\)/.exec(text);
  if (!parts) return undefined;
  const target = (parts[2] ?? "").trim().split(/\s+/)[0] ?? "";
  return [parts[0].length, String(new Mrkdwn().link(target, parts[1] || target))];
}

function emphasis(text: string): Taken {
  for (const [mark, slack] of EMPHASIS) {
    if (!text.startsWith(mark)) continue;
    const end = text.indexOf(mark, mark.length);
    const content = text.slice(mark.length, end);
    const closes = !/^[\p{L}\p{N}]/u.test(text.slice(end + mark.length));
    if (end < 0 || content === "" || content.trim() !== content || !closes) continue;
    return [end + mark.length, slack + inline(content) + slack];
  }
  return undefined;
}

/** Copies a URL unchanged, so that `_` and `*` in it are not taken for emphasis. */
function bareUrl(text: string): Taken {
  const url = /^https?:\/\/[^\s<>"`)|]*/.exec(text)?.[0].replace(/[.,;:!?]+$/, "");
  return url !== undefined && isWebUrl(url) ? [url.length, String(new Mrkdwn().link(url, url))] : undefined;
}

/** Copies a character; a backslash makes the punctuation after it literal. */
function literal(text: string): [length: number, markup: string] {
  const escaped = /^\\([!-/:-@[-`{-~])/.exec(text);
  if (escaped) return [2, escapeMrkdwn(escaped[1] ?? "")];
  const char = String.fromCodePoint(text.codePointAt(0) ?? 0);
  return [char.length, escapeMrkdwn(char)];
}
