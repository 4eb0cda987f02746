/**
 * One message in Slack for each incident, from its first alert to its end.
 *
 * An incident is an alert that fires, or a storm of alerts. Its first delivery posts a message. A later one updates that message
 * and replies in its thread: a reminder says how long the alert has fired by now, the end how long it fired. Deliveries of a
 * storm update the message without a reply, until all its alerts have resolved. If Slack reports that the message is gone, a new
 * one is posted. What is needed for this is kept in kv for a week after the last delivery, so a restart changes nothing.
 */

import type { Alert } from "./alert.ts";
import type { Call } from "./context.ts";
import type { Facts, Found } from "./enrichment.ts";
import { CallError, Failure } from "./failure.ts";
import type { Kv } from "./kv.ts";
import type { Log } from "./log.ts";
import type { Text } from "./mrkdwn.ts";
import type { Message, MessageRef, Slack } from "./slack.ts";
import type { Storm } from "./storm.ts";
import { DAY, human, MINUTE, SECOND } from "./time.ts";

/** What an incident needs of the context: the needs `slack` and `kv`. */
export interface IncidentContext {
  readonly call: Call;
  readonly slack: Slack;
  readonly kv: Kv;
  readonly log: Log;
  now(): Date;
}

/** A reminder that comes sooner after the last message updates it without a reply: another route has posted it. */
const REPLY_AFTER = 5 * MINUTE;
/** How long an incident's message is kept after the last delivery: the longest time that an update of it is useful. */
const KEPT_SECONDS = (7 * DAY) / SECOND;

/** What is kept of an incident's message. */
interface Kept {
  /** Slack's reference to the message. */
  at: MessageRef;
  /** The delivery that posted or updated it last. */
  delivery: string;
  /** When that was, in seconds since 1970. */
  told_at: number;
  /** How many alerts of a storm it counts. */
  storm?: { count: number; resolved: number };
  /** The handler's notes. */
  notes: Record<string, string>;
}

/** The incident that a delivery is about, and its message in a channel. */
export class Incident {
  readonly #cx: IncidentContext;
  readonly #alert: Alert;
  readonly #storm: Storm | undefined;
  readonly #channel: string;
  readonly #key: string;
  readonly #kept: Kept | undefined;
  readonly #notes: Record<string, string>;
  #reply: Text | undefined;

  private constructor(cx: IncidentContext, alert: Alert, found: Found, channel: string) {
    this.#cx = cx;
    this.#alert = alert;
    this.#storm = found.storm;
    this.#channel = channel;
    this.#key = `message/${channel}/${found.incidentKey(alert)}`;
    this.#kept = this.#guarded("the incident's earlier message is not known", () => cx.kv.getJson<Kept>(this.#key));
    this.#notes = { ...this.#kept?.notes };
  }

  /**
   * Looks up the incident's message in a channel, given by its name in the operator's configuration. If the store fails, the
   * message counts as unknown, and a new one will be posted.
   *
   * ```ts
   * Incident.open(cx, alert, found, "alerts").tell({ text, blocks });
   * ```
   */
  static open(cx: IncidentContext, alert: Alert, found: Found, channel: string): Incident {
    return new Incident(cx, alert, found, channel);
  }

  /** Returns a note that an earlier delivery of the incident kept. */
  note(name: string): string | undefined {
    return this.#kept?.notes[name];
  }

  /** Keeps a note for later deliveries, for example what was found while the alert fired. */
  keepNote(name: string, text: string): this {
    this.#notes[name] = text;
    return this;
  }

  /** Sets the reply for a message that is updated because the alert has resolved; by default it says after how long. */
  reply(text: Text): this {
    this.#reply = text;
    return this;
  }

