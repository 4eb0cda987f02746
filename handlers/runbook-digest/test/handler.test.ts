/** What the handler adds to an alert, and when it reads the page. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Alert, Blocks, HOUR, MINUTE } from "handler-sdk";
import { alertFromJson, Host, Reply } from "handler-sdk/mock";
import handler from "../src/handler.ts";

const ALERT = alertFromJson(readFileSync("alert.json", "utf8"));
const URL = ALERT.runbookUrl ?? "";
const PAGE =
  "# Crash loops\n\n## Diagnosis\n\n- Look at `kubectl logs` and https://wiki.example.com/a_b_c\n- token=hunter2 <!channel> *x*\n";

/** Returns what people see in Slack. */
function visible(host: Host, alert = ALERT): string {
  const run = host.run(handler, alert);
  const slack = new Host({ needs: ["slack"] });
  slack.cx().slack.post({ channel: "alerts", text: "x", blocks: new Blocks().enrichment(run.found) });
  return slack.posts[0]?.visible ?? "";
}

test("the section is a fact and a block, as plain text", () => {
  const host = new Host().httpGet(URL, 200, PAGE);
  assert.equal(host.run(handler, ALERT).found.fact("runbook.section"), "Diagnosis");
  assert.equal(
    visible(host),
    "*Diagnosis*, from the runbook of KubePodCrashLooping\n• Look at kubectl logs and <https://wiki.example.com/a_b_c|https://wiki.example.com/a_b_c>\n• token=[masked] &lt;!channel&gt; x",
  );
});

test("a page is read once in an hour", () => {
  const host = new Host().httpGet(URL, 200, PAGE);
  const start = new Date("2026-03-02T08:00:00Z");
  const after = (ms: number): Date => new Date(start.getTime() + ms);
  host.now(start).run(handler, ALERT);
  host
    .delivery("d-2")
    .now(after(59 * MINUTE))
    .run(handler, ALERT);
  assert.equal(host.requests.length, 1);
  host
    .delivery("d-3")
    .now(after(HOUR + MINUTE))
    .run(handler, ALERT);
  assert.equal(host.requests.length, 2);
  assert.deepEqual(host.requests[0]?.headers, [["accept", "text/markdown, text/html, text/plain"]]);
});

test("a page without the section says so, and is asked for again soon", () => {
  const host = new Host().httpGet(URL, 200, "# Later").now(new Date(0));
  assert.deepEqual(
    { ...host.run(handler, ALERT).found.facts },
    { "runbook.section": "none: the page has no section Diagnosis, Troubleshooting or Investigation" },
  );
  assert.equal(visible(host.delivery("d-2")), "");
  host
    .delivery("d-3")
    .now(new Date(6 * MINUTE))
    .httpGet(URL, 200, PAGE);
  assert.equal(host.run(handler, ALERT).found.fact("runbook.section"), "Diagnosis");
});

test("why a page was not read is the step's failure", () => {
  const failure = (reply: Reply): string =>
    String(new Host().http("GET", URL, reply).run(handler, ALERT).enrichment.failure);
  assert.equal(failure(Reply.status(404, "no")), `PermanentError: GET ${URL}: answered 404: no`);
  assert.equal(failure(Reply.denied()), `PermanentError: GET ${URL}: not granted: not granted by the test`);
  assert.equal(failure(Reply.timeout()), `UnavailableError: GET ${URL}: timed out`);
  assert.match(
    failure(Reply.status(301).header("location", "https://new.example.com")),
    /redirects to https:\/\/new.example.com/,
  );
});

test("an alert without a runbook, or one that has resolved, is left alone", () => {
  const host = new Host();
  assert.deepEqual({ ...host.run(handler, Alert.of({ labels: { alertname: "A" } })).found.facts }, {});
  const resolved = Alert.of({ labels: { alertname: "A" }, annotations: { runbook_url: URL }, status: "resolved" });
  assert.deepEqual({ ...host.run(handler, resolved).found.facts }, {});
  assert.equal(host.requests.length, 0);
});

test("its settings decide what is looked for, how much is shown and how it is read", () => {
  const host = new Host()
    .config("sections", '["Impact"]')
    .config("chars", "10")
    .config("timeout", "2s")
    .config("credential", "wiki")
    .httpGet(URL, 200, "# Impact\nEverybody waits for a long time.");
  assert.equal(visible(host), "*Impact*, from the runbook of KubePodCrashLooping\nEverybody…");
  assert.deepEqual([host.requests[0]?.timeoutMs, host.requests[0]?.credential], [2_000, "wiki"]);
});

test("an address that is too long for a key is read each time", () => {
  const url = `https://r.example/${"x".repeat(600)}`;
  const alert = Alert.of({ labels: { alertname: "A" }, annotations: { runbook_url: url } });
  const host = new Host().httpGet(url, 200, PAGE);
  host.run(handler, alert);
  host.delivery("d-2").run(handler, alert);
  assert.equal(host.requests.length, 2);
  assert.deepEqual(host.keptKeys, []);
});

test("a digest that cannot be kept is shown all the same", () => {
  const host = new Host().kv("full", new Uint8Array(16 << 20)).httpGet(URL, 200, PAGE);
  const run = host.run(handler, ALERT);
  assert.equal(run.found.fact("runbook.section"), "Diagnosis");
  assert.deepEqual(host.keptKeys, ["full"]);
  assert.deepEqual(
    host.logs.map(({ level, message }) => [level, message]),
    [["warn", "the digest of a runbook is not kept"]],
  );
});

test("a setting that is changed shows at the next alert", () => {
  const host = new Host().httpGet(URL, 200, PAGE);
  host.run(handler, ALERT);
  host.config("sections", '["Crash loops"]');
  assert.equal(host.delivery("d-2").run(handler, ALERT).found.fact("runbook.section"), "Crash loops");
  host.config("chars", "10");
  host.delivery("d-3").run(handler, ALERT);
  assert.equal(host.requests.length, 3);
});
