/**
 * Starts processes for code that nobody trusts. Two kinds: `process` (trusted mode: a process of its own with limits and
 * Node's permission model, on every platform) and `bubblewrap` (Linux: namespaces of its own without a network, read-only
 * binds of what is needed, a small tmpfs, no environment, an unprivileged user, rlimits, a seccomp filter, control groups where
 * they can be made, and the permission model as the last layer).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { constants, setPriority } from 'node:os';
import { delimiter, join } from 'node:path';
import { Cgroup } from './cgroup.js';
import { waitedMs } from './deadline.js';
import type { Kit } from './kit.js';
import { engineFlags, rankProgram } from './snapshot.js';

export type Isolation = 'process' | 'bubblewrap';

/** How the sandbox is put together on this machine; see `detect.ts`. */
export interface Recipe {
  readonly bwrap: string;
  readonly prlimit: string;
  /** With which the grader, when it is root, becomes nobody before anything else. */
  readonly setpriv: string | undefined;
  readonly seccomp: boolean;
}

export interface Launch {
  /** Arguments of Node: a script and its own, or what it begins with. */
  readonly args: readonly string[];
  /** Host folder that the process sees as `inside.folder`. */
  readonly folder: string;
  readonly memoryMb: number;
  /** Host paths that it may read besides, and where it sees them. */
  readonly readable?: readonly (readonly [host: string, inside: string])[];
  /** Give it a two-way pipe as descriptor 3. */
  readonly pipe?: boolean;
  /** Leave out Node's permission model; for the proof of the other layers. */
  readonly bare?: boolean;
  /** Leave out the seccomp filter; for the proof of the other layers. */
  readonly noSeccomp?: boolean;
  readonly cpuSeconds?: number;
}

export interface CagedProcess {
  readonly child: ChildProcess;
  /** Resident memory of the process itself, in MiB. */
  megabytes(): number | undefined;
  /** Forgets the peak of its resident memory so far, where that can be, and returns the bytes that are resident; undefined where no system counts. */
  resetPeak(): number | undefined;
  /** Milliseconds that it has waited for a processor so far; 0 where the system does not count them. */
  waitedMs(): number;
  /** The most bytes that were resident since then, as the system counts. */
  peakBytes(): number | undefined;
  /** Ends it and all that it started. */
  kill(): void;
  /** The signal that ended the process, out of what `close` reported. */
  signal(code: number | null, signal: NodeJS.Signals | null): string | undefined;
}

const NOBODY = 65534;
const TMPFS_BYTES = 16 * 2 ** 20;
const FILE_BYTES = 16 * 2 ** 20;
const OPEN_FILES = 128;
/** Counted over all processes of the user: a stop for a fork bomb, the exact limit is the control group's. */
const USER_PROCESSES = 4096;
/** Node's own data beside the heap: code, stacks of its threads, buffers. */
const BASE_DATA_MB = 1024;
const CPU_SECONDS = 900;
/** Threads of a Node process, with room for a few of the submission's. */
const PROCESSES_PER_RANK = 32;
const SIGNALS: Readonly<Record<number, string>> = {
  4: 'SIGILL',
  5: 'SIGTRAP',
  6: 'SIGABRT',
  7: 'SIGBUS',
  8: 'SIGFPE',
  9: 'SIGKILL',
  11: 'SIGSEGV',
  15: 'SIGTERM',
  24: 'SIGXCPU',
  25: 'SIGXFSZ',
  31: 'SIGSYS',
};

const open = new Set<Cage>();
process.on('exit', () => {
  for (const cage of open) cage.closeNow();
});

export class Cage {
  readonly isolation: Isolation;
  /** Where a process sees the kit and its folder. */
  readonly inside: { readonly kit: string; readonly folder: string };
  private readonly cgroup: Cgroup | undefined;
  private readonly running = new Set<CagedProcess>();

  constructor(
    private readonly kit: Kit,
    /** Host folder of the submission. */
    readonly folder: string,
    private readonly recipe: Recipe | undefined,
    limits: { readonly memoryMb: number; readonly ranks: number },
  ) {
    this.isolation = recipe === undefined ? 'process' : 'bubblewrap';
    this.inside =
      recipe === undefined ? { kit: kit.folder, folder } : { kit: '/shardbook', folder: '/submission' };
    open.add(this);
    if (recipe === undefined) return;
    // A little above what the ranks may use: the watch on each rank, which can name it, is first.
    this.cgroup = Cgroup.make({
      memoryMb: (limits.memoryMb + 128) * limits.ranks,
      processes: PROCESSES_PER_RANK * limits.ranks,
    });
    if (recipe.setpriv !== undefined) chownSync(folder, NOBODY, NOBODY);
    chmodSync(folder, 0o700);
  }

