/** Stack traces in the author's files and lines. */

import { originalPlace, type Place, type SourceMap } from "./sourcemap.ts";

declare global {
  /** The bundle's source map, which `alert-manager build` adds at the end of the bundle. */
  // eslint-disable-next-line no-var -- a property of globalThis
  var handlerSourceMap: SourceMap | undefined;
}

/** A line of a stack trace. */
interface Frame {
  readonly name: string;
  readonly place: Place;
}

/** Returns the stack trace of an error in the author's files: the SDK's own frames are left out, unless there are no others. */
export function traceOf(error: unknown): string[] {
  const frames = framesOf((error as { stack?: unknown } | undefined)?.stack);
  const own = frames.filter((frame) => !isOfSdk(frame.place.file));
  return (own.length === 0 ? frames : own).map(({ name, place }) => `at ${name === "" ? "" : `${name} `}(${shownPlace(place)})`);
}

/** Returns the author's place where an error was thrown: `src/handler.ts:12:9`. */
export function placeOf(error: unknown): string | undefined {
  return authorPlace((error as { stack?: unknown } | undefined)?.stack);
}

/**
 * Returns a function that gives the author's place of the call that this is called for. It is looked up later, because the
 * source map is at the end of the bundle.
 */
export function callPlace(): () => string | undefined {
  const { stack } = new Error();
  return () => authorPlace(stack);
}

/** Returns where a function begins, which only QuickJS knows. */
export function functionPlace(called: unknown): string | undefined {
  const { fileName, lineNumber, columnNumber } = called as { fileName?: string; lineNumber?: number; columnNumber?: number };
  if (typeof fileName !== "string" || typeof lineNumber !== "number" || lineNumber < 1) return undefined;
  return shownPlace(mapped({ file: fileName, line: lineNumber, column: columnNumber ?? 1 }));
}

function authorPlace(stack: unknown): string | undefined {
  const frame = framesOf(stack).find(({ place }) => !isOfSdk(place.file) && !place.file.startsWith("node:"));
  return frame === undefined ? undefined : shownPlace(frame.place);
}

function framesOf(stack: unknown): Frame[] {
  if (typeof stack !== "string") return [];
  return stack.split("\n").flatMap((line) => {
    const parts = /^\s*at (?:(.*?) ?\()?([^()]*?):(\d+)(?::(\d+))?\)?$/.exec(line);
    if (!parts) return [];
    const place = { file: parts[2] ?? "", line: Number(parts[3]), column: Number(parts[4] ?? 1) };
    return [{ name: (parts[1] ?? "").replace("<anonymous>", ""), place: mapped(place) }];
  });
}

function mapped(place: Place): Place {
  const map = globalThis.handlerSourceMap;
  return (map && originalPlace(map, place.line, place.column)) ?? place;
}

/** Returns whether a file is one of the SDK's: it is in the folder of this one. */
function isOfSdk(file: string): boolean {
  sdkFolder ??= folderOf(framesOf(new Error().stack)[0]?.place.file ?? "");
  return sdkFolder !== "" && (file.startsWith(sdkFolder) || file.includes("/node_modules/handler-sdk/"));
}

let sdkFolder: string | undefined;

function folderOf(file: string): string {
  // A bundle without a map is one file: nothing of it can be told apart.
  return file.endsWith("/bundle.js") ? "" : file.slice(0, file.lastIndexOf("/") + 1);
}

function shownPlace({ file, line, column }: Place): string {
  const path = file.replace(/^file:\/\//, "");
  const cwd = (globalThis as { process?: { cwd?(): string } }).process?.cwd?.();
  const shown = cwd !== undefined && path.startsWith(`${cwd}/`) ? path.slice(cwd.length + 1) : path;
  return `${shown}:${line}:${column}`;
}
