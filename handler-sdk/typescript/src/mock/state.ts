/** The state of the mock host, and its functions as the contract has them. */

import { LIMITS } from "../blocks.ts";
import { MisuseError } from "../check.ts";
import { Found } from "../enrichment.ts";
import { payloadOf } from "../failure.ts";
import type { Method } from "../http.ts";
import { decodeUtf8, encodeUtf8, utf8Length } from "../utf8.ts";
import { recordOf } from "../alert.ts";
import { SECOND } from "../time.ts";
import type { Imports, WireCall, WireFile, WireMessage, WireOccurrence, WireRequest, WireResponse } from "../wire.ts";
import {
  HOST_LIMITS,
  wrongEarlier,
  wrongEmoji,
  wrongHeaders,
  wrongKey,
  wrongRequest,
  wrongTimer,
  wrongTimerKey,
} from "./checks.ts";
import { Replay, type Kept } from "./replay.ts";
import type { Reply } from "./reply.ts";
import {
  checkedBlocks,
  visibleOf,
  type LogLine,
  type Post,
  type Reaction,
  type Request,
  type Timer,
  type Update,
  type Upload,
} from "./sent.ts";

/** The step that runs; Slack and timers are denied during `enrich`. */
export type StepName = "enrich" | "act";

/** The greatest number that the store keeps. */
const I64_MAX = 2n ** 63n - 1n;

/** A reference that no post of this host returns. */
export const EARLIER_MESSAGE = "mock:earlier:0";

/** An error of the host: thrown as componentize-qjs throws it. */
export function hostError(tag: string, val?: unknown): Error {
  return Object.assign(new Error(`${tag}: ${String(val)}`), { payload: { tag, val } });
}

interface KeptValue {
  readonly value: Uint8Array;
  readonly endsAt: Date | undefined;
}

/** The state of the mock host: its script, what the handler did, and the record of each step. */
export class State {
  now = new Date(1_700_000_000_000);
  call: WireCall = { deliveryId: "d-1", attempt: 1, timeLeftMs: 30_000, dryRun: false };
  readonly config = new Map<string, string>();
  /** The names of the settings that the handler declares; `undefined` if no handler is run. */
  declared: readonly string[] | undefined;
  /** The fingerprint of the alert that is run. */
  fingerprint = "";
  readonly routes: { method: Method; url: string; reply: Reply }[] = [];
  readonly requests: Request[] = [];
  slackDenied: string | undefined;
  /** Channels that Slack rejects, with its error codes. */
  readonly slackHeld = new Map<string, string>();
  /** The error of such a channel that the current step has met. */
  metHold: string | undefined;
  /** The granted channels; `undefined` if all are granted. */
  channels: ReadonlySet<string> | undefined;
  credentials: ReadonlySet<string> | undefined;
  readonly slackErrors: ({ tag: string; val: unknown } | undefined)[] = [];
  readonly kvErrors: { tag: string; val: unknown }[] = [];
  readonly posts: Post[] = [];
  readonly updates: Update[] = [];
  readonly reactions: Reaction[] = [];
  areUploadsAllowed = false;
  readonly uploads: Upload[] = [];
  /** By the alert's fingerprint and the key. */
  readonly timers = new Map<string, Timer>();
  readonly logs: LogLine[] = [];
  readonly kv = new Map<string, KeptValue>();
  past: WireOccurrence[] = [];
  /** What the host itself gives to each step, before what other handlers found. */
  given = new Found();
  readonly #replays = new Map<string, Replay>();
  #counts = new Map<string, number>();
  #event = "";

  /** Begins an attempt of a step for an event; the first attempt of an event has no record. */
  begin(step: StepName, event: string): void {
    this.#event = event;
    this.#counts = new Map();
    if (this.call.attempt <= 1) this.#replays.delete(`${step} ${event}`);
    this.#replay(step).begin();
  }

  /** Returns the time for a step. */
  clock(step: StepName): Date {
    return this.#replay(step).clock(this.now);
  }

  /** Returns a value that has not expired. */
  live(key: string): Uint8Array | undefined {
    const kept = this.kv.get(key);
    return kept === undefined || (kept.endsAt !== undefined && this.now >= kept.endsAt) ? undefined : kept.value;
  }

