/** HTTP, Slack, kv, history and timers, against the mock host. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Alert,
  Blocks,
  DAY,
  defineHandler,
  encode,
  HttpError,
  KvError,
  MINUTE,
  PermanentError,
  RetryableError,
  SECOND,
  SlackError,
  UnavailableError,
  type Failure,
  type Handler,
} from "../src/index.ts";
import { Host, Reply } from "../src/mock/index.ts";

const ALERT = Alert.of({ labels: { alertname: "A" }, startsAt: "2022-03-02T07:31:57Z" });

function handler(act: NonNullable<Handler["act"]>): Handler {
  return defineHandler({ name: "test", version: "1.0.0", summary: "Tests.", act });
}

/** Runs a handler that makes one call, and returns the failure. */
function failureOf(host: Host, act: NonNullable<Handler["act"]>): Failure {
  const { failure } = host.run(handler(act), ALERT);
  assert.ok(failure);
  return failure;
}

const URL = "https://api.example.com/v1/pods";

test("a request is what was asked for, and its response is read", () => {
  const host = new Host().http("POST", "https://api.example.com/*", Reply.json(201, { id: 7 }).header("X-Trace", "t"));
  host.run(
    handler((cx) => {
      const options = {
        query: { a: "b c", d: "é/" },
        headers: { accept: "application/json" },
        json: { x: "ä" },
        credential: "api",
        timeoutMs: 1.5,
        key: "k",
      };
      const response = cx.http.post(URL, options);
      assert.deepEqual(
        [response.status, response.ok, response.header("x-trace"), response.json<{ id: number }>().id],
        [201, true, "t", 7],
      );
      return {};
    }),
    ALERT,
  );
  assert.deepEqual(host.requests, [
    {
      method: "POST",
      url: `${URL}?a=b%20c&d=%C3%A9%2F`,
      headers: [
        ["accept", "application/json"],
        ["content-type", "application/json"],
      ],
      body: '{"x":"ä"}',
      credential: "api",
      key: "k",
      timeoutMs: 2,
    },
  ]);
  assert.equal(encode("a/b c=é'!"), "a%2Fb%20c%3D%C3%A9%27%21");
});

test("errors of HTTP become the failure that fits", () => {
  const failure = (reply: Reply): Failure =>
    failureOf(new Host().http("GET", URL, reply), (cx) => {
      cx.http.get(URL).errorForStatus();
      return {};
    });
  for (const reply of [Reply.unreachable(), Reply.timeout(), Reply.status(500), Reply.status(408), Reply.status(425)]) {
    assert.ok(failure(reply) instanceof UnavailableError);
  }
  for (const reply of [Reply.denied(), Reply.status(404), Reply.status(301), Reply.error("too-large", 8)]) {
    assert.ok(failure(reply) instanceof PermanentError);
  }
  assert.equal(failure(Reply.status(429).header("retry-after", "30")).afterMs, 30_000);
  const date = Reply.status(503)
    .header("date", "Wed, 21 Oct 2026 07:28:00 GMT")
    .header("retry-after", "Wed, 21 Oct 2026 07:28:10 GMT");
  assert.equal(failure(date).afterMs, 10_000);
  assert.equal(failure(Reply.status(500, "token=abc\n is bad")).message, `GET ${URL}: answered 500: token=[masked] is bad`);
  const redirect = Reply.status(302).header("location", "https://b.example");
  assert.equal(
    failure(redirect).message,
    `GET ${URL}: answered 302: redirects to https://b.example; redirects are not followed`,
  );
});

test("a body that is no JSON is retried, and names the status", () => {
  const host = new Host().httpGet(`${URL}?secret=1`, 404, "<html>not found</html>");
  const failure = failureOf(host, (cx) => ({ x: cx.http.get(`${URL}?secret=1`).json<string>() }));
  assert.ok(failure instanceof RetryableError);
  assert.match(
    failure.message,
    /^GET https:\/\/api.example.com\/v1\/pods: the answer can't be read: it was answered 404, so call errorForStatus\(\) before json\(\); .*; it begins `<html>not found<\/html>`$/,
  );
});

test("an error can be caught by its kind", () => {
  const host = new Host();
  const run = host.run(
    handler((cx) => {
      try {
        cx.http.get(URL);
      } catch (error) {
        if (error instanceof HttpError && error.kind === "denied") return { denied: error.message };
        throw error;
      }
      return {};
    }),
    ALERT,
  );
  assert.equal(run.facts["denied"], `GET ${URL}: not granted: the test scripted no answer to GET ${URL}`);
});

