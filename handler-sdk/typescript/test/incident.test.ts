/** One message for each incident. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Alert, Blocks, defineHandler, Found, HOUR, Incident, MINUTE, type Context, type Facts } from "../src/index.ts";
import { Host, Storm } from "../src/mock/index.ts";

const BEGAN = new Date("2022-03-02T07:00:00Z");
const after = (ms: number): Date => new Date(BEGAN.getTime() + ms);
const FIRING = Alert.of({ labels: { alertname: "DiskFull" }, startsAt: BEGAN });
const RESOLVED = Alert.of({
  labels: { alertname: "DiskFull" },
  startsAt: BEGAN,
  endsAt: after(2 * HOUR),
  status: "resolved",
});

function tell(cx: Context, alert: Alert, found: Found): Facts {
  const text = `[${alert.status.toUpperCase()}] ${alert.name}`;
  return Incident.open(cx, alert, found, "alerts")
    .keepNote("verdict", "full")
    .tell({ text, blocks: new Blocks().section(text) });
}

const handler = defineHandler({
  name: "disk-full",
  version: "1.0.0",
  summary: "Says so.",
  storm: "one",
  act: tell,
  resolved: tell,
});

test("the message is posted, repeated and ended", () => {
  const host = new Host().now(BEGAN);
  assert.deepEqual(host.run(handler, FIRING).facts, {
    "slack.channel": "alerts",
    "slack.message": "mock:alerts:1",
    "slack.how": "posted",
  });
  assert.equal(host.posts[0]?.key, "message");
  const reminded = host
    .delivery("d-2")
    .now(after(4 * MINUTE))
    .run(handler, FIRING);
  assert.deepEqual(
    [reminded.facts["slack.how"], reminded.facts["slack.thread"]],
    ["updated", undefined],
    "another route has posted it",
  );
  host.delivery("d-3").now(after(HOUR)).run(handler, FIRING);
  assert.equal(host.posts[1]?.text, "Still firing after 1h.");
  const ended = host
    .delivery("d-4")
    .now(after(2 * HOUR + MINUTE))
    .run(handler, RESOLVED);
  assert.equal(ended.facts["slack.thread"], "posted");
  assert.deepEqual(
    [host.updates.at(-1)?.text, host.posts[2]?.text, host.posts[2]?.thread],
    ["[RESOLVED] DiskFull", "Resolved after 2h.", "mock:alerts:1"],
  );
});

test("a message that is gone is posted anew, and notes stay", () => {
  const host = new Host().now(BEGAN);
  host.run(handler, FIRING);
  host.delivery("d-2").now(after(HOUR)).slackError("not-found");
  assert.equal(host.run(handler, FIRING).facts["slack.how"], "posted");
  const incident = Incident.open(host.cx(), FIRING, new Found(), "alerts");
  assert.equal(incident.note("verdict"), "full");
  host
    .delivery("d-3")
    .now(after(2 * HOUR))
    .run(handler, RESOLVED);
  assert.equal(host.updates.at(-1)?.at, "mock:alerts:2");
});

test("a retry whose record does not have the post does not post again", () => {
  const host = new Host().now(BEGAN);
  host.run(handler, FIRING);
  assert.equal(host.attempt(1).run(handler, FIRING).facts["slack.how"], "posted");
  assert.equal(host.posts.length, 1);
});

test("a store that fails holds back no message", () => {
  const host = new Host().now(BEGAN).kvError("unavailable", "disk full").kvError("unavailable", "disk full");
  assert.equal(host.run(handler, FIRING).facts["slack.how"], "posted");
  assert.deepEqual(
    host.logs.map((line) => line.message),
    ["the incident's earlier message is not known", "the message could not be remembered; its end will be a new message"],
  );
});

test("a storm is one message, which later deliveries update", () => {
  const alerts = [1, 2, 3].map((n) => Alert.of({ labels: { alertname: "Down", pod: `p${n}` }, startsAt: BEGAN }));
  const [first, second] = alerts;
  assert.ok(first && second);
  const ended = Alert.of({ labels: { ...second.labels }, startsAt: BEGAN, endsAt: after(HOUR), status: "resolved" });
  const host = new Host().now(BEGAN).storm(Storm.of(alerts));
  host.run(handler, first);
  host.delivery("d-2").storm(Storm.of(alerts, { count: 5 }));
  assert.equal(host.run(handler, second).facts["slack.how"], "updated");
  host.delivery("d-3").storm(Storm.of(alerts, { count: 4 }));
  assert.equal(host.run(handler, second).facts["slack.how"], "outdated");
  host
    .delivery("d-4")
    .now(after(HOUR))
    .storm(Storm.of(alerts, { count: 5, resolved: 5 }));
  assert.equal(host.run(handler, ended).facts["slack.thread"], "posted");
  assert.equal(host.posts[1]?.text, "All 5 have resolved after 1h.");
});
