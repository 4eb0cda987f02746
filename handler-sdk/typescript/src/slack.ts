/** Slack: messages to the channels that the operator granted. */

import { Blocks, LIMITS } from "./blocks.ts";
import * as check from "./check.ts";
import { CallError, PermanentError, UnavailableError, payloadOf, type Failure } from "./failure.ts";
import type { Log } from "./log.ts";
import { truncate } from "./markup.ts";
import { Mrkdwn, type Text } from "./mrkdwn.ts";
import type { Imports, WireMessage } from "./wire.ts";

/** A reference to a posted message. It is opaque; a handler can store it in kv for use in a later delivery. */
export type MessageRef = string;
/** A reference to an uploaded file, used in an image block: `{ slack_file: { id: … } }`. */
export type FileRef = string;

/** A message to post. */
export interface Message {
  /** The channel's name in the operator's configuration. */
  channel: string;
  /** Shown in notifications and if the blocks cannot be shown; a plain string is escaped. */
  text: Text;
  /** Shown instead of the text. */
  blocks?: Blocks;
  /** The message in whose thread it is posted. */
  thread?: MessageRef;
  /**
   * A name for the effect, unique within this step. Needed only if the message can differ between attempts: a retry then
   * finds by this name that it was posted already.
   */
  key?: string;
}

/** A file to show in a message. */
export interface UploadedFile {
  /** Its name, with an extension. */
  name: string;
  /** Shown above it, and read out if the picture cannot be shown. */
  title: string;
  /** `image/png`, `image/jpeg` or `image/gif`. */
  mediaType: string;
  /** The file. */
  data: Uint8Array;
  /** A name for the effect, unique within this step. */
  key?: string;
}

/** Why a call to Slack was not done. */
export type SlackErrorKind =
  "denied" | "invalid" | "not-found" | "rate-limited" | "unavailable" | "timeout" | "budget-exhausted";

/**
 * The error of a call to Slack. A handler that does not catch it fails: *unavailable* for a rate limit (with its wait), an
 * outage or a timeout, *permanent* for the rest.
 */
export class SlackError extends CallError {
  override readonly name = "SlackError";
  /** The kind of error. */
  readonly kind: SlackErrorKind;
  /** What Slack or the host said: an error code, or the lines of configuration that would grant the call. */
  readonly detail: string;
  /** The milliseconds until Slack accepts another call, if the kind is `rate-limited`. */
  readonly retryAfterMs: number | undefined;

  constructor(kind: SlackErrorKind, detail = "") {
    super(messageOf(kind, detail));
    this.kind = kind;
    this.detail = detail;
    this.retryAfterMs = kind === "rate-limited" ? Number(detail) : undefined;
  }

  override toFailure(): Failure {
    if (this.retryAfterMs !== undefined) {
      return new UnavailableError(this.message, { afterMs: this.retryAfterMs, cause: this });
    }
    const isTransient = this.kind === "unavailable" || this.kind === "timeout";
    return new (isTransient ? UnavailableError : PermanentError)(this.message, { cause: this });
  }
}

/** The result of {@link Slack.updateOrPost}. */
export interface Shown {
  /** Whether the message was changed, or a new one was posted. */
  how: "updated" | "posted";
  /** The message that people see now. */
  at: MessageRef;
}

/** The result of {@link Slack.reply}. */
export type Reply = { at: MessageRef; refused?: undefined } | { at?: undefined; refused: string };

/** Messages to the Slack channels that the operator granted. Denied during `enrich`. */
export class Slack {
  readonly #slack: NonNullable<Imports["slack"]>;
  readonly #log: Log;

  /** Authors get it as `cx.slack`. */
  constructor(slack: NonNullable<Imports["slack"]>, log: Log) {
    this.#slack = slack;
    this.#log = log;
  }

