/** A builder for Block Kit that respects Slack's limits. */

import { isWebUrl } from "./alert.ts";
import * as check from "./check.ts";
import type { Block, Enrichment } from "./enrichment.ts";
import { toMrkdwn } from "./markdown.ts";
import { charCount, firstChars, jsonBytes, jsonBytesOf, split, truncate, visibleOnly } from "./markup.ts";
import { mask } from "./mask.ts";
import { Mrkdwn, type Text } from "./mrkdwn.ts";
import { utf8Length } from "./utf8.ts";

/** Slack's limits, in characters and items (Slack's reference, "Block Kit" and `chat.postMessage`). */
export const LIMITS = {
  /** A message's text when it is posted. */
  textChars: 40_000,
  /** A message's text when it is updated. */
  updateTextChars: 4_000,
  /** Blocks of a message. */
  blocks: 50,
  /**
   * All blocks of a message together, as JSON, in bytes. Slack does not document this limit: it rejects
   * (`msg_blocks_too_long`) more than 12,000 to 13,300 characters, its own markup included. This value is lower, since how
   * Slack counts is not known.
   */
  blocksBytes: 10_000,
  /** A header's text. */
  headerChars: 150,
  /** A section's text. */
  sectionChars: 3_000,
  /** Fields of a section. */
  fields: 10,
  /** A field's text. */
  fieldChars: 2_000,
  /** Elements of a context. */
  contextElements: 10,
  /** An element's text in a context. */
  contextChars: 3_000,
  /** Elements of an actions block. */
  actions: 25,
  /** A button's text. */
  buttonChars: 75,
  /** A button's URL. */
  buttonUrlChars: 3_000,
} as const;

/** The JSON of a block around its text. */
const FRAME_JSON_BYTES = 100;
/** The bytes of one text in JSON: with its block around it, it still fits into a message. */
const TEXT_JSON_BYTES_MAX = LIMITS.blocksBytes - 2 * FRAME_JSON_BYTES;
/** A paragraph that would be cut shorter than this is left out, since it says nothing. */
const CUT_JSON_BYTES_MIN = 100;
/** A table's cell, and all of a table, in characters. */
const CELL_CHARS_MAX = 60;
const TABLE_CHARS_MAX = 2_000;

/** A block as JSON. */
interface Built {
  readonly json: string;
  /** True for links, buttons and context: at the end of a message they are kept if other blocks have to be left out. */
  readonly isFoot: boolean;
  /** The text of a paragraph, which can be cut further. */
  readonly text?: Mrkdwn;
}

/** A title and a URL. */
export type TitledUrl = readonly [title: string, url: string];

/**
 * The blocks of a message, from top to bottom. Each method returns longer blocks and leaves these as they are.
 *
 * Text that is too long is cut with an ellipsis, and empty text is left out. If the blocks together are more than Slack
 * allows, the first ones are kept, and the links and the context at the end; a line between them says how many are missing. So
 * Slack rejects none of it. Plain text is escaped; see {@link Mrkdwn}.
 *
 * ```ts
 * new Blocks()
 *   .header("KubePodCrashLooping · customer/rs-transformer")
 *   .section(new Mrkdwn().bold("Likely out of memory:").text(" killed at 512Mi"))
 *   .fields({ Cluster: "cluster-main", Restarts: "14" })
 *   .links([["Runbook", "https://runbooks.example.com/crash"]])
 *   .context(["since 2h 5m", "receiver oncall"]);
 * ```
 */
export class Blocks {
  #blocks: readonly Built[] = [];

  /** Adds a large line of plain text. */
  header(text: string): Blocks {
    const line = oneLine(check.text("Blocks.header", text));
    return line === "" ? this : this.#plus(`{"type":"header","text":${plainText(line, LIMITS.headerChars)}}`);
  }

  /** Adds a paragraph. */
  section(text: Text): Blocks {
    const markup = Mrkdwn.of(text);
    return markup.isEmpty ? this : this.#with([paragraph(markup, TEXT_JSON_BYTES_MAX, false)]);
  }

  /** Adds text in as many paragraphs as it needs. */
  paragraphs(text: Text): Blocks {
    let blocks: Blocks = this;
    let left = Mrkdwn.of(text);
    while (!left.isEmpty) {
      const [beginning, rest] = left.split({ lines: Infinity, chars: LIMITS.sectionChars, jsonBytes: TEXT_JSON_BYTES_MAX });
      blocks = blocks.section(beginning);
      left = rest;
    }
    return blocks;
  }

