import { ShardbookError } from 'shardbook';
import type { Exercise } from '../exercise.js';
import type { CheckTable } from './check.js';
import { ringAllReduceChecks } from './ring-all-reduce.js';

export type { Check, CheckContext, CheckTable } from './check.js';

const TABLES: Readonly<Record<string, CheckTable>> = { 'ring-all-reduce': ringAllReduceChecks };

/** The checks of an exercise; its exercise.yaml and the grader must name the same ones. */
export function checksOf(exercise: Exercise): CheckTable {
  const table = Object.hasOwn(TABLES, exercise.id) ? TABLES[exercise.id]! : undefined;
  const wanted = exercise.checks.map(({ id }) => id);
  const missing = wanted.filter((id) => table === undefined || !Object.hasOwn(table, id));
  const unused = Object.keys(table ?? {}).filter((id) => !wanted.includes(id));
  if (table !== undefined && missing.length === 0 && unused.length === 0) return table;
  throw new ShardbookError({
    code: 'SB_EXERCISE_INVALID',
    message: `Cannot judge "${exercise.id}": its checks and the grader's differ`,
    notes: [
      `in exercise.yaml only: ${missing.join(', ') || 'none'}`,
      `in the grader only: ${unused.join(', ') || 'none'}`,
    ],
  });
}
