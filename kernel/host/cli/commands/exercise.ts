import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import {
  listExercises,
  loadExercise,
  namedMutants,
  newExercise,
  selfCheck,
  solutionText,
  startExercise,
} from '../../../../grader/index.js';
import type { Command } from '../command.js';
import { packageRoot } from '../paths.js';
import { packageVersion } from '../version.js';
import { exitOnSignals, jobCount, options, quoted, usageError } from './options.js';

const usage = `usage: shardbook exercise list
       shardbook exercise start ID
       shardbook exercise solution ID [--reveal]
       shardbook exercise new ID
       shardbook exercise check [ID...]
       shardbook exercise mutant ID [NAME]

For learners:
list      shows the exercises
start     copies the starter and the task into the workspace; "shardbook check ID" runs the checks on it
solution  shows the solution with its notes, after the checks have passed

For authors:
new       writes an exercise that is complete: change what works
check     proves exercises: reference and alternatives pass, the starter does not, every mutant fails as it should, automatic
          mutants too or notes.md explains why not, hidden checks tell nothing, the task's code compiles
mutant    lists the named mutants of an exercise, or prints the program of one

--dir FOLDER        folder that holds exercises/ and solutions/; default the ones that come with Shardbook, for "new" here
--workspace FOLDER  where learners work, default .shardbook/workspace, as for "shardbook start"
--again             start anew; what was there is kept as a copy
--reveal            show the solution without having passed
--mutants N         automatic mutants for each exercise, default 12, "all" for all
--jobs N            gradings at once, default one for each core

CONTRIBUTING.md, which comes with Shardbook, describes the files of an exercise.

Exit code: 0 when all is well, 1 when an exercise fails, 2 when the command cannot work.
`;

const OPTIONS = {
  dir: { type: 'string' },
  workspace: { type: 'string', default: '.shardbook/workspace' },
  again: { type: 'boolean', default: false },
  reveal: { type: 'boolean', default: false },
  mutants: { type: 'string', default: '12' },
  jobs: { type: 'string' },
} as const;

type Values = ReturnType<typeof parse>['values'];

function parse(args: string[]) {
  return options(() => parseArgs({ args, options: OPTIONS, allowPositionals: true }), usage);
}

export const command: Command = {
  name: 'exercise',
  summary: 'list, start, write and prove exercises',
  usage,
  async run(args) {
    const { values, positionals } = parse(args);
    exitOnSignals();
    const [action = '', ...ids] = positionals;
    const root = resolve(values.dir ?? packageRoot());
    if (action === 'list') return list(action, root);
    if (action === 'check') return check(root, ids, values);
    if (action === 'mutant') return mutant(root, ids);
    const [id] = ids;
    if (!['new', 'start', 'solution'].includes(action))
      throw usageError(`exercise ${action}`.trim(), 'list, start, solution, new, check or mutant is wanted');
    if (id === undefined || ids.length > 1)
      throw usageError(`exercise ${action}`, 'the name of one exercise is wanted');
    if (action === 'new') {
      for (const file of newExercise(resolve(values.dir ?? '.'), id)) process.stdout.write(`${file}\n`);
      process.stdout.write(`\nNow: shardbook exercise check ${id} --dir ${quoted(values.dir ?? '.')}\n`);
      return 0;
    }
    const exercise = loadExercise(join(root, 'exercises', id));
    if (action === 'solution') {
      process.stdout.write(`${solutionText(exercise, values.workspace, values.reveal)}\n`);
      return 0;
    }
    const { folder, file, kept } = startExercise(exercise, values.workspace, values.again);
    if (kept !== undefined) process.stdout.write(`What was there is now ${kept}\n`);
    process.stdout.write(
      `${exercise.title} is in ${folder}: read task.md, write ${file}\nNow: shardbook check ${id}${values.dir === undefined ? '' : ` --dir ${quoted(values.dir)}`}\n`,
    );
    return 0;
  },
};

/** The exercises of `root`, of which there must be some. */
function all(action: string, root: string): string[] {
  const ids = listExercises(join(root, 'exercises'));
  if (ids.length === 0) throw usageError(`exercise ${action}`, `"${root}" has no exercises/ID/exercise.yaml`);
  return ids;
}

function list(action: string, root: string): number {
  for (const id of all(action, root)) {
    const { title, checks } = loadExercise(join(root, 'exercises', id));
    process.stdout.write(`${id}  ${title}, ${checks.length} checks\n`);
  }
  return 0;
}

function mutant(root: string, [id, name, ...more]: readonly string[]): number {
  if (id === undefined || more.length > 0)
    throw usageError('exercise mutant', 'an exercise and at most one mutant are wanted');
  loadExercise(join(root, 'exercises', id));
  const all = namedMutants(join(root, 'solutions', id));
  if (name === undefined) {
    for (const { name, expected } of all)
      process.stdout.write(
        `${name}  ${expected === undefined ? '' : `${expected.verdict} in ${expected.check}`}\n`,
      );
    return 0;
  }
  const found = all.find((candidate) => candidate.name === name);
  if (found === undefined)
    throw usageError(
      'exercise mutant',
      `"${id}" has no mutant "${name}", but ${all.map(({ name }) => name).join(', ')}`,
    );
  process.stdout.write(found.text);
  return 0;
}

async function check(root: string, ids: readonly string[], values: Values): Promise<number> {
  let passed = 0;
  let failed = 0;
  const mutants = values.mutants === 'all' ? Number.POSITIVE_INFINITY : Number(values.mutants);
  if (values.mutants !== 'all' && !/^\d+$/.test(values.mutants))
    throw usageError('exercise check', `--mutants is "${values.mutants}", wanted a whole number or "all"`);
  const jobs = jobCount('exercise check', values.jobs);
  for (const id of ids.length === 0 ? all('check', root) : ids) {
    const started = Date.now();
    process.stdout.write(`${id}\n`);
    await selfCheck({
      exercise: loadExercise(join(root, 'exercises', id)),
      solutions: join(root, 'solutions', id),
      packageRoot: packageRoot(),
      version: packageVersion(),
      mutants,
      jobs,
      onResult: (result) => {
        if (result.passed) passed++;
        else failed++;
        process.stdout.write(`  ${result.passed ? 'pass' : 'FAIL'}  ${result.name}: ${result.outcome}\n`);
      },
    });
    process.stdout.write(`  ${((Date.now() - started) / 1000).toFixed(1)} s\n`);
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}
