/** Headings and text of HTML pages. */

import type { Heading } from "./heading.ts";

/** Elements whose text is not for people. */
const UNSEEN = /<(script|style|svg|template|nav|button|noscript)\b[^>]*>[^]*?(<\/\1\s*>|$)|<!--[^]*?(-->|$)/gi;

/** Returns a page without what people do not see, in which there may be headings too. */
export function seen(source: string): string {
  return source.replace(UNSEEN, "");
}

/** Returns the headings of a page, from top to bottom. */
export function headingsOf(source: string): Heading[] {
  const headings: Heading[] = [];
  for (const match of source.matchAll(/<h([1-6])\b([^>]*)>([^]{0,2000}?)<\/h\1\s*>/gi)) {
    const [whole, level, attributes = "", content = ""] = match;
    const anchor = /\bid\s*=\s*["']?([^"'\s>]+)/i.exec(attributes + content)?.[1] ?? "";
    // Generators put a link to the heading into it: `#`, `¶` or a symbol.
    const title = plainText(content)
      .replace(/\s+/g, " ")
      .replace(/^[#¶🔗\s]+|[#¶🔗\s]+$/gu, "");
    headings.push({ title, anchor, level: Number(level), at: match.index, from: match.index + whole.length });
  }
  return headings;
}

/** Elements that begin or end a line. */
const LINES = /<\/?(p|div|section|article|ul|ol|table|tr|dl|dt|dd|blockquote|figure|h[1-6]|details|summary|br)\b[^>]*>/gi;

// prettier-ignore
const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " ", ndash: "–", mdash: "—", hellip: "…", lsquo: "‘", rsquo: "’",
  ldquo: "“", rdquo: "”", bull: "•", rarr: "→", larr: "←", times: "×", copy: "©",
};

/** Returns the text of a part of a page: one line for each paragraph and item, code as it is. */
export function plainText(part: string): string {
  const pieces = part.split(/(<pre\b[^>]*>[^]*?(?:<\/pre\s*>|$))/i);
  const lines = pieces.map((piece, index) => (index % 2 === 1 ? `\n${textOf(piece)}\n` : textOf(flowing(piece))));
  return tidied(lines.join(""));
}

/** Returns text outside of `pre`: its own line breaks are blanks. */
function flowing(part: string): string {
  return part
    .replace(/\s+/g, " ")
    .replace(/<li\b[^>]*>/gi, "\n• ")
    .replace(/<\/li\s*>/gi, "\n")
    .replace(/<\/t[dh]\s*>/gi, "  ")
    .replace(LINES, "\n");
}

function textOf(part: string): string {
  return part
    .replace(/<[^>]*>/g, "")
    .replace(/&(#x?[0-9a-f]+|[a-z]+);/gi, (entity, name: string) => decoded(name) ?? entity);
}

function decoded(name: string): string | undefined {
  const digits = /^#(x?)([0-9a-f]+)$/i.exec(name);
  if (!digits) return ENTITIES[name.toLowerCase()];
  const code = parseInt(digits[2] ?? "", digits[1] === "" ? 10 : 16);
  return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : undefined;
}

/** Returns text without blank lines, and without blanks at the ends of lines. */
export function tidied(text: string): string {
  return text
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line.trim() !== "" && line.trim() !== "•")
    .map((line) => line.replace(/^ +(?=• )/, "").replace(/^ (?=\S)/, ""))
    .join("\n");
}
