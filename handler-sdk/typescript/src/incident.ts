/**
 * One message in Slack for each incident, from its first alert to its end.
 *
 * An incident is an alert that fires, or a storm of alerts. Its first delivery posts a message. A later one updates that message
 * and replies in its thread: a reminder says how long the alert has fired by now, the end how long it fired. Deliveries of a
 * storm update the message without a reply, until all its alerts have resolved. If Slack reports that the message is gone, a new
 * one is posted. What is needed for this is kept in kv for a week after the last delivery, so a restart changes nothing.
 *
 * If the route sets `slack.thread_by` to `group`, the alerts of one Alertmanager group share a message that counts them, and each
 * alert is a reply in its thread, updated in place. Critical alerts have a shared message of their own if that of their group is
 * not critical, because Slack notifies nobody of a reply. A storm is not part of a group.
 */

import type { Alert } from "./alert.ts";
import type { Facts, Found } from "./enrichment.ts";
import { capitalized, Group, type Place } from "./group.ts";
import { Keeper, type IncidentContext } from "./keeper.ts";
import type { Text } from "./mrkdwn.ts";
import { SlackError, type Message, type MessageRef } from "./slack.ts";
import { allResolved, type Storm } from "./storm.ts";
import { human, MINUTE, SECOND } from "./time.ts";

export type { IncidentContext } from "./keeper.ts";

/** A reminder that comes sooner after the last message updates it without a reply: another route has posted it. */
const REPLY_AFTER = 5 * MINUTE;

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
  /** The group's message in whose thread it is. */
  group?: Place;
  /** The handler's notes. */
  notes: Record<string, string>;
}

/** The incident that a delivery is about, and its message in a channel. */
export class Incident {
  readonly #cx: IncidentContext;
  readonly #alert: Alert;
  readonly #found: Found;
  readonly #storm: Storm | undefined;
  readonly #channel: string;
  readonly #key: string;
  readonly #keeper: Keeper;
  readonly #kept: Kept | undefined;
  readonly #notes: Record<string, string>;
  #reply: Text | undefined;

  private constructor(cx: IncidentContext, alert: Alert, found: Found, channel: string) {
    this.#cx = cx;
    this.#alert = alert;
    this.#found = found;
    this.#storm = found.storm;
    this.#channel = channel;
    this.#key = `message/${channel}/${found.incidentKey(alert)}`;
    this.#keeper = new Keeper(cx);
    this.#kept = this.#keeper.read<Kept>(this.#key, "the incident's earlier message is not known");
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
    if (kept === undefined) return this.#tellFirst(whole);
    // A retry whose record does not have the post.
    if (kept.delivery === this.#cx.call.deliveryId && this.#alert.isFiring) return this.#facts(kept.at, "posted");
    if (this.#isOutdated(kept)) return this.#facts(kept.at, "outdated");
    return this.#tellAgain(whole, kept);
  }

  #tellFirst(message: Message): Facts {
    const group = this.#alert.isFiring ? this.#group() : undefined;
    if (group === undefined) return this.#post(message);
    const { place, own } = group.join();
    if (place !== undefined) return this.#tellInGroup(message, group, place);
    // The message that was meant for the group becomes the alert's own: another alert's is used.
    return this.#posted(this.#cx.slack.update(own, { ...message, key: "update" }));
  }

  /** Posts the alert's message in the thread of its group's message. */
  #tellInGroup(message: Message, group: Group, place: Place): Facts {
    let at: MessageRef;
    try {
      at = this.#cx.slack.post({ ...message, thread: place.at, key: "message" });
    } catch (error) {
      if (!(error instanceof SlackError) || (error.kind !== "not-found" && error.kind !== "invalid")) throw error;
      // The group's message was deleted, or the channel has no threads.
      group.forget(place);
      return this.#post(message);
    }
    group.countFiring(place);
    this.#keep(at, place);
    group.refresh(place);
    return this.#facts(at, "posted");
  }

  /** Updates the message of an earlier delivery. */
  #tellAgain(message: Message, kept: Kept): Facts {
    const place = kept.group;
    const shown = this.#cx.slack.updateOrPost(kept.at, place === undefined ? message : { ...message, thread: place.at });
    if (this.#isKept || place !== undefined) this.#keep(shown.at, place);
    if (place !== undefined) {
      const group = this.#group();
      if (this.#alert.isResolved) group?.countResolved(place);
      group?.refresh(place);
      return this.#facts(shown.at, "updated");
    }
    if (shown.how === "posted") return this.#facts(shown.at, "posted");
    const facts = this.#facts(shown.at, "updated");
    const text = this.#replyTo(kept);
    if (text === undefined) return facts;
    const reply = this.#cx.slack.reply(shown.at, { channel: this.#channel, text, key: "reply" });
    return { ...facts, "slack.thread": reply.refused === undefined ? "posted" : "failed" };
  }

  #post(message: Message): Facts {
    return this.#posted(this.#cx.slack.post({ ...message, key: "message" }));
  }

  #posted(at: MessageRef): Facts {
    if (this.#isKept) this.#keep(at, undefined);
    return this.#facts(at, "posted");
  }

  #group(): Group | undefined {
    return Group.of(this.#cx, this.#alert, this.#found, this.#channel);
  }

  /** Whether a later delivery may need the message. */
  get #isKept(): boolean {
    return this.#alert.isFiring || this.#storm !== undefined;
  }

  #replyTo(kept: Kept): Text | undefined {
    const now = this.#cx.now();
    const lasted = human(this.#alert.duration(now));
    const storm = this.#storm;
    if (storm !== undefined) {
      if (!storm.isOver || this.#alert.isFiring) return undefined;
      const since = storm.since ?? this.#alert.startsAt;
      const stormLasted = human((this.#alert.endsAt ?? now).getTime() - since.getTime());
      return capitalized(`${allResolved(storm.count)} after ${stormLasted}.`);
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
  #keep(at: MessageRef, group: Place | undefined): void {
    const kept: Kept = {
      at,
      delivery: this.#cx.call.deliveryId,
      told_at: Math.floor(this.#cx.now().getTime() / SECOND),
      ...(this.#storm === undefined ? {} : { storm: { count: this.#storm.count, resolved: this.#storm.resolved } }),
      ...(group === undefined ? {} : { group }),
      notes: this.#notes,
    };
    this.#keeper.write(this.#key, kept, "the message could not be remembered; its end will be a new message");
  }

  #facts(at: MessageRef, how: string): Facts {
    return { "slack.channel": this.#channel, "slack.message": at, "slack.how": how };
  }
}
