/** What an author writes: a handler. */

import type { Alert } from "./alert.ts";
import type { Context } from "./context.ts";
import type { Enrichment, Facts, Found } from "./enrichment.ts";
import type { Setting } from "./settings.ts";
import { callPlace } from "./stack.ts";

/**
 * An alert handler. It is synchronous: `async` and Promises are refused.
 *
 * A step may run more than once for one alert: after a failure that asks for a retry, or after a crash. Host calls that changed
 * something and succeeded are not repeated then; they return their recorded results.
 */
export interface HandlerDefinition {
  /** In kebab-case; a module is known by it. */
  readonly name: string;
  /** Semantic versioning. */
  readonly version: string;
  /** One sentence. */
  readonly summary: string;
  /** The alertnames that are routed to the handler if the configuration has no routes; `*` for any. */
  readonly alerts?: readonly string[];
  /** The settings that it reads. If there are any, `check` reports every other key in `config` as unknown. */
  readonly settings?: readonly Setting<unknown>[];
  /**
   * `"one"` if one run of `act` may represent many alerts of a storm, which `found.storm` describes. A handler that restarts a
   * pod or opens a ticket for each alert keeps `"each"`, the default.
   */
  readonly storm?: "one" | "each";

  /**
   * Finds out what a person or a later handler needs to know, and returns what it adds to `soFar`. Without it the handler only
   * acts, and the host starts one instance for an alert instead of two.
   *
   * It does not hold back a notification: if it fails, or takes longer than the operator allows, the pipeline continues with
   * the fact `enrich_failed.NAME`. Slack and timers are denied here.
   */
  enrich?(cx: Context, alert: Alert, soFar: Found): Enrichment;

  /**
   * Responds to a firing alert; returns facts about what it did, which the delivery's story records, `{}` if there are none.
   * Without it and `resolved` the handler only enriches.
   */
  act?(cx: Context, alert: Alert, found: Found): Facts;

  /** Responds to an alert that has resolved; returns facts. Without it nothing is done. */
  resolved?(cx: Context, alert: Alert, found: Found): Facts;
}

/** A handler, as {@link defineHandler} returns it. */
export interface Handler extends HandlerDefinition {
  /** Where `defineHandler` was called: `src/handler.ts:12:16`. */
  readonly definedAt: string | undefined;
}

const DEFINED = new WeakSet<object>();

/**
 * Defines a handler; a project has one, as the default export of its main file.
 *
 * ```ts
 * import { defineHandler } from "handler-sdk";
 *
 * export default defineHandler({
 *   name: "disk-full",
 *   version: "0.1.0",
 *   summary: "Says which disk fills up.",
 *   alerts: ["NodeFilesystemSpaceFillingUp"],
 *   act(cx, alert) {
 *     const disk = alert.label("mountpoint") ?? "a disk";
 *     cx.slack.post({ channel: "alerts", text: `${disk} fills up` });
 *     return { disk };
 *   },
 * });
 * ```
 */
export function defineHandler(definition: HandlerDefinition): Handler {
  // The definition itself is kept, so that `this` in its methods is the object that the author wrote.
  const handler = Object.defineProperty(definition, "definedAt", { get: callPlace(), enumerable: false }) as Handler;
  DEFINED.add(handler);
  return handler;
}

/** Returns whether a value is a handler. */
export function isHandler(value: unknown): value is Handler {
  return typeof value === "object" && value !== null && DEFINED.has(value);
}
