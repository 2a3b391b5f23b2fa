/** Just enough of source maps to say which line of a cell an instruction came from. */

/** Per generated line, its segments: generated column, source line, source column (all from 0). */
export type Decoded = readonly (readonly [number, number, number])[][];

const DIGITS = new Map(
  [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].map((c, i) => [c, i]),
);

/** Decodes a map as JSON text; an empty text is an empty map. */
export function decode(json: string): Decoded {
  if (json === '') return [];
  const { mappings } = JSON.parse(json) as { mappings: string };
  let sourceLine = 0;
  let sourceColumn = 0;
  return mappings.split(';').map((line) => {
    let column = 0;
    const segments: [number, number, number][] = [];
    for (const segment of line.split(',')) {
      const fields = numbers(segment);
      if (fields.length === 0) continue;
      column += fields[0]!;
      if (fields.length < 4) continue;
      sourceLine += fields[2]!;
      sourceColumn += fields[3]!;
      segments.push([column, sourceLine, sourceColumn]);
    }
    return segments;
  });
}

function numbers(segment: string): number[] {
  const result: number[] = [];
  let value = 0;
  let shift = 0;
  for (const char of segment) {
    const digit = DIGITS.get(char) ?? 0;
    value += (digit & 31) << shift;
    shift += 5;
    if (digit & 32) continue;
    result.push(value & 1 ? -(value >>> 1) : value >>> 1);
    value = 0;
    shift = 0;
  }
  return result;
}

/** Where a place in the generated text (from 0) came from, by the nearest segment at or before it on its line. */
export function lookUp(
  map: Decoded,
  line: number,
  column: number,
): { line: number; column: number } | undefined {
  const segments = map[line];
  if (!segments || segments.length === 0) return undefined;
  let best = segments[0]!;
  for (const segment of segments) {
    if (segment[0] > column) break;
    best = segment;
  }
  return { line: best[1], column: best[2] };
}