  /**
   * Posts a message and returns a reference to it. If Slack rejects the blocks, the host posts the text without them.
   *
   * ```ts
   * const blocks = new Blocks().header(alert.name).section(alert.summary ?? "no summary");
   * const posted = cx.slack.post({ channel: "alerts", text: `[FIRING] ${alert.name}`, blocks });
   * cx.slack.react(posted, "eyes");
   * ```
   *
   * @throws {SlackError} if it was not posted.
   */
  post(message: Message): MessageRef {
    const wire = toWire("slack.post", message, LIMITS.textChars);
    return attempt(() => this.#slack.post(wire));
  }

  /**
   * Replaces the text and the blocks of a message; the channel and thread of `message` are ignored. Without blocks the message
   * becomes plain text, and the old blocks are removed.
   *
   * @throws {SlackError} of kind `not-found` if the message no longer exists or is too old to be changed: post a new one.
   */
  update(at: MessageRef, message: Message): MessageRef {
    const wire = toWire("slack.update", message, LIMITS.updateTextChars);
    // Versions of Slack's documentation differ on whether an update without blocks keeps the old ones; one with an empty list
    // does not.
    wire.blocks ??= "[]";
    const ref = check.text("slack.update at", at);
    return attempt(() => this.#slack.update(ref, wire));
  }

  /**
   * Replaces the text and the blocks of a message. If Slack does not change it (it no longer exists, is too old or locked, or
   * the change is rejected), posts a new message. The effects are named `update` and `message`.
   *
   * @throws {SlackError} if Slack cannot be reached or asks to wait; and if it rejects the new message too.
   */
  updateOrPost(at: MessageRef, message: Message): Shown {
    try {
      return { how: "updated", at: this.update(at, { ...message, key: "update" }) };
    } catch (error) {
      if (!(error instanceof SlackError) || (error.kind !== "not-found" && error.kind !== "invalid")) throw error;
      return { how: "posted", at: this.post({ ...message, key: "message" }) };
    }
  }

  /**
   * Posts a reply in the thread of a message. If Slack rejects the reply, for example because the channel has no threads or no
   * longer accepts messages of the app, a warning is logged and the message itself stays.
   *
   * @throws {SlackError} if Slack cannot be reached or asks to wait.
   */
  reply(parent: MessageRef, reply: Message): Reply {
    try {
      return { at: this.post({ ...reply, thread: parent }) };
    } catch (error) {
      if (!(error instanceof SlackError)) throw error;
      // The contract has no error for a channel that Slack rejects, so it is recognized by the host's text.
      const isOfChannel = error.kind === "unavailable" && error.detail.startsWith("Slack refuses the channel ");
      const isTransient = ["rate-limited", "unavailable", "timeout"].includes(error.kind);
      if (isTransient && !isOfChannel) throw error;
      const refused = isOfChannel ? error.detail : error.message;
      this.#log.warn("the thread could not be answered", { why: refused });
      return { refused };
    }
  }

  /**
   * Adds an emoji, by its name without colons. Adding one that is already there is not an error.
   *
   * @throws {SlackError} of kind `not-found` if the message no longer exists.
   */
  react(at: MessageRef, emoji: string): void {
    const ref = check.text("slack.react at", at);
    const name = check.text("slack.react emoji", emoji);
    attempt(() => this.#slack.react(ref, name));
  }

  /**
   * Uploads a file without sharing it, and returns when Slack can show it.
   *
   * @throws {SlackError} of kind `unavailable` if this server cannot upload files.
   */
  upload(file: UploadedFile): FileRef {
    const upload = this.#slack.upload;
    if (upload === undefined)
      throw new SlackError("unavailable", "this handler is built for a contract without slack.upload");
    const wire = {
      name: check.text("slack.upload name", file.name),
      title: check.text("slack.upload title", file.title),
      mediaType: check.text("slack.upload mediaType", file.mediaType),
      data: check.bytes("slack.upload data", file.data),
      key: check.optionalText("slack.upload key", file.key),
    };
    return attempt(() => upload(wire));
  }
}

function toWire(call: string, message: Message, textChars: number): WireMessage {
  if (!check.isPlainObject(message)) throw check.wrong(call, "a message, { channel, text, … },", message);
  const { channel, text, blocks, thread, key } = message;
  if (!(text instanceof Mrkdwn)) check.text(`${call} text`, text);
  if (blocks !== undefined && !(blocks instanceof Blocks)) {
    throw check.wrong(`${call} blocks`, "new Blocks()", blocks);
  }
  return {
    channel: check.text(`${call} channel`, channel),
    text: truncate(String(Mrkdwn.of(text)), textChars),
    blocks: blocks === undefined || blocks.length === 0 ? undefined : blocks.toJSONText(),
    thread: check.optionalText(`${call} thread`, thread),
    key: check.optionalText(`${call} key`, key),
  };
}

function attempt<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    const payload = payloadOf(error);
    if (payload === undefined) throw error;
    throw new SlackError(
      payload.tag as SlackErrorKind,
      payload.val === undefined || payload.val === null ? "" : String(payload.val),
    );
  }
}

function messageOf(kind: SlackErrorKind, detail: string): string {
  switch (kind) {
    case "denied":
      return `Slack: not granted: ${detail}`;
    case "invalid":
      return `Slack refuses the message: ${detail}`;
    case "not-found":
      return "Slack: the message is gone, or too old to be changed";
    case "rate-limited":
      return `Slack asks to wait ${detail} ms`;
    case "timeout":
      return "Slack timed out; whether it was posted is unknown";
    case "budget-exhausted":
      return `Slack: the step's limit is used up: ${detail}`;
    default:
      return `Slack is unavailable: ${detail}`;
  }
}
