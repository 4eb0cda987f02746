import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { alertFromJson, Host } from "handler-sdk/mock";
import handler from "../src/handler.ts";

const ALERT = alertFromJson(readFileSync("alert.json", "utf8"));

test("it posts the alert to the channel that is set", () => {
  const host = new Host().config("channel", "oncall");
  assert.deepEqual(host.run(handler, ALERT).facts, { posted: "yes" });
  assert.equal(host.posts[0]?.channel, "oncall");
  assert.equal(host.posts[0]?.text, "[FIRING] {{tested}}: {{summary}}");
});
