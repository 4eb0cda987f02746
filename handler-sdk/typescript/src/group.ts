/**
 * The message that the alerts of one Alertmanager group share, in whose thread each of them is a reply.
 *
 * Deliveries of one group run at the same time, and nothing but the store is common to them. The first one claims to post the
 * shared message; the others wait for it without using an attempt. A claim ends after ten minutes, in case its delivery has
 * died. If its message arrives all the same after another was posted, it becomes the message of its own alert.
 */

import { digest, type Alert } from "./alert.ts";
import { Blocks } from "./blocks.ts";
import type { Found } from "./enrichment.ts";
import { failureOf, UnavailableError } from "./failure.ts";
import { KEPT_SECONDS, Keeper, type IncidentContext } from "./keeper.ts";
import { KvError } from "./kv.ts";
import { Mrkdwn } from "./mrkdwn.ts";
import { severityOf, type Severity } from "./severity.ts";
import { SlackError, type Message, type MessageRef } from "./slack.ts";
import { allResolved } from "./storm.ts";
import { human, MINUTE, SECOND, slackDate } from "./time.ts";
import { encodeUtf8 } from "./utf8.ts";

/** The setting that the route's `slack.thread_by` becomes. */
const THREAD_BY = "slack.thread_by";
const CLAIM_SECONDS = (10 * MINUTE) / SECOND;
const WAIT_MS = SECOND;
/** How often one delivery updates the shared message at most, if the counts change meanwhile. */
const UPDATES_MAX = 3;
const PROBLEM = "the group's message may be wrong";
/** Group labels that the message shows elsewhere than in its header. */
const NOT_IN_HEADER = ["alertname", "severity", "priority"];

/** The message that the alerts of a group share. */
export interface Place {
  /** Slack's reference to it. */
  readonly at: MessageRef;
  /** The beginning of the keys of its counters. */
  readonly key: string;
  /** When the first of its alerts began, in seconds since 1970. */
  readonly began_at: number;
  /** Whether it is about critical alerts. */
  readonly is_critical: boolean;
}

/** How many alerts of a shared message fire, and how many have resolved. */
interface Counts {
  readonly firing: number;
  readonly resolved: number;
}

/**
 * How an alert joins its group: as a reply in the thread of the shared message, or with the message that it has posted for the
 * group, while another alert had posted one too.
 */
export type Joined = { readonly place: Place; readonly own?: undefined } | { readonly own: MessageRef; readonly place?: undefined };

/** The group of an alert, in a channel. */
export class Group {
  readonly #cx: IncidentContext;
  readonly #kept: Keeper;
  readonly #alert: Alert;
  readonly #channel: string;
  readonly #level: Severity;
  readonly #key: string;

  private constructor(cx: IncidentContext, alert: Alert, found: Found, channel: string, groupKey: string) {
    this.#cx = cx;
    this.#kept = new Keeper(cx);
    this.#alert = alert;
    this.#channel = channel;
    this.#level = levelOf(alert, found);
    this.#key = `group/${channel}/${digestOf(groupKey)}`;
  }

  /** Returns the group of an alert; `undefined` if the route does not ask for threads by group, or the alert is in none. */
  static of(cx: IncidentContext, alert: Alert, found: Found, channel: string): Group | undefined {
    const { groupKey } = alert.origin;
    if (groupKey === undefined || found.storm !== undefined || cx.config(THREAD_BY) !== "group") return undefined;
    return new Group(cx, alert, found, channel, groupKey);
  }

  /**
   * Returns where the message of the firing alert belongs. {@link Group.countFiring} counts it once it is there.
   *
   * @throws {UnavailableError} while another alert posts the shared message.
   * @throws {SlackError} if posting it fails.
   */
  join(): Joined {
    const place = this.#place();
    if (place !== undefined) return { place };
    const claim = `${this.#classKey(this.#isCritical)}/claim`;
    if (!this.#claims(claim)) {
      const why = "another alert of the group is about to post the message that they share";
      throw new UnavailableError(why, { afterMs: WAIT_MS });
    }
    try {
      const joined = this.#lead();
      this.#kept.guarded(PROBLEM, () => this.#cx.kv.remove(claim));
      return joined;
    } catch (error) {
      if (failureOf(error)?.isPermanent() === true) this.#kept.guarded(PROBLEM, () => this.#cx.kv.remove(claim));
      throw error;
    }
  }

