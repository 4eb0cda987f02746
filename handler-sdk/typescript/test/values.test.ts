/** UTF-8, times, severities, random numbers and settings. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  SEVERITY_WORDS,
  severityOf,
  Setting,
  decodeUtf8,
  encodeUtf8,
  human,
  parseDuration,
  slackDate,
} from "../src/index.ts";
import { Host } from "../src/mock/index.ts";
import { seeded } from "../src/random.ts";
import { parseHttpDate, parseTime } from "../src/time.ts";
import { utf8Length } from "../src/utf8.ts";

test("UTF-8 is what Node's encoder and decoder make of it", () => {
  for (const text of [
    "",
    "plain",
    "é",
    "監視",
    "🦀 and 👩‍👩‍👧",
    "half \ud800 and \udc00x",
    "\u0000\u007f\u0080\u07ff\u0800\uffff",
  ]) {
    assert.deepEqual(encodeUtf8(text), new TextEncoder().encode(text));
    assert.equal(utf8Length(text), new TextEncoder().encode(text).length);
    assert.equal(
      decodeUtf8(encodeUtf8(text)),
      new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(text)),
    );
  }
  const invalid = [
    [0x80],
    [0xc0, 0xaf],
    [0xe2, 0x28, 0xa1],
    [0xed, 0xa0, 0x80],
    [0xf0, 0x9f, 0xa6],
    [0xf4, 0x90, 0x80, 0x80],
    [0x61, 0xff, 0x62],
  ];
  for (const bytes of invalid.map((each) => new Uint8Array(each))) {
    assert.equal(decodeUtf8(bytes), new TextDecoder().decode(bytes), bytes.join());
  }
  const long = "é🦀".repeat(20_000);
  assert.equal(decodeUtf8(encodeUtf8(long)), long);
});

test("lengths of time are formatted for people and read from Prometheus' syntax", () => {
  assert.deepEqual([0, 350, 41_000, 723_000, 7_500_000, 86_400_000, 273_600_000].map(human), [
    "0s",
    "0s",
    "41s",
    "12m 3s",
    "2h 5m",
    "1d",
    "3d 4h",
  ]);
  assert.deepEqual(
    ["0", "500ms", "1h30m", "7d", "1y2w"].map(parseDuration),
    [0, 500, 5_400_000, 604_800_000, 32_745_600_000],
  );
  for (const text of ["", "1", "30m1h", "1h1h", "1.5h", "h", "1x"]) assert.equal(parseDuration(text), undefined, text);
});

test("times of alerts and of HTTP headers are read", () => {
  assert.equal(parseTime("2022-03-02T08:31:57.339+01:00")?.toISOString(), "2022-03-02T07:31:57.339Z");
  for (const text of ["", "now", "2022-13-02T07:31:57Z", "2022-03-02T07:31:57"])
    assert.equal(parseTime(text), undefined, text);
  assert.equal(parseHttpDate("Wed, 21 Oct 2026 07:28:00 GMT")?.toISOString(), "2026-10-21T07:28:00.000Z");
  assert.equal(parseHttpDate("soon"), undefined);
  assert.equal(slackDate(new Date(1_646_206_317_000)), "<!date^1646206317^{date_short_pretty} {time}|2022-03-02T07:31:57Z>");
});

test("each name of a severity is in the table once, and is matched in any case", () => {
  const all = Object.values(SEVERITY_WORDS).flat();
  assert.equal(new Set(all).size, all.length);
  assert.deepEqual(["CRITICAL", " Page ", "sev1", "Warn", "P2", "informational", "<!channel>", ""].map(severityOf), [
    "critical",
    "critical",
    "critical",
    "warning",
    "warning",
    "info",
    "unknown",
    "unknown",
  ]);
});

test("random numbers depend on the seed alone", () => {
  const numbers = (seed: string): number[] => Array.from({ length: 1_000 }, seeded(seed));
  assert.deepEqual(numbers("d-1"), numbers("d-1"));
  assert.notDeepEqual(numbers("d-1"), numbers("d-2"));
  assert.ok(numbers("d-1").every((number) => number >= 0 && number < 1));
  const mean = numbers("d-3").reduce((sum, number) => sum + number, 0) / 1_000;
  assert.ok(mean > 0.45 && mean < 0.55, String(mean));
});

test("settings are declared as the host reads them", () => {
  const settings = [
    Setting.channel("channel", "where it posts", { default: "alerts" }),
    Setting.oneOf("logs", ["on", "off"], "whether logs are shown"),
    Setting.origin("cluster.*.url", "the API server", { required: true }),
    Setting.list("teams", "who is told", { default: ["a"] }),
  ];
  assert.deepEqual(JSON.parse(JSON.stringify(settings)), [
    { name: "channel", type: "string", default: "alerts", about: "where it posts", required: false, refers_to: "channel" },
    { name: "logs", type: "string", about: "whether logs are shown", required: false, values: ["on", "off"] },
    { name: "cluster.*.url", type: "url", about: "the API server", required: true, refers_to: "origin" },
    { name: "teams", type: "list", default: '["a"]', about: "who is told", required: false },
  ]);
});

test("a setting is read by its declaration, as a value of its type", () => {
  const host = new Host()
    .config("lines", " 12 ")
    .config("wait", "1h30m")
    .config("teams", '["b"]')
    .config("cluster.main.url", "https://k8s")
    .config("loud", "true");
  const cx = host.cx();
  const lines: number = cx.setting(Setting.integer("lines", "lines", { default: 3 }));
  assert.equal(lines, 12);
  assert.equal(cx.setting(Setting.duration("wait", "the wait", { default: "30s" })), 5_400_000);
  assert.deepEqual(cx.setting(Setting.list("teams", "teams")), ["b"]);
  assert.equal(cx.setting(Setting.boolean("loud", "loud", { default: false })), true);
  assert.equal(cx.setting(Setting.string("none", "none")), undefined);
  const url = Setting.origin("cluster.*.url", "the API server");
  assert.equal(cx.settingFor(url, "main"), "https://k8s");
  assert.equal(cx.settingFor(url, "other"), undefined);
});

test("a default that the host would refuse is refused where it is declared", () => {
  const text = "is expected";
  const made: [declare: () => unknown, why: string][] = [
    [() => Setting.integer("x", "x", { default: 1.5 }), `\`1.5\`: a whole number ${text}`],
    [() => Setting.number("x", "x", { default: NaN }), `\`NaN\`: a number ${text}`],
    [() => Setting.duration("x", "x", { default: "soon" }), `\`soon\`: a duration like \`30s\` or \`1h30m\` ${text}`],
    [() => Setting.url("x", "x", { default: "a.example" }), `\`a.example\`: an http or https URL ${text}`],
    [() => Setting.origin("x", "x", { default: "ftp://a" }), `\`ftp://a\`: an http or https URL ${text}`],
  ];
  for (const [declare, why] of made) {
    assert.throws(declare, { name: "MisuseError", message: `the default of the setting \`x\` is ${why}` });
  }
});

test("a bad setting says which and why", () => {
  const cx = new Host()
    .config("lines", "dozen")
    .config("large", "9007199254740993")
    .config("wait", "soon")
    .config("logs", "loud")
    .config("teams", "{}")
    .cx();
  const message = (setting: Setting<unknown>): string => {
    try {
      return String(cx.setting(setting));
    } catch (error) {
      return String(error);
    }
  };
  const end = "correct it in the handler's `config`";
  assert.equal(
    message(Setting.integer("lines", "x")),
    `PermanentError: the setting \`lines\` is \`dozen\`: a whole number is expected; ${end}`,
  );
  assert.equal(
    message(Setting.integer("large", "x")),
    `PermanentError: the setting \`large\` is \`9007199254740993\`: a whole number from -(2^53 - 1) to 2^53 - 1 is expected; ${end}`,
  );
  assert.equal(
    message(Setting.duration("wait", "x")),
    `PermanentError: the setting \`wait\` is \`soon\`: a duration like \`30s\` or \`1h30m\` is expected; ${end}`,
  );
  assert.equal(
    message(Setting.oneOf("logs", ["on", "off"], "x")),
    `PermanentError: the setting \`logs\` is \`loud\`: one of \`on\`, \`off\` is expected; ${end}`,
  );
  assert.equal(
    message(Setting.list("teams", "x")),
    `PermanentError: the setting \`teams\` is \`{}\`: a list is expected; ${end}`,
  );
  assert.equal(
    message(Setting.string("key", "the key", { required: true })),
    "PermanentError: the setting `key` is missing (the key); set it in the handler's `config`",
  );
});
