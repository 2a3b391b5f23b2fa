/** `shardbook run`: a script on N ranks, as torchrun does for PyTorch. */
import { createWriteStream, existsSync, mkdirSync, statSync, type WriteStream } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ShardbookError } from '../../../runtime/base/index.js';
import { type ScriptFile, type ScriptRequest, transpileScript } from '../../script/index.js';
import { DEFAULT_WORLD_SIZE, prepareWorld } from '../../session/index.js';
import { distEntry, World } from '../../world/index.js';
import type { Command } from '../command.js';

const usage = `usage: shardbook run [--nproc N] [--max-restarts K] [--log-dir DIR] SCRIPT [ARG...]

Runs a TypeScript or JavaScript file on N ranks (default ${DEFAULT_WORLD_SIZE}). The file imports what it needs from 'shardbook'; the
process group is there already, and RANK and WORLD_SIZE are set as torchrun sets them. What a rank prints is marked with
its number.

  --nproc N          number of ranks, 1 to 64
  --max-restarts K   run the script again, on fresh ranks, up to K times after a failure (default 0)
  --log-dir DIR      also write what each rank prints to DIR/rank-R.log

Exit code 0 when every rank finished, 1 when one failed; the first failure is printed with its cause.`;

interface RunOptions {
  files: ScriptFile[];
  argv: string[];
  world: number;
  maxRestarts: number;
  logDir: string | undefined;
}

function parse(args: string[]): RunOptions {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      nproc: { type: 'string', default: String(DEFAULT_WORLD_SIZE) },
      'max-restarts': { type: 'string', default: '0' },
      'log-dir': { type: 'string' },
    },
  });
  const [script, ...argv] = positionals;
  if (script === undefined) {
    throw new ShardbookError({
      code: 'SB_RUN_USAGE',
      message: 'Cannot run nothing: the path of a script is wanted',
      help: 'shardbook run --nproc 4 script.ts',
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
  return {
    files: transpileScript(file),
    argv,
    world: wholeNumber(values.nproc, '--nproc'),
    maxRestarts: wholeNumber(values['max-restarts'], '--max-restarts'),
    logDir: values['log-dir'],
  };
}

function wholeNumber(text: string, option: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new ShardbookError({
    code: 'SB_RUN_USAGE',
    message: `Cannot use ${option} "${text}": a whole number is wanted`,
  });
}

/** Where the output goes: the terminal, whole lines marked with their rank, and one file per rank when asked. */
class Printer {
  private readonly logs: WriteStream[] = [];
  private readonly pending = new Map<string, string>();

  constructor(world: number, logDir: string | undefined) {
    if (logDir === undefined) return;
    mkdirSync(logDir, { recursive: true });
    for (let rank = 0; rank < world; rank++) {
      this.logs.push(createWriteStream(join(logDir, `rank-${rank}.log`), { flags: 'a' }));
    }
  }

  print(rank: number, stream: 'stdout' | 'stderr', text: string): void {
    this.logs[rank]?.write(text);
    const key = `${stream} ${rank}`;
    const lines = ((this.pending.get(key) ?? '') + text).split('\n');
    this.pending.set(key, lines.pop() ?? '');
    for (const line of lines) process[stream].write(`[${rank}] ${line}\n`);
  }

  /** Prints lines that never ended. */
  flush(): void {
    for (const [key, text] of this.pending) {
      const [stream, rank] = key.split(' ') as ['stdout' | 'stderr', string];
      if (text !== '') process[stream].write(`[${rank}] ${text}\n`);
    }
    this.pending.clear();
  }

  async close(): Promise<void> {
    await Promise.all(this.logs.map((log) => new Promise<void>((done) => log.end(done))));
  }
}

/** Resolves to the first failure in time, or to undefined when every rank finished. */
async function attempt(options: RunOptions, printer: Printer): Promise<unknown> {
  const { memory, supervisor } = prepareWorld(options.world);
  const world = await World.start({
    size: options.world,
    entry: distEntry('run-worker.js'),
    workerData: memory,
    supervisor,
  });
  world.onOutput((rank, stream, text) => printer.print(rank, stream, text));
  const stop = () => void world.interrupt();
  process.on('SIGINT', stop);
  let failure: { rank: number; error: unknown } | undefined;
  try {
    const request: ScriptRequest = { files: options.files, argv: options.argv };
    const ranks = Array.from({ length: options.world }, (_, rank) =>
      world.request(rank, request).catch((error: unknown) => {
        failure ??= { rank, error };
      }),
    );
    await Promise.all(ranks);
    return failure;
  } finally {
    process.off('SIGINT', stop);
    await world.stop();
    printer.flush();
    if (failure) process.stderr.write(`rank ${failure.rank} failed: ${describe(failure.error)}\n`);
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = error instanceof ShardbookError ? `  [${error.code}]` : '';
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  // Frames of the runtime say nothing to the author of the script.
  const own = frames.filter((line) => !/node:|[\\/]dist[\\/]/.test(line));
  return [error.message + code, ...own].join('\n');
}

async function run(args: string[]): Promise<number> {
  const options = parse(args);
  const printer = new Printer(options.world, options.logDir);
  try {
    for (let restart = 0; ; restart++) {
      if ((await attempt(options, printer)) === undefined) return 0;
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
