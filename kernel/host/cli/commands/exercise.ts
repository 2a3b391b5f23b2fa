import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { listExercises, loadExercise, selfCheck } from '../../../../grader/index.js';
import type { Command } from '../command.js';
import { packageRoot } from '../paths.js';
import { packageVersion } from '../version.js';
import { options, usageError } from './options.js';

const usage = `usage: shardbook exercise list
       shardbook exercise check [ID...]

list   shows the exercises
check  proves them: reference and alternatives pass, the starter does not, every mutant fails as it should

--dir FOLDER  folder that holds exercises/ and solutions/; default the ones that come with Shardbook

Exit code: 0 when all is well, 1 when an exercise fails, 2 when the command cannot work.
`;

const OPTIONS = { dir: { type: 'string' } } as const;

export const command: Command = {
  name: 'exercise',
  summary: 'list exercises and prove that their checks hold',
  usage,
  async run(args) {
    const { values, positionals } = options(
      () => parseArgs({ args, options: OPTIONS, allowPositionals: true }),
      usage,
    );
    const [action = '', ...ids] = positionals;
    const root = resolve(values.dir ?? packageRoot());
    if (action === 'list') return list(root);
    if (action === 'check') return check(root, ids);
    throw usageError(`exercise ${action}`.trim(), 'list or check is wanted');
  },
};

function list(root: string): number {
  for (const id of listExercises(join(root, 'exercises'))) {
    const { title, checks } = loadExercise(join(root, 'exercises', id));
    process.stdout.write(`${id}  ${title}, ${checks.length} checks\n`);
  }
  return 0;
}

async function check(root: string, ids: readonly string[]): Promise<number> {
  let passed = 0;
  let failed = 0;
  for (const id of ids.length === 0 ? listExercises(join(root, 'exercises')) : ids) {
    process.stdout.write(`${id}\n`);
    await selfCheck({
      exercise: loadExercise(join(root, 'exercises', id)),
      solutions: join(root, 'solutions', id),
      packageRoot: packageRoot(),
      version: packageVersion(),
      onResult: (result) => {
        if (result.passed) passed++;
        else failed++;
        process.stdout.write(`  ${result.passed ? 'pass' : 'FAIL'}  ${result.name}: ${result.outcome}\n`);
      },
    });
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}
