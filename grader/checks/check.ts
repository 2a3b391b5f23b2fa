import type { Case, CaseRun } from '../rank-world.js';

/** What a check has to work with. Failing is throwing a `CheckFailure`. */
export interface CheckContext {
  /** Of this grading; a check derives its own from it. */
  readonly seed: number;
  readonly worlds: readonly number[];
  run(work: Case): Promise<CaseRun>;
}

export type Check = (context: CheckContext) => Promise<void>;

/** The checks of an exercise, by the ids in its exercise.yaml. */
export type CheckTable = Readonly<Record<string, Check>>;
