import { ShardbookError } from 'shardbook';
import type { Exercise } from '../exercise.js';
import type { CheckTable } from './check.js';
import { ringAllReduceChecks } from './ring-all-reduce.js';

export type { Check, CheckContext, CheckTable } from './check.js';

const TABLES: Readonly<Record<string, CheckTable>> = { 'ring-all-reduce': ringAllReduceChecks };

/** The checks of an exercise; every one that its exercise.yaml names must be there. */
export function checksOf(exercise: Exercise): CheckTable {
  const table = Object.hasOwn(TABLES, exercise.id) ? TABLES[exercise.id]! : {};
  const missing = exercise.checks.map(({ id }) => id).filter((id) => !Object.hasOwn(table, id));
  if (missing.length === 0) return table;
  throw new ShardbookError({
    code: 'SB_EXERCISE_INVALID',
    message: `Cannot judge "${exercise.id}": the grader has no check ${missing.map((id) => `"${id}"`).join(', ')}`,
    help: 'Write it in grader/checks, or take it out of exercise.yaml',
  });
}
