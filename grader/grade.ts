/** Grades one submission of one exercise: intake, checks in file order, report. */
import { type CheckContext, type CheckTable, checksOf, specHash } from './checks/index.js';
import type { CheckSpec, Exercise } from './exercise.js';
import { readSubmission, type Submission, submissionName } from './intake/index.js';
import { Program } from './program.js';
import { deriveSeed } from './random.js';
import type { Case, CaseRun, RankWorld } from './rank-world.js';
import { Reference } from './reference.js';
import { type CheckReport, REPORT_FORMAT, type Report, type TypeNote } from './report.js';
import { type Recipe, requireSandbox } from './sandbox/index.js';
import { checkTypes } from './type-check.js';
import { CheckFailure, type Feedback, type Verdict } from './verdict.js';
import { watched } from './watched.js';
import { SOURCES } from './wire.js';

export interface GradeOptions {
  readonly exercise: Exercise;
  /** The submission: a .ts file, a folder, or a notebook. */
  readonly file: string;
  readonly packageRoot: string;
  readonly version: string;
  readonly seed?: number;
  /** Nobody trusts it: run it in the sandbox, or refuse. */
  readonly untrusted?: boolean;
  /** Hidden checks take their numbers from the seed and from this, which no report names. */
  readonly secret?: string;
  /** Only the checks that a learner sees. */
  readonly publicOnly?: boolean;
  /** Run the starter as well instead of calling it not attempted; for the self-check of an exercise. */
  readonly runStarter?: boolean;
  /** Call everything after the first check that fails blocked; enough for who only asks whether it passes. */
  readonly stopAtFailure?: boolean;
  /** Ask for type errors when the submission does not pass; default true. */
  readonly types?: boolean;
}

/** How often a case is tried again when the grader, not the submission, failed. */
const INFRA_RETRIES = 2;
const DEFAULT_SEED = 1;
const SUBMISSION_SECONDS = 180;
/** What a submission had a say in is cut: a report stays small. */
const LONGEST_TEXT = 2000;
const MOST_DETAILS = 40;
const MOST_NOTES = 20;

export async function gradeSubmission(options: GradeOptions): Promise<Report> {
  const recipe = options.untrusted === true ? await requireSandbox(options.packageRoot) : undefined;
  for (let attempt = 0; ; attempt++) {
    const report = await gradeOnce(options, recipe);
    if (report.verdict !== 'infra-error' || attempt >= INFRA_RETRIES) return report;
  }
}

/** One grading under way. */
interface Grading {
  readonly options: GradeOptions;
  /** As far as it is graded. */
  readonly exercise: Exercise;
  readonly seed: number;
  readonly started: number;
  readonly program: Program;
  submission: Submission | undefined;
  types: readonly TypeNote[];
}

async function gradeOnce(options: GradeOptions, recipe: Recipe | undefined): Promise<Report> {
  const { packageRoot, seed = DEFAULT_SEED } = options;
  const exercise = options.publicOnly === true ? publicPart(options.exercise) : options.exercise;
  const table = await checksOf(exercise, packageRoot);
  const started = Date.now();
  const program = new Program(exercise, packageRoot, recipe);
  const reference = new Reference(exercise, packageRoot);
  const about = { options, exercise, seed, started, program };
  const grading: Grading = { ...about, submission: undefined, types: [] };
  try {
    return await judge(grading, table, reference);
  } catch (error) {
    if (!(error instanceof CheckFailure)) throw error;
    return reportOf(grading, error.verdict, { feedback: error.feedback });
  } finally {
    await Promise.all([program.close(), reference.close()]);
  }
}

async function judge(grading: Grading, table: CheckTable, reference: Reference): Promise<Report> {
  const { options, exercise, seed, started, program } = grading;
  const submission = readSubmission(options.file, exercise);
  grading.submission = submission;
  if (options.runStarter !== true && isStarter(submission, exercise)) {
    const feedback = { message: 'This is the starter as it was handed out' };
    return reportOf(grading, 'not-attempted', { feedback });
  }
  const { files, kind } = submission;
  const isCells = kind === 'notebook' || kind === 'myst';
  const world = await program.start({ files, isCells, startAhead: options.stopAtFailure !== true });
  if (exercise.typesBlock) {
    const [first] = await askTypes(grading, submission);
    if (first !== undefined) {
      const message = `It has type errors, which this exercise does not allow: ${first.message}`;
      return reportOf(grading, 'compile-error', { feedback: { ...first, message } });
    }
  }
  const checks = await runChecks(exercise, table, {
    world,
    kept: new Map(),
    reference,
    seed,
    hiddenSeed: hiddenSeed(seed, options.secret),
    placed: (feedback) => placed(submission, feedback),
    stopAtFailure: options.stopAtFailure === true,
    deadline: started + SUBMISSION_SECONDS * 1000,
  });
  const verdict = overall(checks);
  const prints = (await world.prints()).flatMap((text, rank) => (text === '' ? [] : [{ rank, text }]));
  if (verdict !== 'pass' && verdict !== 'infra-error' && options.types !== false && !exercise.typesBlock)
    await askTypes(grading, submission);
  const score = { earned: sum(checks.map(({ earned }) => earned)), possible: possible(checks) };
  return reportOf(grading, verdict, { checks, score, prints });
}

