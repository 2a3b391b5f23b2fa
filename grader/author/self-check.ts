/**
 * Proves an exercise: the reference and the alternatives pass, the starter does not, every mutant fails with the verdict and
 * in the check that it names, automatic mutants are killed or explained. An exercise whose checks let a mutant through
 * grades nothing.
 */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CheckTable, checksOf } from '../checks/index.js';
import type { Exercise } from '../exercise.js';
import { type GradeOptions, gradeSubmission } from '../grade.js';
import { compileFiles } from '../intake/index.js';
import { readText } from '../mapping.js';
import { deriveSeed, Random } from '../random.js';
import type { Report } from '../report.js';
import { Cage, makeKit } from '../sandbox/index.js';
import { removeTemporary, temporaryFolder } from '../temporary.js';
import { checkTypes } from '../type-check.js';
import { CheckFailure } from '../verdict.js';
import type { Mutant } from './mutate.js';
import { EXPECTED_FORM, type NamedMutant, namedMutants } from './named-mutants.js';

export interface SelfCheckOptions {
  readonly exercise: Exercise;
  /** `solutions/<id>`. */
  readonly solutions: string;
  readonly packageRoot: string;
  readonly version: string;
  /** How many automatic mutants are tried; default a few, the same ones each time. */
  readonly mutants?: number;
  /** Gradings at once. */
  readonly jobs?: number;
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
  /** The first check that fails is all that is looked at. */
  readonly stopEarly: boolean;
  readonly judge: (report: Report) => boolean;
  readonly wanted: string;
}

const LEAST_ALTERNATIVES = 2;
const LEAST_MUTANTS = 6;
const LEAST_HINTS = 2;
const AUTOMATIC_MUTANTS = 12;
/** For a check that gets no answer: it has nothing to compute. */
const PROBE_SECONDS = 5;

export async function selfCheck(options: SelfCheckOptions): Promise<SelfCheckResult[]> {
  const { exercise, solutions, packageRoot } = options;
  const results: SelfCheckResult[] = [];
  const add = (result: SelfCheckResult): void => {
    results.push(result);
    options.onResult?.(result);
  };
  const mutants = namedMutants(solutions);
  const table = await checksOf(exercise, packageRoot);
  for (const result of completeness(exercise, solutions, mutants)) add(result);
  const judging = await checksJudge(exercise, table);
  add(judging.result);
  // Nothing can be graded by a check that does not end.
  if (judging.hangs) return results;
  add(await taskCompiles(exercise, packageRoot));
  add(await typesHold(exercise, solutions, packageRoot));
  const folder = temporaryFolder('mutants');
  try {
    const waiting = [
      ...trials(exercise, solutions, folder),
      ...mutants.map((mutant) => mutantTrial(mutant, folder)),
      ...(await automatic(options, folder)),
    ];
    const work = async (): Promise<void> => {
      for (let trial = waiting.shift(); trial !== undefined; trial = waiting.shift())
        add(await runTrial(trial, options));
    };
    await Promise.all(Array.from({ length: options.jobs ?? 1 }, work));
  } finally {
    removeTemporary(folder);
  }
  return results;
}

async function runTrial(trial: Trial, options: SelfCheckOptions): Promise<SelfCheckResult> {
  const { exercise, packageRoot, version } = options;
  const ask: GradeOptions = {
    exercise,
    file: trial.file,
    packageRoot,
    version,
    types: false,
    runStarter: true,
    stopAtFailure: trial.stopEarly,
  };
  const report = await gradeSubmission(ask);
  const leak = leakOf(report, exercise);
  const passed = trial.judge(report) && leak === undefined;
  const got = leak === undefined ? summary(report) : leak;
  return { name: trial.name, passed, outcome: passed ? got : `wanted ${trial.wanted}; got ${got}` };
}