test("messages are posted, changed and answered", () => {
  const host = new Host();
  const { slack } = host.cx();
  const at = slack.post({ channel: "alerts", text: "<!channel> down", blocks: new Blocks().section("firing"), key: "m" });
  assert.equal(host.posts[0]?.text, "&lt;!channel&gt; down");
  slack.update(at, { channel: "alerts", text: "up" });
  assert.deepEqual([host.updates[0]?.text, host.updates[0]?.visible], ["up", ""], "the old blocks are removed");
  assert.deepEqual(slack.reply(at, { channel: "alerts", text: "resolved" }), { at: "mock:alerts:2" });
  assert.equal(host.posts[1]?.thread, at);
  slack.react(at, "eyes");
  assert.deepEqual(host.reactions, [{ at, emoji: "eyes" }]);
  assert.equal(
    host.transcript(),
    "== message 1 to alerts\ntext: &lt;!channel&gt; down\nfiring\n\n== message 2 to alerts, in the thread of 1\ntext: resolved\n\n== message 1 becomes\ntext: up\n",
  );
});

test("a change that Slack refuses becomes a new message", () => {
  const host = new Host();
  const { slack } = host.cx();
  const at = slack.post({ channel: "alerts", text: "down" });
  host.slackError("not-found");
  assert.deepEqual(slack.updateOrPost(at, { channel: "alerts", text: "up" }), { how: "posted", at: "mock:alerts:2" });
  assert.equal(host.posts[1]?.key, "message");
  host.slackError("timeout");
  assert.throws(() => slack.updateOrPost(at, { channel: "alerts", text: "up" }), SlackError);
  assert.equal(slack.updateOrPost(at, { channel: "alerts", text: "up" }).how, "updated");
});

test("a refused reply is a warning and a late one is tried again", () => {
  const host = new Host();
  const { slack } = host.cx();
  const at = slack.post({ channel: "alerts", text: "down" });
  const reply = { channel: "alerts", text: "resolved" };
  host.slackError("invalid", "restricted_action_non_threadable_channel");
  assert.match(slack.reply(at, reply).refused ?? "", /restricted_action/);
  host.holdChannel("alerts", "is_archived");
  assert.match(slack.reply(at, reply).refused ?? "", /is_archived/);
  host.releaseChannel("alerts").slackError("rate-limited", 1_000);
  assert.throws(() => slack.reply(at, reply), SlackError);
  assert.deepEqual(
    host.logs.map((line) => line.level),
    ["warn", "warn"],
  );
});

test("errors of Slack become the failure that fits", () => {
  const failure = (host: Host): Failure =>
    failureOf(host, (cx) => ({ at: cx.slack.post({ channel: "alerts", text: "x" }) }));
  const limited = failure(new Host().slackError("rate-limited", 1_500));
  assert.ok(limited instanceof UnavailableError);
  assert.equal(limited.afterMs, 1_500);
  assert.ok(failure(new Host().slackError("timeout")) instanceof UnavailableError);
  for (const kind of ["denied", "invalid", "not-found"] as const)
    assert.ok(failure(new Host().slackError(kind)).isPermanent());
  assert.match(failure(new Host().channels("oncall")).message, /allow.slack: \[alerts\]/);
});

test("a handler cannot turn a held channel into a permanent failure", () => {
  const host = new Host().holdChannel("alerts", "not_in_channel");
  const failure = failureOf(host, (cx) => {
    try {
      return { at: cx.slack.post({ channel: "alerts", text: "x" }) };
    } catch (error) {
      throw new PermanentError(String(error));
    }
  });
  assert.ok(failure instanceof UnavailableError);
  assert.match(failure.message, /not_in_channel/);
});

test("Slack and timers are denied during enrich", () => {
  const early = defineHandler({
    name: "early",
    version: "1.0.0",
    summary: "Posts too early.",
    enrich: (cx) => ({ facts: { at: cx.slack.post({ channel: "alerts", text: "x" }) } }),
    act: (_cx, _alert, found) => Object.fromEntries(found.failures),
  });
  assert.match(new Host().run(early, ALERT).facts["early"] ?? "", /denied during `enrich`/);
});

test("the mock host is as strict as Slack", () => {
  const { slack } = new Host().cx();
  assert.throws(() => slack.post({ channel: "alerts", text: "" }), /no message without text/);
});

test("a part of a second may be asked for", () => {
  const { history } = new Host().cx();
  assert.equal(history.earlier({ same: [], withinSeconds: 0.5 }).count, 0);
});

test("a sum that a number cannot hold is an error", () => {
  const { kv } = new Host().cx();
  kv.set("large", String(Number.MAX_SAFE_INTEGER - 1));
  assert.equal(kv.increment("large"), Number.MAX_SAFE_INTEGER);
  assert.throws(() => kv.increment("large"), {
    name: "PermanentError",
    message: "kv: `large` is now 9007199254740992, which a number of JavaScript cannot hold exactly",
  });
});

