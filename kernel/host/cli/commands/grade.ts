import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import {
  type BatchProgress,
  BullmqExecutor,
  codeQualityReport,
  ctrfReport,
  EXERCISE_FILE,
  type Executor,
  exitCode,
  findJobs,
  formatReport,
  githubAnnotations,
  gradebook,
  gradeSubmission,
  gradescopeReport,
  junitReport,
  loadExercise,
  markdownReport,
  mergeResults,
  neutralize,
  PoolExecutor,
  type Report,
  Results,
  reportSchema,
  requireSandbox,
  runBatch,
  shardOf,
  startWorker,
  visibleJson,
} from '../../../../grader/index.js';
import { makeFolder } from '../../folders/index.js';
import type { Command } from '../command.js';
import { packageRoot } from '../paths.js';
import { packageVersion } from '../version.js';
import { exitOnSignals, isColourful, jobCount, options, seedOf, usageError } from './options.js';

const usage = `usage: shardbook grade EXERCISE --submission PATH [options]
       shardbook grade DIR --out FOLDER [--exercise ID...] [options]
       shardbook grade merge FOLDER... --out FOLDER
       shardbook grade worker --redis URL [options]

Runs submissions in processes of their own, with limits, and judges them from outside. EXERCISE is the folder of an
exercise, such as exercises/ring-all-reduce. PATH is a .ts file, a folder, or a notebook (.ipynb or MyST .md). DIR holds many:
LEARNER/EXERCISE.ts, EXERCISE/LEARNER.ts, or with one --exercise, LEARNER.ts. What is in FOLDER already is not graded again.

--untrusted        run in the sandbox, or refuse where there is none (see "shardbook doctor")
--seed N           seed of the inputs, default 1
--public           only the checks that learners see
--no-types         do not look for type errors
--json FILE        the report as JSON; "-" writes it to standard output instead of the text
--junit FILE       JUnit XML
--ctrf FILE        CTRF
--gradescope FILE  Gradescope's results.json (one submission)
--markdown FILE    a summary in Markdown; appended, as a job's summary wants it
--codequality FILE GitLab's Code Quality report, with feedback at the submission's lines (one submission)
--github           workflow commands that put feedback at the submission's lines
--schema           print the JSON Schema of the report

Many submissions:
--out FOLDER       where results go: reports by content, manifest.json, gradebook.csv
--exercise ID      only this exercise; may be given several times
--exercises FOLDER folder of the exercises, default those that come with Shardbook
--jobs N           gradings at once, default one for each core
--shard I/N        only part I of N; "grade merge" puts the parts together
--types            look for type errors as well (slow)
--again            grade also what is there, and show what changed
--redis URL        put the jobs into a queue there instead, for "grade worker"s to take; FOLDER holds the results
--queue NAME       name of the queue, default shardbook

SHARDBOOK_SECRET in the environment changes the numbers of hidden checks to ones that nobody can know who knows the checks.

Exit code: 0 passed, 1 did not pass, 2 the grader could not work.
`;

const SEED = '1';
const QUEUE = 'shardbook';

const OPTIONS = {
  submission: { type: 'string' },
  json: { type: 'string' },
  junit: { type: 'string' },
  ctrf: { type: 'string' },
  gradescope: { type: 'string' },
  markdown: { type: 'string' },
  codequality: { type: 'string' },
  github: { type: 'boolean' },
  schema: { type: 'boolean' },
  seed: { type: 'string' },
  public: { type: 'boolean' },
  'no-types': { type: 'boolean' },
  untrusted: { type: 'boolean' },
  types: { type: 'boolean' },
  out: { type: 'string' },
  exercise: { type: 'string', multiple: true },
  exercises: { type: 'string' },
  jobs: { type: 'string' },
  shard: { type: 'string' },
  again: { type: 'boolean' },
  redis: { type: 'string' },
  queue: { type: 'string' },
} as const;

type Values = ReturnType<typeof parse>['values'];

const OF_ONE_AND_MANY = ['json', 'junit', 'ctrf', 'markdown', 'seed', 'public', 'untrusted'] as const;

/** What each form of the command takes; one that is silently of no use would be believed to be in force. */
const FORMS: Record<'one' | 'many' | 'merge' | 'worker', { words: string; takes: readonly string[] }> = {
  one: {
    words: 'one submission',
    takes: [...OF_ONE_AND_MANY, 'submission', 'gradescope', 'codequality', 'github', 'no-types'],
  },
  many: {
    words: 'many submissions',
    takes: [
      ...OF_ONE_AND_MANY,
      ...['out', 'exercise', 'exercises', 'jobs', 'shard', 'types', 'again', 'redis', 'queue'],
    ],
  },
  merge: { words: '"grade merge"', takes: ['out'] },
  worker: { words: '"grade worker"', takes: ['redis', 'queue', 'jobs'] },
};

