/** The verdicts, of a check and of a submission. Their names are part of the report's format. */
export const VERDICTS = [
  'pass',
  'wrong',
  'compile-error',
  'load-error',
  'runtime-error',
  'timeout',
  'never-settled',
  'deadlock',
  'memory-limit',
  'output-limit',
  'protocol-error',
  'crashed',
  'blocked',
  'not-attempted',
  'infra-error',
] as const;

export type Verdict = (typeof VERDICTS)[number];

/** The first element that is off, in the terms the learner thinks in. */
export interface Mismatch {
  /** In the order in which they are looked at: a wrong shape hides wrong values. */
  readonly kind: 'missing' | 'shape' | 'dtype' | 'non-finite' | 'values' | 'mutated' | 'aliased';
  readonly rank: number;
  readonly tensor: string;
  readonly index?: readonly number[];
  readonly got: string;
  readonly expected: string;
  readonly difference?: number;
  readonly allowed?: number;
  /** Share of the elements that are off on this rank, 0 to 1. */
  readonly share?: number;
}

export interface Feedback {
  /** One sentence that stands alone. */
  readonly message: string;
  /** The case that failed: `world 3, f32[10], scale 1`. */
  readonly case?: string;
  readonly mismatch?: Mismatch;
  /** A guess at the mistake, where one fits the numbers. */
  readonly hypothesis?: string;
  /** Lines of detail: who waits for what, messages that were sent. */
  readonly details?: readonly string[];
  /** Line of the submission, or of the `file` of it. */
  readonly line?: number;
  /** Where the line stands, when it is not the submission's one file: "hw.ipynb, cell 3". */
  readonly file?: string;
  /** Reproduces the case: `--seed`. */
  readonly seed?: number;
}

/** What ends a check that does not pass. */
export class CheckFailure extends Error {
  constructor(
    readonly verdict: Exclude<Verdict, 'pass' | 'blocked'>,
    readonly feedback: Feedback,
    /** Share of the check's weight that is earned all the same, 0 to 1. */
    readonly credit = 0,
  ) {
    super(feedback.message);
    this.name = 'CheckFailure';
  }
}
