import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { exitCode, formatReport, gradeSubmission, loadExercise } from '../../../../grader/index.js';
import type { Command } from '../command.js';
import { packageRoot } from '../paths.js';
import { packageVersion } from '../version.js';
import { options, usageError } from './options.js';

const usage = `usage: shardbook grade EXERCISE --submission FILE [options]

Runs a submission in processes of its own, with limits, and judges it from outside.
EXERCISE is the folder of an exercise, such as exercises/ring-all-reduce.

--submission FILE  the TypeScript file to grade
--json FILE        write the report as JSON; "-" writes it to standard output instead of the text
--seed N           seed of the inputs, default 1
--no-types         do not look for type errors
--untrusted        demand a sandbox; refuses as long as there is none

Exit code: 0 passed, 1 did not pass, 2 the grader could not work.
`;

const OPTIONS = {
  submission: { type: 'string' },
  json: { type: 'string' },
  seed: { type: 'string', default: '1' },
  'no-types': { type: 'boolean', default: false },
  untrusted: { type: 'boolean', default: false },
} as const;

export const command: Command = {
  name: 'grade',
  summary: 'judge a submission of an exercise',
  usage,
  async run(args) {
    const { values, positionals } = options(
      () => parseArgs({ args, options: OPTIONS, allowPositionals: true }),
      usage,
    );
    const [folder] = positionals;
    if (folder === undefined || positionals.length > 1) throw usageError('grade', 'one exercise is wanted');
    if (values.submission === undefined)
      throw usageError('grade', 'no submission is named, wanted --submission FILE');
    const seed = Number(values.seed);
    if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32) {
      throw usageError(
        'grade',
        `the seed is "${values.seed}", wanted a whole number from 0 to ${2 ** 32 - 1}`,
      );
    }
    const report = await gradeSubmission({
      exercise: loadExercise(folder),
      file: resolve(values.submission),
      packageRoot: packageRoot(),
      version: packageVersion(),
      seed,
      types: !values['no-types'],
      untrusted: values.untrusted,
    });
    const json = `${JSON.stringify(report, null, 2)}\n`;
    if (values.json === '-') process.stdout.write(json);
    else {
      process.stdout.write(`${formatReport(report)}\n`);
      if (values.json !== undefined) {
        mkdirSync(dirname(resolve(values.json)), { recursive: true });
        writeFileSync(values.json, json);
      }
    }
    return exitCode(report);
  },
};
