/**
 * The learner's side: a copy of the starter in the workspace, the public checks on it, hints one by one, and the solution when
 * it is earned or asked for. What was passed and which hints were seen stands in a file beside the work.
 */
import { copyFileSync, existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ShardbookError } from 'shardbook';
import { makeFolder } from '../kernel/host/folders/index.js';
import { solutionsOf } from './checks/index.js';
import { EXERCISE_FILE, type Exercise } from './exercise.js';
import { gradeSubmission } from './grade.js';
import type { Report } from './report.js';

interface Progress {
  hints: number;
  passed: boolean;
}

const PROGRESS = '.shardbook-progress.json';

export interface Work {
  readonly folder: string;
  /** Name of the file to write. */
  readonly file: string;
  /** Where earlier work was put. */
  readonly kept: string | undefined;
}

/** Copies the starter and the task to `WORKSPACE/exercises/ID`. */
export function startExercise(exercise: Exercise, workspace: string, again = false): Work {
  const folder = workFolder(exercise, workspace);
  const file = `${exercise.id}.ts`;
  if (existsSync(join(folder, EXERCISE_FILE))) {
    throw new ShardbookError({
      code: 'SB_WORKSPACE',
      message: `Cannot start in "${workspace}": the exercises themselves are there`,
      help: 'Name another folder with --workspace FOLDER',
    });
  }
  let kept: string | undefined;
  if (existsSync(join(folder, file))) {
    if (!again) {
      throw new ShardbookError({
        code: 'SB_EXERCISE_STARTED',
        message: `Cannot start "${exercise.id}": your work is in ${join(folder, file)} already`,
        help: 'Start anew with --again; what is there is kept as a copy',
      });
    }
    const copies = readdirSync(folder).filter((name) => name.startsWith(`${exercise.id}.before-`)).length;
    kept = join(folder, `${exercise.id}.before-${copies + 1}.txt`);
    renameSync(join(folder, file), kept);
  }
  makeFolder(folder);
  writeFileSync(join(folder, file), exercise.starter);
  const task = join(exercise.folder, 'task.md');
  if (existsSync(task)) copyFileSync(task, join(folder, 'task.md'));
  return { folder, file, kept };
}

export interface CheckWorkOptions {
  readonly exercise: Exercise;
  readonly workspace: string;
  readonly packageRoot: string;
  readonly version: string;
  readonly seed?: number;
  /** Default: what `startExercise` put there. */
  readonly file?: string;
}

/** Runs the public checks; `advice` says what to do next. The app's Check button and `shardbook check` are this. */
export async function checkWork(
  options: CheckWorkOptions,
): Promise<{ report: Report; advice: string; hintsLeft: number }> {
  const { exercise, workspace, packageRoot, version, seed } = options;
  const file =
    options.file === undefined
      ? join(workFolder(exercise, workspace), `${exercise.id}.ts`)
      : resolve(options.file);
  if (options.file === undefined && !existsSync(file)) {
    throw new ShardbookError({
      code: 'SB_EXERCISE_NOT_STARTED',
      message: `Cannot check "${exercise.id}": there is no ${file}`,
      help: `shardbook exercise start ${exercise.id}`,
    });
  }
  const report = await gradeSubmission({
    exercise,
    file,
    packageRoot,
    version,
    publicOnly: true,
    ...(seed === undefined ? {} : { seed }),
  });
  const progress = readProgress(exercise, workspace);
  const left = Math.max(0, exercise.hints.length - progress.hints);
  if (report.verdict === 'pass') {
    writeProgress(exercise, workspace, { ...progress, passed: true });
    const advice = `The solution and its notes: shardbook exercise solution ${exercise.id}`;
    return { report, advice, hintsLeft: left };
  }
  return {
    hintsLeft: left,
    report,
    advice:
      left > 0 ? `${left} hints are left: shardbook check ${exercise.id} --hint` : 'You have seen all hints',
  };
}

/** The next hint of the ladder; after the last one, the last one again. */
export function nextHint(
  exercise: Exercise,
  workspace: string,
): { hint: string; number: number; of: number } {
  const of = exercise.hints.length;
  if (of === 0) {
    throw new ShardbookError({
      code: 'SB_NO_HINTS',
      message: `Cannot show a hint: "${exercise.id}" has none`,
    });
  }
  const progress = readProgress(exercise, workspace);
  const number = Math.min(progress.hints + 1, of);
  writeProgress(exercise, workspace, { ...progress, hints: number });
  return { hint: exercise.hints[number - 1]!, number, of };
}

/** The solution with its notes, after passing or on an explicit wish. */
export function solutionText(exercise: Exercise, workspace: string, reveal: boolean): string {
  if (!reveal && !readProgress(exercise, workspace).passed) {
    throw new ShardbookError({
      code: 'SB_SOLUTION_HIDDEN',
      message: `Cannot show the solution of "${exercise.id}": its checks have not passed here`,
      help: 'Show it all the same with --reveal',
    });
  }
  const read = (name: string): string => {
    const file = join(solutionsOf(exercise), name);
    return existsSync(file) ? readFileSync(file, 'utf8').trimEnd() : '';
  };
  const notes = read('notes.md')
    .split(/^## Surviving mutants$/m)[0]!
    .trimEnd();
  return `${notes}\n\n\`\`\`typescript\n${read('reference.ts')}\n\`\`\``;
}

function workFolder(exercise: Exercise, workspace: string): string {
  return join(resolve(workspace), 'exercises', exercise.id);
}

function readProgress(exercise: Exercise, workspace: string): Progress {
  try {
    const { hints, passed } = JSON.parse(
      readFileSync(join(workFolder(exercise, workspace), PROGRESS), 'utf8'),
    ) as Partial<Progress>;
    return { hints: Number(hints) || 0, passed: passed === true };
  } catch {
    return { hints: 0, passed: false };
  }
}

function writeProgress(exercise: Exercise, workspace: string, progress: Progress): void {
  const folder = workFolder(exercise, workspace);
  // Beside the exercise itself nothing is written.
  if (existsSync(join(folder, EXERCISE_FILE))) return;
  makeFolder(folder);
  writeFileSync(join(folder, PROGRESS), `${JSON.stringify(progress)}\n`);
}
