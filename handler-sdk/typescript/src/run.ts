/** Runs the steps of a handler: the checks of what it returns, and what becomes of what it throws. */

import { Alert } from "./alert.ts";
import * as check from "./check.ts";
import { contextOf } from "./context.ts";
import { Found, toWireEnrichment } from "./enrichment.ts";
import { failureOf, toWireFailure, type Failure } from "./failure.ts";
import { remedyFor } from "./globals.ts";
import type { Handler } from "./handler.ts";
import { forgetResponses, lastFailedResponse } from "./http.ts";
import { functionPlace, placeOf, traceOf } from "./stack.ts";
import type { Imports, WireAlert, WireCall, WireDescription, WireEnrichment, WireFailure, WireLabels } from "./wire.ts";

/** The methods of a handler that the host calls. */
export type Method = "enrich" | "act" | "resolved";

/** A failure on its way to the host: the contract's variant is in `payload`. */
export class StepFailure extends Error {
  readonly payload: WireFailure;

  constructor(failure: Failure) {
    super(failure.message, { cause: failure });
    this.payload = toWireFailure(failure);
  }
}

/** Returns the handler's description in the contract's form. */
export function describe(handler: Handler): WireDescription {
  const more: WireLabels = [];
  const acts = handler.act !== undefined || handler.resolved !== undefined;
  if (handler.enrich === undefined) more.push(["steps", "act"]);
  else if (!acts) more.push(["steps", "enrich"]);
  if (handler.storm === "one") more.push(["storm", "one"]);
  const settings = handler.settings ?? [];
  if (settings.length > 0) more.push(["settings", JSON.stringify(settings)]);
  const alerts = handler.alerts ?? [];
  if (!Array.isArray(alerts)) throw check.wrong("alerts", "an array of alertnames", alerts);
  return {
    name: check.text("name", handler.name),
    version: check.text("version", handler.version),
    summary: check.text("summary", handler.summary),
    alerts: alerts.map((name: unknown, index) => check.text(`alerts[${index}]`, name)),
    more,
  };
}

/** What a step is run with. */
export interface Step {
  readonly handler: Handler;
  readonly imports: Imports;
  readonly call: WireCall;
  readonly alert: WireAlert;
  readonly found: WireEnrichment;
  /** The clock; the host's by default. */
  readonly now?: () => Date;
}

/** Runs `enrich`. */
export function enrich(step: Step): WireEnrichment {
  if (step.handler.enrich === undefined) return { facts: [], blocks: [] };
  return run(step, "enrich", toWireEnrichment);
}

/** Runs `act`, or `resolved` if the alert has resolved. */
export function act(step: Step): WireLabels {
  const method = step.alert.status === "resolved" ? "resolved" : "act";
  return step.handler[method] === undefined ? [] : run(step, method, factsOf);
}

function factsOf(field: string, given: unknown): WireLabels {
  if (given === undefined) {
    throw new check.MisuseError(`${field} returned undefined: return facts, \`return {}\` if there are none`);
  }
  return check.facts(field, given);
}

function run<T>(step: Step, method: Method, convert: (field: string, given: unknown) => T): T {
  forgetResponses();
  const { handler, imports, call, alert, found } = step;
  const cx = contextOf(imports, call, step.now);
  let returned: unknown;
  try {
    returned = handler[method]?.(cx, Alert.fromWire(alert), Found.fromWire(found));
  } catch (error) {
    throw thrown(error, handler, method, imports);
  }
  if (check.isPromise(returned)) {
    // Node would report the rejection of a Promise that nobody waits for.
    Promise.resolve(returned).catch(() => undefined);
    const why = "the host does not wait for it; remove `async` and `await`: calls like cx.http.get() return at once";
    throw misuse(new check.MisuseError(`${method} returned a Promise: ${why}`), handler, method);
  }
  try {
    return convert(method, returned);
  } catch (error) {
    throw misuse(error, handler, method);
  }
}

/** Returns what the host is told of something that a handler has thrown. */
function thrown(error: unknown, handler: Handler, method: Method, imports: Imports): unknown {
  const failure = failureOf(error);
  if (failure !== undefined) return new StepFailure(failure);
  if (error instanceof check.MisuseError) return permanently(`${error.message} (${placeOf(error) ?? method})`);
  return unexpected(error, handler, method, imports);
}

/** Returns the failure for a wrong value that a method returned, with the place of the method. */
function misuse(error: unknown, handler: Handler, method: Method): unknown {
  if (!(error instanceof check.MisuseError)) return error;
  const place = functionPlace(handler[method]) ?? handler.definedAt;
  return permanently(place === undefined ? error.message : `${error.message} (${place})`);
}

function permanently(message: string): StepFailure {
  const failure: WireFailure = { tag: "permanent", val: message };
  return Object.assign(Object.create(StepFailure.prototype) as StepFailure, { message, payload: failure });
}

/**
 * Returns an error that makes the component trap, as a panic does in Rust: the step is tried once more, and is dead then. Its
 * message and its stack name the author's file and line; the log has them too.
 */
function unexpected(error: unknown, handler: Handler, method: Method, imports: Imports): Error {
  const trace = traceOf(error);
  // What is no Error has no stack: the place of the method is all that is known.
  if (trace.length === 0) trace.push(`at ${functionPlace(handler[method]) ?? handler.definedAt ?? method}`);
  const message = explained(error);
  imports.log.write("error", `${method} threw ${message}`, trace.length === 0 ? [] : [["stack", trace.join("\n")]]);
  const trap = new Error(trace[0] === undefined ? message : `${message}, ${trace[0]}`, { cause: error });
  trap.stack = trace.join("\n");
  return trap;
}

/** Returns what an error says, and what to do about it if that is known. */
export function explained(error: unknown): string {
  if (error instanceof check.MisuseError) return error.message;
  const given = error instanceof Error ? `${error.name}: ${error.message}` : `${check.describeValue(error)} was thrown; throw an Error, which names its line`;
  const remedy = remedyFor(error) ?? jsonHint(error);
  return remedy === undefined ? given : `${given}; ${remedy}`;
}

/** Returns why a text may be no JSON: it is the body of a response that was no success. */
function jsonHint(error: unknown): string | undefined {
  const failed = error instanceof SyntaxError ? lastFailedResponse() : undefined;
  return failed === undefined ? undefined : `${failed}: call errorForStatus() before its body is read as JSON`;
}
