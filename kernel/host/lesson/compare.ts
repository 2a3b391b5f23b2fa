/**
 * Compares what a cell printed with what the lesson says.
 * In the expected text, a line `...` stands for any lines, `...` inside a line for any characters. With a tolerance,
 * numbers may differ by `tolerance * max(1, |expected|)`; without one they are text like everything else.
 */
const NUMBER = /[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?/;
const ANY_LINES = '...';
const ANY_CHARACTERS = '...';

export interface OutputMismatch {
  /** Lines beginning with "-" (expected), "+" (got) or " " (same). */
  readonly diff: readonly string[];
  /** Offset of the first expected line that did not match, from 0. */
  readonly expectedLine: number;
}

/** Undefined when `got` is what `expected` describes. */
export function compareOutput(expected: string, got: string, tolerance?: number): OutputMismatch | undefined {
  const want = textLines(expected);
  const have = textLines(got);
  const same = (i: number, j: number): boolean => lineMatches(want[i]!, have[j]!, tolerance);
  // reachable[i][j]: the first i expected lines can describe the first j lines that were printed.
  const reachable = want.map(() => new Array<boolean>(have.length + 1).fill(false));
  reachable.push(new Array<boolean>(have.length + 1).fill(false));
  reachable[0]![0] = true;
  for (let i = 0; i < want.length; i++) {
    const wild = want[i]!.trim() === ANY_LINES;
    let open = false;
    for (let j = 0; j <= have.length; j++) {
      const here = reachable[i]![j]!;
      open ||= here;
      if (wild) reachable[i + 1]![j] = open;
      else if (here && j < have.length && same(i, j)) reachable[i + 1]![j + 1] = true;
    }
  }
  if (reachable[want.length]![have.length]) return undefined;
  return describe(want, have, same);
}

function textLines(text: string): string[] {
  const lines = text.split(/\r?\n/).map((line) => line.trimEnd());
  while (lines.length > 0 && lines[lines.length - 1] === '') lines.pop();
  while (lines.length > 0 && lines[0] === '') lines.shift();
  return lines;
}

function lineMatches(expected: string, got: string, tolerance: number | undefined): boolean {
  if (expected === got) return true;
  const wanted: number[] = [];
  const pattern = expected
    .split(ANY_CHARACTERS)
    .map((part) => (tolerance === undefined ? escapeRegExp(part) : numberPattern(part, wanted)));
  const match = new RegExp(`^${pattern.join('.*?')}$`).exec(got);
  if (match === null) return false;
  return wanted.every((value, index) => {
    const printed = Number(match[index + 1]);
    return Math.abs(printed - value) <= tolerance! * Math.max(1, Math.abs(value));
  });
}

function numberPattern(part: string, wanted: number[]): string {
  const pieces: string[] = [];
  let rest = part;
  for (let match = NUMBER.exec(rest); match !== null; match = NUMBER.exec(rest)) {
    pieces.push(escapeRegExp(rest.slice(0, match.index)), `(${NUMBER.source})`);
    wanted.push(Number(match[0]));
    rest = rest.slice(match.index + match[0].length);
  }
  return pieces.join('') + escapeRegExp(rest);
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** A line diff by longest common subsequence, where "common" is "matches". */
function describe(
  want: readonly string[],
  have: readonly string[],
  same: (i: number, j: number) => boolean,
): OutputMismatch {
  const length = Array.from({ length: want.length + 1 }, () => new Array<number>(have.length + 1).fill(0));
  for (let i = want.length - 1; i >= 0; i--) {
    for (let j = have.length - 1; j >= 0; j--) {
      length[i]![j] = same(i, j)
        ? length[i + 1]![j + 1]! + 1
        : Math.max(length[i + 1]![j]!, length[i]![j + 1]!);
    }
  }
  const diff: string[] = [];
  let expectedLine = -1;
  let i = 0;
  let j = 0;
  while (i < want.length || j < have.length) {
    if (i < want.length && j < have.length && same(i, j)) {
      diff.push(`  ${have[j++]}`);
      i++;
    } else if (i < want.length && (j === have.length || length[i + 1]![j]! >= length[i]![j + 1]!)) {
      if (expectedLine < 0) expectedLine = i;
      diff.push(`- ${want[i++]}`);
    } else {
      if (expectedLine < 0) expectedLine = Math.min(i, Math.max(0, want.length - 1));
      diff.push(`+ ${have[j++]}`);
    }
  }
  return { diff, expectedLine: Math.max(0, expectedLine) };
}
