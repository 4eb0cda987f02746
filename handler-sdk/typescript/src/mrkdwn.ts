/** Slack's markup, distinguished from plain text by its type. */

import { isWebUrl } from "./alert.ts";
import { escapeMrkdwn, split, truncate, type Most } from "./markup.ts";

/** Text that becomes {@link Mrkdwn}: a plain string is escaped. */
export type Text = string | Mrkdwn;

/**
 * Text in Slack's markup, mrkdwn.
 *
 * Plain text is escaped when it becomes `Mrkdwn`, so a label value `<!channel>` is shown and notifies nobody. Only
 * {@link Mrkdwn.raw} takes markup unescaped. Each method returns another text and leaves this one as it is.
 *
 * ```ts
 * new Mrkdwn().bold("Likely out of memory:").text(" killed at ").code("512Mi").toString()
 * // "*Likely out of memory:* killed at `512Mi`"
 * Mrkdwn.of("<!channel> & co").toString() // "&lt;!channel&gt; &amp; co"
 * ```
 */
export class Mrkdwn {
  #markup: string;

  /** Returns text; a plain string is escaped. */
  constructor(text: Text = "") {
    this.#markup = typeof text === "string" ? escapeMrkdwn(text) : text.#markup;
  }

  /** Returns plain text as markup, or markup as it is. */
  static of(text: Text): Mrkdwn {
    return typeof text === "string" ? new Mrkdwn(text) : text;
  }

  /** Returns markup unescaped. Never use it for text that comes from an alert, a log or a server. */
  static raw(markup: string): Mrkdwn {
    return new Mrkdwn().#plus(markup);
  }

  /** Joins texts with a separator; empty ones are left out. */
  static join(texts: Iterable<Text>, separator: string): Mrkdwn {
    const parts = Array.from(texts, Mrkdwn.of).filter((text) => !text.isEmpty);
    return Mrkdwn.raw(parts.map(String).join(escapeMrkdwn(separator)));
  }

  /** Adds plain text. */
  text(text: string): Mrkdwn {
    return this.#plus(escapeMrkdwn(text));
  }

  /**
   * Adds plain text and makes its `https` and `http` URLs links: Slack does not look for URLs in text of this SDK, because it
   * would look for mentions too.
   */
  prose(text: string): Mrkdwn {
    let all: Mrkdwn = this;
    let copied = 0;
    for (const match of text.matchAll(/https?:\/\/[^\s\u0000-\u001f\u007f-\u009f<>"`|]*/g)) {
      const url = match[0].replace(/[.,;:!?)\]}'*_]+$/, "");
      all = all.text(text.slice(copied, match.index)).link(url, url);
      copied = match.index + url.length;
    }
    return all.text(text.slice(copied));
  }

  /** Adds bold text. */
  bold(text: string): Mrkdwn {
    return this.#wrapped("*", text);
  }

  /** Adds text in italics. */
  italic(text: string): Mrkdwn {
    return this.#wrapped("_", text);
  }

  /** Adds text in a monospaced font. A backtick in it becomes an apostrophe, because it would end the font. */
  code(text: string): Mrkdwn {
    return this.#wrapped("`", text.replaceAll("`", "'"));
  }

  /** Adds several lines in a monospaced font, unchanged. */
  preformatted(text: string): Mrkdwn {
    // A zero-width space keeps three backticks in the text from ending the block.
    const escaped = escapeMrkdwn(text.replaceAll("```", "``\u200b`"));
    return this.#plus(`\`\`\`\n${escaped}${escaped === "" || escaped.endsWith("\n") ? "" : "\n"}\`\`\``);
  }

  /** Adds a link. If the URL is neither `https` nor `http`, adds only the title. */
  link(url: string, title: string): Mrkdwn {
    if (!isWebUrl(url)) return this.text(title);
    // `|` and `>` end the URL in Slack's markup.
    const target = url.replaceAll("|", "%7C").replaceAll(">", "%3E").replaceAll("<", "%3C");
    const shown = title.replaceAll("|", "¦").replaceAll("\n", " ");
    return this.#plus(`<${escapeMrkdwn(target)}|${escapeMrkdwn(shown)}>`);
  }

  /** Adds more text; a plain string is escaped. */
  then(other: Text): Mrkdwn {
    return this.#plus(String(Mrkdwn.of(other)));
  }

  /** Whether it is empty, or only blanks. */
  get isEmpty(): boolean {
    return this.#markup.trim() === "";
  }

  /** Returns at most this many characters of it, with an ellipsis if it was longer. */
  truncated(charsMax: number): Mrkdwn {
    return Mrkdwn.raw(truncate(this.#markup, charsMax));
  }

  /** Splits it into a beginning of at most this size and the rest. */
  split(most: Most): [Mrkdwn, Mrkdwn] {
    const [beginning, rest] = split(this.#markup, most);
    return [Mrkdwn.raw(beginning), Mrkdwn.raw(rest)];
  }

  /** Returns the markup. */
  toString(): string {
    return this.#markup;
  }

  #plus(markup: string): Mrkdwn {
    const longer = new Mrkdwn();
    longer.#markup = this.#markup + markup;
    return longer;
  }

  #wrapped(mark: string, text: string): Mrkdwn {
    // Slack shows no emphasis for empty text, across lines, or if there are blanks inside the marks.
    const line = text
      .split(/\s+/)
      .filter((word) => word !== "")
      .join(" ");
    return line === "" ? this : this.#plus(`${mark}${escapeMrkdwn(line)}${mark}`);
  }
}
