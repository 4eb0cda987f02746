/** The mistakes that the compiler finds, as `alert-manager build` runs it: with the project's needs and without Node's types. */

import assert from "node:assert/strict";
import { test } from "node:test";
import ts from "typescript";

const NEEDS = "interface AlertManagerNeeds { slack: true; kv: true }";

/** Returns what the compiler says about the bodies of `act`, in one program, because each takes a second to make. */
function judged(bodies: readonly string[]): string[] {
  const root = process.cwd();
  const config = ts.readConfigFile(`${root}/tsconfig.handler.json`, (file) => ts.sys.readFile(file)).config as {
    compilerOptions: object;
  };
  const { options } = ts.convertCompilerOptionsFromJson(
    {
      ...config.compilerOptions,
      noEmit: true,
      types: [],
      rewriteRelativeImportExtensions: false,
      allowImportingTsExtensions: true,
      paths: { "handler-sdk": [`${root}/src/index.ts`] },
    },
    root,
  );
  const files = new Map([[`${root}/test/needs.d.ts`, NEEDS]]);
  bodies.forEach((body, index) => files.set(`${root}/test/body${index}.ts`, source(body)));
  const host = ts.createCompilerHost(options);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (name) => files.has(name) || fileExists.call(host, name);
  host.readFile = (name) => files.get(name) ?? readFile.call(host, name);
  host.getSourceFile = (name, language, ...rest) => {
    const text = files.get(name);
    return text === undefined
      ? getSourceFile.call(host, name, language, ...rest)
      : ts.createSourceFile(name, text, language);
  };
  const program = ts.createProgram([...files.keys(), `${root}/guest-globals.d.ts`], options, host);
  return bodies.map((_, index) => {
    const diagnostics = ts.getPreEmitDiagnostics(program, program.getSourceFile(`${root}/test/body${index}.ts`));
    return diagnostics.map((each) => ts.flattenDiagnosticMessageText(each.messageText, " ").replace(/\s+/g, " ")).join("\n");
  });
}

function source(body: string): string {
  const imports =
    'import { Block, Blocks, defineHandler, Setting, type Context } from "handler-sdk";\nvoid [Block, Blocks, Setting] as unknown as Context;\n';
  return `${imports}export default defineHandler({ name: "a", version: "1.0.0", summary: "A.",\n  ${body}\n});\n`;
}

/** What the compiler says of a fact that is no text. */
function notFacts(parameters: string, fact: string, type: string): string {
  const needs = (text: string): string => text.replace("Context", 'Context<"slack" | "kv">');
  const act = needs("(cx: Context, alert: Alert, found: Found) => Facts");
  const isUndefined = type.endsWith("undefined") ? ` Type '${type}' is not assignable to type 'string | undefined'.` : "";
  return (
    `Type '(${needs(parameters)}) => { ${fact}: ${type}; }' is not assignable to type '${act}'. ` +
    `Type '{ ${fact}: ${type}; }' is not assignable to type 'Facts'. Property '${fact}' is incompatible with index signature.${isUndefined} ` +
    `Type '${type.split(" ")[0]}' is not assignable to type 'string'.`
  );
}

/** Methods of a handler, and what is said about them; nothing about those that are right. */
const CASES: readonly (readonly [body: string, said: string])[] = [
  [
    'act(cx) { cx.slack.post({ channel: "alerts", text: "x" }); cx.kv.set("a", "b", { ttlSeconds: 1 }); return { a: "b" }; },',
    "",
  ],
  ["act(cx, alert, found) { console.log(cx.now(), alert.label('pod'), found.storm?.count); return {}; },", ""],
  [
    "act(cx) { const lines: number = cx.setting(Setting.integer('n', 'n', { default: 1 })); return { lines: String(lines) }; },",
    "",
  ],
  [
    'act(cx) { cx.http.get("https://a.example"); return {}; },',
    `Property 'get' does not exist on type 'NotInNeeds<"add \\"http\\" to package.json: \\"alertManager\\": { \\"needs\\": [\\"http\\", …] }">'.`,
  ],
  [
    'act(cx) { cx.timer.after("k", 1); return {}; },',
    `Property 'after' does not exist on type 'NotInNeeds<"add \\"timer\\" to package.json: \\"alertManager\\": { \\"needs\\": [\\"timer\\", …] }">'.`,
  ],
  [
    'act() { fetch("https://a.example"); return {}; },',
    `This expression is not callable. Type 'NotInAHandler<"use cx.http.get(url), which returns the response at once">' has no call signatures.`,
  ],
  [
    "act() { setTimeout(() => undefined, 1); return {}; },",
    `This expression is not callable. Type 'NotInAHandler<"a handler cannot wait: throw RetryableError with afterMs, or use cx.timer.after(key, milliseconds)">' has no call signatures.`,
  ],
  [
    "act() { return { channel: process.env.CHANNEL }; },",
    `Property 'env' does not exist on type 'NotInAHandler<"a handler has no environment: declare a Setting and read it with cx.setting(SETTING)">'.`,
  ],
  [
    'act() { return { host: new URL("https://a.example").host }; },',
    `This expression is not constructable. Type 'NotInAHandler<"write the URL as text; encode(text) from handler-sdk percent-encodes a part of it">' has no construct signatures.`,
  ],
  ["act() { return { restarts: 14 }; },", notFacts("", "restarts", "number")],
  ["act(cx) { return { n: cx.setting(Setting.integer('n', 'n')) }; },", notFacts("cx: Context", "n", "number | undefined")],
];

/** What an author writes first, and is right. */
const RIGHT = [
  "act(cx, alert) { const owner = alert.label('owner'); if (owner === undefined) return {}; return { owner }; },",
  "act(cx, alert) { if (!alert.isFiring) return {}; if (alert.name === 'a') return { owner: 'x' }; return { owner: 'y', team: 'z' }; },",
  "act(cx, alert) { return { pod: alert.label('pod') }; },",
  "enrich(cx, alert) { if (!alert.isFiring) return {}; return { facts: { pod: alert.label('pod') } }; },",
  "enrich(cx, alert) { return { facts: alert.isFiring ? { owner: 'x' } : {} }; },",
];

test("facts may differ between the branches of a method, and one may be undefined", () => {
  assert.deepEqual(judged(RIGHT), RIGHT.map(() => ""));
});

test("what the compiler says names the remedy", () => {
  const said = judged(CASES.map(([body]) => body));
  CASES.forEach(([body, expected], index) => assert.equal(said[index], expected, body));
});

test("a method that is async, or returns nothing, is an error", () => {
  const [isAsync, isNothing] = judged(["async act() { return {}; },", "act() { },"]);
  assert.match(isAsync ?? "", /Promise<\{\}>' is not assignable to type 'Facts'/);
  assert.match(isNothing ?? "", /Type 'void' is not assignable to type 'Facts'/);
});
