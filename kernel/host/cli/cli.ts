#!/usr/bin/env node
/** The `shardbook` command: finds the subcommand, loads only that one, turns its errors into one clear text. */
import { nearestName, ShardbookError } from '../../runtime/base/index.js';
import { inKeepingProcess } from './allocator.js';
import type { Command } from './command.js';
import { packageVersion } from './version.js';

interface Entry {
  summary: string;
  load(): Promise<Command>;
  /** Computes until it ends, and then gives all its memory back. */
  keepsMemory?: boolean;
}

/** Loaded on demand, so that `shardbook --help` costs nothing and a kernel starts without the server. */
const COMMANDS: Record<string, Entry> = {
  start: {
    summary: 'open the curriculum in a browser notebook',
    load: async () => (await import('./commands/start.js')).command,
  },
  run: {
    summary: 'run a script on N ranks',
    load: async () => (await import('./commands/run.js')).command,
    keepsMemory: true,
  },
  notebook: {
    summary: 'run a notebook from top to bottom',
    load: async () => (await import('./commands/notebook.js')).command,
  },
  kernel: {
    summary: 'install the Jupyter kernel, or run it',
    load: async () => (await import('./commands/kernel.js')).command,
  },
  lesson: {
    summary: 'list, check, write and build lessons',
    load: async () => (await import('./commands/lesson.js')).command,
  },
  exercise: {
    summary: 'list, start, write and prove exercises',
    load: async () => (await import('./commands/exercise.js')).command,
  },
  check: {
    summary: 'run the public checks of an exercise on your work',
    load: async () => (await import('./commands/check.js')).command,
  },
  grade: {
    summary: 'judge submissions of exercises',
    load: async () => (await import('./commands/grade.js')).command,
  },
  conform: {
    summary: 'run recorded SPMD programs and compare with what PyTorch observed',
    load: async () => (await import('./commands/conform.js')).command,
  },
  doctor: {
    summary: 'say what works on this machine',
    load: async () => (await import('./commands/doctor.js')).command,
  },
};

function help(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const lines = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return [
    'Shardbook: notebooks whose cells run on N ranks at once',
    '',
    'usage: shardbook COMMAND [options]',
    '',
    ...lines,
    '',
    '`shardbook COMMAND --help` tells more.',
    '',
  ].join('\n');
}

async function main(argv: string[]): Promise<number> {
  // "shardbook help lesson" is "shardbook lesson --help".
  const [name, ...args] = argv[0] === 'help' && argv[1] !== undefined ? [argv[1], '--help'] : argv;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(help());
    return 0;
  }
  if (name === '--version' || name === '-v' || name === 'version') {
    process.stdout.write(`${packageVersion()}\n`);
    return 0;
  }
  const entry = COMMANDS[name];
  if (!entry) {
    const near = nearestName(name, Object.keys(COMMANDS));
    throw new ShardbookError({
      code: 'SB_UNKNOWN_COMMAND',
      message: `Cannot run "${name}": there is no such command`,
      help: near ? `did you mean "shardbook ${near}"?` : 'shardbook --help lists the commands',
    });
  }
  const asksHelp = args.includes('--help') || args.includes('-h');
  if (entry.keepsMemory && !asksHelp) {
    const code = await inKeepingProcess();
    if (code !== undefined) return code;
  }
  const command = await entry.load();
  if (asksHelp) {
    process.stdout.write(`${command.usage.trimEnd()}\n`);
    return 0;
  }
  return command.run(args);
}

/** What the system says of a file, in words. */
const FILE_TROUBLES: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  EACCES: 'you may not',
  EPERM: 'you may not',
  EROFS: 'it cannot be written to',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of its path is not a folder',
  EEXIST: 'it exists already',
  ENAMETOOLONG: 'its name is too long',
  ELOOP: 'its links lead in a circle',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk is full',
  EIO: 'the disk does not answer',
  EMFILE: 'too many files are open',
  ENFILE: 'too many files are open',
};

function describe(error: unknown): string {
  if (error instanceof ShardbookError) return `${error.message}  [${error.code}]`;
  const { code, path, syscall } = error as NodeJS.ErrnoException;
  const trouble = code === undefined ? undefined : FILE_TROUBLES[code];
  // What fails while a file is open has no path.
  const file = path === undefined ? syscall : `use "${path}"`;
  if (trouble !== undefined && file !== undefined) return `Cannot ${file}: ${trouble}  [SB_FILE]`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

// Who reads the output may stop before its end, as `head` does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`${describe(error)}\n`);
    process.exitCode = 2;
  },
);
