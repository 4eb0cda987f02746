/** What a handler has sent to the mock host, for assertions in tests. */

import { LIMITS } from "../blocks.ts";
import type { Method } from "../http.ts";
import type { Level } from "../log.ts";
import { charCount } from "../markup.ts";
import type { FileRef, MessageRef } from "../slack.ts";
import { utf8Length } from "../utf8.ts";
import type { WireMessage } from "../wire.ts";

/** A request that a handler sent. */
export interface Request {
  readonly method: Method;
  /** The URL, with its query. */
  readonly url: string;
  /** The headers, as the handler gave them. */
  readonly headers: readonly (readonly [string, string])[];
  /** The body as text; empty if there was none. */
  readonly body: string;
  /** The name of the credential. */
  readonly credential: string | undefined;
  /** The effect's name. */
  readonly key: string | undefined;
  /** The timeout, in milliseconds. */
  readonly timeoutMs: number | undefined;
}

/** A message that a handler posted. */
export interface Post {
  /** What `post` returned. */
  readonly at: MessageRef;
  /** The channel's name in the operator's configuration. */
  readonly channel: string;
  /** The text, in mrkdwn. */
  readonly text: string;
  /** The blocks; empty if there were none. */
  readonly blocks: readonly unknown[];
  /** All that a person sees of the blocks, one piece of text per line, in mrkdwn. */
  readonly visible: string;
  /** The message in whose thread it was posted. */
  readonly thread: MessageRef | undefined;
  /** The effect's name. */
  readonly key: string | undefined;
}

/** A change to a message. */
export interface Update {
  /** The message that was changed. */
  readonly at: MessageRef;
  /** The new text, in mrkdwn. */
  readonly text: string;
  /** The new blocks; empty if there are none. */
  readonly blocks: readonly unknown[];
  /** All that a person sees of the blocks, one piece of text per line, in mrkdwn. */
  readonly visible: string;
}

/** An emoji that a handler added. */
export interface Reaction {
  readonly at: MessageRef;
  /** The emoji, without colons. */
  readonly emoji: string;
}

/** A file that a handler uploaded. */
export interface Upload {
  /** What `upload` returned. */
  readonly at: FileRef;
  readonly name: string;
  readonly title: string;
  readonly mediaType: string;
  readonly data: Uint8Array;
}

/** A line that a handler wrote to its log. */
export interface LogLine {
  readonly level: Level;
  readonly message: string;
  /** The fields by name. */
  readonly fields: Readonly<Record<string, string>>;
}

/** A timer that a handler set. */
export interface Timer {
  readonly key: string;
  /** The delay in milliseconds, as the host keeps it: whole seconds. */
  readonly delayMs: number;
  readonly facts: Readonly<Record<string, string>>;
}

/** A JSON object of Slack. */
type Json = Readonly<Record<string, unknown>>;

/** Returns all that a person sees of blocks, one piece of text per line. */
export function visibleOf(blocks: readonly unknown[]): string {
  const lines: string[] = [];
  const collect = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    const { type, text } = value as Json;
    if ((type === "mrkdwn" || type === "plain_text") && typeof text === "string") lines.push(text);
    else Object.values(value).forEach(collect);
  };
  blocks.forEach(collect);
  return lines.join("\n");
}

/**
 * Returns the blocks of a message.
 *
 * @throws {Error} if Slack would reject them: a test that continues with such a message proves nothing.
 */
export function checkedBlocks(message: WireMessage, textCharsMax: number): readonly unknown[] {
  atMost("the text", charCount(message.text), textCharsMax);
  if (message.text.trim() === "") throw new Error("Slack takes no message without text");
  const json = message.blocks;
  if (json === undefined || json === null) return [];
  const blocks = JSON.parse(json) as Json[];
  atMost("the list of blocks", blocks.length, LIMITS.blocks);
  if (blocks.length > 1) atMost("the blocks' JSON", utf8Length(json), LIMITS.blocksBytes);
  blocks.forEach(checkBlock);
  return blocks;
}

function checkBlock(block: Json): void {
  const list = (name: string): Json[] => (Array.isArray(block[name]) ? (block[name] as Json[]) : []);
  const elements = list("elements");
  switch (block["type"]) {
    case "header":
      return checkText("a header", block["text"], LIMITS.headerChars);
    case "section":
      if (block["text"] !== undefined) checkText("a section", block["text"], LIMITS.sectionChars);
      else if (list("fields").length === 0) throw new Error(`a section needs text or fields: ${JSON.stringify(block)}`);
      atMost("a section's list of fields", list("fields").length, LIMITS.fields);
      return list("fields").forEach((field) => checkText("a field", field, LIMITS.fieldChars));
    case "context":
      if (elements.length === 0) throw new Error(`a context needs elements: ${JSON.stringify(block)}`);
      atMost("a context's list of elements", elements.length, LIMITS.contextElements);
      return elements
        .filter((element) => element["type"] !== "image")
        .forEach((element) => checkText("a context's element", element, LIMITS.contextChars));
    case "actions":
      if (elements.length === 0) throw new Error(`an actions block needs elements: ${JSON.stringify(block)}`);
      atMost("an actions block's list of elements", elements.length, LIMITS.actions);
      for (const button of elements.filter((element) => element["type"] === "button")) {
        checkText("a button", button["text"], LIMITS.buttonChars);
        atMost("a button's url", charCount(String(button["url"] ?? "")), LIMITS.buttonUrlChars);
      }
      return;
    case undefined:
      throw new Error(`a block needs a type: ${JSON.stringify(block)}`);
    default:
      return;
  }
}

function checkText(what: string, text: unknown, charsMax: number): void {
  const shown = (text as Json | undefined)?.["text"];
  if (typeof shown !== "string") throw new Error(`${what} needs text: ${JSON.stringify(text)}`);
  if (shown === "") throw new Error(`${what} is empty`);
  atMost(what, charCount(shown), charsMax);
}

function atMost(what: string, count: number, max: number): void {
  if (count > max) throw new Error(`Slack would refuse this message: ${what} has ${count}, at most ${max} are allowed`);
}
