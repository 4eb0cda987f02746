/**
 * What a component exports. Authors do not use this module: `alert-manager build` generates a file that does.
 *
 * ```js
 * import * as config from "alert-manager:handler/config@0.1.1";
 * import * as log from "alert-manager:handler/log@0.1.1";
 * import * as slack from "alert-manager:handler/slack@0.1.1";
 * import { exportHooks } from "handler-sdk/guest";
 * export const hooks = exportHooks(() => require("../../../src/handler.ts"), { config, log, slack }, "src/handler.ts");
 * ```
 *
 * The author's module is required, not imported, so that it is evaluated after the globals are in place, and so that an error
 * in it names the author's line. The first line of the bundle is `globalThis.handlerSourceMap = MAP;` with esbuild's source map
 * of the lines after it, without the sources' text.
 */

import { MisuseError } from "./check.ts";
import { NEEDS } from "./context.ts";
import { beginStep, installGlobals } from "./globals.ts";
import { isHandler, type Handler } from "./handler.ts";
import * as run from "./run.ts";
import { prepareStacks, traceOf } from "./stack.ts";
import type { Hooks, Imports, WireAlert, WireCall, WireEnrichment } from "./wire.ts";

installGlobals();

/**
 * Returns the component's exports for the handler of the author's module, which `load` evaluates. `imports` has what the
 * component's world imports, `main` is the module's file.
 */
export function exportHooks(load: () => Readonly<Record<string, unknown>>, imports: Imports, main: string): Hooks {
  prepareStacks();
  const handler = theHandler(evaluated(load), main);
  const step = (call: WireCall, alert: WireAlert, found: WireEnrichment, name: string): run.Step => {
    beginStep(imports.log, () => [call.deliveryId, alert.fingerprint, alert.status, name].join("\n"));
    return { handler, imports, call, alert, found };
  };
  return {
    describe: () => run.describe(handler),
    enrich: (call, alert, soFar) => run.enrich(step(call, alert, soFar, "enrich")),
    act: (call, alert, found) => run.act(step(call, alert, found, "act")),
  };
}

/** Evaluates the author's module: what it throws is an error of the build, which has only the message. */
function evaluated(load: () => Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  try {
    return load();
  } catch (error) {
    const [place] = traceOf(error);
    const why = run.explained(error);
    throw new MisuseError(
      `${why}${place === undefined ? "" : `, ${place}`}, while the module was loaded; this runs once, when it is built`,
    );
  }
}

/** Returns the one handler of a module, after a check of its form. A mistake is an error of the build. */
export function theHandler(module: Readonly<Record<string, unknown>>, main: string): Handler {
  const given = module["default"];
  const others = Object.keys(module).filter(
    (name) => name !== "default" && isHandler(module[name]) && module[name] !== given,
  );
  if (given === undefined) {
    const named = others.length > 0 ? ` (\`${others.join("`, `")}\` is exported by name)` : "";
    throw new MisuseError(`${main} has no default export${named}: write \`export default defineHandler({ … })\``);
  }
  if (!isHandler(given)) {
    throw new MisuseError(`the default export of ${main} is no handler: write \`export default defineHandler({ … })\``);
  }
  if (others.length > 0) {
    const why = "a project has one; make another project of the other, with `alert-manager new`";
    throw new MisuseError(`${main} exports more than one handler, \`default\` and \`${others.join("`, `")}\`: ${why}`);
  }
  checkForm(given, main);
  return given;
}

const FIELDS = ["name", "version", "summary", "alerts", "settings", "storm", "enrich", "act", "resolved"];

function checkForm(handler: Handler, main: string): void {
  const own = handler as unknown as Readonly<Record<string, unknown>>;
  for (const name of ["name", "version", "summary"]) {
    if (typeof own[name] !== "string" || own[name] === "") {
      throw new MisuseError(`the handler of ${main} has no \`${name}\`: add \`${name}: "…"\` to defineHandler`);
    }
  }
  for (const name of Object.keys(own)) {
    if (NEEDS.some((need) => need === name) || name === "needs") {
      throw new MisuseError(
        `the handler of ${main} has \`${name}\`: needs are in package.json, "alertManager": { "needs": […] }`,
      );
    }
    if (typeof own[name] === "function" && !FIELDS.includes(name) && FIELDS.includes(name.toLowerCase())) {
      throw new MisuseError(`the handler of ${main} has \`${name}\`: the method is called \`${name.toLowerCase()}\``);
    }
  }
  const methods = (["enrich", "act", "resolved"] as const).filter((name) => handler[name] !== undefined);
  if (methods.length === 0) {
    throw new MisuseError(`the handler of ${main} does nothing: give it \`act\`, which responds to an alert, or \`enrich\``);
  }
  for (const name of methods) {
    const kind = Object.prototype.toString.call(handler[name]);
    if (typeof handler[name] !== "function")
      throw new MisuseError(`\`${name}\` of ${main} is no method: write \`${name}(cx, alert, found) { … }\``);
    if (kind !== "[object Function]") {
      const async = kind.includes("Async");
      const remedy = async ? "remove `async` and `await`: calls like cx.http.get() return at once" : "remove the `*`";
      throw new MisuseError(
        `\`${name}\` of ${main} is ${async ? "async" : "a generator"}, but a handler is synchronous: ${remedy}`,
      );
    }
  }
  run.describe(handler);
}
