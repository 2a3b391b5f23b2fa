/** `shardbook run`: a script on N ranks, as torchrun does for PyTorch. */
import { createWriteStream, existsSync, mkdirSync, statSync, type WriteStream } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ShardbookError } from '../../../runtime/base/index.js';
import { type CellOutput, type CheckLevel, DEFAULT_WORLD_SIZE, Session } from '../../session/index.js';
import type { Command } from '../command.js';

const usage = `usage: shardbook run SCRIPT [--nproc N] [--max-restarts K] [--log-dir DIR] [--check LEVEL]

Runs a TypeScript or JavaScript file on N ranks (default ${DEFAULT_WORLD_SIZE}). The file imports what it needs from 'shardbook';
the process group is there already. Lines that all ranks print are shown once, others are marked with their ranks.

  --nproc N          number of ranks, 1 to 64
  --max-restarts K   run the script again, on fresh ranks, up to K times after a failure (default 0)
  --log-dir DIR      also write what each rank prints to DIR/rank-R.log
  --check LEVEL      errors | warnings | off: what type errors of the script do (default off)

Exit code 0 when every rank finished, 1 when one failed; the first failure is printed with its cause.`;

const CHECK_LEVELS: readonly string[] = ['errors', 'warnings', 'off'] satisfies CheckLevel[];

interface RunOptions {
  script: string;
  world: number;
  maxRestarts: number;
  logDir: string | undefined;
  checkLevel: CheckLevel;
}

function parse(args: string[]): RunOptions {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      nproc: { type: 'string', default: String(DEFAULT_WORLD_SIZE) },
      'max-restarts': { type: 'string', default: '0' },
      'log-dir': { type: 'string' },
      check: { type: 'string', default: 'off' },
    },
  });
  const [script, ...rest] = positionals;
  if (script === undefined || rest.length > 0) {
    throw new ShardbookError({
      code: 'SB_RUN_USAGE',
      message: `Cannot run ${positionals.length} scripts: one is wanted`,
      help: 'shardbook run SCRIPT --nproc 4',
    });
  }
  const file = resolve(script);
  if (!existsSync(file) || !statSync(file).isFile()) {
    throw new ShardbookError({
      code: 'SB_NO_SCRIPT',
      message: `Cannot run "${script}": there is no such file`,
      help: 'give the path of a .ts or .js file',
    });
  }
  if (!CHECK_LEVELS.includes(values.check)) {
    throw new ShardbookError({
      code: 'SB_RUN_USAGE',
      message: `Cannot check types at level "${values.check}": one of ${CHECK_LEVELS.join(', ')} is wanted`,
    });
  }
  return {
    script: file,
    world: wholeNumber(values.nproc, '--nproc'),
    maxRestarts: wholeNumber(values['max-restarts'], '--max-restarts'),
    logDir: values['log-dir'],
    checkLevel: values.check as CheckLevel,
  };
}

function wholeNumber(text: string, option: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new ShardbookError({
    code: 'SB_RUN_USAGE',
    message: `Cannot use ${option} "${text}": a whole number is wanted`,
  });
}

/** Where the output goes: the terminal, and one file per rank when asked. */
class Printer {
  private readonly logs: WriteStream[] = [];

  constructor(
    private readonly world: number,
    logDir: string | undefined,
  ) {
    if (logDir === undefined) return;
    mkdirSync(logDir, { recursive: true });
    for (let rank = 0; rank < world; rank++) {
      this.logs.push(createWriteStream(join(logDir, `rank-${rank}.log`), { flags: 'a' }));
    }
  }

  print(output: CellOutput): void {
    if (output.type === 'stream') {
      this.log(output.ranks, output.text);
      (output.name === 'stdout' ? process.stdout : process.stderr).write(output.text);
      return;
    }
    if (output.type === 'error') {
      const text = `${output.traceback.join('\n')}\n`;
      this.log(output.ranks, text);
      process.stderr.write(text);
      return;
    }
    if ('data' in output && typeof output.data['text/plain'] === 'string') {
      const text = `${output.data['text/plain']}\n`;
      this.log(output.ranks, text);
      process.stdout.write(this.mark(output.ranks) + text);
    }
  }

  private mark(ranks: readonly number[]): string {
    return ranks.length === this.world ? '' : `[rank ${ranks.join(',')}] `;
  }

  private log(ranks: readonly number[], text: string): void {
    for (const rank of ranks) this.logs[rank]?.write(text);
  }

  async close(): Promise<void> {
    await Promise.all(this.logs.map((log) => new Promise<void>((done) => log.end(done))));
  }
}

async function attempt(options: RunOptions, printer: Printer): Promise<boolean> {
  const session = await Session.start({
    world: options.world,
    cwd: dirname(options.script),
    checkLevel: options.checkLevel,
  });
  const stop = () => void session.interrupt();
  process.on('SIGINT', stop);
  try {
    const code = `import ${JSON.stringify(`./${basename(options.script)}`)};`;
    const result = await session.execute(code, { onOutput: (output) => printer.print(output) });
    return result.status === 'ok';
  } finally {
    process.off('SIGINT', stop);
    await session.shutdown();
  }
}

async function run(args: string[]): Promise<number> {
  const options = parse(args);
  const printer = new Printer(options.world, options.logDir);
  try {
    for (let restart = 0; ; restart++) {
      if (await attempt(options, printer)) return 0;
      if (restart >= options.maxRestarts) return 1;
      process.stderr.write(`shardbook: restart ${restart + 1} of ${options.maxRestarts}\n`);
    }
  } finally {
    await printer.close();
  }
}

export const command: Command = {
  name: 'run',
  summary: 'run a script on N ranks',
  usage,
  run,
};
