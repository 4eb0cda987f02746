/** What is masked, what is not, and that a hostile text is scanned once. The tests of all SDKs read the same table. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { mask } from "../src/index.ts";
import { PREFIXES } from "../src/prefixes.ts";

const TABLE = JSON.parse(readFileSync("../shared/mask.json", "utf8")) as Record<string, [string, string][]>;
for (const [group, cases] of Object.entries(TABLE)) {
  test(group, () => {
    for (const [plain, masked] of cases) {
      assert.equal(mask(plain), masked);
      assert.equal(mask(masked), masked, "masking twice");
    }
  });
}

test("a token is masked however long it is", () => {
  assert.equal(mask(`ghp_${"a1".repeat(35_000)}`), "ghp_[masked]");
  assert.equal(mask(`token=${"a".repeat(2_048)}[masked]`), "token=[masked]");
  const id = `AKIA${"A".repeat(17)}`;
  assert.equal(mask(id), id);
});

test("a hostile text is read once", { timeout: 60_000 }, () => {
  for (const piece of [
    "a-",
    "eyJ-",
    "eyJ/",
    "AKIA-",
    "ghp_-",
    "token-",
    "Bearer ",
    "x://",
    "-----BEGIN ",
    "token='[masked] ",
  ]) {
    assert.ok(mask(piece.repeat(200_000 / piece.length)).length > 0);
  }
});

test("the list of prefixes is in byte order", () => {
  assert.deepEqual(
    [...PREFIXES].map(([prefix]) => prefix).sort(),
    PREFIXES.map(([prefix]) => prefix),
  );
});
