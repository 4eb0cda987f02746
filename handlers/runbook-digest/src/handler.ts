/** Reads the page behind an alert's `runbook_url` and shows its Diagnosis section. */

import {
  Block,
  DAY,
  defineHandler,
  encodeUtf8,
  KvError,
  mask,
  MINUTE,
  SECOND,
  Setting,
  type Alert,
  type Context,
  type Enrichment,
} from "handler-sdk";
import { rawUrl, withoutFragment } from "./address.ts";
import { digestOf, type Digest } from "./page.ts";

const SECTIONS = Setting.list("sections", "the headings to look for, the most wanted first", {
  default: ["Diagnosis", "Troubleshooting", "Investigation"],
});
const CHARS = Setting.integer("chars", "how many characters of the section are shown", { default: 1_200 });
const KEEP = Setting.duration("keep", "how long a page is kept before it is read again", { default: "1h" });
const TIMEOUT = Setting.duration("timeout", "how long a page may take", { default: "5s" });
const CREDENTIAL = Setting.credential("credential", "the credential for the pages", { default: "" });

/** A page that has no such section is asked for again after so long, since somebody may be writing it. */
const KEEP_WITHOUT_SECTION_MS = 5 * MINUTE;
/** The longest key of kv. A digest with a longer one is not kept. */
const KEY_BYTES_MAX = 512;

export default defineHandler({
  name: "runbook-digest",
  version: "0.1.0",
  summary: "Shows the Diagnosis section of an alert's runbook.",
  alerts: ["*"],
  settings: [SECTIONS, CHARS, KEEP, TIMEOUT, CREDENTIAL],

  enrich(cx, alert) {
    const url = alert.runbookUrl;
    if (url === undefined || alert.isResolved) return {};
    const digest = kept(cx, url) ?? read(cx, url);
    return shown(digest, alert);
  },
});

/** Returns what an earlier alert has found at this address. */
function kept(cx: Context, url: string): Digest | undefined {
  const key = keyOf(cx, url);
  return key === undefined ? undefined : cx.kv.getJson<Digest>(key);
}

/** Reads the page. Its failure is that of the step: the message then says why the alert was not enriched. */
function read(cx: Context, url: string): Digest {
  const credential = cx.setting(CREDENTIAL);
  const response = cx.http
    .get(rawUrl(withoutFragment(url)), {
      headers: { accept: "text/markdown, text/html, text/plain" },
      timeoutMs: cx.setting(TIMEOUT),
      ...(credential === "" ? {} : { credential }),
    })
    .errorForStatus();
  const sections = cx.setting(SECTIONS).map(String);
  const digest = digestOf(response, { url, sections, charsMax: cx.setting(CHARS) });
  const keepMs = digest.section === undefined ? Math.min(KEEP_WITHOUT_SECTION_MS, cx.setting(KEEP)) : cx.setting(KEEP);
  keep(cx, url, digest, keepMs);
  return digest;
}

/** Keeps a digest. If that fails, the page is read again at the next alert: this one is shown what was read. */
function keep(cx: Context, url: string, digest: Digest, keepMs: number): void {
  const key = keyOf(cx, url);
  if (key === undefined) return;
  try {
    cx.kv.setJson(key, digest, { ttlSeconds: Math.min(keepMs, 30 * DAY) / SECOND });
  } catch (error) {
    if (!(error instanceof KvError)) throw error;
    cx.log.warn("the digest of a runbook is not kept", { url: withoutFragment(url), error: error.message });
  }
}

/** Returns the key of a digest in kv. It names the settings that a digest depends on, so that a change of them shows. */
function keyOf(cx: Context, url: string): string | undefined {
  const key = `page ${url} ${cx.setting(CHARS)} ${JSON.stringify(cx.setting(SECTIONS))}`;
  return encodeUtf8(key).length > KEY_BYTES_MAX ? undefined : key;
}

/** Returns the section for programs and for people. */
function shown(digest: Digest, alert: Alert): Enrichment {
  if (digest.section === undefined) return { facts: { "runbook.section": `none: ${digest.why}` } };
  const title = `**${literally(digest.section)}**, from the runbook of ${literally(alert.name)}`;
  return {
    facts: { "runbook.section": digest.section },
    blocks: [Block.markdown(`${title}\n${literally(mask(digest.text))}`)],
  };
}

/** Returns text as Markdown that shows it as it is. URLs stay, so that they are links. */
function literally(text: string): string {
  const parts = text.split(/(https?:\/\/[^\s)<>"`|]+)/);
  return parts.map((part, index) => (index % 2 === 1 ? part : part.replace(/[\\`*_~[\]#>!]/g, "\\$&"))).join("");
}