  /** Adds name and value pairs in two columns; more than ten need more sections. An empty value is shown as a dash. */
  fields(pairs: Readonly<Record<string, Text>> | Iterable<readonly [string, Text]>): Blocks {
    const fields = entriesOf(pairs).map(([name, value]) => {
      const shown = Mrkdwn.of(value);
      const text = new Mrkdwn()
        .bold(name)
        .text("\n")
        .then(shown.isEmpty ? "–" : shown);
      return mrkdwnObject(text, LIMITS.fieldChars, TEXT_JSON_BYTES_MAX);
    });
    return this.#spread(fields, LIMITS.fields, (list) => `{"type":"section","fields":[${list}]}`, false);
  }

  /** Adds small grey text, for example when an alert began; texts after the tenth are left out. */
  context(texts: Iterable<Text>): Blocks {
    const elements = Array.from(texts, Mrkdwn.of)
      .filter((text) => !text.isEmpty)
      .slice(0, LIMITS.contextElements)
      .map((text) => mrkdwnObject(text, LIMITS.contextChars, TEXT_JSON_BYTES_MAX));
    return this.#spread(elements, LIMITS.contextElements, (list) => `{"type":"context","elements":[${list}]}`, true);
  }

  /** Adds a row of links, each a title and a URL. A URL that is neither `https` nor `http` is left out. */
  links(links: Iterable<TitledUrl>): Blocks {
    const shown = Array.from(links)
      .filter(([, url]) => isWebUrl(url))
      .map(([title, url]) => new Mrkdwn().link(url, title));
    const row = Mrkdwn.join(shown, " · ");
    return row.isEmpty ? this : this.#with([paragraph(row, TEXT_JSON_BYTES_MAX, true)]);
  }

  /**
   * Adds a row of buttons that open links, each a title and a URL. Buttons with a URL that is neither `https` nor `http`, or
   * too long, and buttons after the 25th are left out.
   *
   * Slack notifies its app of each click, and shows a warning if the app does not answer. If the app may not be set up for
   * that, use {@link Blocks.links}.
   */
  buttons(buttons: Iterable<TitledUrl>): Blocks {
    const elements = Array.from(buttons)
      .filter(([title, url]) => isWebUrl(url) && charCount(url) <= LIMITS.buttonUrlChars && title.trim() !== "")
      .slice(0, LIMITS.actions)
      .map(([title, url], index) => {
        const text = plainText(title, LIMITS.buttonChars);
        return `{"type":"button","action_id":"link-${index}","text":${text},"url":${JSON.stringify(url)}}`;
      });
    return this.#spread(elements, LIMITS.actions, (list) => `{"type":"actions","elements":[${list}]}`, true);
  }

  /** Adds a horizontal line. */
  divider(): Blocks {
    return this.#plus('{"type":"divider"}');
  }

  /**
   * Adds preformatted text in a monospaced font under a title. Of a text that is too long the end is kept, because that is
   * where a log has the reason.
   */
  excerpt(title: string, text: string): Blocks {
    const content = check.text("Blocks.excerpt", text).trimEnd();
    if (content === "") return this;
    const bold = new Mrkdwn().bold(title);
    const head = bold.isEmpty ? bold : bold.then(Mrkdwn.raw("\n"));
    const chars = LIMITS.sectionChars - Math.min(charCount(String(head)), 1_000) - 20;
    const tail = tailThatFits(content, chars, TEXT_JSON_BYTES_MAX - Math.min(jsonBytes(String(head)), 4_000) - 40);
    const cut = tail.length < content.length ? "…\n" : "";
    return this.section(head.then(new Mrkdwn().preformatted(cut + tail)));
  }

  /** Adds Markdown, converted to Slack's markup. */
  markdown(markdown: string): Blocks {
    return this.section(toMrkdwn(check.text("Blocks.markdown", markdown)));
  }

