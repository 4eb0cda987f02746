/** What is known of an alert besides the alert itself: facts for programs, blocks for people. */

import { recordOf, type Alert, type Labels } from "./alert.ts";
import * as check from "./check.ts";
import { stormOf, type Storm } from "./storm.ts";
import type { WireBlock, WireEnrichment } from "./wire.ts";

/**
 * Names with values that are recorded in the delivery's story, and that later handlers read by name. Values are text; a fact
 * that is `undefined` is left out, so that branches may return different facts.
 */
export type Facts = Record<string, string | undefined>;

/** Something for people to read. {@link Block} has a function for each kind. */
export type Block =
  | { readonly kind: "markdown"; readonly text: string }
  | { readonly kind: "fields"; readonly pairs: readonly (readonly [string, string])[] }
  | {
      readonly kind: "table";
      readonly title: string;
      readonly header: readonly string[];
      readonly rows: readonly (readonly string[])[];
    }
  | { readonly kind: "excerpt"; readonly title: string; readonly text: string }
  | { readonly kind: "link"; readonly title: string; readonly url: string }
  | { readonly kind: "image"; readonly title: string; readonly mediaType: string; readonly data: Uint8Array }
  | { readonly kind: "custom"; readonly name: string; readonly fallback: string; readonly data: string };

/** Makes the blocks of an enrichment. (`Blocks` makes those of a Slack message.) */
export const Block = {
  /** Returns a block of Markdown: paragraphs, emphasis, code, links and lists. */
  markdown: (text: string): Block => ({ kind: "markdown", text }),

  /** Returns a block of name and value pairs, shown in this order. */
  fields: (pairs: Readonly<Record<string, string>> | readonly (readonly [string, string])[]): Block => ({
    kind: "fields",
    pairs: Array.isArray(pairs) ? pairs : Object.entries(pairs),
  }),

  /** Returns a block with a table. Rows shorter than the header are padded, longer ones are cut. */
  table: (title: string, header: readonly string[], rows: readonly (readonly string[])[]): Block => ({
    kind: "table",
    title,
    header,
    rows: rows.map((row) => header.map((_, column) => row[column] ?? "")),
  }),

  /** Returns a block of preformatted text in a monospaced font: a log's tail, a manifest. */
  excerpt: (title: string, text: string): Block => ({ kind: "excerpt", title, text }),

  /** Returns a block with a link; the URL must be `https` or `http`. */
  link: (title: string, url: string): Block => ({ kind: "link", title, url }),

  /** Returns a block with a picture of type `image/png`, `image/jpeg` or `image/gif`. */
  image: (title: string, mediaType: string, data: Uint8Array): Block => ({ kind: "image", title, mediaType, data }),

  /** Returns a block of a kind that this version does not define; `fallback` is Markdown, `data` is JSON. */
  custom: (name: string, fallback: string, data: string): Block => ({ kind: "custom", name, fallback, data }),
};

/** What a handler adds to what is known: `enrich` returns it. */
export interface Enrichment {
  /** Facts for programs. */
  readonly facts?: Readonly<Facts>;
  /** Blocks for people, in reading order. */
  readonly blocks?: readonly Block[];
}

/** What earlier handlers, and the host itself, have found about an alert. */
export class Found implements Enrichment {
  /** Facts by name. */
  readonly facts: Labels;
  /** Blocks in reading order. */
  readonly blocks: readonly Block[];

  constructor(found: Enrichment = {}) {
    this.facts = Object.assign(Object.create(null) as Record<string, string>, check.known(found.facts ?? {}));
    this.blocks = found.blocks ?? [];
  }

  /** Returns the fact of this name. */
  fact(name: string): string | undefined {
    return this.facts[name];
  }