  /** Returns the host's functions for a step. */
  imports(step: StepName): Required<Imports> {
    return {
      config: {
        get: (key) => {
          this.#checkDeclared(key);
          return this.#recorded(step, `config ${key}`, () => [this.config.get(key), "read"]);
        },
      },
      log: {
        write: (level, message, fields) => {
          // A line over the limit is dropped, as on the real host.
          if (this.#count("log", HOST_LIMITS.logLines)) this.logs.push({ level, message, fields: { ...recordOf(fields) } });
        },
      },
      http: { send: (request) => this.#send(step, request) },
      slack: {
        post: (message) => this.#slack(step, callName("post", "", message), () => this.#post(message)),
        update: (at, message) => {
          // The channel and the thread are ignored, so they are not part of the call's name.
          const name = callName("update", at, { ...message, channel: "", thread: undefined });
          return this.#slack(step, name, () => this.#update(at, message));
        },
        react: (at, emoji) => {
          this.#slack(step, `slack react ${at} ${emoji}`, () => this.#react(at, emoji));
        },
        upload: (file) => this.#slack(step, fileName(file), () => this.#upload(file)),
      },
      kv: {
        get: (key) => this.#kv(step, "get", key, undefined, () => [this.live(key), "read"]),
        set: (key, value, ttl) => this.#kv(step, `set ${ttl}`, key, value, () => [this.#put(key, value, ttl), "effect"]),
        setIfAbsent: (key, value, ttl) =>
          this.#kv(step, `set-if-absent ${ttl}`, key, value, () => {
            if (this.live(key) !== undefined) return [false, "read"];
            this.#put(key, value, ttl);
            return [true, "effect"];
          }),
        increment: (key, by, ttl) =>
          this.#kv(step, `increment ${by} ${ttl}`, key, undefined, () => [this.#add(key, by, ttl), "effect"]),
        remove: (key) =>
          this.#kv(step, "remove", key, undefined, () => {
            const kept: Kept = this.live(key) === undefined ? "read" : "effect";
            this.kv.delete(key);
            return [undefined, kept];
          }),
      },
      history: {
        earlier: (same, within) => {
          if (!this.#count("history", HOST_LIMITS.historyCalls))
            throw hostError("budget-exhausted", usedUp("history_calls", HOST_LIMITS.historyCalls));
          const wrong = wrongEarlier(same, within);
          if (wrong !== undefined) throw hostError("invalid", wrong);
          return this.#recorded(step, `history ${JSON.stringify(same)} ${within}`, () => [
            { count: this.past.length, occurrences: this.past.slice(0, 50) },
            "read",
          ]);
        },
      },
      timer: {
        after: (key, delaySeconds, facts) =>
          this.#timer(step, key, `after ${key} ${delaySeconds} ${JSON.stringify(facts)}`, () => {
            const wrong = wrongTimer(delaySeconds, facts);
            if (wrong !== undefined) throw hostError("invalid", wrong);
            this.#setTimer({ key, delayMs: delaySeconds * SECOND, facts: { ...recordOf(facts) } });
            return "effect";
          }),
        cancel: (key) =>
          this.#timer(step, key, `cancel ${key}`, () =>
            this.timers.delete(`${this.fingerprint} ${key}`) ? "effect" : "read",
          ),
      },
    };
  }

  #replay(step: StepName): Replay {
    const key = `${step} ${this.#event}`;
    const replay = this.#replays.get(key) ?? new Replay();
    this.#replays.set(key, replay);
    return replay;
  }

  /** Counts a call; returns false if all calls of its kind are used up. */
  #count(kind: string, max: number): boolean {
    const used = this.#counts.get(kind) ?? 0;
    if (used < max) this.#counts.set(kind, used + 1);
    return used < max;
  }

  /** Answers a call from the record, or makes it and records the answer. A call that throws is not recorded. */
  #recorded<T>(step: StepName, name: string, live: () => [answer: T, kept: Kept]): T {
    const replay = this.#replay(step);
    const recorded = replay.answer(name);
    if (recorded !== undefined) return recorded[0] as T;
    const clock = this.clock(step);
    const [answer, kept] = live();
    replay.keep(name, kept, answer, clock);
    return answer;
  }

  #send(step: StepName, request: WireRequest): WireResponse {
    if (!this.#count("http", HOST_LIMITS.httpCalls))
      throw hostError("budget-exhausted", usedUp("http_calls", HOST_LIMITS.httpCalls));
    const { method, url, headers, body, credential, key } = request;
    const parts = [method, url, headers, body && decodeUtf8(body), credential];
    const name = key ? `http key ${key}` : `http ${JSON.stringify(parts)}`;
    const reads = method === "get" || method === "head";
    const outcome = this.#recorded<{ response?: WireResponse; error?: unknown }>(step, name, () => {
      this.requests.push({
        method: method.toUpperCase() as Method,
        url,
        headers,
        body: body ? decodeUtf8(body) : "",
        credential: credential ?? undefined,
        key: key ?? undefined,
        timeoutMs: request.timeoutMs ?? undefined,
      });
      try {
        const response = this.#replyTo(request);
        const isEffect = response.status >= 200 && response.status < 400;
        return [{ response }, reads ? "read" : isEffect ? "effect" : "nothing"];
      } catch (error) {
        // Only what the server has done can be answered with too much.
        const isEffect = payloadOf(error)?.tag === "too-large";
        return [{ error }, reads ? "read" : isEffect ? "effect" : "nothing"];
      }
    });
    if (outcome.response === undefined) throw outcome.error;
    return outcome.response;
  }

  #replyTo(request: WireRequest): WireResponse {
    const method = request.method.toUpperCase();
    const wrong = wrongRequest(request);
    if (wrong !== undefined) throw hostError("invalid-request", wrong);
    // The latest script is used, so that a test can replace one between two runs.
    const route = this.routes.findLast((each) => each.method === method && urlFits(each.url, request.url));
    if (route === undefined) throw hostError("denied", `the test scripted no answer to ${method} ${request.url}`);
    const credential = request.credential ?? undefined;
    if (credential !== undefined && this.credentials?.has(credential) === false) {
      throw hostError("denied", `the test does not grant the credential ${request.credential}`);
    }
    const wrongOnes = wrongHeaders(request.headers);
    if (wrongOnes !== undefined) throw hostError("invalid-request", wrongOnes);
    const { response, error } = route.reply;
    if (response === undefined) throw hostError(error?.kind ?? "unavailable", error?.detail);
    const body = request.method === "head" ? new Uint8Array() : response.body;
    if (body.length > HOST_LIMITS.responseBytes) throw hostError("too-large", HOST_LIMITS.responseBytes);
    return { ...response, body };
  }

  #slack(step: StepName, name: string, live: () => string): string {
    if (!this.#count("slack", HOST_LIMITS.slackCalls))
      throw hostError("budget-exhausted", usedUp("slack_calls", HOST_LIMITS.slackCalls));
    if (step === "enrich") throw hostError("denied", "Slack is denied during `enrich`");
    return this.#recorded(step, name, () => [live(), "effect"]);
  }

  #timer(step: StepName, key: string, name: string, live: () => Kept): void {
    if (!this.#count("timer", HOST_LIMITS.timerCalls))
      throw hostError("budget-exhausted", usedUp("timer_calls", HOST_LIMITS.timerCalls));
    if (step === "enrich") throw hostError("denied", "timers are denied during `enrich`");
    this.#recorded(step, `timer ${name}`, () => {
      const wrong = wrongTimerKey(key);
      if (wrong !== undefined) throw hostError("invalid", wrong);
      return [undefined, live()];
    });
  }

  /** Sets a timer of the alert that is run, unless as many are open as may be. */
  #setTimer(timer: Timer): void {
    const place = `${this.fingerprint} ${timer.key}`;
    const mine = [...this.timers.keys()].filter((other) => other.startsWith(`${this.fingerprint} `) && other !== place);
    if (mine.length >= HOST_LIMITS.timersOpen)
      throw hostError("budget-exhausted", `timers: ${HOST_LIMITS.timersOpen} are open for this alert`);
    this.timers.set(place, timer);
  }

  /** Throws if a handler reads a setting that it does not declare. */
  #checkDeclared(key: string): void {
    if (this.declared === undefined || key === "story_base" || key === "slack.thread_by") return;
    if (this.declared.some((name) => urlFits(name, key))) return;
    const name = key.replace(/[^A-Za-z0-9]/g, "_").toUpperCase();
    throw new MisuseError(
      `the setting \`${key}\` is read, but the handler does not declare it, so \`check\` would report it as unknown: ` +
        `write \`const ${name} = Setting.string("${key}", "what it sets")\`, and add it to \`settings: [${name}]\``,
    );
  }

  #post(message: WireMessage): string {
    this.#checkKey(message.key);
    this.#checkChannel(message.channel);
    const thread = message.thread ?? undefined;
    const threadChannel = thread === undefined ? undefined : this.#channelOf(thread);
    if (threadChannel !== undefined && threadChannel !== message.channel) {
      throw hostError("invalid", `thread: that message is not in ${message.channel}`);
    }
    this.#nextSlackError(message.channel);
    const blocks = checkedBlocks(message, LIMITS.textChars);
    const at = `mock:${message.channel}:${this.posts.length + 1}`;
    const { channel, text } = message;
    this.posts.push({ at, channel, text, blocks, visible: visibleOf(blocks), thread, key: message.key ?? undefined });
    return at;
  }

  #update(at: string, message: WireMessage): string {
    this.#checkKey(message.key);
    const channel = this.#channelOf(at);
    if (channel !== undefined) this.#checkChannel(channel);
    this.#nextSlackError(channel);
    const blocks = checkedBlocks(message, LIMITS.updateTextChars);
    this.updates.push({ at, text: message.text, blocks, visible: visibleOf(blocks) });
    return at;
  }

  #react(at: string, emoji: string): string {
    const channel = this.#channelOf(at);
    const wrong = wrongEmoji(emoji);
    if (wrong !== undefined) throw hostError("invalid", wrong);
    if (channel !== undefined) this.#checkChannel(channel);
    this.#nextSlackError(undefined);
    this.reactions.push({ at, emoji });
    return "";
  }

  #upload(file: WireFile): string {
    this.#checkKey(file.key);
    this.#nextSlackError(undefined);
    if (!this.areUploadsAllowed) throw hostError("unavailable", "this server cannot upload files to Slack yet");
    const at = `mock:file:${this.uploads.length + 1}`;
    const { name, title, mediaType, data } = file;
    this.uploads.push({ at, name, title, mediaType, data });
    return at;
  }

  #checkKey(key: string | null | undefined): void {
    const wrong = wrongKey(key);
    if (wrong !== undefined) throw hostError("invalid", wrong);
  }

  #checkChannel(channel: string): void {
    if (this.slackDenied !== undefined) throw hostError("denied", this.slackDenied);
    if (this.channels?.has(channel) === false) throw hostError("denied", `handlers.NAME.allow.slack: [${channel}]`);
  }

  /** Returns the channel of a message; `undefined` for a message of an earlier delivery, which fits every channel. */
  #channelOf(at: string): string | undefined {
    if (at === EARLIER_MESSAGE) return undefined;
    const post = this.posts.find((each) => each.at === at);
    if (post === undefined) throw hostError("not-found");
    return post.channel;
  }

  /** Throws the next scripted error, or the error of a channel that Slack rejects. */
  #nextSlackError(channel: string | undefined): void {
    const code = channel === undefined ? undefined : this.slackHeld.get(channel);
    if (code !== undefined) {
      this.metHold = `Slack refuses the channel ${channel}: ${code}`;
      throw hostError("unavailable", this.metHold);
    }
    const error = this.slackErrors.shift();
    if (error !== undefined) throw hostError(error.tag, error.val);
  }

  #kv<T>(step: StepName, verb: string, key: string, value: Uint8Array | undefined, live: () => [answer: T, kept: Kept]): T {
    if (!this.#count("kv", HOST_LIMITS.kvCalls))
      throw hostError("budget-exhausted", usedUp("kv_calls", HOST_LIMITS.kvCalls));
    if (utf8Length(key) > HOST_LIMITS.kvKeyBytes) throw hostError("too-large", HOST_LIMITS.kvKeyBytes);
    if ((value?.length ?? 0) > HOST_LIMITS.kvValueBytes) throw hostError("too-large", HOST_LIMITS.kvValueBytes);
    const name = `kv ${verb} ${JSON.stringify(key)} ${value === undefined ? "" : Array.from(value).join()}`;
    return this.#recorded(step, name, () => {
      const error = this.kvErrors.shift();
      if (error !== undefined) throw hostError(error.tag, error.val);
      return live();
    });
  }

  #add(key: string, by: number, ttl: number | null | undefined): bigint {
    const given = this.live(key);
    const text = given === undefined ? "0" : decodeUtf8(given).trim();
    if (!/^[+-]?\d+$/.test(text)) {
      throw hostError("unavailable", `the value of ${key} is not a number: remove it, or use another key`);
    }
    const exact = BigInt(text.replace("+", "")) + BigInt(by);
    const sum = exact > I64_MAX ? I64_MAX : exact < -I64_MAX - 1n ? -I64_MAX - 1n : exact;
    this.#put(key, encodeUtf8(String(sum)), ttl);
    return sum;
  }

  /** Sets a value if the quota allows it. */
  #put(key: string, value: Uint8Array, ttlSeconds: number | null | undefined): void {
    const others = [...this.kv.keys()].filter((known) => known !== key && this.live(known) !== undefined);
    const bytes = others.reduce(
      (sum, known) => sum + utf8Length(known) + (this.live(known)?.length ?? 0),
      utf8Length(key) + value.length,
    );
    if (others.length + 1 > HOST_LIMITS.kvKeys || bytes > HOST_LIMITS.kvBytes) throw hostError("quota-exceeded");
    const endsAt =
      ttlSeconds === undefined || ttlSeconds === null ? undefined : new Date(this.now.getTime() + ttlSeconds * 1_000);
    this.kv.set(key, { value, endsAt });
  }
}

function callName(verb: string, at: string, message: WireMessage): string {
  if (message.key) return `slack key ${message.key}`;
  return `slack ${JSON.stringify([verb, at, message.channel, message.text, message.blocks, message.thread])}`;
}

function fileName({ name, title, mediaType, data, key }: WireFile): string {
  if (key) return `slack key ${key}`;
  return `slack ${JSON.stringify(["upload", name, title, mediaType, Array.from(data)])}`;
}

function usedUp(limit: string, max: number): string {
  return `${limit}: all ${max} calls of this step are used up`;
}

/** Returns whether a URL matches a pattern: `*` matches any text; a pattern without one must be equal. */
export function urlFits(pattern: string, url: string): boolean {
  const parts = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "s").test(url);
}
