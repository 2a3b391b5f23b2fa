/** `shardbook check`: the learner's side of the grader. The checks are the ones that an instructor's grading runs, as far as learners see them. */
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { checkWork, exitCode, formatReport, loadExercise, nextHint } from '../../../../grader/index.js';
import type { Command } from '../command.js';
import { packageRoot } from '../paths.js';
import { packageVersion } from '../version.js';
import { exitOnSignals, isColourful, options, seedOf, usageError } from './options.js';

const usage = `usage: shardbook check ID [--submission PATH] [--hint]

Runs the public checks of an exercise on your work: what "shardbook exercise start ID" put into the workspace, or PATH.

--submission PATH   a .ts file, a folder or a notebook
--hint              show the next hint instead
--seed N            seed of the inputs, default 1; feedback says which seed shows a failure again
--workspace FOLDER  where you work, default .shardbook/workspace, as for "shardbook start"
--dir FOLDER        folder that holds exercises/ and solutions/; default the ones that come with Shardbook

Exit code: 0 passed, 1 did not pass, 2 the checks could not be run.
`;

const OPTIONS = {
  submission: { type: 'string' },
  hint: { type: 'boolean', default: false },
  seed: { type: 'string', default: '1' },
  workspace: { type: 'string', default: '.shardbook/workspace' },
  dir: { type: 'string' },
} as const;

export const command: Command = {
  name: 'check',
  summary: 'run the public checks of an exercise on your work',
  usage,
  async run(args) {
    const { values, positionals } = options(
      () => parseArgs({ args, options: OPTIONS, allowPositionals: true }),
      usage,
    );
    exitOnSignals();
    const [id] = positionals;
    if (id === undefined || positionals.length > 1)
      throw usageError('check', 'the name of one exercise is wanted');
    const exercise = loadExercise(join(resolve(values.dir ?? packageRoot()), 'exercises', id));
    if (values.hint) {
      const { hint, number, of } = nextHint(exercise, values.workspace);
      process.stdout.write(`Hint ${number} of ${of}\n\n${hint}\n`);
      return 0;
    }
    const seed = seedOf('check', values.seed);
    const { report, advice } = await checkWork({
      exercise,
      workspace: values.workspace,
      packageRoot: packageRoot(),
      version: packageVersion(),
      seed,
      ...(values.submission === undefined ? {} : { file: values.submission }),
    });
    process.stdout.write(`${formatReport(report, { colours: isColourful(process.stdout) })}\n${advice}\n`);
    return exitCode(report);
  },
};
