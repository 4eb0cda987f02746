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

/**
 * Returns the places in source files that places in the bundle were made from; `undefined` for those that the map does not have.
 *
 * The map is read once and to the last line that is asked for, because a handler has little CPU time.
 */
export function originalPlaces(map: SourceMap, wanted: readonly Place[]): (Place | undefined)[] {
  const found: (Place | undefined)[] = wanted.map(() => undefined);
  const lastLine = Math.max(0, ...wanted.map((place) => place.line));
  const { mappings } = map;
  // A segment has the column in the bundle, and relative to the segment before: the source, its line and its column.
  const fields = [0, 0, 0, 0];
  let [line, at] = [1, 0];
  while (at < mappings.length && line <= lastLine) {
    const isWanted = wanted.some((place) => place.line === line);
    let next = mappings.charCodeAt(at);
    fields[0] = 0;
    while (at < mappings.length && next !== SEMICOLON) {
      let [field, value, shift] = [0, 0, 0];
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
      if (isWanted && field >= 4) keep(map, fields, line, wanted, found);
      if (next === COMMA) at += 1;
    }
    at += 1;
    line += 1;
  }
  return found;
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
