/** Headings, whatever the page is written in. */

/** A heading of a page, and where what is below it begins and ends. */
export interface Heading {
  /** The text. */
  readonly title: string;
  /** The name by which a link finds it. */
  readonly anchor: string;
  /** 1 for the largest. */
  readonly level: number;
  /** Where the heading begins, in characters of the page. */
  readonly at: number;
  /** Where what is below it begins. */
  readonly from: number;
}

/** Returns the anchor that GitHub makes of a heading. */
export function slugOf(title: string): string {
  return title
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replace(/\s/g, "-");
}