  #claims(claim: string): boolean {
    const { deliveryId } = this.#cx.call;
    try {
      if (this.#cx.kv.setIfAbsent(claim, deliveryId, { ttlSeconds: CLAIM_SECONDS })) return true;
    } catch (error) {
      if (!(error instanceof KvError)) throw error;
      // Without the store no claim can be respected. The message is more important.
      this.#cx.log.warn(PROBLEM, { why: error.message });
      return true;
    }
    return this.#cx.kv.getString(claim) === deliveryId;
  }

  /** Posts the shared message, unless it was posted just before. */
  #lead(): Joined {
    const before = this.#place();
    if (before !== undefined) return { place: before };
    const place: Place = {
      at: "",
      key: `${this.#key}/${this.#cx.call.deliveryId}`,
      began_at: Math.floor(this.#alert.startsAt.getTime() / SECOND),
      is_critical: this.#isCritical,
    };
    const at = this.#cx.slack.post({ ...this.#message(place, { firing: 1, resolved: 0 }), key: "group" });
    if (this.#place() !== undefined) return { own: at };
    const posted = { ...place, at };
    this.#kept.write(this.#classKey(place.is_critical), posted, PROBLEM);
    return { place: posted };
  }

  /** Returns the shared message, if there is one for alerts as urgent as this one and not all of its alerts have resolved. */
  #place(): Place | undefined {
    for (const isCritical of this.#isCritical ? [true] : [true, false]) {
      const place = this.#kept.read<Place>(this.#classKey(isCritical), PROBLEM);
      if (place === undefined) continue;
      const { firing, resolved } = this.#counts(place);
      // Before its first alert is counted, it has neither.
      if (firing > 0 || resolved === 0) return place;
    }
    return undefined;
  }

  /** Counts the alert as firing, once. */
  countFiring(place: Place): void {
    if (this.#isFirst(place, "fired")) this.#add(`${place.key}/firing`, 1);
  }

  /** Counts the alert as resolved, once. */
  countResolved(place: Place): void {
    if (!this.#isFirst(place, "ended")) return;
    this.#add(`${place.key}/firing`, -1);
    this.#add(`${place.key}/resolved`, 1);
  }

  /** Returns true the first time that it is asked about the alert and a shared message. */
  #isFirst(place: Place, what: string): boolean {
    return this.#marks(`${place.key}/${what}/${digestOf(this.#alert.incidentKey)}`, KEPT_SECONDS);
  }

  /** Sets a mark; returns false if it was set before, or the store fails. */
  #marks(key: string, ttlSeconds: number): boolean {
    return this.#kept.guarded(PROBLEM, () => this.#cx.kv.setIfAbsent(key, "", { ttlSeconds })) ?? false;
  }