/** What a report says of a hidden check beyond its authored sentence. */
function leakOf(report: Report, exercise: Exercise): string | undefined {
  for (const check of report.checks) {
    if (
      check.visibility === 'public' ||
      check.feedback === undefined ||
      check.verdict === 'infra-error' ||
      check.verdict === 'blocked'
    )
      continue;
    const { message } = exercise.checks.find(({ id }) => id === check.id)!;
    if (
      Object.keys(check.feedback).join() !== 'message' ||
      (check.feedback.message !== message && check.verdict !== 'timeout')
    )
      return `the hidden check "${check.id}" told more than its sentence`;
  }
  return undefined;
}

/** Every check that is written is used, and fails what answers nothing: one that asks nothing would pass everybody. */
async function checksJudge(
  exercise: Exercise,
  table: CheckTable,
): Promise<{ result: SelfCheckResult; hangs: boolean }> {
  const named = exercise.checks.map(({ id }) => id);
  const unnamed = Object.keys(table).filter((id) => !named.includes(id));
  const problems = unnamed.length === 0 ? [] : [`not in exercise.yaml: ${unnamed.join(', ')}`];
  let hangs = false;
  const nothing = async (): Promise<never> => {
    throw new CheckFailure('wrong', { message: 'No answer' });
  };
  for (const id of named) {
    const context = { seed: 1, worlds: exercise.worlds, run: nothing, reference: nothing, kept: new Map() };
    let timer: NodeJS.Timeout | undefined;
    const outcome = await Promise.race([
      (async () => table[id]!(context))().then(
        () => 'passes',
        () => 'fails',
      ),
      new Promise<'hangs'>((resolve) => {
        timer = setTimeout(() => resolve('hangs'), PROBE_SECONDS * 1000);
      }),
    ]);
    clearTimeout(timer);
    if (outcome === 'passes') problems.push(`"${id}" passes a submission that answers nothing`);
    if (outcome === 'hangs') {
      hangs = true;
      problems.push(`"${id}" does not end`);
    }
  }
  const passed = problems.length === 0;
  const outcome = passed ? `${named.length} there` : problems.join('; ');
  return { result: { name: 'checks', passed, outcome }, hangs };
}

