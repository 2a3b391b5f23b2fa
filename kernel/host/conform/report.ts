import { firstDifference, toleranceOf } from './compare.js';
import type { Program } from './format.js';
import type { Json } from './json.js';

/** What went wrong on one rank: an observation that differs, or an error. */
export interface Failure {
  /** The label, or "" for an error of the program as a whole. */
  label: string;
  rank: number;
  text: string;
}

export interface ProgramResult {
  suite: string;
  name: string;
  file: string;
  passed: boolean;
  failures: Failure[];
  milliseconds: number;
}

/** What a rank is asked to do. */
export interface RankJob {
  text: string;
  scratch: string;
}

/** Every label of one rank whose observation is not what was expected. */
export function checkObservations(
  program: Program,
  rank: number,
  seen: ReadonlyMap<string, Json>,
): Failure[] {
  const failures: Failure[] = [];
  const absent: Json = { absent: true };
  for (const [label, expectation] of Object.entries(program.expect)) {
    const expected = 'all' in expectation ? expectation.all : expectation.ranks[rank]!;
    const got = seen.has(label) ? seen.get(label)! : absent;
    const difference = firstDifference(got, expected, toleranceOf(label, program.tolerance));
    if (!difference) continue;
    const { where, note } = difference;
    const text = `${where === '' ? '' : `${where.trim()}: `}got ${difference.got}, expected ${difference.expected}${note}`;
    failures.push({ label, rank, text });
  }
  for (const label of seen.keys()) {
    if (!(label in program.expect))
      failures.push({ label, rank, text: 'got a value, expected no observation of that name' });
  }
  return failures;
}

/** `suite/name: label rank 0: got 1, expected 2`. */
export function failureLine({ suite, name, failures }: ProgramResult): string {
  const first = failures[0];
  if (first === undefined) return `${suite}/${name}: failed`;
  const place = first.label === '' ? `rank ${first.rank}` : `${first.label} rank ${first.rank}`;
  return `${suite}/${name}: ${place}: ${first.text.split('\n')[0]}`;
}
