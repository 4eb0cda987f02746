/** The mistakes that authors make, each with the message that it gets. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Alert,
  Block,
  defineHandler,
  type Context,
  type Enrichment,
  type Facts,
  type Handler,
  type HandlerDefinition,
} from "../src/index.ts";
import type { Need } from "../src/context.ts";
import { theHandler } from "../src/guest.ts";
import { Host, type Run } from "../src/mock/index.ts";

const ALERT = Alert.of({ labels: { alertname: "A" } });
/** What a context looks like to code that is not checked by tsc. */
type Any = any;

function run(act: (cx: Any) => unknown, host = new Host()): Run {
  return host.run(
    defineHandler({ name: "test", version: "1.0.0", summary: "Tests.", act: act as Handler["act"] & {} }),
    ALERT,
  );
}

/** Asserts the message of a permanent failure, and that it names a place in this file. */
function refused(act: (cx: Any) => unknown, message: string, host?: Host): void {
  const failure = run(act, host).failure;
  assert.ok(failure);
  assert.ok(failure.isPermanent());
  const place = / \(test\/mistakes\.test\.ts:\d+:\d+\)$/;
  assert.match(failure.message, place);
  assert.equal(failure.message.replace(place, ""), message);
}

/** Asserts what an error that makes the handler trap says, and that it names a place in this file. */
function traps(act: (cx: Any) => unknown, message: string, host?: Host): void {
  const place = /, at (.* \()?test\/mistakes\.test\.ts:\d+:\d+\)?$/;
  assert.throws(
    () => run(act, host),
    (error: Error) => {
      assert.match(error.message, place);
      assert.equal(error.message.replace(place, ""), message);
      return true;
    },
  );
}

test("a setting is read that the handler does not declare", () => {
  refused(
    (cx) => ({ lines: cx.config("log-lines") }),
    "the setting `log-lines` is read, but the handler does not declare it, so `check` would report it as unknown: " +
      'write `const LOG_LINES = Setting.string("log-lines", "what it sets")`, and add it to `settings: [LOG_LINES]`',
  );
  // What the server sets needs no declaration.
  assert.deepEqual(run((cx) => ({ story: cx.config("story_base") })).facts, {});
});