test("values are kept as long as was asked", () => {
  const host = new Host().now(new Date(1_000_000));
  const { kv } = host.cx();
  kv.set("a", "ä", { ttlSeconds: 59.1 });
  kv.setJson("b", ["x"]);
  assert.equal(kv.setIfAbsent("a", "2"), false);
  assert.equal(kv.getString("a"), "ä");
  assert.deepEqual(kv.get("none"), undefined);
  host.now(new Date(1_000_000 + 60_000));
  assert.equal(kv.get("a"), undefined);
  assert.equal(kv.setIfAbsent("a", new Uint8Array([0x61])), true);
  assert.deepEqual(kv.getJson("b"), ["x"]);
  assert.deepEqual([kv.increment("n", 5), kv.increment("n", -7), kv.increment("n")], [5, -2, -1]);
  kv.remove("b");
  assert.deepEqual(host.keptKeys, ["a", "n"]);
  assert.equal(host.kept("a"), "a");
});

test("errors of kv become the failure that fits", () => {
  const failure = (host: Host, key = "a"): Failure => failureOf(host, (cx) => ({ n: String(cx.kv.increment(key)) }));
  assert.equal(failure(new Host().kvError("unavailable", "disk full")).message, "kv: disk full");
  assert.ok(failure(new Host().kvError("quota-exceeded")).isPermanent());
  assert.equal(failure(new Host(), "k".repeat(600)).message, "kv: the key or value is over its limit of 512 bytes");
  assert.throws(() => new Host().kvError("unavailable").cx().kv.get("a"), KvError);
  assert.throws(() => new Host().kv("broken", "{").cx().kv.getJson("broken"), /the kept value `broken` can't be read/);
});

test("earlier alerts are found, and timers are set", () => {
  const host = new Host().history({ startsAt: new Date(0), endsAt: new Date(60_000) }, { startsAt: new Date(5) });
  const { history, timer } = host.cx();
  const past = history.earlier({ same: ["pod"], withinSeconds: 3_600 });
  assert.deepEqual([past.count, past.occurrences[0]?.endsAt, past.occurrences[1]?.endsAt], [2, new Date(60_000), undefined]);
  timer.after("remind", 30 * MINUTE, { asked: "twice" });
  timer.after("other", 1);
  timer.cancel("other");
  timer.after("short", 1_001);
  assert.deepEqual(host.timers, [
    { key: "remind", delayMs: 30 * MINUTE, facts: { asked: "twice" } },
    { key: "short", delayMs: 2 * SECOND, facts: {} },
  ]);
  assert.throws(() => timer.after("late", 31 * DAY), /delay: 2678400 s, at most 2592000/);
});

test("a retry is answered from the record up to the last effect", () => {
  let fails = true;
  const flaky = handler((cx) => {
    const body = cx.http.get(URL).text();
    const at = cx.slack.post({ channel: "alerts", text: `it says ${body} at ${cx.now().getTime()}` });
    if (fails) throw new RetryableError("once");
    return { at, later: cx.http.get(URL).text(), now: String(cx.now().getTime()) };
  });
  const host = new Host().httpGet(URL, 200, "one").now(new Date(1_000));
  assert.equal(host.run(flaky, ALERT).failure?.message, "once");
  fails = false;
  host.httpGet(URL, 200, "two").now(new Date(2_000)).attempt(2);
  const { facts } = host.run(flaky, ALERT);
  assert.deepEqual(facts, { at: "mock:alerts:1", later: "two", now: "2000" });
  assert.equal(host.posts.length, 1);
  host.delivery("d-2");
  assert.equal(host.run(flaky, ALERT).facts["at"], "mock:alerts:2");
});

test("more calls than a step may make are refused", () => {
  const failure = failureOf(new Host().httpGet(URL, 200), (cx) => {
    for (;;) cx.http.get(URL);
  });
  assert.equal(
    failure.message,
    `GET ${URL}: the step's limit is used up: http_calls: all 50 calls of this step are used up`,
  );
});

test("lines are logged with their fields, and values that are no text too", () => {
  const host = new Host();
  host.cx().log.warn("asked", { pods: 3, node: undefined, ok: true });
  host.cx().log.error(new TypeError("bad") as unknown as string);
  assert.deepEqual(host.logs[0], { level: "warn", message: "asked", fields: { pods: "3", node: "undefined", ok: "true" } });
  assert.equal(host.logs[1]?.message, "TypeError: bad");
});
