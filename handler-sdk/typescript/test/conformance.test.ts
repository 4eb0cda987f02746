/** The mock host answers calls as the real host does. The shared table has scripts and the real host's answers. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  Alert,
  Blocks,
  defineHandler,
  HostError,
  HttpError,
  KvError,
  PermanentError,
  RetryableError,
  Setting,
  SlackError,
  type Context,
} from "../src/index.ts";
import { Host, Reply } from "../src/mock/index.ts";

interface Scenario {
  about: string;
  step?: "enrich" | "act";
  attempts?: number;
  slack?: (string | number)[];
  script: string[];
  answers: string[][];
}

const SCENARIOS = JSON.parse(readFileSync("../shared/calls.json", "utf8")) as Scenario[];
const BASE = "http://host.test";
const START = Date.UTC(2024, 4, 6, 7);
const HOUR = 3_600_000;
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] as const;
type Method = (typeof METHODS)[number];

/** What the test server of the table answers on its paths: a status, headers, and how many bytes. */
const ANSWERS: Record<string, [status: number, headers: Record<string, string>, bytes: number]> = {
  ok: [200, { "x-mark": "a" }, 2],
  201: [201, {}, 0],
  404: [404, { "x-mark": "b" }, 9],
  500: [500, {}, 3],
  503: [503, {}, 0],
  moved: [302, { location: "/ok" }, 0],
  large: [200, {}, 8 << 20],
  "too-large": [200, {}, (8 << 20) + 1],
};

/** Makes the calls in its alert's annotation `script`, one per line, and returns the answers. */
const conformance = defineHandler({
  name: "conformance",
  version: "0.1.0",
  summary: "Asks what its alert says.",
  alerts: ["*"],
  settings: [Setting.string("*", "whatever the script asks for")],
  enrich: (cx, alert) => ({ facts: alert.label("step") === "enrich" ? { answers: run(cx, alert) } : {} }),
  act: (cx, alert) => ({ answers: run(cx, alert) }),
});

function run(cx: Context, alert: Alert): string {
  const script = new Script(cx);
  const answers: { answer: string; times: number }[] = [];
  const shown = (): string =>
    answers.map(({ answer, times }) => (times === 1 ? answer : `${answer} ×${times}`)).join("\n");
  for (const line of (alert.annotation("script") ?? "").split("\n")) {
    const all = line.split(" ").filter((word) => word !== "");
    const [times, words] = all[0] === "repeat" ? [Number(all[1]), all.slice(2)] : [1, all];
    for (let n = 0; n < times; n += 1) {
      if (words[0] === "fail-once" && cx.call.attempt === 1) throw new RetryableError(shown());
      const answer = `${words.join(" ")}: ${script.perform(words.map((word) => word.replaceAll("#", String(n))))}`;
      const last = answers.at(-1);
      if (last?.answer === answer) last.times += 1;
      else answers.push({ answer, times: 1 });
    }
  }
  return shown();
}

class Script {
  readonly #cx: Context;
  #last = "none";

  constructor(cx: Context) {
    this.#cx = cx;
  }

  perform(words: readonly string[]): string {
    const [verb = "", ...rest] = words;
    try {
      return this.#call(verb, rest);
    } catch (error) {
      return errorText(verb, error);
    }
  }

  #call(verb: string, rest: readonly string[]): string {
    const { kv, slack, timer, history, log, call } = this.#cx;
    const [first = "", second = ""] = rest;
    const key = text(first);
    switch (verb) {
      case "http":
        return this.#http(first as Method, second, rest.slice(2));
      case "post":
        return this.#post(first, second, rest.slice(2));
      case "update":
        slack.update(this.#reference(first), { channel: "ignored", text: text(second), ...keyOf(rest) });
        return "updated";
      case "react":
        slack.react(this.#reference(first), text(second));
        return "reacted";
      case "upload": {
        const file = { name: key, title: "a file", mediaType: "image/png", data: new Uint8Array([1, 2]) };
        slack.upload({ ...file, ...keyOf(rest) });
        return "uploaded";
      }
      case "get": {
        const value = kv.getString(key);
        return value === undefined ? "absent" : `${value.length} bytes, ${value.slice(0, 20)}`;
      }
      case "set":
        kv.set(key, text(second), ttl(rest));
        return "set";
      case "set-if-absent":
        return String(kv.setIfAbsent(key, text(second), ttl(rest)));
      case "increment":
        try {
          return String(kv.increment(key, Number(second), ttl(rest)));
        } catch (error) {
          // The sum is too large for a number of JavaScript, but it was kept.
          if (error instanceof PermanentError) return kv.getString(key) ?? "";
          throw error;
        }
      case "remove":
        kv.remove(key);
        return "removed";
      case "earlier":
        return `${history.earlier({ same: rest.slice(1).map(text), withinSeconds: Number(first) }).count} earlier`;
      case "after": {
        const pairs = rest.slice(2).map((pair) => pair.split("=").map(text) as [string, string]);
        timer.after(key, Number(second) * 1_000, Object.fromEntries(pairs));
        return "set";
      }
      case "cancel-timer":
        timer.cancel(key);
        return "cancelled";
      case "config":
        return some(this.#cx.config(key));
      case "log":
        log.info(key);
        return "logged";
      case "clock":
        return this.#cx.now().toISOString().replace(".000", "");
      case "attempt":
        return String(call.attempt);
      case "fail-once":
        return "passed";
      default:
        return "no such question";
    }
  }

  #http(method: Method, path: string, rest: readonly string[]): string {
    const query = options(rest, "query").map((each) => `?${each}`);
    const url = (path.startsWith("/") ? BASE + path : text(path)) + query.join("");
    const headers: [string, string][] = options(rest, "header").map((header) => {
      const colon = header.indexOf(":");
      return [text(header.slice(0, colon)), text(header.slice(colon + 1)).replaceAll("\\n", "\n")];
    });
    for (const count of options(rest, "headers")) {
      for (let n = 0; n < Number(count); n += 1) headers.push([`x-${n}`, "y"]);
    }
    const body = rest.includes("attempt") ? String(this.#cx.call.attempt) : options(rest, "body")[0];
    const [credential] = options(rest, "credential");
    const [timeout] = options(rest, "timeout");
    const response = this.#cx.http.request(method, url, {
      headers: Object.fromEntries(headers),
      ...(body === undefined ? {} : { body }),
      ...(credential === undefined ? {} : { credential }),
      ...(timeout === undefined ? {} : { timeoutMs: Number(timeout) }),
      ...keyOf(rest),
    });
    const mark = some(response.header("X-Mark"));
    const location = some(response.header("location"));
    const size = `${response.bytes.length} bytes`;
    return `${response.status} x-mark=${mark} location=${location} ${size}, ${response.text().slice(0, 20)}`;
  }

