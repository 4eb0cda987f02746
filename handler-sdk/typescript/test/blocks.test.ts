/** Slack accepts what is built, and untrusted text in it cannot notify, link or end its block. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Block, Blocks, Found, LIMITS, Mrkdwn } from "../src/index.ts";
import { toMrkdwn } from "../src/markdown.ts";
import { charCount, jsonBytes, split, truncate } from "../src/markup.ts";
import { Host } from "../src/mock/index.ts";
import { utf8Length } from "../src/utf8.ts";

/** Lets the mock host check the blocks against Slack's limits, and returns what a person sees. */
function visible(blocks: Blocks): string {
  const host = new Host();
  host.cx().slack.post({ channel: "alerts", text: "text", blocks });
  return host.posts[0]?.visible ?? "";
}

/** Texts whose characters have one to four bytes, are escaped in JSON or in markup, or belong together. */
const ALPHABETS = ["word ", "größer ", "監視", "👩‍👩‍👧 ", '"\\\n', "<&> "];

test("every limit of Slack is kept", () => {
  const long = "&".repeat(50_000);
  const wide = Array.from({ length: 30 }, (_, n): [string, string] => [`name${n}`, long]);
  let blocks = new Blocks()
    .header(long)
    .section(long)
    .fields(wide)
    .context(wide.map(([name]) => name))
    .context([long])
    .buttons(wide.map(([name]) => [name, `https://example.com/${name}`]))
    .buttons([
      [long, "https://example.com"],
      ["too long", `https://example.com/${long}`],
    ])
    .excerpt(long, long)
    .excerpt("log", "line of a log\n".repeat(1_000))
    .markdown(long)
    .links([[long, "https://example.com"]]);
  for (let n = 0; n < 60; n += 1) blocks = blocks.divider();
  const shown = visible(blocks);
  assert.ok(utf8Length(blocks.toJSONText()) <= LIMITS.blocksBytes);
  assert.ok(shown.endsWith(`… and ${blocks.length - blocks.toJSON().length + 1} more blocks`), shown.slice(-200));
});

test("blocks over the limit of all together keep their head and their links", () => {
  for (const alphabet of ALPHABETS) {
    for (const count of [1, 2, 20, 70]) {
      let blocks = new Blocks().header("Disk full · db-1");
      for (let n = 0; n < count; n += 1) blocks = blocks.section(alphabet.repeat(3_000));
      blocks = blocks
        .links([
          ["Runbook", "https://r.example"],
          ["Silence", "https://s.example"],
        ])
        .context([`since 3:12 ${alphabet.repeat(200)}`]);
      const shown = visible(blocks);
      assert.ok(utf8Length(blocks.toJSONText()) <= LIMITS.blocksBytes);
      assert.ok(shown.startsWith("Disk full · db-1\n"));
      assert.ok(shown.includes("<https://r.example|Runbook> · <https://s.example|Silence>\nsince 3:12"), shown);
      assert.ok(charCount(shown) > 500, `${alphabet} ${count}: only ${charCount(shown)} characters are left`);
      if (count !== 2) assert.equal(shown.includes("more blocks"), count > 2);
    }
  }
});

test("paragraphs of any text lose nothing", () => {
  for (const alphabet of ALPHABETS) {
    const text = Array.from({ length: 900 }, (_, n) => `${n}: ${alphabet.trim()} `).join("");
    let all = "";
    let left = Mrkdwn.of(text);
    while (!left.isEmpty) {
      const [beginning, rest] = left.split({ lines: Infinity, chars: LIMITS.sectionChars, jsonBytes: 9_800 });
      assert.ok(charCount(String(beginning)) <= LIMITS.sectionChars);
      all += String(beginning);
      left = rest;
    }
    const bare = (markup: string): string => markup.replace(/[… \n]/g, "");
    assert.equal(bare(all), bare(String(Mrkdwn.of(text))), alphabet);
  }
});