  /** What separates, in words; `control groups` only where they could be made. */
  get layers(): string[] {
    if (this.recipe === undefined) return ['process', 'permission model'];
    return [
      'namespaces',
      'no network',
      'read-only binds',
      'tmpfs',
      'empty environment',
      'unprivileged user',
      'rlimits',
      ...(this.recipe.seccomp ? ['seccomp'] : []),
      ...(this.cgroup === undefined ? [] : ['control groups']),
      'permission model',
    ];
  }

  get outOfMemory(): boolean {
    return this.cgroup?.outOfMemory ?? false;
  }

  spawn(launch: Launch): CagedProcess {
    const node = [...this.nodeFlags(launch), ...launch.args];
    const { recipe } = this;
    const filter =
      recipe?.seccomp === true && launch.noSeccomp !== true && this.kit.seccomp !== undefined
        ? openSync(this.kit.seccomp, 'r')
        : undefined;
    try {
      const command =
        recipe === undefined
          ? [process.execPath, ...node]
          : this.command(recipe, launch, node, filter !== undefined);
      const child = spawn(command[0]!, command.slice(1), {
        cwd: recipe === undefined ? launch.folder : '/',
        env: {},
        stdio: ['ignore', 'pipe', 'pipe', launch.pipe === true ? 'pipe' : 'ignore', filter ?? 'ignore'],
        // A group of its own: what it started goes with it.
        detached: process.platform !== 'win32',
      });
      stepBack(child.pid);
      const caged = new Started(child, recipe !== undefined, () => this.running.delete(caged));
      this.running.add(caged);
      return caged;
    } finally {
      if (filter !== undefined) closeSync(filter);
    }
  }

  /** Arguments of Node for a rank; see `snapshot.ts`. */
  rankProgram(memoryMb: number): Promise<readonly string[]> {
    return rankProgram(this.kit, memoryMb, this.inside.kit);
  }

  /** Ends everything in it and leaves nothing behind. */
  async close(): Promise<void> {
    for (const caged of this.running) caged.kill();
    await this.cgroup?.remove();
    open.delete(this);
  }

  /** The grader ends in the middle: what it wrote for the while goes too. */
  closeNow(): void {
    for (const caged of this.running) caged.kill();
    this.cgroup?.removeNow();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }

  private command(recipe: Recipe, launch: Launch, node: readonly string[], filtered: boolean): string[] {
    const limits = [
      '--core=0',
      `--cpu=${launch.cpuSeconds ?? CPU_SECONDS}`,
      `--nofile=${OPEN_FILES}`,
      `--fsize=${FILE_BYTES}`,
      `--nproc=${USER_PROCESSES}`,
      `--data=${(launch.memoryMb + BASE_DATA_MB) * 2 ** 20}`,
    ];
    const join = this.cgroup?.joinFiles ?? [];
    const enter = [
      '/bin/sh',
      '-c',
      `${join.map((_, i) => `echo 0 >"$${i + 1}" && `).join('')}shift ${join.length} && exec "$@"`,
      'sh',
      ...join,
    ];
    return [
      ...(join.length > 0 ? enter : []),
      recipe.prlimit,
      ...limits,
      '--',
      ...(recipe.setpriv === undefined
        ? []
        : [recipe.setpriv, `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--']),
      recipe.bwrap,
      ...this.binds(launch),
      ...(filtered ? ['--seccomp', '4'] : []),
      '--',
      process.execPath,
      ...node,
    ];
  }

  private binds(launch: Launch): string[] {
    return [
      '--unshare-all',
      '--die-with-parent',
      '--new-session',
      '--clearenv',
      '--hostname',
      'sandbox',
      '--uid',
      String(NOBODY),
      '--gid',
      String(NOBODY),
      // Before all else: Node itself may stand below it.
      '--size',
      String(TMPFS_BYTES),
      '--tmpfs',
      '/tmp',
      ...systemBinds(),
      '--ro-bind',
      this.kit.folder,
      this.inside.kit,
      '--ro-bind',
      launch.folder,
      this.inside.folder,
      ...(launch.readable ?? []).flatMap(([host, inside]) => ['--ro-bind', host, inside]),
      '--dev-bind',
      '/dev/null',
      '/dev/null',
      '--dev-bind',
      '/dev/urandom',
      '/dev/urandom',
      '--remount-ro',
      '/',
      '--chdir',
      '/tmp',
    ];
  }

  private nodeFlags({ memoryMb, bare, readable = [] }: Launch): string[] {
    const common = ['--enable-source-maps', '--no-warnings', '--no-addons'];
    if (bare === true) return [`--max-old-space-size=${memoryMb}`, ...common];
    const folders = [
      this.inside.kit,
      this.inside.folder,
      ...readable.map(([host, inside]) => (this.recipe === undefined ? host : inside)),
    ];
    return [
      ...engineFlags(memoryMb),
      ...common,
      process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission',
      ...folders.map((folder) => `--allow-fs-read=${join(folder, '*')}`),
    ];
  }
}

/** Ranks compute behind the grader, which all of them wait for in turn, and behind whoever works on this machine. */
function stepBack(pid: number | undefined): void {
  try {
    if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It is gone already, or this system does not let us.
  }
}

class Started implements CagedProcess {
  /** The process itself: under bubblewrap the child of the child. */
  private pid: number | undefined;

  constructor(
    readonly child: ChildProcess,
    private readonly wrapped: boolean,
    ended: () => void,
  ) {
    if (!wrapped) this.pid = child.pid;
    child.on('close', ended);
    child.on('error', ended);
  }

  megabytes(): number | undefined {
    if (!this.find()) return undefined;
    const pages = Number(readText(`/proc/${this.pid}/statm`)?.split(' ')[1]);
    return Number.isNaN(pages) ? undefined : (pages * 4096) / 2 ** 20;
  }

  resetPeak(): number | undefined {
    if (!this.find()) return undefined;
    try {
      // 5: the peak begins anew, at what is resident now.
      writeFileSync(`/proc/${this.pid}/clear_refs`, '5');
    } catch {
      // A kernel without it: the peak is that of the whole process, a little higher than what is resident now if it is young.
    }
    return this.kilobytes('VmHWM') === undefined ? undefined : this.kilobytes('VmRSS');
  }

  waitedMs(): number {
    return this.find() ? waitedMs(this.pid) : 0;
  }

  peakBytes(): number | undefined {
    return this.find() ? this.kilobytes('VmHWM') : undefined;
  }

  private kilobytes(field: string): number | undefined {
    const match = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readText(`/proc/${this.pid}/status`) ?? '');
    return match === null ? undefined : Number(match[1]) * 1024;
  }

  private find(): boolean {
    if (process.platform !== 'linux') return false;
    this.pid ??= firstChild(firstChild(this.child.pid));
    return this.pid !== undefined;
  }

  kill(): void {
    const { pid, exitCode, signalCode } = this.child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    // The first process of the namespace: with it the kernel ends all that is in there.
    const first = this.wrapped ? firstChild(pid) : undefined;
    for (const target of [first, process.platform === 'win32' ? pid : -pid, pid]) {
      if (target === undefined) continue;
      try {
        process.kill(target, 'SIGKILL');
      } catch {
        // It is gone, or it has not got a group yet.
      }
    }
  }

  signal(code: number | null, signal: NodeJS.Signals | null): string | undefined {
    if (signal !== null) return signal;
    // bubblewrap ends with 128 and the signal's number.
    return this.wrapped && code !== null && code > 128 ? SIGNALS[code - 128] : undefined;
  }
}

function firstChild(pid: number | undefined): number | undefined {
  if (pid === undefined) return undefined;
  const text = readText(`/proc/${pid}/task/${pid}/children`)?.trim().split(' ')[0];
  return text === undefined || text === '' ? undefined : Number(text);
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

let system: string[] | undefined;

/** Node and the libraries that it is linked with: nothing else of the machine. */
function systemBinds(): string[] {
  if (system !== undefined) return system;
  const libraries = process.report === undefined ? [] : sharedObjects();
  system = [...new Set([process.execPath, ...libraries])].flatMap((path) => ['--ro-bind', path, path]);
  return system;
}

/** From the running process itself: `ldd` need not be there. */
function sharedObjects(): string[] {
  const report = process.report.getReport() as unknown as { sharedObjects?: string[] };
  const files = (report.sharedObjects ?? []).filter((path) => path.startsWith('/') && existsSync(path));
  // The loader, by the name that is written in the binary.
  const loaders = ['/lib64/ld-linux-x86-64.so.2', '/lib/ld-linux-aarch64.so.1', ...muslLoaders()];
  return [
    ...files.filter((path) => !path.includes('/node_modules/')),
    ...loaders.filter((path) => existsSync(path)),
  ];
}

function muslLoaders(): string[] {
  return existsSync('/lib')
    ? readdirSync('/lib')
        .filter((name) => name.startsWith('ld-musl-'))
        .map((name) => `/lib/${name}`)
    : [];
}

/** A program of the system, by name. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/bin', '/bin', '/usr/sbin', '/sbin'];
  return folders
    .filter(Boolean)
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}