function reportOf(grading: Grading, verdict: Verdict, rest: Partial<Report>): Report {
  const { options, exercise, seed, started, program, submission, types } = grading;
  const { kit, cage } = program;
  return {
    format: REPORT_FORMAT,
    exercise: { id: exercise.id, title: exercise.title },
    submission: {
      name: submission?.name ?? submissionName(options.file),
      kind: submission?.kind ?? 'file',
      sha256: submission?.sha256 ?? '',
    },
    grader: {
      shardbook: options.version,
      runtime: kit.runtime.slice(0, 16),
      spec: specHash(exercise).slice(0, 16),
      node: process.versions.node,
      isolation: cage.isolation,
      layers: cage.layers,
    },
    seed,
    verdict,
    score: { earned: 0, possible: possible(exercise.checks) },
    checks: [],
    types,
    notes: shortened(submission?.notes ?? [], MOST_NOTES),
    prints: [],
    ...rest,
    ...(rest.feedback === undefined ? {} : { feedback: placed(submission, bounded(rest.feedback)) }),
    milliseconds: Date.now() - started,
  };
}

/** Feedback with the place in what was handed in, not in what was made of it. */
function placed(submission: Submission | undefined, feedback: Feedback): Feedback {
  if (submission === undefined || feedback.line === undefined) return feedback;
  const { file, ...rest } = feedback;
  const place = submission.place(feedback.line, file);
  return place.file === submission.name ? rest : { ...rest, ...place };
}

/** Type errors, with lines of the compiled files; the report gets them with those of the submission. */
async function askTypes(grading: Grading, submission: Submission): Promise<readonly TypeNote[]> {
  const { program, options } = grading;
  const names = submission.files.map(({ name }) => name);
  const folder = `${SOURCES}/`;
  const { notes, failure } = await checkTypes(
    program.cage,
    options.packageRoot,
    names.map((name) => folder + name),
  );
  const all = [
    ...notes.map((note) => ({ ...note, file: note.file.replace(folder, '') })),
    ...(failure === undefined ? [] : [{ file: names[0]!, line: 1, message: failure }]),
  ];
  grading.types = all.map((note) => ({ ...note, ...submission.place(note.line, note.file) }));
  return all;
}

interface Run {
  readonly world: RankWorld;
  readonly kept: CheckContext['kept'];
  readonly reference: Reference;
  readonly seed: number;
  readonly hiddenSeed: number;
  readonly placed: (feedback: Feedback) => Feedback;
  readonly stopAtFailure: boolean;
  readonly deadline: number;
}

async function runChecks(exercise: Exercise, table: CheckTable, run: Run): Promise<CheckReport[]> {
  const reports: CheckReport[] = [];
  let fatal: string | undefined;
  for (const spec of exercise.checks) {
    const { id, title, visibility, weight } = spec;
    const started = Date.now();
    const add = (verdict: Verdict, earned: number, feedback?: Feedback): void => {
      const milliseconds = Date.now() - started;
      reports.push({
        id,
        title,
        visibility,
        weight,
        verdict,
        earned,
        ...(feedback === undefined ? {} : { feedback }),
        milliseconds,
      });
    };
    const blocker = spec.requires.find(
      (required) => reports.find((report) => report.id === required)?.verdict !== 'pass',
    );
    if (fatal !== undefined) add('blocked', 0, { message: fatal });
    else if (blocker !== undefined)
      add('blocked', 0, { message: `Needs "${titleOf(exercise, blocker)}" first` });
    else if (Date.now() > run.deadline)
      add('timeout', 0, { message: `The time for all checks together, ${SUBMISSION_SECONDS} s, is over` });
    else {
      const failure = await runCheck(spec, table, exercise, run);
      if (failure === undefined) add('pass', weight);
      else
        add(
          failure.verdict,
          weight * Math.min(1, Math.max(0, failure.credit)),
          shown(spec, failure, run.placed),
        );
      // What cannot be loaded fails every check in the same way.
      if (failure?.verdict === 'load-error' || failure?.verdict === 'infra-error')
        fatal = failure.feedback.message;
      else if (failure !== undefined && run.stopAtFailure) fatal = 'Not run: another check failed';
    }
  }
  return reports;
}

