import type { Isolation } from './sandbox/index.js';
import type { Feedback, Verdict } from './verdict.js';

/** Changes when a reader of reports must change; additions do not count. */
export const REPORT_FORMAT = 'shardbook.grade/1';

export interface CheckReport {
  readonly id: string;
  readonly title: string;
  readonly visibility: 'public' | 'hidden';
  readonly weight: number;
  readonly verdict: Verdict;
  /** Of the weight: all of it when it passed, a part where a check gives partial credit. */
  readonly earned: number;
  /** Absent when the check passed; one authored sentence when it is hidden. */
  readonly feedback?: Feedback;
  readonly milliseconds: number;
}

export interface TypeNote {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

export interface Report {
  readonly format: typeof REPORT_FORMAT;
  readonly exercise: { readonly id: string; readonly title: string };
  readonly submission: {
    readonly name: string;
    readonly kind: 'file' | 'folder' | 'notebook' | 'myst';
    readonly sha256: string;
  };
  readonly grader: {
    readonly shardbook: string;
    /** Hashes of the runtime that it was run with, and of what the exercise asks. */
    readonly runtime: string;
    readonly spec: string;
    readonly node: string;
    readonly isolation: Isolation;
    readonly layers: readonly string[];
  };
  readonly seed: number;
  readonly verdict: Verdict;
  readonly score: { readonly earned: number; readonly possible: number };
  /** What ended the grading before any check, such as a file that does not parse. */
  readonly feedback?: Feedback;
  readonly checks: readonly CheckReport[];
  /** Type errors; they do not decide the verdict. */
  readonly types: readonly TypeNote[];
  /** What of the submission was left out, put in order or put back. */
  readonly notes: readonly string[];
  /** What the submission printed, by rank, cut to a few KiB. */
  readonly prints: readonly { readonly rank: number; readonly text: string }[];
  readonly milliseconds: number;
}

/** 0: passed, 1: did not pass, 2: the grader could not work. */
export function exitCode(report: Report): 0 | 1 | 2 {
  if (report.verdict === 'pass') return 0;
  return report.verdict === 'infra-error' ? 2 : 1;
}
