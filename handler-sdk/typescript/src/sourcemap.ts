/** Maps a place in a bundle to the author's file, by the bundle's source map. */

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

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Returns the place in a source file that a place in the bundle was made from; `undefined` if the map has none. */
export function originalPlace(map: SourceMap, line: number, column: number): Place | undefined {
  // The fields are relative to those before, the generated column within its line only.
  let [source, sourceLine, sourceColumn] = [0, 0, 0];
  let found: Place | undefined;
  const lines = map.mappings.split(";").slice(0, line);
  lines.forEach((segments, index) => {
    let generated = 0;
    for (const segment of segments === "" ? [] : segments.split(",")) {
      const [columns = 0, ...rest] = decode(segment);
      generated += columns;
      if (rest.length < 3) continue;
      source += rest[0] ?? 0;
      sourceLine += rest[1] ?? 0;
      sourceColumn += rest[2] ?? 0;
      if (index !== line - 1 || (generated > column - 1 && found !== undefined)) continue;
      found = { file: tidy(map.sources[source] ?? ""), line: sourceLine + 1, column: sourceColumn + 1 };
    }
  });
  return found;
}

/** Decodes one segment: numbers in base 64, of which the lowest bit of the first digit is the sign. */
function decode(segment: string): number[] {
  const numbers: number[] = [];
  let value = 0;
  let shift = 0;
  for (const digit of segment) {
    const bits = DIGITS.indexOf(digit);
    value += (bits & 31) << shift;
    if ((bits & 32) !== 0) {
      shift += 5;
      continue;
    }
    numbers.push((value & 1) === 1 ? -(value >> 1) : value >> 1);
    [value, shift] = [0, 0];
  }
  return numbers;
}

/** Returns a file's name relative to the project: the bundle is in a folder below it. */
function tidy(source: string): string {
  return source.replace(/^(\.\.?\/)+/, "");
}
