/** What is found on pages of the kinds that runbooks are. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { encodeUtf8 } from "handler-sdk";
import { rawUrl } from "../src/address.ts";
import { digestOf, type Digest } from "../src/page.ts";

const SECTIONS = ["Diagnosis", "Troubleshooting"];

function digest(
  source: string,
  options: { type?: string; url?: string; sections?: string[]; charsMax?: number } = {},
): Digest {
  const page = { header: () => options.type, bytes: encodeUtf8(source) };
  return digestOf(page, {
    url: options.url ?? "https://r.example/x",
    sections: options.sections ?? SECTIONS,
    charsMax: options.charsMax ?? 2_000,
  });
}

const HTML = readFileSync("test/pages/hugo.html", "utf8");
const MARKDOWN = readFileSync("test/pages/mixin.md", "utf8");

test("the section of an HTML page is plain text, up to the next heading that is not below it", () => {
  assert.deepEqual(digest(HTML, { type: "text/html; charset=utf-8" }), {
    section: "Diagnosis",
    text: [
      "• Check template via kubectl -n $NAMESPACE get pod $POD.",
      "• Check pod events & logs, see debugging.",
      "kubectl logs <pod> --previous",
      "  | tail -n 20",
      "Memory",
      "OOMKilled means *too little* memory – raise the limit.",
    ].join("\n"),
  });
  assert.equal(digest(HTML).section, "Diagnosis", "without a content type too");
});

test("the section of a Markdown file is plain text", () => {
  assert.deepEqual(digest(MARKDOWN, { type: "text/plain" }), {
    section: "Troubleshooting",
    text: [
      "1. Look at the events: kubectl describe pod",
      "2. See the guide (https://guide.example/pods), graph and https://b.example.",
      "# not a heading",
      "kubectl get events",
      "cause  fix",
      "image  check the _tag_",
    ].join("\n"),
  });
});

test("a fragment names the section to look in", () => {
  const url = "https://github.com/o/r/tree/master/runbook.md#alert-name-kubepodcrashlooping";
  assert.deepEqual(digest(MARKDOWN, { url }), {
    section: 'Alert Name: "KubePodCrashLooping"',
    text: "+ Message: Pod {{ $labels.namespace }} is restarting\n+ Severity: critical".replaceAll("+", "•"),
  });
  assert.equal(digest(HTML, { url: "https://r.example/#memory" }).section, "Memory");
  assert.equal(digest(HTML, { url: "https://r.example/#none" }).section, "Diagnosis", "an unknown fragment says nothing");
});

test("why there is no digest is said", () => {
  assert.deepEqual(digest("# A\ntext"), { why: "the page has no section Diagnosis or Troubleshooting" });
  assert.deepEqual(digest("## Diagnosis\n\n## After\nx"), { why: "the section Diagnosis of the page is empty" });
  assert.deepEqual(digest("", { sections: ["A", "B", "C"] }), { why: "the page has no section A, B or C" });
});

test("a long section is cut between words, and of a long page the beginning is read", () => {
  const long = digest(`# Diagnosis\n${"word ".repeat(1_000)}`, { charsMax: 100 });
  assert.ok(long.section !== undefined && long.text.length <= 100 && long.text.endsWith("word…"), JSON.stringify(long));
  assert.match(JSON.stringify(digest(`${"x\n".repeat(100_000)}# Diagnosis\ntext`)), /has no section/);
  const halves = digest(`# Diagnosis\n${"🦀".repeat(200_000)}`, { charsMax: 10 });
  assert.ok(halves.section !== undefined && halves.text === `${"🦀".repeat(9)}…`);
});

test("a page that is not closed is read as far as it goes", () => {
  assert.deepEqual(digest("<html><h2>Diagnosis</h2><p>a<script>b", { type: "text/html" }), {
    section: "Diagnosis",
    text: "a",
  });
  assert.deepEqual(digest("<h2>Diagnosis</h2>&bogus; &#0; &#x110000; &lt;b&gt;<b", { type: "text/html" }), {
    section: "Diagnosis",
    text: "&bogus; &#0; &#x110000; <b><b",
  });
});

test("the file itself is read where a page only shows it", () => {
  assert.equal(rawUrl("https://github.com/o/r/blob/main/docs/a.md"), "https://raw.githubusercontent.com/o/r/main/docs/a.md");
  assert.equal(
    rawUrl("https://github.com/o/r/tree/master/runbook.md"),
    "https://raw.githubusercontent.com/o/r/master/runbook.md",
  );
  assert.equal(rawUrl("https://git.example.com/o/g/r/-/blob/main/a.md"), "https://git.example.com/o/g/r/-/raw/main/a.md");
  for (const url of ["https://r.example/a.md", "https://github.com/o/r/wiki/Home"]) assert.equal(rawUrl(url), url);
});
