/** Headings and text of Markdown files. */

import { slugOf, type Heading } from "./heading.ts";
import { tidied } from "./html.ts";

/** Returns a file without its comments. */
export function seen(source: string): string {
  return source.replace(/<!--[^]*?(-->|$)/g, "");
}

/** Returns the headings of a file, from top to bottom. A line that begins with `#` in a code block is none. */
export function headingsOf(source: string): Heading[] {
  const headings: Heading[] = [];
  let at = 0;
  let fence: string | undefined;
  let before: { text: string; at: number } | undefined;
  for (const line of source.split("\n")) {
    const next = at + line.length + 1;
    const mark = /^ {0,3}(```+|~~~+)/.exec(line)?.[1];
    if (fence !== undefined) {
      if (mark?.startsWith(fence)) fence = undefined;
    } else if (mark !== undefined) {
      fence = mark;
    } else {
      const parts = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/.exec(line);
      const underline = /^ {0,3}(=+|-{2,})\s*$/.exec(line)?.[1];
      if (parts) headings.push(heading(parts[2] ?? "", (parts[1] ?? "").length, at, next));
      else if (underline !== undefined && before)
        headings.push(heading(before.text, underline.startsWith("=") ? 1 : 2, before.at, next));
    }
    before =
      fence === undefined && line.trim() !== "" && !/^\s*([-*+#>|]|\d+\.)/.test(line)
        ? { text: line.trim(), at }
        : undefined;
    at = next;
  }
  return headings;
}

function heading(text: string, level: number, at: number, from: number): Heading {
  const anchor = /\{#([\w-]+)\}\s*$/.exec(text)?.[1];
  const title = inline(text.replace(/\s*\{#[\w-]+\}\s*$/, ""));
  return { title, anchor: anchor ?? slugOf(title), level, at, from };
}

/** Returns the text of a part of a file: markup is left out, code stays as it is. */
export function plainText(part: string): string {
  let isCode = false;
  const lines: string[] = [];
  for (const line of part.split("\n")) {
    if (/^ {0,3}(```|~~~)/.test(line)) isCode = !isCode;
    else if (isCode) lines.push(line);
    else if (!/^\s*(\|?\s*:?-{2,}:?\s*)+\|?\s*$/.test(line)) lines.push(outsideCode(line));
  }
  return tidied(lines.join("\n"));
}

function outsideCode(line: string): string {
  const item = line
    .replace(/^\s*[-*+]\s+/, "• ")
    .replace(/^\s*>\s?/, "")
    .replace(/^\s*#{1,6}\s+/, "");
  return inline(
    item.replace(/^\s*\|(.*)\|\s*$/, (_, cells: string) =>
      cells
        .split("|")
        .map((cell) => cell.trim())
        .join("  "),
    ),
  );
}

/** Characters after a backslash are kept in Unicode's private use area until the markup is gone. */
const LITERAL = 0xe000;

/** Returns text without emphasis, links and pictures; the text of a link stays. */
function inline(text: string): string {
  return text
    .replace(/\\([!-/:-@[-`{-~])/g, (_, char: string) => String.fromCharCode(LITERAL + char.charCodeAt(0)))
    .replace(/!\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/\[([^\]]+)\]\(([^)\s]*)[^)]*\)/g, (_, title: string, url: string) =>
      /^https?:/.test(url) && title !== url ? `${title} (${url})` : title,
    )
    .replace(/<(https?:[^>\s]+)>/g, "$1")
    .replace(/<\/?[a-z][^>]*>/gi, "")
    .replace(/(\*\*|__)(?=\S)(.*?\S)\1/g, "$2")
    .replace(/(?<![\p{L}\p{N}*])\*(?=\S)([^*]*\S)\*(?![\p{L}\p{N}*])/gu, "$1")
    .replace(/(?<![\p{L}\p{N}_])_(?=\S)([^_]*\S)_(?![\p{L}\p{N}_])/gu, "$1")
    .replace(/`([^`]+)`/g, "$1")
    .replace(/[\ue000-\ue07f]/g, (char) => String.fromCharCode(char.charCodeAt(0) - LITERAL));
}
