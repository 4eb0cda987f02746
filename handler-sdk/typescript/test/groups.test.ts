/** The alerts of one group share a message, and each is a reply in its thread. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Alert,
  Blocks,
  defineHandler,
  HOUR,
  Incident,
  MINUTE,
  PermanentError,
  UnavailableError,
  type Context,
  type Facts,
  type Found,
} from "../src/index.ts";
import { Host, Storm } from "../src/mock/index.ts";

const BEGAN = new Date("2023-11-14T22:13:20Z");
const after = (ms: number): Date => new Date(BEGAN.getTime() + ms);

function tell(cx: Context, alert: Alert, found: Found): Facts {
  const text = `[${alert.status.toUpperCase()}] ${alert.label("pod")}`;
  return Incident.open(cx, alert, found, "alerts").tell({ text, blocks: new Blocks().section(text) });
}

const pods = defineHandler({
  name: "pods",
  version: "1.0.0",
  summary: "Says which pod is down.",
  storm: "one",
  act: tell,
  resolved: tell,
});

function grouped(pod: string, severity = "warning", endsAt?: Date): Alert {
  return Alert.of({
    labels: { alertname: "Down", pod, severity },
    annotations: { summary: "It does not answer." },
    startsAt: BEGAN,
    ...(endsAt === undefined ? {} : { endsAt, status: "resolved" as const }),
    origin: {
      receiver: "team",
      groupKey: '{}/{}:{alertname="Down", namespace="shop"}',
      groupLabels: { alertname: "Down", namespace: "shop" },
    },
  });
}

const ended = (pod: string): Alert => grouped(pod, "warning", after(5 * HOUR));
const byGroup = (): Host => new Host().now(BEGAN).config("slack.thread_by", "group");

function told(host: Host, delivery: string, alert: Alert, now = BEGAN): Facts {
  return host.delivery(delivery).now(now).act(pods, alert);
}

function ofThread(host: Host, parent: number): string[] {
  const at = host.posts[parent]?.at;
  return host.posts.filter((post) => post.thread === at).map((post) => post.text);
}

test("the alerts of a group share a message that counts them", () => {
  const host = byGroup();
  told(host, "d-1", grouped("a"));
  assert.equal(host.updates.length, 0, "one alert is what the message says already");
  told(host, "d-2", grouped("b"));
  told(host, "d-3", grouped("c"));
  const [parent, , ofB] = host.posts;
  assert.equal(parent?.text, "[FIRING] warning Down shop: 1 firing");
  assert.match(parent?.visible ?? "", /One of them: It does not answer\.[^]*receiver team/);
  assert.deepEqual(ofThread(host, 0), ["[FIRING] a", "[FIRING] b", "[FIRING] c"]);
  assert.equal(host.updates.at(-1)?.text, "[FIRING] warning Down shop: 3 firing");

  const later = after(5 * HOUR);
  assert.equal(told(host, "d-4", ended("b"), later)["slack.how"], "updated");
  assert.deepEqual(
    host.updates.slice(-2).map((update) => [update.text, update.at]),
    [
      ["[RESOLVED] b", ofB?.at],
      ["[FIRING] warning Down shop: 2 firing, 1 resolved", parent?.at],
    ],
  );
  assert.equal(host.posts.length, 4, "the thread is not filled with ends");
  told(host, "d-5", ended("a"), later);
  told(host, "d-6", ended("c"), after(6 * HOUR));
  assert.equal(host.updates.at(-1)?.text, "[RESOLVED] warning Down shop: all 3 have resolved");
  assert.match(host.updates.at(-1)?.visible ?? "", /after 5h/);
  assert.equal(ofThread(host, 0).at(-1), "All 3 have resolved after 5h.");
  // What fires after the end is news.
  told(host, "d-7", grouped("d"));
  assert.equal(host.posts[5]?.text, "[FIRING] warning Down shop: 1 firing");
  assert.equal(host.posts[6]?.thread, host.posts[5]?.at);
});

test("a reminder counts nothing, and an end counts once", () => {
  const host = byGroup();
  told(host, "d-1", grouped("a"));
  told(host, "d-2", grouped("a"), after(4 * HOUR));
  assert.equal(host.posts.length, 2);
  assert.equal(host.updates[0]?.at, host.posts[1]?.at);
  assert.equal(host.updates.at(-1)?.text, "[FIRING] warning Down shop: 1 firing");
  told(host, "d-3", ended("a"));
  told(host, "d-4", ended("a"));
  assert.equal(host.updates.at(-1)?.text, "[RESOLVED] warning Down shop: it has resolved");
});

test("a critical alert is not a reply that nobody is notified of", () => {
  const host = byGroup();
  told(host, "d-1", grouped("a"));
  told(host, "d-2", grouped("b", "critical"));
  told(host, "d-3", grouped("c", "info"));
  assert.deepEqual([host.posts[2]?.text, host.posts[2]?.thread], ["[FIRING] critical Down shop: 1 firing", undefined]);
  assert.deepEqual([ofThread(host, 0), ofThread(host, 2)], [["[FIRING] a"], ["[FIRING] b", "[FIRING] c"]]);
  assert.equal(host.updates.at(-1)?.text, "[FIRING] critical Down shop: 2 firing");
  const ranked = byGroup().priority("critical");
  told(ranked, "d-1", grouped("a"));
  assert.equal(ranked.posts[0]?.text, "[FIRING] critical Down shop: 1 firing");
});

test("the others wait while one posts the shared message", () => {
  const host = byGroup().slackError("unavailable", "away");
  assert.throws(() => told(host, "d-1", grouped("a")), UnavailableError);
  assert.throws(
    () => told(host, "d-2", grouped("b")),
    (error) =>
      error instanceof UnavailableError && error.afterMs === 1_000 && error.message.includes("another alert of the group"),
  );
  host.delivery("d-1").attempt(2).act(pods, grouped("a"));
  told(host, "d-2", grouped("b"));
  assert.deepEqual(ofThread(host, 0), ["[FIRING] a", "[FIRING] b"]);
  assert.equal(host.updates.at(-1)?.text, "[FIRING] warning Down shop: 2 firing");
});

test("a claim ends if its alert never posts", () => {
  const host = byGroup().slackError("unavailable", "away");
  assert.throws(() => told(host, "d-1", grouped("a")), UnavailableError);
  told(host, "d-2", grouped("b"), after(11 * MINUTE));
  assert.equal(host.posts[0]?.text, "[FIRING] warning Down shop: 1 firing");
  // A refusal that no retry helps ends it at once.
  const refused = byGroup().slackError("denied", "no");
  assert.throws(() => told(refused, "d-1", grouped("a")), PermanentError);
  told(refused, "d-2", grouped("b"));
  assert.equal(refused.posts.length, 2);
});

test("a shared message that comes too late becomes the message of its alert", () => {
  const host = byGroup().slackError("unavailable", "away");
  assert.throws(() => told(host, "d-1", grouped("a")), UnavailableError);
  told(host, "d-2", grouped("b"), after(11 * MINUTE));
  // Its delivery does not learn of the other message before it has posted its own.
  host.delivery("d-1").attempt(2);
  host.kvError("unavailable", "down").kvError("unavailable", "down").act(pods, grouped("a"));
  assert.deepEqual(ofThread(host, 0), ["[FIRING] b"]);
  assert.deepEqual([host.posts.length, host.posts[2]?.thread], [3, undefined]);
  assert.deepEqual([host.updates.at(-1)?.text, host.updates.at(-1)?.at], ["[FIRING] a", host.posts[2]?.at]);
  told(host, "d-3", ended("a"));
  assert.equal(host.updates.at(-1)?.at, host.posts[2]?.at, "it is the alert's own from then on");
});

test("a shared message that is gone is replaced", () => {
  const host = byGroup();
  told(host, "d-1", grouped("a"));
  // The thread is gone, so the alert is in the channel.
  told(host.slackError("not-found"), "d-2", grouped("b"));
  assert.equal(host.posts[2]?.thread, undefined);
  told(host, "d-3", grouped("c"));
  assert.equal(host.posts[3]?.text, "[FIRING] warning Down shop: 1 firing");
  assert.equal(host.posts[4]?.thread, host.posts[3]?.at);
  // The reply is updated; that the first shared message is gone does not take the next one with it.
  told(host.slackError("not-found", "", 1), "d-4", ended("a"));
  told(host, "d-5", grouped("d"));
  assert.deepEqual(ofThread(host, 3), ["[FIRING] c", "[FIRING] d"]);
});

test("an alert is counted once, and only if its reply is posted", () => {
  const host = byGroup();
  told(host, "d-1", grouped("a"));
  host.slackError("unavailable", "away");
  assert.throws(() => told(host, "d-2", grouped("b")), UnavailableError);
  // It is posted, but the update of the shared message fails.
  host.attempt(2).slackError("unavailable", "away", 1);
  assert.throws(() => host.act(pods, grouped("b")), UnavailableError);
  host.attempt(3).act(pods, grouped("b"));
  told(host, "d-3", grouped("c"));
  assert.equal(host.updates.at(-1)?.text, "[FIRING] warning Down shop: 3 firing");
  host.slackError("denied", "no");
  assert.throws(() => told(host, "d-4", grouped("d")), PermanentError);
  for (const pod of ["a", "b", "c"]) told(host, `ended-${pod}`, ended(pod));
  assert.equal(host.updates.at(-1)?.text, "[RESOLVED] warning Down shop: all 3 have resolved");
});

test("a storm, and an alert without a group, are in no group", () => {
  const storm = byGroup().storm(Storm.of([grouped("a"), grouped("b")]));
  told(storm, "d-1", grouped("a"));
  const alone = byGroup();
  told(alone, "d-1", Alert.of({ labels: { alertname: "Down", pod: "a" }, startsAt: BEGAN }));
  const notAsked = new Host().now(BEGAN);
  told(notAsked, "d-1", grouped("a"));
  for (const host of [storm, alone, notAsked]) {
    assert.deepEqual(
      host.posts.map((post) => [post.text, post.thread]),
      [["[FIRING] a", undefined]],
    );
  }
});

test("without the store everything is posted all the same", () => {
  const host = byGroup();
  for (let call = 0; call < 20; call += 1) host.kvError("unavailable", "down");
  told(host, "d-1", grouped("a"));
  assert.deepEqual(
    host.posts.map((post) => post.text),
    ["[FIRING] warning Down shop: 1 firing", "[FIRING] a"],
  );
});
