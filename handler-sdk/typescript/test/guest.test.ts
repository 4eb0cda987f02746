/** What a component exports, with the contract's values; and places in the author's files. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Alert,
  Block,
  defineHandler,
  PermanentError,
  RetryableError,
  Setting,
  UnavailableError,
  type Handler,
} from "../src/index.ts";
import { exportHooks } from "../src/guest.ts";
import { originalPlaces } from "../src/sourcemap.ts";
import type { Hooks, WireFailure } from "../src/wire.ts";

const CALL = { deliveryId: "d-1", attempt: 1, timeLeftMs: 30_000, dryRun: false };
const NOTHING = { facts: [], blocks: [] };
const FIRING = Alert.of({ labels: { alertname: "A" } }).toWire();
const RESOLVED = Alert.of({ labels: { alertname: "A" }, status: "resolved" }).toWire();

function hooks(handler: Handler): Hooks {
  const imports = { config: { get: () => null }, log: { write: () => undefined } };
  return exportHooks(() => ({ default: handler }), imports, "src/handler.ts");
}

const named = { name: "a", version: "1.0.0", summary: "A." };

test("a handler is described by what it has", () => {
  const act = (): {} => ({});
  const more = (handler: Handler): unknown => hooks(handler).describe().more;
  assert.deepEqual(hooks(defineHandler({ ...named, alerts: ["X"], act })).describe(), {
    ...named,
    alerts: ["X"],
    more: [["steps", "act"]],
  });
  assert.deepEqual(more(defineHandler({ ...named, enrich: () => ({}) })), [["steps", "enrich"]]);
  const settings = [Setting.integer("lines", "how many", { default: 3 })];
  assert.deepEqual(more(defineHandler({ ...named, enrich: () => ({}), resolved: act, storm: "one", settings })), [
    ["storm", "one"],
    ["settings", '[{"name":"lines","type":"integer","default":"3","about":"how many","required":false}]'],
  ]);
});

test("facts and blocks go out in the contract's form, sorted by name", () => {
  const handler = defineHandler({
    ...named,
    enrich: () => ({
      facts: { b: "2", a: "1", "\u{1f980}": "3", "\uffff": "4" },
      blocks: [Block.fields([["x", "y"]]), Block.table("t", ["c", "d"], [["1"]])],
    }),
    act: () => ({ z: "\ud800" }),
  });
  assert.deepEqual(hooks(handler).enrich(CALL, FIRING, NOTHING), {
    facts: [
      ["a", "1"],
      ["b", "2"],
      ["\uffff", "4"],
      ["\u{1f980}", "3"],
    ],
    blocks: [
      { tag: "fields", val: [["x", "y"]] },
      { tag: "table", val: { title: "t", header: ["c", "d"], rows: [["1", ""]] } },
    ],
  });
  assert.deepEqual(hooks(handler).act(CALL, FIRING, NOTHING), [["z", "\ufffd"]]);
  assert.deepEqual(hooks(handler).act(CALL, RESOLVED, NOTHING), [], "nothing is done about what it does not respond to");
});

test("a resolved alert is for `resolved`", () => {
  const handler = defineHandler({ ...named, act: () => ({ by: "act" }), resolved: () => ({ by: "resolved" }) });
  assert.deepEqual(hooks(handler).act(CALL, RESOLVED, NOTHING), [["by", "resolved"]]);
});

test("what is thrown becomes the contract's failure", () => {
  const payload = (error: unknown): WireFailure | undefined => {
    const handler = defineHandler({
      ...named,
      act: () => {
        throw error;
      },
    });
    try {
      hooks(handler).act(CALL, FIRING, NOTHING);
    } catch (thrown) {
      return (thrown as { payload?: WireFailure }).payload;
    }
    return undefined;
  };
  assert.deepEqual(payload(new RetryableError("later", { afterMs: 1.5 })), {
    tag: "retryable",
    val: { message: "later", afterMs: 2 },
  });
  assert.deepEqual(payload(new UnavailableError("down").withContext("reading")), {
    tag: "unavailable",
    val: { message: "reading: down", afterMs: undefined },
  });
  assert.deepEqual(payload(new PermanentError("never")), { tag: "permanent", val: "never" });
  assert.deepEqual(payload(new RetryableError("odd", { afterMs: NaN })), {
    tag: "retryable",
    val: { message: "odd", afterMs: undefined },
  });
  assert.equal(payload(new TypeError("a mistake")), undefined, "a trap");
});

test("random numbers are the same on a retry and others for another delivery", () => {
  const handler = defineHandler({ ...named, act: () => ({ random: String(Math.random()) }) });
  const random = (deliveryId: string): string | undefined =>
    hooks(handler).act({ ...CALL, deliveryId }, FIRING, NOTHING)[0]?.[1];
  assert.equal(random("d-1"), random("d-1"));
  assert.notEqual(random("d-1"), random("d-2"));
});

test("an error while the module is loaded names what was thrown", () => {
  const imports = { config: { get: () => null }, log: { write: () => undefined } };
  const load = (): never => {
    throw new ReferenceError("fetch is not defined");
  };
  assert.throws(
    () => exportHooks(load, imports, "src/handler.ts"),
    /^MisuseError: ReferenceError: fetch is not defined; use cx\.http\.get\(url\), .*, while the module was loaded; this runs once, when it is built$/,
  );
});

test("a place in the bundle is found in the author's file", () => {
  // Two lines: the first has segments of two files, one of them with a name, the second one that is 16 columns to the right and one line further.
  const map = { sources: ["../../../src/handler.ts", "../../../src/other.ts"], mappings: "AAAAA,QCGE;gBACA,CAAC" };
  const at = (line: number, column: number): unknown => {
    const place = originalPlaces(map, [{ file: "/bundle.js", line, column }])[0];
    return place && `${place.file}:${place.line}:${place.column}`;
  };
  assert.equal(at(1, 1), "src/handler.ts:1:1");
  assert.equal(at(1, 8), "src/handler.ts:1:1");
  assert.equal(at(1, 9), "src/other.ts:4:3");
  assert.equal(at(1, 90), "src/other.ts:4:3");
  assert.equal(at(2, 17), "src/other.ts:5:3");
  assert.equal(at(2, 18), "src/other.ts:5:4");
  assert.equal(at(3, 1), undefined);
});