function refuseOthers(form: keyof typeof FORMS, values: Values): void {
  for (const name of Object.keys(values)) {
    if (FORMS[form].takes.includes(name)) continue;
    const words = Object.values(FORMS).flatMap(({ words, takes }) => (takes.includes(name) ? [words] : []));
    throw usageError('grade', `--${name} is for ${words.join(' and ')}, not for ${FORMS[form].words}`);
  }
}

function parse(args: string[]) {
  return options(() => parseArgs({ args, options: OPTIONS, allowPositionals: true }), usage);
}

export const command: Command = {
  name: 'grade',
  summary: 'judge submissions of exercises',
  usage,
  async run(args) {
    const { values, positionals } = parse(args);
    if (values.schema) {
      process.stdout.write(`${JSON.stringify(reportSchema, null, 2)}\n`);
      return 0;
    }
    const [first, ...rest] = positionals;
    if (first === undefined) throw usageError('grade', 'an exercise or a folder of submissions is wanted');
    if (first === 'merge') return merge(rest, values);
    if (first === 'worker') return work(values);
    if (rest.length > 0) throw usageError('grade', `"${rest[0]}" is one argument too many`);
    exitOnSignals();
    if (values.submission !== undefined || existsSync(join(first, EXERCISE_FILE)))
      return gradeOne(first, values);
    return gradeMany(first, values);
  },
};

async function gradeOne(folder: string, values: Values): Promise<number> {
  refuseOthers('one', values);
  if (values.submission === undefined)
    throw usageError('grade', 'no submission is named, wanted --submission PATH');
  const report = await gradeSubmission({
    exercise: loadExercise(folder),
    file: resolve(values.submission),
    packageRoot: packageRoot(),
    version: packageVersion(),
    seed: seedOf('grade', values.seed ?? SEED),
    types: values['no-types'] !== true,
    untrusted: values.untrusted === true,
    publicOnly: values.public === true,
    ...secretOf(),
  });
  if (values.json !== '-')
    process.stdout.write(`${formatReport(report, { colours: isColourful(process.stdout) })}\n`);
  if (values.github)
    for (const line of githubAnnotations(report, values.submission)) besideJson(values).write(`${line}\n`);
  writeReports([report], report, values);
  if (values.codequality !== undefined)
    write(values.codequality, `${JSON.stringify(codeQualityReport(report, values.submission), null, 2)}\n`);
  if (values.gradescope !== undefined)
    write(values.gradescope, `${JSON.stringify(gradescopeReport(report), null, 2)}\n`);
  return exitCode(report);
}

async function gradeMany(folder: string, values: Values): Promise<number> {
  refuseOthers('many', values);
  if (values.out === undefined)
    throw usageError('grade', 'many submissions want --out FOLDER for their results');
  const width = jobCount('grade', values.jobs);
  const part = values.shard === undefined ? undefined : shardNumbers(values.shard);
  const seed = seedOf('grade', values.seed ?? SEED);
  if (values.untrusted) await requireSandbox(packageRoot());
  const all = findJobs(folder, {
    exercises: resolve(values.exercises ?? join(packageRoot(), 'exercises')),
    ...(values.exercise === undefined ? {} : { only: values.exercise }),
    packageRoot: packageRoot(),
    seed,
    untrusted: values.untrusted === true,
    publicOnly: values.public === true,
    types: values.types === true,
    onIgnored: (path, reason) => void process.stderr.write(`not graded  ${neutralize(path)}: ${reason}\n`),
    ...secretOf(),
  });
  const jobs = part === undefined ? all : shardOf(all, ...part);
  const results = new Results(resolve(values.out));
  const executor: Executor =
    values.redis === undefined
      ? new PoolExecutor({ packageRoot: packageRoot(), version: packageVersion(), ...secretOf() }, width)
      : await BullmqExecutor.start({ url: values.redis, name: values.queue ?? QUEUE });
  const started = Date.now();
  try {
    const outcome = await runBatch(jobs, executor, results, {
      again: values.again === true,
      onProgress: showProgress,
    });
    writeFileSync(join(results.folder, 'gradebook.csv'), gradebook(results.manifest()));
    writeReports(outcome.reports, outcome.reports, values);
    const said = besideJson(values);
    for (const { learner, exercise, before, after } of outcome.changes)
      said.write(`changed  ${learner}, ${exercise}: ${before} -> ${after}\n`);
    for (const conflict of outcome.conflicts)
      process.stderr.write(`${conflict.message}  [${conflict.code}]\n`);
    const count = (verdict: string): number =>
      outcome.entries.filter((entry) => entry.verdict === verdict).length;
    const passed = count('pass');
    const lost = count('infra-error');
    const seconds = (Date.now() - started) / 1000;
    said.write(
      `${outcome.entries.length} submissions in ${seconds.toFixed(1)} s, ${outcome.kept} of them known: ` +
        `${passed} passed, ${outcome.entries.length - passed - lost} did not, ${lost} could not be graded\n`,
    );
    if (lost > 0 || outcome.conflicts.length > 0) return 2;
    return passed === outcome.entries.length ? 0 : 1;
  } finally {
    await executor.close();
  }
}

