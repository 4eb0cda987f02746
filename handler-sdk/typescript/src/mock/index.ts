/**
 * A mock host in memory, for a handler's tests.
 *
 * ```ts
 * import assert from "node:assert/strict";
 * import { test } from "node:test";
 * import { Alert } from "handler-sdk";
 * import { Host } from "handler-sdk/mock";
 * import handler from "../src/handler.ts";
 *
 * test("it says who is on call", () => {
 *   const host = new Host().httpGet("https://rota.example.com/now", 200, "ada");
 *   host.run(handler, Alert.of({ labels: { alertname: "Down" } }));
 *   assert.equal(host.posts[0]?.text, "Down: ada");
 * });
 * ```
 *
 * The mock rejects what the real host rejects with its default limits: bad URLs and headers, bodies, keys and values that are
 * too large, more calls than a step may make, references to messages that were never posted. With {@link Host.attempt} a run is
 * a retry that is answered from the record. Unlike the real host, the mock throws at a message that Slack would reject for its
 * blocks or its length. It does not apply limits on the bytes of a whole step, of the record, or of what a handler returns.
 *
 * @packageDocumentation
 */

export { Host, Run } from "./host.ts";
export { Reply } from "./reply.ts";
export { alertFromJson } from "./alert.ts";
export { Storm } from "./storm.ts";
export type { LogLine, Post, Reaction, Request, Timer, Update, Upload } from "./sent.ts";