  /** Adds a table: columns are aligned in a monospaced font; rows that do not fit are counted. */
  table(title: string, header: readonly string[], rows: readonly (readonly string[])[]): Blocks {
    const lines = [header, ...rows].map((row) => row.map((cell) => truncate(oneLine(cell), CELL_CHARS_MAX)));
    const widths = header.map((_, column) => Math.max(...lines.map((line) => charCount(line[column] ?? ""))));
    let text = "";
    let shown = 0;
    for (const line of lines) {
      const padded = line.slice(0, header.length).map((cell, column) => padEnd(cell, widths[column] ?? 0));
      const next = padded.join("  ");
      if (utf8Length(text) + utf8Length(next) > TABLE_CHARS_MAX) break;
      text += `${next.trimEnd()}\n`;
      shown += 1;
    }
    const missing = lines.length - Math.max(shown, 1);
    const blocks = this.excerpt(title, text);
    return missing <= 0 ? blocks : blocks.context([`… and ${missing} more rows`]);
  }

  /**
   * Adds the blocks that earlier handlers found, in their order. Secrets in excerpts are masked.
   *
   * Of a picture only the title is shown: Slack shows a picture in blocks only if it has a public URL. A block of a kind that
   * this version does not know shows its fallback.
   */
  enrichment(found: Enrichment): Blocks {
    let blocks: Blocks = this;
    let links: TitledUrl[] = [];
    for (const block of found.blocks ?? []) {
      if (block.kind === "link") {
        links.push([block.title, block.url]);
        continue;
      }
      // Consecutive links share a row.
      blocks = blocks.links(links).#found(block);
      links = [];
    }
    return blocks.links(links);
  }

  /** Adds other blocks after these. */
  then(other: Blocks): Blocks {
    return this.#with(other.#blocks);
  }

  /** How many blocks there are. */
  get length(): number {
    return this.#blocks.length;
  }

  /** Returns the JSON array for Slack, with as many blocks as one message may have. */
  toJSONText(): string {
    const all = this.#blocks;
    if (fitting(all, []) === all.length) return array(all);
    const footLength = this.#footLength();
    const body = all.slice(0, all.length - footLength);
    const foot = all.slice(all.length - footLength);
    const more = (missing: number): readonly Built[] =>
      new Blocks().context([`… and ${missing} more blocks`]).#with(foot).#blocks;
    const last = more(all.length);
    const kept = fitting(body, last);
    const head = body.slice(0, kept);
    const room = Math.max(0, LIMITS.blocksBytes - (utf8Length(array([...head, ...last])) + 1));
    // Half a paragraph is worth its place only if there is little else.
    const bodyBytes = head.reduce((sum, block) => sum + utf8Length(block.json), 0);
    const hasPlace = kept + 1 + last.length <= LIMITS.blocks && bodyBytes < LIMITS.blocksBytes / 2;
    const cut = hasPlace ? cutParagraph(body[kept], room) : [];
    const missing = body.length - kept - cut.length;
    return array([...head, ...cut, ...(missing === 0 ? foot : more(missing))]);
  }

  /** Returns the blocks as values, as Slack gets them. */
  toJSON(): unknown[] {
    return JSON.parse(this.toJSONText()) as unknown[];
  }

  #found(block: Block): Blocks {
    switch (block.kind) {
      case "markdown":
        return this.markdown(block.text);
      case "fields":
        return this.fields(block.pairs);
      case "table":
        return this.table(block.title, block.header, block.rows);
      case "excerpt":
        return this.excerpt(block.title, mask(block.text));
      case "link":
        return this.links([[block.title, block.url]]);
      case "image":
        return this.context([`Picture, not shown here: ${block.title}`]);
      case "custom":
        return this.markdown(block.fallback);
    }
  }

  /**
   * Returns how many blocks at the end are kept if others have to be left out: together they have at most half of what a
   * message may have.
   */
  #footLength(): number {
    let bytes = 0;
    let length = 0;
    for (const block of [...this.#blocks].reverse().slice(0, LIMITS.blocks / 2)) {
      bytes += utf8Length(block.json) + 1;
      if (!block.isFoot || bytes > LIMITS.blocksBytes / 2) break;
      length += 1;
    }
    return length;
  }

  /** Distributes texts over as many blocks as they need, with at most so many in each. */
  #spread(objects: string[], textsMax: number, frame: (list: string) => string, isFoot: boolean): Blocks {
    const blocks: string[][] = [];
    for (const object of objects) {
      const last = blocks.at(-1);
      const bytes = (last ?? []).reduce((sum, json) => sum + utf8Length(json) + 1, 0);
      const fits = bytes + utf8Length(object) + FRAME_JSON_BYTES <= LIMITS.blocksBytes;
      if (last !== undefined && last.length < textsMax && fits) last.push(object);
      else blocks.push([object]);
    }
    return this.#with(blocks.map((list) => ({ json: frame(list.join(",")), isFoot })));
  }

  #plus(json: string): Blocks {
    return this.#with([{ json, isFoot: false }]);
  }

  #with(more: readonly Built[]): Blocks {
    const longer = new Blocks();
    longer.#blocks = [...this.#blocks, ...more];
    return longer;
  }
}

