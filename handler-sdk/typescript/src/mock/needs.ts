/** The needs that a project declares in its `package.json`. */

import { NEEDS, type Need } from "../context.ts";

/** What is used of Node's `process`: the SDK has no types of Node, because its other modules run in a component. */
interface NodeProcess {
  cwd(): string;
  getBuiltinModule?(name: "node:fs"): { readFileSync(file: string, encoding: "utf8"): string } | undefined;
}

/** Returns the needs of `package.json` in the current folder; `undefined` if it declares none, or cannot be read. */
export function declaredNeeds(): readonly Need[] | undefined {
  const node = (globalThis as { process?: NodeProcess }).process;
  const files = node?.getBuiltinModule?.("node:fs");
  if (node === undefined || files === undefined) return undefined;
  try {
    const json = JSON.parse(files.readFileSync(`${node.cwd()}/package.json`, "utf8")) as {
      alertManager?: { needs?: unknown };
    };
    const needs = json.alertManager?.needs;
    return Array.isArray(needs) ? NEEDS.filter((need) => needs.includes(need)) : undefined;
  } catch {
    return undefined;
  }
}