async function runCheck(
  spec: CheckSpec,
  table: CheckTable,
  exercise: Exercise,
  run: Run,
): Promise<CheckFailure | undefined> {
  const { world, reference } = run;
  const seed = spec.visibility === 'hidden' ? run.hiddenSeed : run.seed;
  const limited = (work: Case): Case =>
    spec.caseSeconds === undefined || work.seconds !== undefined
      ? work
      : { ...work, seconds: spec.caseSeconds };
  const ask = (work: Case): Promise<CaseRun> => reference.ask(limited(work));
  const check = (answerer: (work: Case) => Promise<CaseRun>, kept: CheckContext['kept']): Promise<void> =>
    watched(spec.id, async (busy) =>
      table[spec.id]!({
        seed,
        worlds: exercise.worlds,
        run: (work) => busy(() => answerer(work)),
        kept,
        reference: (work) => busy(() => ask(work)),
      }),
    );
  for (let attempt = 0; ; attempt++) {
    try {
      await check((work) => world.run(limited(work)), run.kept);
      return undefined;
    } catch (error) {
      if (error instanceof CheckFailure && error.verdict !== 'infra-error') return error;
      if (attempt < 1) continue;
      if (error instanceof CheckFailure) return error;
      const passes = await check(ask, new Map()).then(
        () => true,
        () => false,
      );
      // A check that stumbles over these answers and not over the reference's was given something of another form.
      if (passes)
        return new CheckFailure('wrong', {
          message: 'What came back has another form than the task asks for: the check cannot read it',
        });
      // One that stumbles over both is the grader's mistake, never the submission's.
      return new CheckFailure('infra-error', {
        message: `The check "${spec.id}" failed itself: ${(error as Error).message}`,
      });
    }
  }
}

/** Without a secret it is the seed's own, so that an author can run what failed again. */
function hiddenSeed(seed: number, secret: string | undefined): number {
  return secret === undefined || secret === '' ? seed : deriveSeed(seed, secret);
}

/** A hidden check says one authored sentence: no case, no values, no line. */
function shown(
  spec: CheckSpec,
  { verdict, feedback }: CheckFailure,
  placed: (feedback: Feedback) => Feedback,
): Feedback {
  return spec.visibility === 'public' || verdict === 'infra-error'
    ? placed(bounded(feedback))
    : { message: spec.message! };
}

function bounded({ message, details, ...feedback }: Feedback): Feedback {
  return {
    ...feedback,
    message: message.slice(0, LONGEST_TEXT),
    ...(details === undefined ? {} : { details: shortened(details, MOST_DETAILS) }),
  };
}

function shortened(lines: readonly string[], most: number): string[] {
  return lines.slice(0, most).map((line) => line.slice(0, LONGEST_TEXT));
}

/** The first check that did not pass names the verdict; a failure of the grader's own outweighs all. */
function overall(checks: readonly CheckReport[]): Verdict {
  if (checks.some(({ verdict }) => verdict === 'infra-error')) return 'infra-error';
  return checks.find(({ verdict }) => verdict !== 'pass')?.verdict ?? 'pass';
}

/** The exercise as far as a learner sees it. */
function publicPart(exercise: Exercise): Exercise {
  const checks = exercise.checks.filter(({ visibility }) => visibility === 'public');
  const known = new Set(checks.map(({ id }) => id));
  return {
    ...exercise,
    checks: checks.map((check) => ({ ...check, requires: check.requires.filter((id) => known.has(id)) })),
  };
}

function isStarter({ kind, files }: Submission, exercise: Exercise): boolean {
  const normal = (text: string): string => text.replace(/\s+/g, ' ').trim();
  return (kind !== 'folder' || files.length === 1) && normal(files[0]!.text) === normal(exercise.starter);
}

function titleOf(exercise: Exercise, id: string): string {
  return exercise.checks.find((check) => check.id === id)?.title ?? id;
}

function possible(checks: readonly { readonly weight: number }[]): number {
  return sum(checks.map(({ weight }) => weight));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
