/**
 * An SDK to write handlers for Alert Manager in TypeScript.
 *
 * A handler is a small WebAssembly component. `enrich` finds out what a person needs to know about an alert, and `act` responds
 * to it. Both reach the outside only through the context `cx`: HTTP, Slack, a key-value store, settings and a log, each as far
 * as the operator has granted it.
 *
 * ```ts
 * // src/handler.ts
 * import { Blocks, defineHandler, Setting } from "handler-sdk";
 *
 * const CHANNEL = Setting.channel("channel", "the Slack channel", { default: "alerts" });
 *
 * export default defineHandler({
 *   name: "disk-full",
 *   version: "0.1.0",
 *   summary: "Says which disk fills up.",
 *   alerts: ["NodeFilesystemSpaceFillingUp"],
 *   settings: [CHANNEL],
 *
 *   act(cx, alert, found) {
 *     const disk = alert.label("mountpoint") ?? "a disk";
 *     const blocks = new Blocks()
 *       .header(`${disk} fills up`)
 *       .section(alert.summary ?? "The alert says no more.")
 *       .enrichment(found);
 *     cx.slack.post({ channel: cx.setting(CHANNEL), text: `${disk} fills up`, blocks });
 *     return { disk };
 *   },
 * });
 * ```
 *
 * `alert-manager build` makes a component of it; `handler-sdk/mock` has a mock host for its tests.
 *
 * @packageDocumentation
 */

export { Alert, type AlertInit, type Labels, type Origin } from "./alert.ts";
export { Blocks, LIMITS, type TitledUrl } from "./blocks.ts";
export { MisuseError } from "./check.ts";
export { NotInNeedsError, type Call, type Context, type DeclaredNeeds, type Need, type NotInNeeds } from "./context.ts";
export { Block, Found, type Enrichment, type Facts } from "./enrichment.ts";
export { CallError, Failure, PermanentError, RetryableError, UnavailableError, type FailureOptions } from "./failure.ts";
export { defineHandler, type Handler, type HandlerDefinition } from "./handler.ts";
export { HostError, type History, type Occurrence, type Past } from "./history.ts";
export {
  encode,
  HttpError,
  type Http,
  type HttpErrorKind,
  type Method,
  type RequestOptions,
  type Response,
} from "./http.ts";
export { Incident, type IncidentContext } from "./incident.ts";
export { KvError, type KeepOptions, type Kv, type KvErrorKind } from "./kv.ts";
export type { Fields, Level, Log } from "./log.ts";
export { mask, MASK } from "./mask.ts";
export { Mrkdwn, type Text } from "./mrkdwn.ts";
export { Setting, type SettingJson, type SettingOptions } from "./settings.ts";
export { SEVERITY_WORDS, severityOf, type Severity } from "./severity.ts";
export {
  SlackError,
  type FileRef,
  type Message,
  type MessageRef,
  type Reply,
  type Shown,
  type Slack,
  type SlackErrorKind,
  type UploadedFile,
} from "./slack.ts";
export type { Storm } from "./storm.ts";
export { DAY, HOUR, human, MINUTE, parseDuration, parseTime, rfc3339, SECOND, slackDate } from "./time.ts";
export type { Timer } from "./timer.ts";
export { decodeUtf8, encodeUtf8 } from "./utf8.ts";
