/**
 * The contract's values as componentize-qjs passes them: `wit/handler.wit` in JavaScript. Authors do not use this module.
 *
 * Names are in camel case, an absent option is `null` or `undefined`, a list of bytes is a `Uint8Array`, a variant is
 * `{ tag, val }`, and the error of a `result` is thrown with the variant in `payload`.
 */

/** An option, absent as `null` or `undefined`. */
export type Option<T> = T | null | undefined;

/** Names with values, sorted by name, each name once. */
export type WireLabels = [string, string][];

/** A moment in UTC since 1970-01-01T00:00:00Z. */
export interface WireTimestamp {
  seconds: number;
  nanoseconds: number;
}

/** Where an alert came from. */
export interface WireOrigin {
  sender: string;
  receiver: Option<string>;
  groupKey: Option<string>;
  groupLabels: WireLabels;
  externalUrl: Option<string>;
  extra: WireLabels;
}

/** One alert. */
export interface WireAlert {
  fingerprint: string;
  name: string;
  status: "firing" | "resolved";
  labels: WireLabels;
  annotations: WireLabels;
  startsAt: WireTimestamp;
  endsAt: Option<WireTimestamp>;
  generatorUrl: Option<string>;
  receivedAt: WireTimestamp;
  origin: WireOrigin;
}

/** The invocation that a handler finds itself in. */
export interface WireCall {
  deliveryId: string;
  attempt: number;
  timeLeftMs: number;
  dryRun: boolean;
}

/** Something for people to read. */
export type WireBlock =
  | { tag: "markdown"; val: string }
  | { tag: "fields"; val: [string, string][] }
  | { tag: "table"; val: { title: string; header: string[]; rows: string[][] } }
  | { tag: "excerpt"; val: { title: string; text: string } }
  | { tag: "link"; val: { title: string; url: string } }
  | { tag: "image"; val: { title: string; mediaType: string; data: Uint8Array } }
  | { tag: "custom"; val: { kind: string; fallback: string; data: string } };

/** What is known of an alert besides itself. */
export interface WireEnrichment {
  facts: WireLabels;
  blocks: WireBlock[];
}

/** A failure that may pass. */
export interface WireRetry {
  message: string;
  afterMs: Option<number>;
}

/** Decides whether a step is tried again. */
export type WireFailure =
  { tag: "retryable"; val: WireRetry } | { tag: "unavailable"; val: WireRetry } | { tag: "permanent"; val: string };

/** Who a handler is. */
export interface WireDescription {
  name: string;
  version: string;
  summary: string;
  alerts: string[];
  more: WireLabels;
}

/** An HTTP request. */
export interface WireRequest {
  method: "get" | "head" | "post" | "put" | "patch" | "delete";
  url: string;
  headers: [string, string][];
  body: Option<Uint8Array>;
  credential: Option<string>;
  key: Option<string>;
  timeoutMs: Option<number>;
}

/** An HTTP response. */
export interface WireResponse {
  status: number;
  headers: [string, string][];
  body: Uint8Array;
}

/** A Slack message. */
export interface WireMessage {
  channel: string;
  text: string;
  blocks: Option<string>;
  thread: Option<string>;
  key: Option<string>;
}

/** A file for Slack. */
export interface WireFile {
  name: string;
  title: string;
  mediaType: string;
  data: Uint8Array;
  key: Option<string>;
}

/** One time that an alert fired. */
export interface WireOccurrence {
  deliveryId: string;
  startsAt: WireTimestamp;
  endsAt: Option<WireTimestamp>;
  state: string;
}

/** The level of a log line. */
export type WireLevel = "trace" | "debug" | "info" | "warn" | "error";

/** The host's functions, by interface. An interface outside the component's world is absent. */
export interface Imports {
  config: { get(key: string): Option<string> };
  log: { write(level: WireLevel, message: string, fields: [string, string][]): void };
  http?: { send(request: WireRequest): WireResponse };
  slack?: {
    post(message: WireMessage): string;
    update(at: string, message: WireMessage): string;
    react(at: string, emoji: string): void;
    upload?(file: WireFile): string;
  };
  kv?: {
    get(key: string): Option<Uint8Array>;
    set(key: string, value: Uint8Array, ttlSeconds: Option<number>): void;
    setIfAbsent(key: string, value: Uint8Array, ttlSeconds: Option<number>): boolean;
    increment(key: string, by: number, ttlSeconds: Option<number>): number | bigint;
    remove(key: string): void;
  };
  history?: { earlier(same: string[], withinSeconds: number): { count: number; occurrences: WireOccurrence[] } };
  timer?: {
    after(key: string, delaySeconds: number, facts: WireLabels): void;
    cancel(key: string): void;
  };
}

/** The functions that a component exports. */
export interface Hooks {
  describe(): WireDescription;
  enrich(call: WireCall, alert: WireAlert, soFar: WireEnrichment): WireEnrichment;
  act(call: WireCall, alert: WireAlert, found: WireEnrichment): WireLabels;
}
