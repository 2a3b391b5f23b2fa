/** `shardbook start`: serves the curriculum and its notebooks at an address on this machine until Ctrl-C. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ShardbookError } from '../../../runtime/base/index.js';
import { KernelCore } from '../../protocol/index.js';
import { sessionKernelProvider, startServer } from '../../server/index.js';
import { Session, type SessionOptions } from '../../session/index.js';
import type { Command } from '../command.js';
import { exercisesIn, lessonsIn } from '../content.js';
import { packageRoot } from '../paths.js';
import { packageVersion } from '../version.js';

const usage = `usage: shardbook start [options]

Opens the curriculum in a browser notebook, served from this machine alone (127.0.0.1). Ctrl-C stops it.

  --port N         serve at this port; without it the first free one from 8931 on
  --workspace DIR  where your notebooks are kept; default .shardbook/workspace in this folder
  --world N        ranks of notebooks that don't say theirs; default 4
  --lessons DIR    take the lessons from here; default the ones that come with Shardbook
  --dir DIR        take exercises/ and solutions/ from here; default the ones that come with Shardbook
  --no-open        do not open the browser`;

const MAX_WORLD = 64;

export const command: Command = {
  name: 'start',
  summary: 'open the curriculum in a browser notebook',
  usage,
  run,
};

async function run(args: string[]): Promise<number> {
  const options = readOptions(args);
  const root = packageRoot();
  const version = packageVersion();
  const log = (line: string) => void process.stderr.write(`shardbook: ${line}\n`);
  const server = await startServer({
    workspace: options.workspace,
    appFolder: join(root, 'dist', 'app'),
    kernels: sessionKernelProvider({ startSession, KernelCore, log, version }),
    lessons: lessonsIn(options.lessons ?? join(root, 'lessons'), options.exercises ?? root),
    exercises: exercisesIn(options.exercises ?? root, options.workspace, version),
    version,
    worldSize: options.world,
    ...(options.port === undefined ? {} : { port: options.port }),
    log,
  });
  process.stdout.write(`Shardbook is at ${server.url}\n`);
  process.stdout.write(`Notebooks are kept in ${options.workspace}. Ctrl-C stops.\n`);
  if (options.open) openBrowser(server.url);
  await untilAskedToStop();
  process.stdout.write('\nStopping.\n');
  await server.stop();
  return 0;
}

/** A kernel answers while its ranks still start; a cell waits for them, and says why when they can't. */
async function startSession(options: SessionOptions): Promise<Session> {
  return Session.launch(options);
}

interface StartOptions {
  port: number | undefined;
  workspace: string;
  world: number;
  lessons: string | undefined;
  exercises: string | undefined;
  open: boolean;
}

function readOptions(args: string[]): StartOptions {
  const { values } = parse(args);
  return {
    port: wholeNumber('--port', values.port, 0, 65535),
    workspace: resolve(values.workspace ?? join('.shardbook', 'workspace')),
    world: wholeNumber('--world', values.world, 1, MAX_WORLD) ?? 4,
    lessons: folderWith('--lessons', values.lessons, 'manifest.yaml'),
    exercises: folderWith('--dir', values.dir, 'exercises'),
    open: values['no-open'] !== true,
  };
}

/** A folder that an option names; without what it should hold, the course would be empty and nobody would know why. */
function folderWith(option: string, folder: string | undefined, wanted: string): string | undefined {
  if (folder === undefined || existsSync(join(folder, wanted)))
    return folder === undefined ? undefined : resolve(folder);
  throw new ShardbookError({
    code: 'SB_BAD_OPTION',
    message: `Cannot start: ${option} is "${folder}", and there is no ${wanted} in it`,
    help: 'leave the option out for what comes with Shardbook',
  });
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        port: { type: 'string' },
        workspace: { type: 'string' },
        world: { type: 'string' },
        lessons: { type: 'string' },
        dir: { type: 'string' },
        'no-open': { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new ShardbookError({
      code: 'SB_BAD_OPTION',
      message: `Cannot start: ${(error as Error).message.split('\n')[0]!.replace(/\.$/, '')}`,
      help: 'shardbook start --help lists the options',
    });
  }
}

function wholeNumber(
  name: string,
  text: string | undefined,
  least: number,
  most: number,
): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new ShardbookError({
    code: 'SB_BAD_OPTION',
    message: `Cannot start: ${name} is "${text}", want a whole number from ${least} to ${most}`,
  });
}

/** Opens the address where there is a desktop; without one nothing happens, the address is printed anyway. */
function openBrowser(url: string): void {
  const hasDesktop =
    process.platform !== 'linux' || Boolean(process.env['DISPLAY'] ?? process.env['WAYLAND_DISPLAY']);
  const insideWsl = existsSync('/proc/sys/fs/binfmt_misc/WSLInterop');
  if (!hasDesktop && !insideWsl) return;
  const [program, ...args] =
    process.platform === 'darwin'
      ? ['open']
      : process.platform === 'win32'
        ? ['cmd', '/c', 'start', '""']
        : ['xdg-open'];
  const child = spawn(program!, [...args, url], { stdio: 'ignore', detached: true });
  child.on('error', () => {});
  child.unref();
}

/** Resolves at Ctrl-C or when the process is asked to end; a second Ctrl-C ends it at once. */
function untilAskedToStop(): Promise<void> {
  return new Promise((done) => {
    let asked = false;
    const onSignal = () => {
      if (asked) process.exit(130);
      asked = true;
      done();
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  });
}