function merge(folders: readonly string[], values: Values): number {
  refuseOthers('merge', values);
  if (values.out === undefined || folders.length === 0)
    throw usageError('grade merge', 'folders of results and --out FOLDER are wanted');
  const out = resolve(values.out);
  const { entries, changes } = mergeResults(
    folders.map((folder) => resolve(folder)),
    out,
  );
  const results = new Results(out);
  writeFileSync(join(out, 'gradebook.csv'), gradebook(results.manifest()));
  for (const { learner, exercise, before, after } of changes)
    process.stdout.write(`changed  ${learner}, ${exercise}: ${before} -> ${after}\n`);
  process.stdout.write(`${entries} results from ${folders.length} folders in ${values.out}\n`);
  return 0;
}

async function work(values: Values): Promise<number> {
  refuseOthers('worker', values);
  if (values.redis === undefined) throw usageError('grade worker', 'no queue is named, wanted --redis URL');
  const lock = process.env['SHARDBOOK_QUEUE_LOCK_MS'];
  const worker = await startWorker(
    {
      url: values.redis,
      name: values.queue ?? QUEUE,
      jobs: jobCount('grade worker', values.jobs),
      ...(lock === undefined ? {} : { lockMs: Number(lock) }),
    },
    { packageRoot: packageRoot(), version: packageVersion(), ...secretOf() },
    (job, report) =>
      void process.stdout.write(`${report.verdict.padEnd(13)} ${job.learner}, ${job.exercise}\n`),
  );
  process.stdout.write(`taking jobs from ${values.queue ?? QUEUE}\n`);
  await new Promise<void>((done) => {
    process.once('SIGTERM', done);
    process.once('SIGINT', done);
  });
  await worker.close();
  return 0;
}

/** A bar on a terminal, a line for each submission elsewhere. */
function showProgress({ done, total, kept, job, report }: BatchProgress): void {
  if (process.stderr.isTTY !== true) {
    process.stderr.write(
      `${done}/${total} ${report.verdict.padEnd(13)} ${job.learner}, ${job.exercise}${kept ? ' (known)' : ''}\n`,
    );
    return;
  }
  const width = 30;
  const filled = Math.round((width * done) / total);
  process.stderr.write(
    `\r[${'='.repeat(filled)}${' '.repeat(width - filled)}] ${done}/${total} ${report.verdict.padEnd(13)}${done === total ? '\n' : ''}`,
  );
}

/** Where words go: not between the JSON, when that is what is asked for. */
function besideJson(values: Values): NodeJS.WriteStream {
  return values.json === '-' ? process.stderr : process.stdout;
}

/** `asJson` is what stands in the JSON: the report of one submission, the list of many, however many there are. */
function writeReports(reports: readonly Report[], asJson: Report | readonly Report[], values: Values): void {
  const json = (value: unknown): string => `${visibleJson(value)}\n`;
  if (values.json === '-') process.stdout.write(json(asJson));
  else if (values.json !== undefined) write(values.json, json(asJson));
  if (values.junit !== undefined) write(values.junit, junitReport(reports));
  if (values.ctrf !== undefined) write(values.ctrf, json(ctrfReport(reports)));
  if (values.markdown !== undefined) write(values.markdown, markdownReport(reports), 'a');
}

function write(file: string, text: string, flag: 'w' | 'a' = 'w'): void {
  const path = resolve(file);
  makeFolder(dirname(path));
  writeFileSync(path, text, { flag });
}

/** The environment and not an option: a command line stands in logs. */
function secretOf(): { secret?: string } {
  const secret = process.env['SHARDBOOK_SECRET'];
  return secret === undefined ? {} : { secret };
}

function shardNumbers(text: string): [number, number] {
  const [, index, count] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  if (index !== undefined && Number(index) >= 1 && Number(index) <= Number(count))
    return [Number(index), Number(count)];
  throw usageError('grade', `--shard is "${text}", wanted I/N with I from 1 to N`);
}