function completeness(
  exercise: Exercise,
  solutions: string,
  mutants: readonly NamedMutant[],
): SelfCheckResult[] {
  const right = [
    { name: 'reference', path: join(solutions, 'reference.ts') },
    ...sources(join(solutions, 'alternatives')),
  ].filter(({ path }) => existsSync(path));
  const programs = right.map(({ name, path }) => ({ name, text: readText(path) }));
  const shown = [...textsOf(exercise), exercise.starter].map((text) => text.replace(/\s+/g, ' '));
  const named = exercise.checks.filter(
    ({ visibility, title, message = title }) =>
      visibility === 'hidden' &&
      shown.some((text) => [title, message].some((words) => text.includes(words.replace(/\s+/g, ' ')))),
  );
  return [
    {
      name: 'hidden checks',
      passed: named.length === 0,
      outcome:
        named.length === 0
          ? 'what the learner gets names none'
          : `task, hints or starter name ${named.map(({ id }) => `"${id}"`).join(', ')}`,
    },
    different('alternatives', programs, LEAST_ALTERNATIVES + 1, 1),
    different('mutants', mutants, LEAST_MUTANTS),
    atLeast('hints', exercise.hints.filter((hint) => hint !== '').length, LEAST_HINTS),
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

/** Programs that are the same but for blanks and comments count once. */
function different(
  name: string,
  programs: readonly { readonly name: string; readonly text: string }[],
  least: number,
  besides = 0,
): SelfCheckResult {
  const first = new Map<string, string>();
  for (const program of programs) {
    const text = program.text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '').replace(/\s+/g, '');
    const twin = first.get(text);
    if (twin !== undefined)
      return { name, passed: false, outcome: `${program.name} is the same program as ${twin}` };
    first.set(text, program.name);
  }
  return atLeast(name, programs.length - besides, least - besides);
}

/** Every block of TypeScript in the task and the hints must parse and import only what is there. */
async function taskCompiles(exercise: Exercise, packageRoot: string): Promise<SelfCheckResult> {
  const name = 'code in task.md';
  const blocks = textsOf(exercise).flatMap(codeOf);
  for (const [i, code] of blocks.entries()) {
    try {
      const addresses = Object.fromEntries(exercise.imports.map((name) => [name, 'file:///']));
      await compileFiles(packageRoot, { files: [{ name: 'task.ts', text: code }], addresses, exports: [] });
    } catch (error) {
      if (!(error instanceof CheckFailure)) throw error;
      return {
        name,
        passed: false,
        outcome: `block ${i + 1}, line ${error.feedback.line ?? '?'}: ${error.message}`,
      };
    }
  }
  return { name, passed: true, outcome: `${blocks.length} blocks compile` };
}

/** The task and the hints. */
function textsOf(exercise: Exercise): [task: string, hints: string] {
  const text = (name: string): string => {
    const file = join(exercise.folder, name);
    return existsSync(file) ? readText(file) : '';
  };
  return [text('task.md'), text('hints.md')];
}

/** Blocks of TypeScript in a text. */
function codeOf(text: string): string[] {
  return [...text.matchAll(/^```(?:ts|typescript)\n([\s\S]*?)^```/gm)].map(([, code]) => code!);
}

/** Starter, harness, checks, reference, alternatives and the task's code have no type errors: a learner should not begin with somebody else's. */
async function typesHold(
  exercise: Exercise,
  solutions: string,
  packageRoot: string,
): Promise<SelfCheckResult> {
  const name = 'types';
  const folder = temporaryFolder('types');
  const files = [
    ...['starter', 'harness'].map((name) => ({ name, path: join(exercise.folder, `${name}.ts`) })),
    ...['checks', 'reference'].map((name) => ({ name, path: join(solutions, `${name}.ts`) })),
    ...sources(join(solutions, 'alternatives')).map(({ name, path }) => ({
      name: `alternative-${name}`,
      path,
    })),
  ].filter(({ path }) => existsSync(path));
  const texts = [
    ...files.map(({ name, path }) => [`${name}.ts`, readText(path)] as const),
    ...codeOf(textsOf(exercise)[0]).map((block, i) => [`task-block-${i + 1}.ts`, block] as const),
  ];
  const names = texts.map(([name]) => name);
  for (const [name, text] of texts) writeFileSync(join(folder, name), text);
  const cage = new Cage(makeKit(packageRoot), folder, undefined, { memoryMb: 512, ranks: 1 });
  try {
    const { notes, failure } = await checkTypes(cage, packageRoot, names, 120);
    // What was not looked at is not proved.
    if (failure !== undefined) return { name, passed: false, outcome: `not checked: ${failure}` };
    if (notes.length === 0)
      return { name, passed: true, outcome: `${names.length} files have no type errors` };
    const outcome = notes.map(({ file, line, message }) => `${file}:${line}: ${message}`).join('; ');
    return { name, passed: false, outcome };
  } finally {
    await cage.close();
    removeTemporary(folder);
  }
}

function trials(exercise: Exercise, solutions: string, folder: string): Trial[] {
  const passes = (name: string, file: string): Trial => ({
    name,
    file,
    stopEarly: false,
    judge: ({ verdict }) => verdict === 'pass',
    wanted: 'pass',
  });
  return [
    passes('reference', join(solutions, 'reference.ts')),
    ...sources(join(solutions, 'alternatives')).map((file) => passes(`alternative ${file.name}`, file.path)),
    {
      name: 'starter',
      file: join(exercise.folder, 'starter.ts'),
      stopEarly: true,
      judge: ({ verdict }) => verdict !== 'pass' && verdict !== 'infra-error',
      wanted: 'anything but pass',
    },
    ...toldSolutions(exercise, folder),
  ];
}

/** Code of the task and the hints that could be handed in: it must not pass either. */
function toldSolutions(exercise: Exercise, folder: string): Trial[] {
  const isWhole = (code: string): boolean =>
    exercise.exports.every((name) => new RegExp(`^export\\b.*\\b${name}\\b`, 'm').test(code));
  return textsOf(exercise)
    .flatMap(codeOf)
    .filter(isWhole)
    .map((code, i) => {
      const file = join(folder, `told-${i + 1}.ts`);
      writeFileSync(file, code);
      return {
        name: `code of task and hints, ${i + 1}`,
        file,
        stopEarly: true,
        judge: ({ verdict }) => verdict !== 'pass' && verdict !== 'infra-error',
        wanted: 'anything but pass: it tells the solution',
      };
    });
}

function mutantTrial({ name, text, expected }: NamedMutant, folder: string): Trial {
  const file = join(folder, `named-${name}.ts`);
  writeFileSync(file, text);
  const about = { name: `mutant ${name}`, file, stopEarly: true };
  if (expected === undefined)
    return { ...about, judge: () => false, wanted: `that it says how it fails: ${EXPECTED_FORM}` };
  const { verdict, check, words, counted } = expected;
  const judge = (report: Report): boolean => {
    if (counted && process.platform !== 'linux' && report.verdict === 'pass') return true;
    const failing = report.checks.find((candidate) => candidate.verdict !== 'pass');
    if (report.verdict !== verdict || failing?.id !== check) return false;
    return words === undefined || JSON.stringify(failing?.feedback).includes(words);
  };
  const wanted = `${verdict} in ${check}${words === undefined ? '' : ` with "${words}"`}`;
  return { ...about, judge, wanted };
}

/** Mutants of the reference that the machine makes; a few, drawn with a seed of the exercise, or all. */
async function automatic(
  { exercise, solutions, mutants = AUTOMATIC_MUTANTS }: SelfCheckOptions,
  folder: string,
): Promise<Trial[]> {
  const reference = join(solutions, 'reference.ts');
  if (!existsSync(reference)) return [];
  // The TypeScript compiler comes with it, which a grader does not hold: each rank that it starts would cost more, see `intake/compile.ts`.
  const { makeMutants } = await import('./mutate.js');
  const explained = survivorsIn(join(solutions, 'notes.md'));
  return draw(makeMutants(readText(reference)), mutants, exercise.id).map((mutant, i): Trial => {
    const file = join(folder, `mutant-${i}.ts`);
    writeFileSync(file, mutant.text);
    const known = explained.some((label) => mutant.label === label);
    return {
      name: `automatic mutant, line ${mutant.line}, ${mutant.label}`,
      file,
      stopEarly: true,
      judge: ({ verdict }) => verdict !== 'infra-error' && (verdict === 'pass') === known,
      wanted: known
        ? 'pass, as notes.md explains that it survives'
        : 'anything but pass: a check that kills it, or a line in notes.md under "Surviving mutants" that explains it',
    };
  });
}

function draw(all: readonly Mutant[], count: number, label: string): Mutant[] {
  if (all.length <= count) return [...all];
  const random = new Random(deriveSeed(7, label));
  const rest = [...all];
  const drawn: Mutant[] = [];
  while (drawn.length < count) drawn.push(...rest.splice(random.integer(0, rest.length - 1), 1));
  return drawn.sort((a, b) => a.line - b.line);
}

/** Labels under "## Surviving mutants": `- \`label\`: why`. */
function survivorsIn(notes: string): string[] {
  if (!existsSync(notes)) return [];
  const [, section = ''] = readText(notes).split(/^## Surviving mutants$/m);
  return [...section.matchAll(/^- `([^`]+)`: \S/gm)].map(([, label]) => label!);
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