test("a cut at any place leaves markup whole and loses nothing", () => {
  const pieces = [
    "plain words ",
    "&amp;&lt; ",
    "<https://a.example/x?y|a title> ",
    "größer 監視👩‍👩‍👧 ",
    "```\nlog line\nanother\n``` ",
    "\n",
  ];
  for (let start = 0; start < pieces.length; start += 1) {
    const text = Array.from({ length: 40 }, (_, n) => pieces[(start + n * n) % pieces.length]).join("");
    for (let chars = 20; chars < 600; chars += 7) {
      for (const lines of [2, 3, 7, Infinity]) {
        for (const bytes of [60, 400, Infinity]) {
          const [head, rest] = split(text, { lines, chars, jsonBytes: bytes });
          assert.ok(charCount(head) <= chars && head.split("\n").length <= lines && jsonBytes(head) <= bytes, head);
          for (const part of [head, rest]) {
            assert.equal(part.split("```").length % 2, 1, part);
            for (const [opens, closes] of [
              ["<", ">"],
              ["&", ";"],
            ] as const) {
              assert.equal(part.split(opens).length, part.split(closes).length, part);
            }
          }
          const bare = (markup: string): string => markup.replace(/[… \n`]/g, "");
          assert.equal(bare(head) + bare(rest), bare(text));
        }
      }
    }
  }
});

test("text from outside is inert", () => {
  const hostile = "<!channel> <@U1> <https://evil.example|click> &amp; \u202egnp.exe\u0007";
  assert.equal(
    String(Mrkdwn.of(hostile)),
    "&lt;!channel&gt; &lt;@U1&gt; &lt;https://evil.example|click&gt; &amp;amp; gnp.exe",
  );
  assert.equal(String(new Mrkdwn().bold("a\nb <c>")), "*a b &lt;c&gt;*");
  assert.equal(String(new Mrkdwn().code("a`b`")), "`a'b'`");
  assert.equal(String(new Mrkdwn().preformatted("a```b")), "```\na``\u200b`b\n```");
  const [section] = new Blocks().section(hostile).toJSON() as [{ text: { verbatim: boolean } }];
  assert.equal(section.text.verbatim, true, "Slack must not look for mentions itself");
  const [header] = new Blocks().header(hostile).toJSON() as [{ text: { text: string } }];
  assert.equal(header.text.text, "<!channel> <@U1> <https://evil.example|click> &amp; gnp.exe");
});

test("only http URLs become links", () => {
  assert.equal(String(new Mrkdwn().link("javascript:alert(1)", "click")), "click");
  assert.equal(
    String(new Mrkdwn().link("https://a.example/?q=<x>|y&z", "a|b")),
    "<https://a.example/?q=%3Cx%3E%7Cy&amp;z|a¦b>",
  );
  assert.equal(
    String(new Mrkdwn().prose("see (https://a.example/x), or http://b.example.")),
    "see (<https://a.example/x|https://a.example/x>), or <http://b.example|http://b.example>.",
  );
});

test("a cut leaves no half of an escape, a link or a code block", () => {
  const long = (start: string): string => truncate(start + "x".repeat(50), 20);
  assert.equal(long(""), `${"x".repeat(15)}…`);
  assert.equal(long("12345678901234&amp;"), "12345678901234…");
  assert.equal(long("1234 <https://example.com|x>"), "1234…");
  assert.equal(long("```\nabc\n"), "```\nabc\nxxxxxxx…\n```");
  assert.equal(truncate("short", 20), "short");
});

test("what is empty is left out", () => {
  const blocks = new Blocks()
    .header(" \n")
    .section("")
    .section(Mrkdwn.raw("  "))
    .fields({})
    .context([""])
    .links([])
    .buttons([["", "https://example.com"]]);
  assert.equal(blocks.excerpt("log", "\n\n").markdown("  ").enrichment(new Found()).length, 0);
});

test("an excerpt keeps its end", () => {
  const shown = visible(new Blocks().excerpt("Log", Array.from({ length: 1_000 }, (_, n) => `line ${n}\n`).join("")));
  assert.match(shown, /^\*Log\*\n```\n…\nline /);
  assert.match(shown, /line 999\n```$/);
});

test("every kind of block is rendered", () => {
  const found = new Found({
    blocks: [
      Block.markdown("## What changed\nImage **a** → `b`"),
      Block.fields({ Node: "n1", Empty: "" }),
      Block.table(
        "Pods",
        ["pod", "restarts"],
        [
          ["web-1", "14"],
          ["w", "3"],
        ],
      ),
      Block.excerpt("Log", "token=abc"),
      Block.link("A", "https://a.example"),
      Block.link("B", "https://b.example"),
      Block.image("CPU of n1", "image/png", new Uint8Array([1])),
      Block.custom("chart", "*see* [C](https://c.example)", "{}"),
    ],
  });
  assert.equal(
    visible(new Blocks().enrichment(found)),
    "*What changed*\nImage *a* → `b`\n*Node*\nn1\n*Empty*\n–\n*Pods*\n```\npod    restarts\nweb-1  14\nw      3\n```\n" +
      "*Log*\n```\ntoken=[masked]\n```\n<https://a.example|A> · <https://b.example|B>\nPicture, not shown here: CPU of n1\n" +
      "_see_ <https://c.example|C>",
  );
});

test("a table that is too long says how many rows are missing", () => {
  const rows = Array.from({ length: 500 }, (_, n) => [`pod-${n}`, "x".repeat(30)]);
  const shown = visible(new Blocks().table("Pods", ["pod", "what"], rows));
  const count = shown.split("pod-").length - 1;
  assert.ok(count > 20 && count < 200, String(count));
  assert.ok(shown.endsWith(`… and ${500 - count} more rows`), shown.slice(-100));
});

test("Markdown becomes mrkdwn", () => {
  for (const [markdown, expected] of [
    ["**bold** __bold__ *em* _em_ ~~gone~~", "*bold* *bold* _em_ _em_ ~gone~"],
    ["**a _b_ c**", "*a _b_ c*"],
    ["snake_case_name 2*3*4", "snake_case_name 2*3*4"],
    ["* star\n- dash\n  + nested\n1. first", "• star\n• dash\n  • nested\n1. first"],
    ["# Title **x** #\ntext", "*Title x*\ntext"],
    ["`a < b` <!here>", "`a &lt; b` &lt;!here&gt;"],
    ["```rust\nlet a = *b;\n```\nafter", "```\nlet a = *b;\n```\nafter"],
    ["```\nnever closed", "```\nnever closed\n```"],
    ["[t](https://a.example) [x](javascript:1) ![p](https://b.example)", "<https://a.example|t> x <https://b.example|p>"],
    ["https://a.example/x_y_z.", "<https://a.example/x_y_z|https://a.example/x_y_z>."],
    ["> quoted", "> quoted"],
    ["\\*not em\\*", "*not em*"],
    ["** not tight ** and 5 * 3", "** not tight ** and 5 * 3"],
    ["[not a link] (x)", "[not a link] (x)"],
  ] as const) {
    assert.equal(String(toMrkdwn(markdown)), expected, markdown);
  }
});