test("enrich returns a fact with a name of the host's", () => {
  const handler = defineHandler({
    name: "test",
    version: "1.0.0",
    summary: "Tests.",
    enrich: () => ({ facts: { "timer.key": "again" } }),
  });
  assert.throws(() => new Host().enrich(handler, ALERT), /enrich returned a fact "timer\.key": such names are the host's/);
});

test("facts of act are checked, and those with the host's names are dropped", () => {
  const acts = (facts: Record<string, string>): Run => run(() => facts);
  assert.deepEqual(acts({ "timer.key": "again", own: "1" }).facts, { own: "1" });
  assert.throws(() => acts({ "": "1" }), /act returned a fact without a valid name/);
  assert.throws(() => acts({ long: "x".repeat(8_193) }), /act returned fact_bytes: the fact "long", at most 8192/);
  const many = Object.fromEntries(Array.from({ length: 257 }, (_, index) => [`f${index}`, ""]));
  assert.throws(() => acts(many), /act returned facts: 257 facts, at most 256/);
});

test("act is async", () => {
  refused(
    async () => ({}),
    "act returned a Promise: the host does not wait for it; remove `async` and `await`: calls like cx.http.get() return at once",
  );
});

test("act returns nothing", () => {
  refused(() => undefined, "act returned undefined: return facts, `return {}` if there are none");
});

test("a fact is a number, a Date, bytes or an object", () => {
  refused(() => ({ restarts: 14 }), "act.restarts: text is expected, not the number 14: write String(…)");
  refused(() => ({ since: new Date(0) }), "act.since: text is expected, not a Date: write date.toISOString()");
  refused(() => ({ body: new Uint8Array(2) }), "act.body: text is expected, not a Uint8Array: write decodeUtf8(bytes)");
  refused(() => ({ pod: { name: "x" } }), "act.pod: text is expected, not an object: write JSON.stringify(…)");
  refused(() => ({ owner: null }), "act.owner: text is expected, not null");
});

test("act returns something else than facts", () => {
  refused(() => "done", 'act: an object with text values is expected, not the text "done"');
  refused(() => [["a", "b"]], "act: an object with text values is expected, not an array");
  refused(() => new Map([["a", "b"]]), "act: an object with text values is expected, not a Map");
});

test("enrich returns facts where an enrichment is expected, or a block that is none", () => {
  const enriches = (returned: unknown): string => {
    const enrich = (): Enrichment => returned as Enrichment;
    const handler = defineHandler({
      name: "test",
      version: "1.0.0",
      summary: "Tests.",
      enrich,
      act: (_cx, _alert, found) => Object.fromEntries(found.failures),
    });
    return (new Host().run(handler, ALERT).facts["test"] ?? "").replace(/ \(.*:\d+:\d+\)$/, "");
  };
  assert.equal(enriches({ owner: "a" }), "enrich.owner: an enrichment has only `facts` and `blocks`; facts go into `facts`");
  assert.equal(
    enriches({ blocks: ["text"] }),
    'enrich.blocks[0]: a block, as Block.markdown(…) returns it, is expected, not the text "text"',
  );
  assert.equal(
    enriches({ blocks: [Block.markdown(14 as unknown as string)] }),
    "enrich.blocks[0].text: text is expected, not the number 14: write String(…)",
  );
  assert.equal(enriches({ facts: { n: NaN } }), "enrich.facts.n: text is expected, not the number NaN: write String(…)");
});

test("a time to live is NaN, negative or a Date", () => {
  const message = "kv.set ttlSeconds: a number of at least 0 is expected, not";
  refused((cx) => cx.kv.set("a", "b", { ttlSeconds: NaN }), `${message} the number NaN`);
  refused((cx) => cx.kv.set("a", "b", { ttlSeconds: -1 }), `${message} the number -1`);
  refused((cx) => cx.kv.set("a", "b", { ttlSeconds: new Date(0) }), `${message} a Date`);
  refused(
    (cx) => cx.kv.set("a", "b", 60),
    "kv.set options: an object like { ttlSeconds: 60 } is expected, not the number 60",
  );
});

test("a value that is kept is no text and no bytes", () => {
  refused((cx) => cx.kv.set("a", 14), "kv.set value: text or a Uint8Array is expected, not the number 14");
  refused((cx) => cx.kv.set("a", undefined), "kv.set value: text or a Uint8Array is expected, not undefined");
  refused(
    (cx) => cx.kv.increment("a", 1.5),
    "kv.increment by: a whole number from -2147483648 to 2147483647 is expected, not the number 1.5",
  );
  refused(
    (cx) => cx.kv.increment("a", 3n),
    "kv.increment by: a whole number from -2147483648 to 2147483647 is expected, not the bigint 3n: write Number(…)",
  );
});

test("a message has no channel, a number as text, or Block Kit's JSON as blocks", () => {
  refused((cx) => cx.slack.post({ text: "x" }), "slack.post channel: text is expected, not undefined");
  refused(
    (cx) => cx.slack.post({ channel: "alerts", text: 14 }),
    "slack.post text: text is expected, not the number 14: write String(…)",
  );
  refused(
    (cx) => cx.slack.post("alerts", "x"),
    'slack.post: a message, { channel, text, … }, is expected, not the text "alerts"',
  );
  refused(
    (cx) => cx.slack.post({ channel: "alerts", text: "x", blocks: [] }),
    "slack.post blocks: new Blocks() is expected, not an array",
  );
});

test("a timer has a Date where a length of time is expected", () => {
  refused(
    (cx) => cx.timer.after("k", new Date(0)),
    "timer.after delayMs: a number of at least 0 is expected, not a Date",
  );
  refused(
    (cx) => cx.history.earlier({ same: "pod", withinSeconds: 1 }),
    'history.earlier same: an array of label names is expected, not the text "pod"',
  );
});

test("a request has options that are no object, or a body that JSON does not have", () => {
  const host = new Host().httpGet("https://a.example", 200);
  refused(
    (cx) => cx.http.get("https://a.example", "json"),
    'http get options: an object is expected, not the text "json"',
    host,
  );
  refused(
    (cx) => cx.http.post("https://a.example", { json: undefined }),
    "http post json: a value that JSON has is expected, not undefined",
  );
  refused((cx) => cx.http.get(undefined), "http get url: text is expected, not undefined");
  refused(
    (cx) => cx.http.request("get", "https://a.example"),
    'http method: one of GET, HEAD, POST, PUT, PATCH, DELETE is expected, not the text "get"',
  );
});

test("an interface that is not in needs is used", () => {
  const needs = { needs: ["slack"] as const };
  refused(
    (cx) => cx.http.get("https://a.example"),
    'cx.http is not in the project\'s needs; add it in package.json: "alertManager": { "needs": ["slack", "http"] }',
    new Host(needs),
  );
});

test("a value of the host is missing, and is used", () => {
  const read = (value: unknown): string => (value as { length: { x: string } }).length.x;
  traps(() => ({ x: read(undefined) }), "TypeError: Cannot read properties of undefined (reading 'length')");
});

test("something is thrown that is no error", () => {
  traps(() => {
    throw "text";
  }, 'the text "text" was thrown; throw an Error, which names its line');
});

test("the body of a 404 is parsed as JSON by hand", () => {
  const host = new Host().httpGet("https://a.example/x", 404, "<html>");
  assert.throws(
    () => run((cx) => ({ x: JSON.parse(cx.http.get("https://a.example/x").text()) as string }), host),
    /^Error: SyntaxError: .*; GET https:\/\/a\.example\/x answered 404: call errorForStatus\(\) before its body is read as JSON, at /,
  );
});

test("what Node has and a handler does not is used", () => {
  for (const [name, remedy] of [
    ["fetch", "use cx.http.get(url), which returns the response at once"],
    ["setTimeout", "a handler cannot wait: throw RetryableError with afterMs, or use cx.timer.after(key, milliseconds)"],
    ["crypto", "a handler has no cryptography: the host signs and adds credentials; Math.random() is seeded for each step"],
    ["URL", "write the URL as text; encode(text) from handler-sdk percent-encodes a part of it"],
    ["process", "a handler has no environment: declare a Setting and read it with cx.setting(SETTING)"],
    ["Buffer", "use Uint8Array, encodeUtf8 and decodeUtf8 from handler-sdk"],
  ]) {
    // QuickJS' error, as it is thrown in a component.
    traps(() => {
      throw new ReferenceError(`${name} is not defined`);
    }, `ReferenceError: ${name} is not defined; ${remedy}`);
  }
});

/** Asserts what the build says about a module. */
function build(module: Record<string, unknown>, message: string): void {
  assert.throws(() => theHandler(module, "src/handler.ts"), { message });
}

const named = { name: "a", version: "1.0.0", summary: "A." };
const act = (): Facts => ({});

test("there is no default export, or it is no handler", () => {
  build({}, "src/handler.ts has no default export: write `export default defineHandler({ … })`");
  build(
    { handler: defineHandler({ ...named, act }) },
    "src/handler.ts has no default export (`handler` is exported by name): write `export default defineHandler({ … })`",
  );
  build(
    { default: { ...named, act } },
    "the default export of src/handler.ts is no handler: write `export default defineHandler({ … })`",
  );
});

test("there are two handlers", () => {
  build(
    { default: defineHandler({ ...named, act }), second: defineHandler({ ...named, act }) },
    "src/handler.ts exports more than one handler, `default` and `second`: a project has one; make another project of the other, with `alert-manager new`",
  );
});

test("a handler has no name, does nothing, or a method that is called otherwise", () => {
  build(
    { default: defineHandler({ ...named, version: "", act }) },
    'the handler of src/handler.ts has no `version`: add `version: "…"` to defineHandler',
  );
  build(
    { default: defineHandler(named) },
    "the handler of src/handler.ts does nothing: give it `act`, which responds to an alert, or `enrich`",
  );
  build(
    { default: defineHandler({ ...named, act, onResolved: act, Resolved: act } as HandlerDefinition) },
    "the handler of src/handler.ts has `Resolved`: the method is called `resolved`",
  );
  build(
    { default: defineHandler({ ...named, act: {} as typeof act }) },
    "`act` of src/handler.ts is no method: write `act(cx, alert, found) { … }`",
  );
});

test("a method is async or a generator, or needs are in the handler", () => {
  const asyncAct = (async () => ({})) as unknown as typeof act;
  build(
    { default: defineHandler({ ...named, act: asyncAct }) },
    "`act` of src/handler.ts is async, but a handler is synchronous: remove `async` and `await`: calls like cx.http.get() return at once",
  );
  const generator = function* () {} as unknown as typeof act;
  build(
    { default: defineHandler({ ...named, act: generator }) },
    "`act` of src/handler.ts is a generator, but a handler is synchronous: remove the `*`",
  );
  build(
    { default: defineHandler({ ...named, act, needs: ["http"] } as HandlerDefinition) },
    'the handler of src/handler.ts has `needs`: needs are in package.json, "alertManager": { "needs": […] }',
  );
});

test("a name of the description is no text", () => {
  build(
    { default: defineHandler({ ...named, alerts: [7 as unknown as string], act }) },
    "alerts[0]: text is expected, not the number 7: write String(…)",
  );
});

// The types say the same before anything runs.
void ((cx: Context<"slack">, all: Context<Need>): void => {
  // @ts-expect-error -- http is not in the needs
  cx.http.get("https://a.example");
  all.http.get("https://a.example");
});