  #post(channel: string, said: string, rest: readonly string[]): string {
    const [thread] = options(rest, "thread");
    this.#last = this.#cx.slack.post({
      channel: text(channel),
      text: text(said),
      ...(rest.includes("blocks") ? { blocks: new Blocks().section(said) } : {}),
      ...(thread === undefined ? {} : { thread: this.#reference(thread) }),
      ...keyOf(rest),
    });
    return "posted";
  }

  #reference(word: string): string {
    return word === "last" ? this.#last : word;
  }
}

/** Returns an error's kind and numbers: the texts are for people, and differ between the hosts. */
function errorText(verb: string, error: unknown): string {
  const isOfHost = [HttpError, SlackError, KvError, HostError].some((kind) => error instanceof kind);
  if (!isOfHost) throw error;
  const { kind, message } = error as HttpError;
  const why = message.replace(/^.*(can't be sent|used up|refuses the message): |^history: /s, "");
  const limit = why.includes(":") ? why.slice(0, why.indexOf(":")) : "";
  switch (kind as string) {
    case "invalid":
    case "invalid-request":
      return verb === "after" || verb === "cancel-timer" ? "invalid" : `invalid: ${limit}`;
    case "too-large":
      // The response to an effect is limited by what can still be recorded, a number that only the real host has.
      if (/^(POST|PUT|PATCH|DELETE) /.test(message)) return "too large";
      return `too large: ${/(\d+) bytes/.exec(message)?.[1]}`;
    case "budget-exhausted":
      return `budget: ${limit}`;
    case "quota-exceeded":
      return "over the quota";
    default:
      return kind.replaceAll("-", " ");
  }
}

/** Returns N bytes of text for `@N`, and no text for `_`. */
function text(word: string): string {
  if (/^@\d+$/.test(word)) return "x".repeat(Number(word.slice(1)));
  return word === "_" ? "" : word;
}

function options(words: readonly string[], name: string): string[] {
  return words.filter((word) => word.startsWith(`${name}=`)).map((word) => text(word.slice(name.length + 1)));
}

function keyOf(words: readonly string[]): { key?: string } {
  const [key] = options(words, "key");
  return key === undefined ? {} : { key };
}

function ttl(words: readonly string[]): { ttlSeconds?: number } {
  const [seconds] = options(words, "ttl");
  return seconds === undefined ? {} : { ttlSeconds: Number(seconds) };
}

function some(value: string | undefined): string {
  return value === undefined ? "None" : `Some(${JSON.stringify(value)})`;
}

function hostFor(scenario: Scenario): Host {
  const host = new Host().channels("alerts", "oncall").credentials("granted");
  host.config("word", "hello").config("list", "[1,2]");
  for (const method of METHODS) {
    for (const [path, [status, headers, bytes]] of Object.entries(ANSWERS)) {
      let reply = Reply.status(status, "o".repeat(bytes));
      for (const [name, value] of Object.entries(headers)) reply = reply.header(name, value);
      // With any query or none.
      host.http(method, `${BASE}/${path}`, reply).http(method, `${BASE}/${path}?*`, reply);
    }
    host.http(method, `${BASE}/hang`, Reply.timeout());
  }
  for (const fault of scenario.slack ?? []) {
    if (fault === "channel_not_found" || fault === "not_in_channel") host.holdChannel("alerts", fault);
    else if (fault === "fatal_error") host.slackError("timeout");
    else if (typeof fault === "string") host.slackError("invalid", `${fault}: whatever Slack says`);
    else host.slackError("unavailable", "a server's error");
  }
  return host;
}

function answersOf(scenario: Scenario): string[][] {
  const step = scenario.step ?? "act";
  const script = scenario.script.join("\n");
  const alert = Alert.of({ labels: { alertname: "Test", step }, annotations: { script } });
  const host = hostFor(scenario);
  return Array.from({ length: scenario.attempts ?? 1 }, (_, before) => {
    host.attempt(before + 1).now(new Date(START + before * HOUR));
    let answers: string | undefined;
    try {
      answers = step === "enrich" ? host.enrich(conformance, alert).fact("answers") : host.act(conformance, alert)["answers"];
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error;
      answers = error.message;
    }
    return (answers ?? "").split("\n");
  });
}

for (const scenario of SCENARIOS) {
  test(`calls: ${scenario.about}`, () => {
    assert.deepEqual(answersOf(scenario), scenario.answers);
  });
}