  /** The handlers that could not enrich: their names and the reasons. */
  get failures(): readonly (readonly [handler: string, why: string])[] {
    const prefix = "enrich_failed.";
    return Object.entries(this.facts)
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, why]) => [name.slice(prefix.length), why]);
  }

  /** The storm that the alert represents; `undefined` if the alert represents only itself. */
  get storm(): Storm | undefined {
    return stormOf(this);
  }

  /**
   * Returns the key of the incident that a message is about, for use with kv: that of the storm if the alert represents one,
   * else {@link Alert.incidentKey}. What fires and what resolves have it in common.
   */
  incidentKey(alert: Alert): string {
    const storm = this.storm;
    return storm === undefined ? alert.incidentKey : `storm/${storm.id}`;
  }

  /** Returns it with what another handler adds. Of a fact that both have, the other's counts. */
  with(added: Enrichment): Found {
    return new Found({
      facts: { ...this.facts, ...check.known(added.facts ?? {}) },
      blocks: [...this.blocks, ...(added.blocks ?? [])],
    });
  }

  /** Returns what the host passed. */
  static fromWire(wire: WireEnrichment): Found {
    return new Found({ facts: recordOf(wire.facts), blocks: wire.blocks.map(blockFromWire) });
  }
}

/** Returns an enrichment in the contract's form, after a check of each value. `field` names it in errors. */
export function toWireEnrichment(field: string, given: unknown): WireEnrichment {
  if (!check.isPlainObject(given) && !(given instanceof Found)) {
    throw check.wrong(field, "an object with `facts` and `blocks`", given);
  }
  for (const name of Object.keys(given)) {
    if (name !== "facts" && name !== "blocks") {
      throw new check.MisuseError(
        `${field}.${name}: an enrichment has only \`facts\` and \`blocks\`; facts go into \`facts\``,
      );
    }
  }
  const blocks = given.blocks ?? [];
  if (!Array.isArray(blocks)) throw check.wrong(`${field}.blocks`, "an array of blocks", blocks);
  return {
    facts: given.facts === undefined ? [] : check.facts(`${field}.facts`, { ...given.facts }),
    blocks: blocks.map((block: unknown, index) => blockToWire(`${field}.blocks[${index}]`, block)),
  };
}

function blockToWire(field: string, given: unknown): WireBlock {
  if (!check.isPlainObject(given)) throw check.wrong(field, "a block, as Block.markdown(…) returns it,", given);
  const block = given as Record<string, unknown>;
  const text = (name: string): string => check.text(`${field}.${name}`, block[name]);
  const list = (name: string, value: unknown): unknown[] => {
    if (!Array.isArray(value)) throw check.wrong(`${field}.${name}`, "an array", value);
    return value;
  };
  const texts = (name: string, value: unknown): string[] =>
    list(name, value).map((item, index) => check.text(`${field}.${name}[${index}]`, item));
  switch (block["kind"]) {
    case "markdown":
      return { tag: "markdown", val: text("text") };
    case "fields":
      return {
        tag: "fields",
        val: list("pairs", block["pairs"]).map((pair, index) => {
          const [name, value] = list(`pairs[${index}]`, pair);
          return [
            check.text(`${field}.pairs[${index}]'s name`, name),
            check.text(`${field}.pairs[${index}]'s value`, value),
          ];
        }),
      };
    case "table": {
      const rows = list("rows", block["rows"]).map((row, index) => texts(`rows[${index}]`, row));
      return { tag: "table", val: { title: text("title"), header: texts("header", block["header"]), rows } };
    }
    case "excerpt":
      return { tag: "excerpt", val: { title: text("title"), text: text("text") } };
    case "link":
      return { tag: "link", val: { title: text("title"), url: text("url") } };
    case "image": {
      const data = check.bytes(`${field}.data`, block["data"]);
      return { tag: "image", val: { title: text("title"), mediaType: text("mediaType"), data } };
    }
    case "custom":
      return { tag: "custom", val: { kind: text("name"), fallback: text("fallback"), data: text("data") } };
    default:
      throw check.wrong(`${field}.kind`, "the kind of a block", block["kind"]);
  }
}

function blockFromWire(wire: WireBlock): Block {
  switch (wire.tag) {
    case "markdown":
      return { kind: "markdown", text: wire.val };
    case "fields":
      return { kind: "fields", pairs: wire.val };
    case "custom":
      return { kind: "custom", name: wire.val.kind, fallback: wire.val.fallback, data: wire.val.data };
    case "table":
      return { kind: "table", ...wire.val };
    case "excerpt":
      return { kind: "excerpt", ...wire.val };
    case "link":
      return { kind: "link", ...wire.val };
    case "image":
      return { kind: "image", ...wire.val };
  }
}
