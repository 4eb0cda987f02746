/** The mock host: a test scripts it, runs a handler, and reads what the handler did. */

import type { Alert } from "../alert.ts";
import { MisuseError } from "../check.ts";
import { contextOf, NEEDS, type Context, type Need } from "../context.ts";
import { Found, toWireEnrichment, type Enrichment } from "../enrichment.ts";
import { PermanentError, RetryableError, UnavailableError, type Failure } from "../failure.ts";
import { beginStep } from "../globals.ts";
import type { Handler } from "../handler.ts";
import type { Method } from "../http.ts";
import type { KvErrorKind } from "../kv.ts";
import * as run from "../run.ts";
import type { MessageRef, SlackErrorKind } from "../slack.ts";
import { toWire } from "../time.ts";
import { decodeUtf8, encodeUtf8 } from "../utf8.ts";
import type { Imports, WireFailure } from "../wire.ts";
import { withoutHosts, wrongFacts } from "./checks.ts";
import { declaredNeeds } from "./needs.ts";
import { Reply } from "./reply.ts";
import type { LogLine, Post, Reaction, Request, Timer, Update, Upload } from "./sent.ts";
import { EARLIER_MESSAGE, State, type StepName } from "./state.ts";
import type { Storm } from "./storm.ts";

/**
 * A mock host in memory. It grants Slack and kv, answers no request, and has no settings, until it is told otherwise. Its
 * script methods change it and return it, so that a script reads from top to bottom.
 */
export class Host {
  readonly #state = new State();
  readonly #needs: readonly Need[];

  /** Returns a host for a project with these needs; by default those of `package.json` in the current folder, if it has any. */
  constructor(options: { needs?: readonly Need[] } = {}) {
    this.#needs = options.needs ?? declaredNeeds() ?? NEEDS;
  }

  /** Sets the time. */
  now(now: Date): this {
    this.#state.now = now;
    return this;
  }

  /**
   * Sets the number of the attempt. As on the real host, a later attempt for the same alert is answered from the record of the
   * earlier ones, up to the last effect that succeeded: a message is not posted again, and until then the time is the recorded
   * one. A host that has not run the alert before has no record.
   */
  attempt(attempt: number): this {
    this.#state.call = { ...this.#state.call, attempt };
    return this;
  }

  /** Begins another delivery with this id; by default all runs are the delivery `d-1`. */
  delivery(deliveryId: string): this {
    this.#state.call = { ...this.#state.call, deliveryId, attempt: 1 };
    return this;
  }

  /** Sets a setting of the operator: a scalar as written, a list or mapping as JSON. */
  config(key: string, value: string): this {
    this.#state.config.set(key, value);
    return this;
  }

  /** Scripts the response to a GET request; a `*` in the URL matches any text. */
  httpGet(url: string, status: number, body: string | Uint8Array = ""): this {
    return this.http("GET", url, Reply.status(status, body));
  }

  /**
   * Scripts the response to a request; a `*` in the URL matches any text. If several scripts match, the latest is used. A
   * request that matches none is denied.
   */
  http(method: Method, url: string, reply: Reply): this {
    this.#state.routes.push({ method, url, reply });
    return this;
  }

  /** Denies all calls to Slack. */
  denySlack(): this {
    this.#state.slackDenied = "handlers.NAME.allow.slack: [CHANNEL]";
    return this;
  }

  /** Grants only these channels; by default all are granted. */
  channels(...names: string[]): this {
    this.#state.channels = new Set(names);
    return this;
  }

  /** Grants only these credentials; by default all are granted. */
  credentials(...names: string[]): this {
    this.#state.credentials = new Set(names);
    return this;
  }

  /** Takes uploads, as a later server will. By default each is unavailable, as on a server of this version. */
  allowUploads(): this {
    this.#state.areUploadsAllowed = true;
    return this;
  }

  /**
   * Makes Slack reject a channel until {@link Host.releaseChannel}, for example with `not_in_channel`. As on the real host, the
   * call is unavailable, and an `act` that then fails, with whatever kind of failure, waits for the channel.
   */
  holdChannel(channel: string, code: string): this {
    this.#state.slackHeld.set(channel, code);
    return this;
  }

  /** Ends the rejection that {@link Host.holdChannel} began. */
  releaseChannel(channel: string): this {
    this.#state.slackHeld.delete(channel);
    return this;
  }

  /** Makes a call to Slack fail after so many that succeed, counted after those that are scripted already; by default the next. */
  slackError(kind: SlackErrorKind, detail: string | number = "", afterCalls = 0): this {
    this.#state.slackErrors.push(...Array.from({ length: afterCalls }, () => undefined), { tag: kind, val: detail });
    return this;
  }

