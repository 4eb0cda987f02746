/** Stack traces in the author's files and lines. */

import { originalPlaces, prepare, type Place, type SourceMap } from "./sourcemap.ts";

declare global {
  /** The source map of the bundle without its first line, in which `alert-manager build` sets it. */
  var handlerSourceMap: SourceMap | undefined;
}

/**
 * A map that is longer is not read. The SDK and a handler of some hundred lines have a fifth of it.
 */
const MAPPINGS_CHARS_MAX = 300_000;

/** A line of a stack trace. */
interface Frame {
  readonly name: string;
  readonly place: Place;
}

/** Reads the bundle's source map, when the component is built: an alert has little CPU time. */
export function prepareStacks(): void {
  const map = globalThis.handlerSourceMap;
  if (map !== undefined && map.mappings.length <= MAPPINGS_CHARS_MAX) prepare(map);
}

/** Returns the stack trace of an error in the author's files: the SDK's own frames are left out, unless there are no others. */
export function traceOf(error: unknown): string[] {
  const frames = framesOf((error as { stack?: unknown } | undefined)?.stack);
  const own = frames.filter((frame) => !isOfSdk(frame.place.file));
  return (own.length === 0 ? frames : own).map(({ name, place }) =>
    name === "" ? `at ${shownPlace(place)}` : `at ${name} (${shownPlace(place)})`,
  );
}

/** Returns the author's place where an error was thrown: `src/handler.ts:12:9`. */
export function placeOf(error: unknown): string | undefined {
  return authorPlace((error as { stack?: unknown } | undefined)?.stack);
}

/** Returns a function that gives the author's place of the call that this is called for. Only an error asks for it. */
export function callPlace(): () => string | undefined {
  const { stack } = new Error();
  return () => authorPlace(stack);
}

/** Returns where a function begins, which only QuickJS knows. */
export function functionPlace(called: unknown): string | undefined {
  const { fileName, lineNumber, columnNumber } = called as { fileName?: string; lineNumber?: number; columnNumber?: number };
  if (typeof fileName !== "string" || typeof lineNumber !== "number" || lineNumber < 1) return undefined;
  const place: Place = { file: fileName, line: lineNumber, column: columnNumber ?? 1 };
  return shownPlace(mapped([place])[0] ?? place);
}

function authorPlace(stack: unknown): string | undefined {
  const frame = framesOf(stack).find(({ place }) => !isOfSdk(place.file) && !place.file.startsWith("node:"));
  return frame === undefined ? undefined : shownPlace(frame.place);
}

function framesOf(stack: unknown): Frame[] {
  if (typeof stack !== "string") return [];
  const frames = stack.split("\n").flatMap((line) => {
    const parts = /^\s*at (?:(.*?) ?\()?([^()]*?):(\d+)(?::(\d+))?\)?$/.exec(line);
    // `<input>` is the text of JSON.parse.
    if (!parts || parts[2]?.startsWith("<")) return [];
    const place = { file: parts[2] ?? "", line: Number(parts[3]), column: Number(parts[4] ?? 1) };
    const name = parts[1] ?? "";
    // A module that is loaded has its path as a name.
    return [{ name: name === "<anonymous>" || name.includes("/") ? "" : name, place }];
  });
  const places = mapped(frames.map((frame) => frame.place));
  return frames.map((frame, index) => ({ name: frame.name, place: places[index] ?? frame.place }));
}

function mapped(places: readonly Place[]): readonly (Place | undefined)[] {
  const map = globalThis.handlerSourceMap;
  if (map === undefined || map.mappings.length > MAPPINGS_CHARS_MAX) return places;
  return originalPlaces(
    map,
    places.map((place) => ({ ...place, line: place.line - 1 })),
  );
}

/** Returns whether a file is one of the SDK's: it is in the folder of this one. */
function isOfSdk(file: string): boolean {
  sdkFolder ??= folderOf(framesOf(firstLine(new Error().stack))[0]?.place.file ?? "");
  return sdkFolder !== "" && (file.startsWith(sdkFolder) || file.includes("/node_modules/handler-sdk/"));
}

let sdkFolder: string | undefined;

/** Returns the first frame of a stack: V8's stack has the error's name and message before it. */
function firstLine(stack: string | undefined): string {
  return stack?.split("\n").find((line) => /^\s*at /.test(line)) ?? "";
}

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