function paragraph(text: Mrkdwn, jsonBytesMax: number, isFoot: boolean): Built {
  const object = mrkdwnObject(text, LIMITS.sectionChars, jsonBytesMax);
  return { json: `{"type":"section","text":${object}}`, isFoot, text };
}

/** Returns a paragraph cut to so many bytes of JSON; nothing if that would leave next to nothing, or it is none. */
function cutParagraph(block: Built | undefined, jsonBytesMax: number): Built[] {
  if (block?.text === undefined || jsonBytesMax < FRAME_JSON_BYTES + CUT_JSON_BYTES_MIN) return [];
  return [paragraph(block.text, jsonBytesMax - FRAME_JSON_BYTES, false)];
}

/** Returns a text object with `verbatim`, which stops Slack from looking for mentions and channel names in it. */
function mrkdwnObject(text: Mrkdwn, chars: number, jsonBytesMax: number): string {
  const [shown] = split(String(text), { lines: Infinity, chars, jsonBytes: jsonBytesMax });
  return `{"type":"mrkdwn","text":${JSON.stringify(shown)},"verbatim":true}`;
}

/** Returns a text object of plain text: characters that reorder or hide text have the same effect here as in markup. */
function plainText(text: string, charsMax: number): string {
  const visible = visibleOnly(text).replace(/[\n\t]/g, "");
  const shown = charCount(visible) <= charsMax ? visible : `${firstChars(visible, charsMax - 1)}…`;
  return `{"type":"plain_text","text":${JSON.stringify(shown)},"emoji":false}`;
}

function entriesOf(pairs: Readonly<Record<string, Text>> | Iterable<readonly [string, Text]>): (readonly [string, Text])[] {
  return Symbol.iterator in pairs ? Array.from(pairs as Iterable<readonly [string, Text]>) : Object.entries(pairs);
}

function array(blocks: readonly Built[]): string {
  return `[${blocks.map((block) => block.json).join(",")}]`;
}

/** Returns how many of the blocks, from the first, fit into one message together with the last ones: at least one. */
function fitting(blocks: readonly Built[], last: readonly Built[]): number {
  const size = (block: Built): number => utf8Length(block.json) + 1;
  let bytes = 2 + last.reduce((sum, block) => sum + size(block), 0);
  let count = 0;
  for (const block of blocks.slice(0, LIMITS.blocks - last.length)) {
    bytes += size(block);
    if (bytes > LIMITS.blocksBytes) break;
    count += 1;
  }
  return Math.min(Math.max(count, last.length === 0 ? 1 : 0), blocks.length);
}

/**
 * Returns the end of a text whose markup has at most this size: whole lines, or the end of a line that is too long by itself.
 * Searches from the back, since a log may be much longer than what is kept.
 */
function tailThatFits(text: string, charsMax: number, jsonBytesMax: number): string {
  let chars = 0;
  let bytes = 0;
  for (let at = text.length; at > 0;) {
    const isPair = (text.charCodeAt(at - 1) & 0xfc00) === 0xdc00 && (text.charCodeAt(at - 2) & 0xfc00) === 0xd800;
    const char = text.slice(at - (isPair ? 2 : 1), at);
    // Each three backticks get a space of three bytes in between.
    const markup = char === "&" ? 5 : char === "<" || char === ">" ? 4 : char === "`" ? 2 : 1;
    chars += markup;
    bytes += Math.max(markup, jsonBytesOf(char));
    if (chars > charsMax || bytes > jsonBytesMax) {
      const tail = text.slice(at);
      const newline = tail.indexOf("\n");
      return newline < 0 ? tail : tail.slice(newline + 1);
    }
    at -= char.length;
  }
  return text;
}

function oneLine(text: string): string {
  return text
    .split(/\s+/)
    .filter((word) => word !== "")
    .join(" ");
}

function padEnd(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - charCount(text)));
}
