/** Grades one submission of one exercise: intake, checks in file order, report. */
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { CheckTable } from './checks/index.js';
import { checksOf } from './checks/index.js';
import type { CheckSpec, Exercise } from './exercise.js';
import { compileSubmission, readSubmission, type Submission } from './intake.js';
import type { RankPlace } from './rank-process.js';
import { MODULE_FILE, RankWorld } from './rank-world.js';
import { type CheckReport, REPORT_FORMAT, type Report } from './report.js';
import { typeNotes } from './type-check.js';
import { CheckFailure, type Feedback, type Verdict } from './verdict.js';

export interface GradeOptions {
  readonly exercise: Exercise;
  /** The submission. */
  readonly file: string;
  readonly packageRoot: string;
  readonly version: string;
  readonly seed?: number;
  /** Run the starter as well instead of calling it not attempted; for the self-check of an exercise. */
  readonly runStarter?: boolean;
  /** Ask for type errors when the submission does not pass; default true. */
  readonly types?: boolean;
}

/** How often a case is tried again when the grader, not the submission, failed. */
const INFRA_RETRIES = 1;
const DEFAULT_SEED = 1;

export async function gradeSubmission(options: GradeOptions): Promise<Report> {
  const { exercise, packageRoot } = options;
  const table = checksOf(exercise);
  const started = Date.now();
  // Real paths: the permission model compares them, and a temporary folder may be a link.
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'shardbook-grade-')));
  const place: RankPlace = {
    folder,
    packageRoot: realpathSync(packageRoot),
    runner: join(realpathSync(packageRoot), 'dist/grader-runner.js'),
  };
  let submission: Submission = { name: 'submission.ts', sha256: '', text: '' };
  const seed = options.seed ?? DEFAULT_SEED;
  const report = (verdict: Verdict, rest: Partial<Report>): Report => ({
    format: REPORT_FORMAT,
    exercise: { id: exercise.id, title: exercise.title },
    submission: { name: submission.name, sha256: submission.sha256 },
    grader: { shardbook: options.version, node: process.versions.node, isolation: 'process' },
    seed,
    verdict,
    score: { earned: 0, possible: sum(exercise.checks.map(({ weight }) => weight)) },
    checks: [],
    types: [],
    prints: [],
    ...rest,
    milliseconds: Date.now() - started,
  });
  try {
    submission = readSubmission(options.file);
    if (options.runStarter !== true && submission.text.trim() === exercise.starter.trim()) {
      return report('not-attempted', { feedback: { message: 'This is the starter as it was handed out' } });
    }
    const addresses = new Map(exercise.imports.map((name) => [name, entryUrl(packageRoot)]));
    writeFileSync(join(folder, MODULE_FILE), compileSubmission(submission, addresses).code);
    writeFileSync(join(folder, submission.name), submission.text);
    const world = new RankWorld({
      place,
      limits: exercise.limits,
      size: Math.max(...exercise.worlds),
      exportName: exercise.exportName,
      submissionName: submission.name,
    });
    try {
      const checks = await runChecks(exercise, table, world, seed);
      const verdict = overall(checks);
      const wantsTypes = verdict !== 'pass' && options.types !== false;
      return report(verdict, {
        checks,
        score: {
          earned: sum(checks.filter((c) => c.verdict === 'pass').map((c) => c.weight)),
          possible: sum(checks.map((c) => c.weight)),
        },
        types: wantsTypes ? await typeNotes(place, join(folder, submission.name)) : [],
        prints: world.prints().flatMap((text, rank) => (text === '' ? [] : [{ rank, text }])),
      });
    } finally {
      world.stop();
    }
  } catch (error) {
    if (!(error instanceof CheckFailure)) throw error;
    return report(error.verdict, { feedback: error.feedback });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runChecks(
  exercise: Exercise,
  table: CheckTable,
  world: RankWorld,
  seed: number,
): Promise<CheckReport[]> {
  const reports: CheckReport[] = [];
  let fatal: string | undefined;
  for (const spec of exercise.checks) {
    const { id, title, visibility, weight } = spec;
    const started = Date.now();
    const add = (verdict: Verdict, feedback?: Feedback): void => {
      const milliseconds = Date.now() - started;
      reports.push({
        id,
        title,
        visibility,
        weight,
        verdict,
        ...(feedback === undefined ? {} : { feedback }),
        milliseconds,
      });
    };
    const blocker = spec.requires.find(
      (required) => reports.find((report) => report.id === required)?.verdict !== 'pass',
    );
    if (fatal !== undefined) add('blocked', { message: fatal });
    else if (blocker !== undefined)
      add('blocked', { message: `Needs "${titleOf(exercise, blocker)}" first` });
    else {
      const failure = await runCheck(spec, table, { exercise, world, seed });
      if (failure === undefined) add('pass');
      else add(failure.verdict, shown(spec, failure));
      // What cannot be loaded fails every check in the same way.
      if (failure?.verdict === 'load-error' || failure?.verdict === 'infra-error')
        fatal = failure.feedback.message;
    }
  }
  return reports;
}

async function runCheck(
  spec: CheckSpec,
  table: CheckTable,
  { exercise, world, seed }: { exercise: Exercise; world: RankWorld; seed: number },
): Promise<CheckFailure | undefined> {
  for (let attempt = 0; ; attempt++) {
    try {
      await table[spec.id]!({ seed, worlds: exercise.worlds, run: (work) => world.run(work) });
      return undefined;
    } catch (error) {
      if (!(error instanceof CheckFailure)) throw error;
      if (error.verdict !== 'infra-error' || attempt >= INFRA_RETRIES) return error;
    }
  }
}

/** A hidden check says one authored sentence: no case, no values, no line. */
function shown(spec: CheckSpec, { verdict, feedback }: CheckFailure): Feedback {
  return spec.visibility === 'public' || verdict === 'infra-error' ? feedback : { message: spec.message! };
}

/** The first check that did not pass names the verdict; a failure of the grader's own outweighs all. */
function overall(checks: readonly CheckReport[]): Verdict {
  if (checks.some(({ verdict }) => verdict === 'infra-error')) return 'infra-error';
  return checks.find(({ verdict }) => verdict !== 'pass')?.verdict ?? 'pass';
}

function titleOf(exercise: Exercise, id: string): string {
  return exercise.checks.find((check) => check.id === id)?.title ?? id;
}

function entryUrl(packageRoot: string): string {
  return pathToFileURL(join(realpathSync(packageRoot), 'dist/index.js')).href;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