  /** Makes the next call to kv fail; repeated calls script the calls after it, in order. */
  kvError(kind: KvErrorKind, detail: string | number = ""): this {
    this.#state.kvErrors.push({ tag: kind, val: detail });
    return this;
  }

  /** Sets a value, as an earlier delivery of the handler could have done. */
  kv(key: string, value: string | Uint8Array): this {
    this.#state.kv.set(key, { value: typeof value === "string" ? encodeUtf8(value) : value, endsAt: undefined });
    return this;
  }

  /** Sets the earlier occurrences that `cx.history` finds, newest first. */
  history(...occurrences: { startsAt: Date; endsAt?: Date; deliveryId?: string; state?: string }[]): this {
    this.#state.past = occurrences.map((one, index) => ({
      deliveryId: one.deliveryId ?? `earlier-${index + 1}`,
      startsAt: toWire(one.startsAt),
      endsAt: one.endsAt === undefined ? undefined : toWire(one.endsAt),
      state: one.state ?? "done",
    }));
    return this;
  }

  /** Has the handler run for a storm of alerts from now on. */
  storm(storm: Storm): this {
    const others = Object.entries(this.#state.given.facts).filter(([name]) => !name.startsWith("storm."));
    this.#state.given = new Found({ facts: Object.fromEntries(others) }).with(storm.found);
    return this;
  }

  /** Gives the reason why messages are late from now on, as the host does. */
  late(why: string): this {
    return this.#give("late.why", why);
  }

  /** Gives the rank that the operator's configuration has for the alerts from now on: `critical`, `warning` or `normal`. */
  priority(rank: string): this {
    return this.#give("priority", rank);
  }

  /**
   * Runs the handler for an alert: `enrich`, then `act` (or `resolved`) with what was found. As on the real host, a failed
   * `enrich` does not stop the alert: `act` gets the fact `enrich_failed.NAME`.
   */
  run(handler: Handler, alert: Alert, soFar: Enrichment = {}): Run {
    const enrichment = settle(() => this.enrich(handler, alert, soFar));
    const failed = `enrich_failed.${handler.name}`;
    const added = enrichment.failure === undefined ? enrichment.value : { facts: { [failed]: enrichment.failure.message } };
    const result = settle(() => this.act(handler, alert, new Found(soFar).with(added)));
    return new Run(enrichment, result);
  }

  /**
   * Runs only `enrich`.
   *
   * @throws {Failure} the handler's failure; an error that is no failure as it is.
   */
  enrich(handler: Handler, alert: Alert, soFar: Enrichment = {}): Found {
    return this.#step("enrich", handler, alert, soFar, (imports, found, now) => {
      const added = run.enrich({ handler, imports, call: this.#state.call, alert: alert.toWire(), found, now });
      const wrong = wrongFacts(added.facts);
      if (wrong !== undefined) throw new MisuseError(`enrich returned ${wrong}`);
      return Found.fromWire(added);
    });
  }

  /**
   * Runs only `act`, or `resolved` if the alert has resolved. As on the real host, facts with the host's names are dropped.
   *
   * @throws {Failure} the handler's failure; an error that is no failure as it is.
   */
  act(handler: Handler, alert: Alert, found: Enrichment = {}): Record<string, string> {
    this.#state.metHold = undefined;
    try {
      return this.#step("act", handler, alert, found, (imports, wire, now) => {
        const returned = run.act({ handler, imports, call: this.#state.call, alert: alert.toWire(), found: wire, now });
        const facts = withoutHosts(returned);
        const wrong = wrongFacts(facts);
        if (wrong !== undefined) throw new MisuseError(`${alert.isFiring ? "act" : "resolved"} returned ${wrong}`);
        return Object.fromEntries(facts);
      });
    } catch (error) {
      if (this.#state.metHold === undefined) throw error;
      throw new UnavailableError(this.#state.metHold, { cause: error });
    }
  }

  /** The requests that were sent, denied ones too. */
  get requests(): readonly Request[] {
    return this.#state.requests;
  }

  /** The messages that were posted. */
  get posts(): readonly Post[] {
    return this.#state.posts;
  }

  /** The changes to messages. */
  get updates(): readonly Update[] {
    return this.#state.updates;
  }

  /** The emoji that were added. */
  get reactions(): readonly Reaction[] {
    return this.#state.reactions;
  }

  /** The files that were uploaded, which takes {@link Host.allowUploads}. */
  get uploads(): readonly Upload[] {
    return this.#state.uploads;
  }

  /** The timers that are set. */
  get timers(): readonly Timer[] {
    return [...this.#state.timers.values()];
  }

  /** The lines that were logged. */
  get logs(): readonly LogLine[] {
    return this.#state.logs;
  }

  /** Returns a stored value as text; `undefined` if there is none or it has expired. */
  kept(key: string): string | undefined {
    const value = this.#state.live(key);
    return value === undefined ? undefined : decodeUtf8(value);
  }

  /** The keys that have a value, sorted, including expired ones. */
  get keptKeys(): readonly string[] {
    return [...this.#state.kv.keys()].sort();
  }

  /** A reference for a message of an earlier delivery, which no post of this host returns. */
  get earlierMessage(): MessageRef {
    return EARLIER_MESSAGE;
  }

  /** Returns the context of an `act`, to test a function that takes one. */
  cx(): Context<Need> {
    return contextOf(this.#imports("act"), this.#state.call, () => this.#state.clock("act"));
  }

  /** Returns all messages and changes as a person sees them: the text that a phone shows after `text:`, then the blocks. */
  transcript(): string {
    const number = (at: MessageRef): number => this.posts.findIndex((post) => post.at === at) + 1;
    const part = (heading: string, text: string, visible: string): string =>
      `${heading}\ntext: ${text}\n${visible === "" ? "" : `${visible}\n`}`;
    const posts = this.posts.map((post, index) => {
      const thread = post.thread === undefined ? "" : `, in the thread of ${number(post.thread)}`;
      return part(`== message ${index + 1} to ${post.channel}${thread}`, post.text, post.visible);
    });
    const updates = this.updates.map((update) =>
      part(`== message ${number(update.at)} becomes`, update.text, update.visible),
    );
    return [...posts, ...updates].join("\n");
  }

  #imports(step: StepName): Imports {
    const all = this.#state.imports(step);
    const missing = NEEDS.filter((need) => !this.#needs.includes(need));
    return Object.fromEntries(
      Object.entries(all).filter(([name]) => !missing.some((need) => need === name)),
    ) as unknown as Imports;
  }

  #step<T>(
    step: StepName,
    handler: Handler,
    alert: Alert,
    found: Enrichment,
    body: (imports: Imports, found: ReturnType<typeof toWireEnrichment>, now: () => Date) => T,
  ): T {
    const { deliveryId } = this.#state.call;
    const imports = this.#imports(step);
    this.#state.declared = (handler.settings ?? []).map((setting) => setting.name);
    this.#state.fingerprint = alert.fingerprint;
    this.#state.begin(step, [deliveryId, alert.incidentKey, alert.status].join(" "));
    beginStep(imports.log, () => [deliveryId, alert.fingerprint, alert.status, step].join("\n"));
    const all = toWireEnrichment("found", this.#state.given.with(found));
    try {
      return body(imports, all, () => this.#state.clock(step));
    } catch (error) {
      throw error instanceof run.StepFailure ? failureOf(error) : error;
    }
  }

  #give(name: string, value: string): this {
    this.#state.given = this.#state.given.with({ facts: { [name]: value } });
    return this;
  }
}

/** What a step returned, or the failure that it threw. */
export type Settled<T> =
  { readonly value: T; readonly failure?: undefined } | { readonly failure: Failure; readonly value?: undefined };

/** The results of a handler's two steps. */
export class Run {
  /** What `enrich` added, or its failure. */
  readonly enrichment: Settled<Found>;
  /** What `act` or `resolved` returned, or its failure. */
  readonly result: Settled<Record<string, string>>;

  constructor(enrichment: Settled<Found>, result: Settled<Record<string, string>>) {
    this.enrichment = enrichment;
    this.result = result;
  }

  /** The facts of `act`. Throws its failure if it failed. */
  get facts(): Record<string, string> {
    if (this.result.failure !== undefined) throw this.result.failure;
    return this.result.value;
  }

  /** The failure of `act`; `undefined` if it succeeded. */
  get failure(): Failure | undefined {
    return this.result.failure;
  }

  /** What `enrich` added. Throws its failure if it failed. */
  get found(): Found {
    if (this.enrichment.failure !== undefined) throw this.enrichment.failure;
    return this.enrichment.value;
  }
}

function settle<T>(step: () => T): Settled<T> {
  try {
    return { value: step() };
  } catch (error) {
    const failure = [RetryableError, UnavailableError, PermanentError].some((kind) => error instanceof kind);
    // A handler that traps is a failed test.
    if (!failure) throw error;
    return { failure: error as Failure };
  }
}

/** Returns the failure of a step as its class. */
function failureOf(error: run.StepFailure): Failure {
  const payload: WireFailure = error.payload;
  if (payload.tag === "permanent") return new PermanentError(payload.val, { cause: error });
  const { message, afterMs } = payload.val;
  const options = { cause: error, ...(afterMs === undefined || afterMs === null ? {} : { afterMs }) };
  return new (payload.tag === "retryable" ? RetryableError : UnavailableError)(message, options);
}