  /**
   * Shows the message: posts it, or updates the incident's earlier message and replies in its thread. Call it in `act` and in
   * `resolved`.
   *
   * Returns facts for the delivery's story: `slack.channel` and `slack.message`; `slack.how`, which is `posted`, `updated` or,
   * if a later delivery of the storm has updated the message already, `outdated`; and `slack.thread` for the reply, which is
   * `posted` or `failed`.
   *
   * @throws {SlackError} if the message was not posted or updated, or if a reply may succeed later.
   */
  tell(message: Omit<Message, "channel" | "thread" | "key">): Facts {
    const whole: Message = { ...message, channel: this.#channel };
    const kept = this.#kept;
    if (kept === undefined) return this.#posted(this.#cx.slack.post({ ...whole, key: "message" }));
    // A retry whose record does not have the post.
    if (kept.delivery === this.#cx.call.deliveryId && this.#alert.isFiring) return this.#facts(kept.at, "posted");
    if (this.#isOutdated(kept)) return this.#facts(kept.at, "outdated");
    const shown = this.#cx.slack.updateOrPost(kept.at, whole);
    if (shown.how === "posted") return this.#posted(shown.at);
    this.#keep(shown.at);
    const facts = this.#facts(shown.at, "updated");
    const text = this.#replyTo(kept);
    if (text === undefined) return facts;
    const reply = this.#cx.slack.reply(shown.at, { channel: this.#channel, text, key: "reply" });
    return { ...facts, "slack.thread": reply.refused === undefined ? "posted" : "failed" };
  }

  #posted(at: MessageRef): Facts {
    this.#keep(at);
    return this.#facts(at, "posted");
  }

  #replyTo(kept: Kept): Text | undefined {
    const now = this.#cx.now();
    const lasted = human(this.#alert.duration(now));
    const storm = this.#storm;
    if (storm !== undefined) {
      if (!storm.isOver || this.#alert.isFiring) return undefined;
      const since = storm.since ?? this.#alert.startsAt;
      const stormLasted = human((this.#alert.endsAt ?? now).getTime() - since.getTime());
      return storm.count === 1
        ? `It has resolved after ${stormLasted}.`
        : `All ${storm.count} have resolved after ${stormLasted}.`;
    }
    if (this.#alert.isResolved) return this.#reply ?? `Resolved after ${lasted}.`;
    return now.getTime() - kept.told_at * SECOND < REPLY_AFTER ? undefined : `Still firing after ${lasted}.`;
  }

  /** Returns whether the message shows a later state of the storm already. */
  #isOutdated(kept: Kept): boolean {
    const [told, storm] = [kept.storm, this.#storm];
    if (told === undefined || storm === undefined) return false;
    const isSame = told.count === storm.count && told.resolved === storm.resolved;
    return told.count >= storm.count && told.resolved >= storm.resolved && !isSame;
  }

  /** Keeps what later deliveries need. The message is posted already, so a failure is only logged. */
  #keep(at: MessageRef): void {
    if (!this.#alert.isFiring && this.#storm === undefined) return;
    const kept: Kept = {
      at,
      delivery: this.#cx.call.deliveryId,
      told_at: Math.floor(this.#cx.now().getTime() / SECOND),
      ...(this.#storm === undefined ? {} : { storm: { count: this.#storm.count, resolved: this.#storm.resolved } }),
      notes: this.#notes,
    };
    this.#guarded("the message could not be remembered; its end will be a new message", () =>
      this.#cx.kv.setJson(this.#key, kept, { ttlSeconds: KEPT_SECONDS }),
    );
  }

  /** Makes a call of the store; a failure is logged, because no message is held back for it. */
  #guarded<T>(problem: string, call: () => T): T | undefined {
    try {
      return call();
    } catch (error) {
      if (!(error instanceof CallError) && !(error instanceof Failure)) throw error;
      this.#cx.log.warn(problem, { why: error.message });
      return undefined;
    }
  }

  #facts(at: MessageRef, how: string): Facts {
    return { "slack.channel": this.#channel, "slack.message": at, "slack.how": how };
  }
}
