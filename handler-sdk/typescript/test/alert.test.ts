/** Alerts, what is found about them, and storms. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Alert, Block, Found } from "../src/index.ts";
import { alertFromJson, Host, Storm } from "../src/mock/index.ts";
import { defineHandler } from "../src/index.ts";

test("the fingerprint is Alertmanager's", () => {
  // The same labels were sent to a server, which computes it as Alertmanager does.
  assert.equal(Alert.of({ labels: { alertname: "A" } }).fingerprint, "d2c6efc389df0927");
  assert.equal(Alert.of({ labels: { mode: "none", alertname: "A" } }).fingerprint, "2688e6ae9d8ad264");
});

test("labels and annotations are found by name; an empty one is missing", () => {
  const alert = Alert.of({
    labels: { alertname: "A", pod: "", constructor: "x" },
    annotations: { summary: " ", title: " t " },
  });
  assert.deepEqual([alert.label("pod"), alert.label("toString"), alert.label("constructor")], [undefined, undefined, "x"]);
  assert.deepEqual([alert.summary, alert.name], ["t", "A"]);
});

test("each occurrence is an incident of its own", () => {
  const alert = (extra: Record<string, string>): Alert =>
    Alert.of({ labels: { alertname: "A" }, startsAt: "2022-03-02T07:31:57.123456789Z", origin: { extra } });
  const first = alert({}).incidentKey;
  assert.equal(first, "d2c6efc389df0927@1646206317.123456789");
  assert.equal(alert({ "alert_manager.occurrence": "2" }).incidentKey, `${first}#2`);
  assert.equal(alert({ "alert_manager.occurrence": "many" }).incidentKey, first);
});

test("only web links are links, and Grafana's own pages come first", () => {
  const alert = Alert.of({
    labels: { alertname: "A" },
    annotations: { runbook_url: "javascript:alert(1)", dashboard: "https://old.example.com" },
    origin: { extra: { dashboardURL: "https://grafana.example.com/d/1" } },
  });
  assert.equal(alert.runbookUrl, undefined);
  assert.equal(alert.dashboardUrl, "https://grafana.example.com/d/1");
  assert.equal(Alert.of({ labels: {}, annotations: { runbook_url: "https://a b" } }).runbookUrl, undefined);
});

test("an alert of a sender is read from its JSON", () => {
  const alert = alertFromJson(
    '{"labels": {"alertname": "A", "severity": "PAGE"}, "startsAt": "2022-03-02T07:31:57.339Z", "endsAt": "0001-01-01T00:00:00Z", "status": "firing"}',
  );
  assert.deepEqual([alert.level, alert.severity, alert.endsAt, alert.isFiring], ["critical", "page", undefined, true]);
  assert.equal(alert.duration(new Date("2022-03-02T07:32:57.339Z")), 60_000);
  assert.equal(alert.delay, 30_000);
});

test("a storm is read from the host's facts", () => {
  const alerts = Array.from({ length: 240 }, (_, n) =>
    Alert.of({ labels: { alertname: "Down", expr: "a=b", namespace: `n${n % 12}`, pod: `web-${n}` } }),
  );
  let found = new Found();
  const handler = defineHandler({
    name: "storms",
    version: "1.0.0",
    summary: "Sees storms.",
    storm: "one",
    act(_cx, alert, given) {
      found = given;
      return { key: given.incidentKey(alert) };
    },
  });
  const first = alerts[0];
  assert.ok(first);
  const run = new Host().storm(Storm.of(alerts, { resolved: 212 })).run(handler, first, { facts: { owner: "a" } });
  const storm = found.storm;
  assert.ok(storm);
  assert.deepEqual([storm.count, storm.resolved, storm.firing, storm.isOver], [240, 212, 28, false]);
  assert.deepEqual(
    [storm.shared["expr"], storm.shared["alertname"], storm.valuesOf("pod"), storm.valuesOf("zone")],
    ["a=b", "Down", 240, undefined],
  );
  assert.equal(storm.names[1], "n1/web-1");
  assert.equal(run.facts["key"], "storm/d-1");
  assert.equal(found.fact("owner"), "a");
  assert.equal(new Found().storm, undefined);
  assert.equal(new Found({ facts: { "storm.id": "s", "storm.count": "x" } }).storm?.count, 1);
});

test("what a handler adds comes after what was found, and replaces facts of the same name", () => {
  const found = new Found({ facts: { a: "1", b: "2" }, blocks: [Block.markdown("x")] }).with({
    facts: { b: "3" },
    blocks: [Block.link("t", "https://a.example")],
  });
  assert.deepEqual({ ...found.facts }, { a: "1", b: "3" });
  assert.equal(found.blocks.length, 2);
  assert.deepEqual(new Found({ facts: { "enrich_failed.kube": "timed out" } }).failures, [["kube", "timed out"]]);
});
