import { ShardbookError } from '../../../runtime/base/index.js';
import { conformFiles, failureLine, listOperations, readPrograms } from '../../conform/index.js';
import type { Command } from '../command.js';

interface Options {
  files: string[];
  list: boolean;
  json: boolean;
  filter?: string;
  jobs?: number;
  timeoutMs?: number;
}

export const command: Command = {
  name: 'conform',
  summary: 'run recorded SPMD programs and compare with what PyTorch observed',
  usage: `usage: shardbook conform [options] FILE...

Runs the programs of each file on our runtime. Prints one line for each program that fails (the first label and rank
that differ) and a closing line "N passed, N failed". The exit code is 0 when all pass.

  --list         show which operations the files need and which are lacking; runs nothing
  --filter TEXT  only programs whose "suite/name" holds TEXT
  --jobs N       how many worlds work at once (default: the number of cores)
  --timeout S    seconds that one program may take (default: 90)
  --json         results as JSON lines, with every difference
`,
  async run(args) {
    const options = parse(args);
    return options.list ? list(options) : conform(options);
  },
};

async function conform(options: Options): Promise<number> {
  const { files, json, ...rest } = options;
  const results = await conformFiles(files, {
    filter: rest.filter,
    jobs: rest.jobs,
    timeoutMs: rest.timeoutMs,
    onResult: (result) => {
      if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
      else if (!result.passed) process.stdout.write(`${failureLine(result)}\n`);
    },
  });
  const passed = results.filter((result) => result.passed).length;
  if (json) process.stdout.write(`${JSON.stringify({ passed, failed: results.length - passed })}\n`);
  else process.stdout.write(`${passed} passed, ${results.length - passed} failed\n`);
  return passed === results.length ? 0 : 1;
}

function list(options: Options): number {
  const uses = listOperations(readPrograms(options.files, options.filter));
  const lacking = uses.filter((use) => !use.known);
  if (options.json) {
    process.stdout.write(`${JSON.stringify(uses)}\n`);
    return lacking.length === 0 ? 0 : 1;
  }
  const width = Math.max(0, ...uses.map(({ op }) => op.length));
  for (const { op, uses: times, programs, known } of uses) {
    process.stdout.write(
      `${known ? '      ' : 'LACKS '}  ${op.padEnd(width)}  ${times} uses in ${programs} programs\n`,
    );
  }
  process.stdout.write(`${uses.length} operations, ${lacking.length} lacking\n`);
  return lacking.length === 0 ? 0 : 1;
}

function parse(args: readonly string[]): Options {
  const options: Options = { files: [], list: false, json: false };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    const [flag, inline] = arg.startsWith('--') && arg.includes('=') ? splitOnce(arg) : [arg, undefined];
    const value = (): string => {
      const given = inline ?? args[++i];
      if (given === undefined) throw usageError(`${flag} has no value`);
      return given;
    };
    if (flag === '--list') options.list = true;
    else if (flag === '--json') options.json = true;
    else if (flag === '--filter') options.filter = value();
    else if (flag === '--jobs') options.jobs = positive(flag, value());
    else if (flag === '--timeout') options.timeoutMs = 1000 * positive(flag, value());
    else if (flag.startsWith('-')) throw usageError(`"${flag}" is no option`);
    else options.files.push(arg);
  }
  if (options.files.length === 0) throw usageError('no file is given');
  return options;
}

function splitOnce(arg: string): [string, string] {
  const at = arg.indexOf('=');
  return [arg.slice(0, at), arg.slice(at + 1)];
}

function positive(flag: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw usageError(`${flag} is "${text}", wanted a number above 0`);
  return value;
}

function usageError(what: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_USAGE',
    message: `Cannot run "conform": ${what}`,
    help: 'shardbook conform --help shows the usage',
  });
}
