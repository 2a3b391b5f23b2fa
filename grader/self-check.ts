/**
 * Proves an exercise: the reference and the alternatives pass, the starter does not, every mutant fails and with the
 * verdict and check that its first line says. An exercise whose checks let a mutant through grades nothing.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CheckTable, checksOf } from './checks/index.js';
import type { Exercise } from './exercise.js';
import { gradeSubmission } from './grade.js';
import type { Report } from './report.js';

export interface SelfCheckOptions {
  readonly exercise: Exercise;
  /** `solutions/<id>`. */
  readonly solutions: string;
  readonly packageRoot: string;
  readonly version: string;
  /** Called after each submission. */
  readonly onResult?: (result: SelfCheckResult) => void;
}

export interface SelfCheckResult {
  readonly name: string;
  readonly passed: boolean;
  /** What came out, in one line. */
  readonly outcome: string;
}

interface Trial {
  readonly name: string;
  readonly file: string;
  readonly judge: (report: Report) => boolean;
  readonly wanted: string;
}

const LEAST_ALTERNATIVES = 2;
const LEAST_MUTANTS = 6;
const LEAST_HINTS = 2;
/** First line of a mutant. */
const EXPECTATION = /^\/\/ fails: ([a-z-]+) in ([a-z-]+)(?:, "([^"]+)")?/;

export async function selfCheck(options: SelfCheckOptions): Promise<SelfCheckResult[]> {
  const { exercise, solutions, packageRoot, version } = options;
  const results: SelfCheckResult[] = [];
  const add = (result: SelfCheckResult): void => {
    results.push(result);
    options.onResult?.(result);
  };
  for (const result of completeness(exercise, solutions, await checksOf(exercise, packageRoot))) add(result);
  for (const trial of trials(exercise, solutions)) {
    const report = await gradeSubmission({
      exercise,
      file: trial.file,
      packageRoot,
      version,
      types: false,
      runStarter: true,
    });
    const passed = trial.judge(report);
    add({
      name: trial.name,
      passed,
      outcome: passed ? summary(report) : `wanted ${trial.wanted}; got ${summary(report)}`,
    });
  }
  return results;
}

function completeness(exercise: Exercise, solutions: string, table: CheckTable): SelfCheckResult[] {
  const alternatives = sources(join(solutions, 'alternatives')).length;
  const mutants = sources(join(solutions, 'mutants')).length;
  const named = exercise.checks.map(({ id }) => id);
  const unnamed = Object.keys(table).filter((id) => !named.includes(id));
  return [
    {
      name: 'checks',
      passed: unnamed.length === 0,
      outcome: unnamed.length === 0 ? `${named.length} there` : `not in exercise.yaml: ${unnamed.join(', ')}`,
    },
    atLeast('alternatives', alternatives, LEAST_ALTERNATIVES),
    atLeast('mutants', mutants, LEAST_MUTANTS),
    atLeast('hints', exercise.hints.length, LEAST_HINTS),
    {
      name: 'task.md',
      passed: existsSync(join(exercise.folder, 'task.md')),
      outcome: 'the text of the task',
    },
    { name: 'notes.md', passed: existsSync(join(solutions, 'notes.md')), outcome: 'notes on the solution' },
  ];
}

function atLeast(name: string, count: number, least: number): SelfCheckResult {
  return { name, passed: count >= least, outcome: `${count} there, at least ${least} wanted` };
}

function trials(exercise: Exercise, solutions: string): Trial[] {
  const passes = (name: string, file: string): Trial => ({
    name,
    file,
    judge: ({ verdict }) => verdict === 'pass',
    wanted: 'pass',
  });
  return [
    passes('reference', join(solutions, 'reference.ts')),
    ...sources(join(solutions, 'alternatives')).map((file) => passes(`alternative ${file.name}`, file.path)),
    {
      name: 'starter',
      file: join(exercise.folder, 'starter.ts'),
      judge: ({ verdict }) => verdict !== 'pass' && verdict !== 'infra-error',
      wanted: 'anything but pass',
    },
    ...sources(join(solutions, 'mutants')).map((file) => mutantTrial(file)),
  ];
}

function mutantTrial({ name, path }: { name: string; path: string }): Trial {
  const match = EXPECTATION.exec(readFileSync(path, 'utf8'));
  if (match === null) {
    return {
      name: `mutant ${name}`,
      file: path,
      judge: () => false,
      wanted: 'a first line "// fails: VERDICT in CHECK"',
    };
  }
  const [, verdict, check, words] = match;
  const judge = (report: Report): boolean => {
    const failing = report.checks.find((candidate) => candidate.verdict !== 'pass');
    if (report.verdict !== verdict || failing?.id !== check) return false;
    return words === undefined || JSON.stringify(failing?.feedback).includes(words);
  };
  return {
    name: `mutant ${name}`,
    file: path,
    judge,
    wanted: `${verdict} in ${check}${words === undefined ? '' : ` with "${words}"`}`,
  };
}

function summary(report: Report): string {
  const failing = report.checks.find(({ verdict }) => verdict !== 'pass');
  if (failing === undefined)
    return report.verdict === 'pass' ? 'pass' : `${report.verdict}: ${report.feedback?.message ?? ''}`;
  const { feedback } = failing;
  const guess = feedback?.hypothesis === undefined ? '' : ` (guess: ${feedback.hypothesis})`;
  return `${failing.verdict} in ${failing.id}: ${feedback?.message ?? ''}${guess}`;
}

function sources(folder: string): { name: string; path: string }[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .map((name) => ({ name: name.replace(/\.ts$/, ''), path: join(folder, name) }));
}
