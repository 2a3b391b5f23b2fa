/**
 * One rank of a submission: a process of its own, with nothing in its environment, limits on time, memory and output,
 * and one pipe to the grader. Ranks share no memory, so that what they tell each other passes through the grader.
 *
 * This is separation, not a sandbox: Node's permission model is a seat belt. See `sandbox.ts`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import type { Duplex } from 'node:stream';
import type { Limits } from './exercise.js';
import type { Verdict } from './verdict.js';
import { type Answer, encodeFrame, type Frame, FrameReader, type Request } from './wire.js';

export interface RankPlace {
  /** `grader-runner.js` in the build. */
  readonly runner: string;
  /** Folder of the submission's module: the working directory, and with the package all that can be read. */
  readonly folder: string;
  readonly packageRoot: string;
}

/** Why a process is gone that should not be. */
export interface Ending {
  readonly verdict: Verdict;
  readonly message: string;
}

export interface RankListener {
  frame(rank: number, frame: Frame<Answer>): void;
  ended(rank: number, ending: Ending): void;
}

const MEMORY_POLL_MS = 100;
const KEPT_PRINTS = 4096;
const OUT_OF_MEMORY = /heap out of memory|Array buffer allocation failed|Failed to reserve/;

/** Processes still running, so that none outlives the grader. */
const running = new Set<RankProcess>();
process.on('exit', () => {
  for (const rank of running) rank.kill();
});

export class RankProcess {
  /** The first part of what the submission printed. */
  prints = '';
  private readonly child: ChildProcess;
  private readonly pipe: Duplex;
  private readonly reader = new FrameReader<Answer>();
  private readonly poll: NodeJS.Timeout;
  private printed = 0;
  private ending: Ending | undefined;
  private stopped = false;

  constructor(
    readonly rank: number,
    place: RankPlace,
    private readonly limits: Limits,
    private readonly listener: RankListener,
  ) {
    this.child = spawn(process.execPath, [...nodeFlags(place, limits), place.runner], {
      cwd: place.folder,
      env: {},
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      // A group of its own: what the submission started goes with it.
      detached: process.platform !== 'win32',
    });
    running.add(this);
    this.pipe = this.child.stdio[3] as Duplex;
    this.pipe.on('data', (chunk: Uint8Array) => this.read(chunk));
    this.pipe.on('error', () => {});
    this.child.stdout?.on('data', (chunk: Buffer) => this.print(chunk));
    this.child.stderr?.on('data', (chunk: Buffer) => this.print(chunk));
    this.child.on('error', (error) => this.finish({ verdict: 'infra-error', message: error.message }));
    this.child.on('close', (code, signal) => this.finish(this.ending ?? this.exitReason(code, signal)));
    this.poll = setInterval(() => this.watchMemory(), MEMORY_POLL_MS);
    this.poll.unref();
  }

  send(request: Request, body?: Uint8Array): void {
    if (!this.pipe.destroyed) this.pipe.write(encodeFrame(request, body));
  }

  /** Ends the process and what it started; the listener hears nothing of it. */
  kill(): void {
    this.stopped = true;
    this.killGroup();
  }

  private end(ending: Ending): void {
    this.ending ??= ending;
    this.killGroup();
  }

  private killGroup(): void {
    const { pid } = this.child;
    if (pid === undefined || this.child.exitCode !== null || this.child.signalCode !== null) return;
    try {
      process.kill(process.platform === 'win32' ? pid : -pid, 'SIGKILL');
    } catch {
      this.child.kill('SIGKILL');
    }
  }

  private finish(ending: Ending): void {
    clearInterval(this.poll);
    if (!running.delete(this) || this.stopped) return;
    this.listener.ended(this.rank, ending);
  }

  private read(chunk: Uint8Array): void {
    if (this.stopped || this.ending !== undefined) return;
    try {
      for (const frame of this.reader.push(chunk)) this.listener.frame(this.rank, frame);
    } catch (error) {
      this.end({ verdict: 'protocol-error', message: `Rank ${this.rank} sent ${(error as Error).message}` });
    }
  }

  private print(chunk: Buffer): void {
    this.printed += chunk.length;
    if (this.prints.length < KEPT_PRINTS)
      this.prints += chunk.toString('utf8').slice(0, KEPT_PRINTS - this.prints.length);
    if (this.printed <= this.limits.outputKb * 1024) return;
    this.end({
      verdict: 'output-limit',
      message: `Rank ${this.rank} printed more than ${this.limits.outputKb} KiB`,
    });
  }

  /** V8's limit covers its heap only; the data of tensors lies outside it. */
  private watchMemory(): void {
    const megabytes = residentMegabytes(this.child.pid);
    if (megabytes === undefined || megabytes <= this.limits.memoryMb) return;
    this.end({
      verdict: 'memory-limit',
      message: `Rank ${this.rank} used more than ${this.limits.memoryMb} MiB`,
    });
  }

  private exitReason(code: number | null, signal: NodeJS.Signals | null): Ending {
    if (OUT_OF_MEMORY.test(this.prints)) {
      return {
        verdict: 'memory-limit',
        message: `Rank ${this.rank} used more than ${this.limits.memoryMb} MiB`,
      };
    }
    const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
    return {
      verdict: 'crashed',
      message: `The process of rank ${this.rank} ended ${how} before the call was over`,
    };
  }
}

function nodeFlags(place: RankPlace, limits: Limits): string[] {
  const { folder, packageRoot } = place;
  const readable = [folder, join(packageRoot, 'dist'), join(packageRoot, 'node_modules')];
  // Installed as a dependency, the package finds its own beside itself.
  const enclosing = packageRoot.lastIndexOf(`${sep}node_modules${sep}`);
  if (enclosing >= 0) readable.push(join(packageRoot.slice(0, enclosing), 'node_modules'));
  const paths = [...readable.map((path) => join(path, '*')), join(packageRoot, 'package.json')];
  return [
    `--max-old-space-size=${limits.memoryMb}`,
    '--enable-source-maps',
    '--no-warnings',
    process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission',
    ...paths.map((path) => `--allow-fs-read=${path}`),
  ];
}

function residentMegabytes(pid: number | undefined): number | undefined {
  if (pid === undefined || process.platform !== 'linux') return undefined;
  try {
    const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
    return (pages * 4096) / 2 ** 20;
  } catch {
    return undefined;
  }
}
