/** From a folder of submissions to jobs, and the key under which a result is kept. */
import { createHash } from 'node:crypto';
import { type Dirent, existsSync, lstatSync, readdirSync } from 'node:fs';
import { basename, extname, join, resolve } from 'node:path';
import { ShardbookError } from 'shardbook';
import { specHash } from '../checks/index.js';
import { type Exercise, listExercises, loadExercise } from '../exercise.js';
import { readSubmission } from '../intake/index.js';
import { makeKit } from '../sandbox/index.js';
import { CheckFailure } from '../verdict.js';

/** One submission of one exercise. Plain data: it goes through queues. */
export interface Job {
  readonly learner: string;
  readonly exercise: string;
  /** Folder of the exercise. */
  readonly exerciseFolder: string;
  readonly file: string;
  /** Of the content of the submission, what the exercise asks, the runtime and the seed: equal keys have equal results. */
  readonly key: string;
  readonly seed: number;
  readonly untrusted: boolean;
  readonly publicOnly: boolean;
  /** Look for type errors as well; it does not change a verdict. */
  readonly types: boolean;
}

export interface JobOptions {
  /** Folder that holds the exercises. */
  readonly exercises: string;
  /** Only these; default: all that have submissions. */
  readonly only?: readonly string[];
  readonly packageRoot: string;
  readonly seed: number;
  readonly untrusted: boolean;
  readonly publicOnly: boolean;
  readonly types?: boolean;
  /** See `GradeOptions.secret`: another one gives other results. */
  readonly secret?: string;
  /** Hears of what is no submission of any exercise, and why. */
  readonly onIgnored?: (path: string, reason: string) => void;
}

const SUBMISSION = /\.(ts|ipynb|md)$/i;
const NO_SUBMISSION = 'it is neither a folder nor a .ts, .ipynb or .md file';

/**
 * The submissions below `folder`, in the order of their names. Three ways to lay them out: `EXERCISE/LEARNER.ts`,
 * `LEARNER/EXERCISE.ts`, and with one exercise named, `LEARNER.ts` or `LEARNER/`.
 */
export function findJobs(folder: string, options: JobOptions): Job[] {
  const root = resolve(folder);
  if (!existsSync(root) || !lstatSync(root).isDirectory()) {
    throw new ShardbookError({
      code: 'SB_SUBMISSION_MISSING',
      message: `Cannot grade "${folder}": there is no such folder of submissions`,
      help: 'give the folder that holds EXERCISE/LEARNER.ts or LEARNER/EXERCISE.ts',
    });
  }
  const known = options.only ?? listExercises(options.exercises);
  const exercises = new Map(known.map((id) => [id, loadExercise(join(options.exercises, id))]));
  const jobs: Job[] = [];
  const seen = new Map<string, number>();
  const add = (name: string, id: string, file: string): void => {
    // Two files of one learner, two names that are written alike: nobody's result takes the place of another's.
    const learner = stem(name);
    const count = (seen.get(`${learner}\n${id}`) ?? 0) + 1;
    seen.set(`${learner}\n${id}`, count);
    const own = count === 1 ? learner : `${learner} (${count})`;
    jobs.push(makeJob(own, exercises.get(id)!, file, options));
  };
  const ignored = options.onIgnored ?? (() => {});
  for (const entry of entriesOf(root)) {
    const { name } = entry;
    const path = join(root, name);
    const inside = entry.isDirectory() ? entriesOf(path) : [];
    if (entry.isDirectory() && exercises.has(name)) {
      for (const inner of inside)
        if (isSubmission(inner)) add(inner.name, name, join(path, inner.name));
        else ignored(join(path, inner.name), NO_SUBMISSION);
      continue;
    }
    const own = inside.filter((inner) => exercises.has(stem(inner.name)) && isSubmission(inner));
    for (const inner of own) add(name, stem(inner.name), join(path, inner.name));
    if (own.length > 0) {
      for (const inner of inside)
        if (!own.includes(inner) && isSubmission(inner))
          ignored(join(path, inner.name), 'its name is that of no exercise');
      continue;
    }
    if (!isSubmission(entry)) ignored(path, NO_SUBMISSION);
    else if (known.length === 1) add(name, known[0]!, path);
    else ignored(path, entry.isDirectory() ? 'it holds no EXERCISE.ts' : 'its name is that of no exercise');
  }
  if (jobs.length > 0) return jobs;
  throw new ShardbookError({
    code: 'SB_NO_SUBMISSIONS',
    message: `Cannot grade "${folder}": it holds no submissions of ${known.join(', ') || 'any exercise'}`,
    help: 'Lay them out as LEARNER/EXERCISE.ts or EXERCISE/LEARNER.ts, or name one exercise with --exercise ID',
  });
}

/** Part `index` (from 1) of `count` of the jobs, by their place in the order. */
export function shardOf(jobs: readonly Job[], index: number, count: number): Job[] {
  return jobs.filter((_, i) => i % count === index - 1);
}

function makeJob(learner: string, exercise: Exercise, file: string, options: JobOptions): Job {
  const { seed, untrusted, publicOnly, packageRoot, types = false, secret = '' } = options;
  const parts = [
    contentOf(file, exercise),
    exercise.id,
    specHash(exercise),
    makeKit(packageRoot).runtime,
    String(seed),
    untrusted ? 'sandbox' : 'process',
    publicOnly ? 'public' : 'all',
    secret,
  ];
  const key = createHash('sha256').update(parts.join('\n')).digest('hex');
  return {
    learner,
    exercise: exercise.id,
    exerciseFolder: exercise.folder,
    file,
    key,
    seed,
    untrusted,
    publicOnly,
    types,
  };
}

/** What is refused at the door, or cannot be read at all, has the reason for its content: grading says it again, of this one alone. */
function contentOf(file: string, exercise: Exercise): string {
  try {
    const { sha256, kind, name } = readSubmission(file, exercise);
    return `${kind} ${extname(name)} ${sha256}`;
  } catch (error) {
    const reason = error instanceof CheckFailure ? error.feedback.message : (error as Error).message;
    return `refused ${file} ${reason}`;
  }
}

/** What a learner's folder holds that nobody may look into is a matter of that submission. */
function entriesOf(folder: string): Dirent[] {
  let entries: Dirent[] = [];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    // Said when it is read.
  }
  return entries.filter(({ name }) => !name.startsWith('.')).sort((a, b) => (a.name < b.name ? -1 : 1));
}

function isSubmission(entry: Dirent): boolean {
  return entry.isDirectory() || SUBMISSION.test(entry.name);
}

function stem(name: string): string {
  return (
    basename(name)
      .replace(SUBMISSION, '')
      // Letters of every script: learners must not become one another.
      .replace(/[^\p{L}\p{M}\p{N}_.@ -]/gu, '_')
      .slice(0, 100)
  );
}
