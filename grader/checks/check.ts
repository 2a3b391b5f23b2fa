import type { Case, CaseRun } from '../rank-world.js';

/** What a check has to work with. Failing is throwing a `CheckFailure`; anything else that is thrown is the grader's mistake. */
export interface CheckContext {
  /** Of this grading; a check derives its own from it. */
  readonly seed: number;
  readonly worlds: readonly number[];
  /** Asks the submission. */
  run(work: Case): Promise<CaseRun>;
  /** Runs that checks of one grading keep for each other, by names of their own: to look at something else in a run needs no second one. */
  readonly kept: Map<string, CaseRun>;
  /** Asks the reference solution the same, in processes of its own; what it answers never gets near the submission. */
  reference(work: Case): Promise<CaseRun>;
}

export type Check = (context: CheckContext) => Promise<void>;

/** The checks of an exercise, by the ids in its exercise.yaml. */
export type CheckTable = Readonly<Record<string, Check>>;
