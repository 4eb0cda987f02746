/** Maps places in a bundle to the author's files, by the bundle's source map. */

/** A source map, version 3, as esbuild writes it. */
export interface SourceMap {
  /** The files, relative to the folder of the bundle. */
  readonly sources: readonly string[];
  /** The places, encoded. */
  readonly mappings: string;
}

/** A place in a file; lines and columns count from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

const COMMA = 0x2c;
const SEMICOLON = 0x3b;

/** For each character its value in base 64. */
const DIGITS = new Uint8Array(128);
Array.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/").forEach((digit, value) => {
  DIGITS[digit.charCodeAt(0)] = value;
});

/** Where each line of a bundle begins in the mappings, and the fields before it: five numbers a line. */
const INDEXES = new WeakMap<SourceMap, Int32Array>();
const PER_LINE = 5;

/**
 * Reads a map through, because what a line has is relative to the lines before it. That takes most of a handler's CPU time for one
 * alert, so `exportHooks` does it when the component is built.
 */
export function prepare(map: SourceMap): Int32Array {
  const known = INDEXES.get(map);
  if (known !== undefined) return known;
  const index: number[] = [];
  const fields = [0, 0, 0, 0];
  for (let at = 0; at < map.mappings.length; ) {
    // A segment may have a fifth field, the number of a name.
    index.push(at, ...fields.slice(0, PER_LINE - 1));
    at = readLine(map.mappings, at, fields);
  }
  const made = Int32Array.from(index);
  INDEXES.set(map, made);
  return made;
}

/**
 * Returns the places in source files that places in the bundle were made from; `undefined` for those that the map does not have.
 * Only the lines that are asked for are read.
 */
export function originalPlaces(map: SourceMap, wanted: readonly Place[]): (Place | undefined)[] {
  const found: (Place | undefined)[] = wanted.map(() => undefined);
  const index = prepare(map);
  for (const line of new Set(wanted.map((place) => place.line))) {
    const [at, ...fields] = index.subarray((line - 1) * PER_LINE, line * PER_LINE);
    if (line < 1 || at === undefined) continue;
    readLine(map.mappings, at, fields, () => keep(map, fields, line, wanted, found));
  }
  return found;
}

/**
 * Reads the segments of a line, which begins at `at`, and returns where the next one begins. `fields` are the column in the bundle,
 * the source, its line and its column; `each` is called when they are those of a segment.
 */
function readLine(mappings: string, at: number, fields: number[], each?: () => void): number {
  fields[0] = 0;
  while (at < mappings.length) {
    let [field, value, shift, next] = [0, 0, 0, 0];
    for (; at < mappings.length; at += 1) {
      next = mappings.charCodeAt(at);
      if (next === COMMA || next === SEMICOLON) break;
      const bits = DIGITS[next] ?? 0;
      value |= (bits & 31) << shift;
      shift += 5;
      if ((bits & 32) !== 0) continue;
      // The lowest bit is the sign.
      fields[field] = (fields[field] ?? 0) + ((value & 1) === 1 ? -(value >> 1) : value >> 1);
      [field, value, shift] = [field + 1, 0, 0];
    }
    if (field >= 4) each?.();
    at += 1;
    if (next === SEMICOLON) break;
  }
  return at;
}

/** Keeps a segment for the places of its line at or after it: the last of them counts. */
function keep(
  map: SourceMap,
  fields: readonly number[],
  line: number,
  wanted: readonly Place[],
  found: (Place | undefined)[],
): void {
  const [generated = 0, source = 0, sourceLine = 0, sourceColumn = 0] = fields;
  wanted.forEach((place, index) => {
    if (place.line !== line || (generated > place.column - 1 && found[index] !== undefined)) return;
    found[index] = { file: tidy(map.sources[source] ?? ""), line: sourceLine + 1, column: sourceColumn + 1 };
  });
}

/** Returns a file's name relative to the project: the bundle is in a folder below it. */
function tidy(source: string): string {
  return source.replace(/^(\.\.?\/)+/, "");
}