  #add(key: string, by: number): void {
    this.#kept.guarded(PROBLEM, () => this.#cx.kv.increment(key, by, { ttlSeconds: KEPT_SECONDS }));
  }

  #counts(place: Place): Counts {
    const count = (name: string): number =>
      Math.max(this.#kept.read<number>(`${place.key}/${name}`, PROBLEM) ?? 0, 0);
    return { firing: count("firing"), resolved: count("resolved") };
  }

  /**
   * Updates the shared message if its counts have changed, and says in its thread if all alerts have resolved.
   *
   * @throws {SlackError} if a retry of the step may succeed.
   */
  refresh(place: Place): void {
    const postedNow = place.key.endsWith(`/${this.#cx.call.deliveryId}`);
    let shown: Counts | undefined = postedNow ? { firing: 1, resolved: 0 } : undefined;
    for (let round = 1; round <= UPDATES_MAX; round += 1) {
      // Another delivery may count while this one waits for Slack; its own update may have been sent before this one.
      const counts = this.#counts(place);
      if (shown !== undefined && shown.firing === counts.firing && shown.resolved === counts.resolved) break;
      try {
        this.#cx.slack.update(place.at, { ...this.#message(place, counts), key: `group-update-${round}` });
      } catch (error) {
        if (!(error instanceof SlackError) || ["rate-limited", "unavailable", "timeout"].includes(error.kind)) throw error;
        this.#cx.log.warn("the group's message could not be updated", { why: error.message });
        this.forget(place);
        return;
      }
      shown = counts;
    }
    if (shown?.firing === 0) this.#tellEnd(place, shown.resolved);
  }

  #tellEnd(place: Place, resolved: number): void {
    if (!this.#marks(`${place.key}/end`, CLAIM_SECONDS)) return;
    const end = this.#alert.endsAt ?? this.#cx.now();
    const lasted = human(end.getTime() - place.began_at * SECOND);
    const text = capitalized(`${allResolved(resolved)} after ${lasted}.`);
    this.#cx.slack.reply(place.at, { channel: this.#channel, text, key: "group-end" });
  }

  /** Has the group's next alert post another shared message, unless another one was posted already. */
  forget(place: Place): void {
    const key = this.#classKey(place.is_critical);
    if (this.#kept.read<Place>(key, PROBLEM)?.at !== place.at) return;
    this.#kept.guarded(PROBLEM, () => this.#cx.kv.remove(key));
  }

  /** Returns the shared message. */
  #message(place: Place, { firing, resolved }: Counts): Message {
    const alert = this.#alert;
    const { groupLabels, receiver } = alert.origin;
    const name = groupLabels["alertname"];
    const others = Object.entries(groupLabels).filter(([label, value]) => !NOT_IN_HEADER.includes(label) && value !== "");
    const who = [name ?? "Alerts of one group", ...others.map(([, value]) => value)];
    const isOver = firing === 0;
    const status = isOver ? "RESOLVED" : "FIRING";
    const severity = this.#severity(place);
    const counts = counted({ firing, resolved });
    const began = new Date(place.began_at * SECOND);
    // As the reply says that all have resolved.
    const end = (isOver ? alert.endsAt : undefined) ?? this.#cx.now();
    const lasted = human(end.getTime() - began.getTime());
    const date = Mrkdwn.raw(slackDate(began));
    const bold = new Mrkdwn().bold(capitalized(counts));
    const lead = isOver
      ? bold.text(` after ${lasted}, from `).then(date)
      : bold.text(", since ").then(date).text(` (${lasted})`);
    const summary = isOver || alert.isResolved ? undefined : alert.summary;
    const said = summary === undefined ? "" : new Mrkdwn("One of them: ").prose(summary);
    const first = Mrkdwn.join([new Mrkdwn().bold(status), severity], " · ");
    const links = [["Runbook", alert.runbookUrl] as const, ["Dashboard", alert.dashboardUrl] as const];
    const blocks = new Blocks()
      .header(who.join(" · "))
      .section(Mrkdwn.join([first, lead, said], "\n"))
      .fields(others)
      .links(links.flatMap(([title, url]) => (url === undefined || name === undefined ? [] : [[title, url] as const])))
      .context(["each alert is a reply in the thread", receiver ? `receiver ${receiver}` : ""]);
    const words = severity === "" ? "" : ` ${severity}`;
    return { channel: this.#channel, text: `[${status}]${words} ${who.join(" ")}: ${counts}`, blocks };
  }

  /** Returns the severity of all alerts: that of their group's label, unless the server ranks them otherwise. */
  #severity(place: Place): string {
    const level = place.is_critical ? "critical" : this.#level;
    const labelled = (this.#alert.origin.groupLabels["severity"] ?? "").toLowerCase();
    return ["critical", "warning"].includes(level) && severityOf(labelled) !== level ? level : labelled;
  }

  #classKey(isCritical: boolean): string {
    return `${this.#key}/${isCritical ? "critical" : "other"}`;
  }

  get #isCritical(): boolean {
    return this.#level === "critical";
  }
}

/** Returns text whose first letter is a capital. */
export function capitalized(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** Returns how urgent an alert is: as the server ranks it by the operator's configuration, or else by its labels. */
function levelOf(alert: Alert, found: Found): Severity {
  const rank = found.facts["priority"];
  if (rank === "critical" || rank === "warning") return rank;
  return rank === "normal" && ["critical", "warning"].includes(alert.level) ? "info" : alert.level;
}

function counted({ firing, resolved }: Counts): string {
  if (resolved === 0) return `${firing} firing`;
  return firing === 0 ? allResolved(resolved) : `${firing} firing, ${resolved} resolved`;
}

function digestOf(text: string): string {
  return digest([encodeUtf8(text)]);
}
