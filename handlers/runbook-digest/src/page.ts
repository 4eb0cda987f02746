/** Finds the section that is asked for on a page, and makes plain text of it. */

import { decodeUtf8 } from "handler-sdk";
import { fragmentOf } from "./address.ts";
import { slugOf, type Heading } from "./heading.ts";
import * as html from "./html.ts";
import * as markdown from "./markdown.ts";

/** What is used of a response. */
export interface Page {
  header(name: string): string | undefined;
  readonly bytes: Uint8Array;
}

/** What is looked for. */
export interface Wanted {
  /** The URL; its fragment names a section to look in. */
  readonly url: string;
  /** Headings, the most wanted first. */
  readonly sections: readonly string[];
  /** The most characters that are shown. */
  readonly charsMax: number;
}

/** A section's heading and its text, or why there is none. */
export type Digest =
  { readonly section: string; readonly text: string } | { readonly section?: undefined; readonly why: string };

/** Of a longer page the beginning is read: a handler has half a second of CPU time, and runbooks are short. */
const PAGE_BYTES_MAX = 128 * 1024;

/** Returns the digest of a page. */
export function digestOf(page: Page, wanted: Wanted): Digest {
  const whole = decodeUtf8(page.bytes.subarray(0, PAGE_BYTES_MAX));
  const type = page.header("content-type") ?? "";
  const isHtml = /html/i.test(type) || /^\s*<(!doctype|html|head|body)\b/i.test(whole);
  const { seen, headingsOf, plainText } = isHtml ? html : markdown;
  const source = seen(whole);
  const headings = headingsOf(source);
  const within = sectionNamed(source, headings, fragmentOf(wanted.url));
  const found = chosen(headings, wanted.sections, within);
  const section =
    found === undefined ? within : { title: found.title, from: found.from, to: endOf(source, headings, found) };
  if (section === undefined) return { why: `the page has no section ${listed(wanted.sections)}` };
  const text = plainText(source.slice(section.from, section.to));
  if (text === "") return { why: `the section ${section.title} of the page is empty` };
  return { section: section.title, text: shortened(text, wanted.charsMax) };
}

/** A section's title, and where its text begins and ends. */
interface Section {
  readonly title: string;
  readonly from: number;
  readonly to: number;
}

/** Returns the section that a URL's fragment names. */
function sectionNamed(source: string, headings: readonly Heading[], fragment: string | undefined): Section | undefined {
  const name = fragment?.toLowerCase();
  const heading = headings.find((each) => each.anchor.toLowerCase() === name || slugOf(each.title) === name);
  return heading && { title: heading.title, from: heading.from, to: endOf(source, headings, heading) };
}

/** Returns the first heading of the most wanted name, within a section if there is one. */
function chosen(headings: readonly Heading[], names: readonly string[], within: Section | undefined): Heading | undefined {
  const inside = headings.filter((each) => within === undefined || (each.at >= within.from && each.at < within.to));
  for (const name of names) {
    const found = inside.find((each) => each.title.toLowerCase() === name.trim().toLowerCase());
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Returns where a section ends: at the next heading that is not below its own. */
function endOf(source: string, headings: readonly Heading[], heading: Heading): number {
  return headings.find((each) => each.at > heading.at && each.level <= heading.level)?.at ?? source.length;
}

/** Returns text cut between lines or words, with an ellipsis if it was longer. */
function shortened(text: string, charsMax: number): string {
  const chars = Array.from(text);
  if (chars.length <= charsMax) return text;
  const kept = chars.slice(0, Math.max(0, charsMax - 1)).join("");
  const gap = Math.max(kept.lastIndexOf("\n"), kept.lastIndexOf(" "));
  return `${(gap > kept.length / 2 ? kept.slice(0, gap) : kept).trimEnd()}…`;
}

function listed(names: readonly string[]): string {
  return names.length < 2 ? (names[0] ?? "") : `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
}
