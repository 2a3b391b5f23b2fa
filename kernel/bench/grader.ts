/** The grader: what the sandbox costs, how long one grading takes, how many there are in a second on all cores. */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  benchCage,
  type Exercise,
  gradeSubmission,
  listExercises,
  loadExercise,
  sandboxState,
} from '../../grader/index.js';
import { packageRoot } from '../host/cli/paths.js';
import { median, round } from './stats.js';

const LEARNERS = 1000;
const SANDBOX_ROUNDS = 21;
const GRADINGS = 3;
/** The exercise that has a target: under a second with all its worlds. */
const AIMED = { id: 'ring-all-reduce', gradings: 9, targetMs: 1000 };

export async function benchGrader(): Promise<Record<string, unknown>> {
  const root = packageRoot();
  const state = await sandboxState(root);
  const sandbox = state.recipe === undefined ? { missing: state.reason } : await overhead(root);
  const exercises: Record<string, unknown> = {};
  let perLearner = 0;
  const untrusted = state.recipe !== undefined;
  for (const id of listExercises(join(root, 'exercises'))) {
    process.stderr.write(`bench:   ${id}\n`);
    const exercise = loadExercise(join(root, 'exercises', id));
    const figures = await gradings(exercise, root, untrusted);
    perLearner += 1 / figures.gradingsPerSecond;
    exercises[id] = figures;
  }
  return {
    sandbox,
    cores: availableParallelism(),
    exercises,
    projection: {
      learners: LEARNERS,
      exercises: Object.keys(exercises).length,
      minutes: round((LEARNERS * perLearner) / 60),
    },
  };
}

/** A trivial run of Node, bare and in the sandbox, in turns: the machine may have other work. */
async function overhead(root: string): Promise<Record<string, unknown>> {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'shardbook-bench-')));
  const bare: number[] = [];
  const caged: number[] = [];
  try {
    for (let i = -2; i < SANDBOX_ROUNDS; i++) {
      const [a, b] = [await benchCage(root, folder, false), await benchCage(root, folder, true)];
      if (i < 0) continue;
      bare.push(a);
      caged.push(b);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const pairs = caged.map((ms, i) => ms - bare[i]!);
  return {
    bareMs: round(median(bare)),
    sandboxMs: round(median(caged)),
    overheadMs: round(median(pairs)),
    targetMs: 50,
  };
}

async function gradings(exercise: Exercise, root: string, untrusted: boolean) {
  const file = join(root, 'solutions', exercise.id, 'reference.ts');
  const grade = async (): Promise<number> => {
    const started = performance.now();
    const report = await gradeSubmission({
      exercise,
      file,
      packageRoot: root,
      version: '0',
      types: false,
      untrusted,
    });
    if (report.verdict !== 'pass') throw new Error(`${exercise.id}: the reference got ${report.verdict}`);
    return performance.now() - started;
  };
  await grade();
  const single: number[] = [];
  const aimed = exercise.id === AIMED.id;
  for (let i = 0; i < (aimed ? AIMED.gradings : GRADINGS); i++) single.push(await grade());
  const width = availableParallelism();
  const started = performance.now();
  let left = GRADINGS * width;
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (left-- > 0) await grade();
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  return {
    medianMs: round(median(single)),
    ...(aimed && { targetMs: AIMED.targetMs }),
    fastestMs: round(Math.min(...single)),
    gradingsPerSecond: round((GRADINGS * width) / seconds),
    worlds: exercise.worlds,
    sandboxed: untrusted,
  };
}
