/** One rank's thread as the main thread sees it: its state, its requests, and why it died. */
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { ShardbookError } from '../../runtime/index.js';
import { fromWire } from './error-wire.js';
import type { FromRank, RankMemory, RankStart, ToRank } from './messages.js';

export type RankState = 'starting' | 'idle' | 'running' | 'dead';

export interface RankStatus {
  rank: number;
  state: RankState;
  /** Why the rank is dead. */
  reason?: string;
  /** As of the rank's last reply. */
  memory?: RankMemory;
}

export interface RankThreadOptions {
  rank: number;
  worldSize: number;
  entry: string;
  data: unknown;
  heapLimitMb: number;
  isBackground: boolean;
  env: Record<string, string>;
  onEvent(event: unknown): void;
  onOutput(stream: 'stdout' | 'stderr', text: string): void;
  /** All that was asked is answered. */
  onIdle(): void;
  /** The thread is gone though nobody stopped it; `exitCode`: what its code called process.exit with. */
  onDeath(reason: string, exitCode: number | undefined): void;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/**
 * V8 collects all garbage when memory has grown by so much, tensors included. Of its own it begins with little more than the
 * code takes, which would be at every third operation on large tensors. Read when a thread is started.
 */
const COLLECT_FROM_MB = 64;

export class RankThread {
  readonly rank: number;
  readonly ready: Promise<void>;
  readonly threadId: number;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #acks = new Map<number, () => void>();
  readonly #exited: Promise<void>;
  #state: RankState = 'starting';
  #reason: string | undefined;
  #memory: RankMemory | undefined;
  #stopping = false;
  #hooked = false;
  #nextId = 1;

  constructor(options: RankThreadOptions) {
    this.rank = options.rank;
    const { rank, worldSize, isBackground, data } = options;
    const start: RankStart = { rank, worldSize, isBackground, data };
    setFlagsFromString(`--initial-old-space-size=${COLLECT_FROM_MB}`);
    const worker = new Worker(options.entry, {
      workerData: start,
      stdout: true,
      stderr: true,
      env: options.env,
      resourceLimits: { maxOldGenerationSizeMb: options.heapLimitMb },
      name: `rank ${options.rank}`,
    });
    this.#worker = worker;
    this.threadId = worker.threadId;
    for (const stream of ['stdout', 'stderr'] as const) {
      worker[stream].setEncoding('utf8');
      worker[stream].on('data', (text: string) => options.onOutput(stream, text));
    }
    let failure: Error | undefined;
    worker.on('error', (error) => {
      failure = error instanceof Error ? error : new Error(String(error));
    });
    let exited = () => {};
    this.#exited = new Promise((resolve) => {
      exited = resolve;
    });
    this.ready = new Promise((resolve, reject) => {
      worker.on('message', (message: FromRank) => this.#receive(message, options, resolve));
      worker.on('exit', (code) => {
        const reason = this.#stopping ? 'stopped' : whyDead(failure, code, options.heapLimitMb);
        this.#die(reason, failure);
        reject(startError(this.rank, reason));
        if (!this.#stopping) options.onDeath(reason, failure === undefined ? code : undefined);
        exited();
      });
    });
    // Whoever waits for `ready` sees the failure; a thread stopped while it starts has nobody waiting.
    this.ready.catch(() => {});
  }

  get state(): RankState {
    return this.#state;
  }

  /** Its code can be unwound; with asynchronous hooks that would end the process. */
  get canUnwind(): boolean {
    return !this.#hooked;
  }

  status(): RankStatus {
    const status: RankStatus = { rank: this.rank, state: this.#state };
    if (this.#reason !== undefined) status.reason = this.#reason;
    if (this.#memory !== undefined) status.memory = this.#memory;
    return status;
  }

  request(body: unknown): Promise<unknown> {
    if (this.#state === 'dead') return Promise.reject(deadError(this.rank, this.#reason ?? 'stopped'));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#state = 'running';
      // Sent in a microtask: all ranks that are asked in one go are known to work before any of them starts.
      queueMicrotask(() => {
        try {
          this.#post({ kind: 'request', id, body });
        } catch (error) {
          // What cannot be cloned is the caller's mistake, not the rank's.
          this.#settle(id)?.reject(error as Error);
        }
      });
    });
  }

  /** Sends the interrupt message; resolves when the rank has read it. `again` may be called afterwards: the rank obeys it once. */
  askToStop(): { acknowledged: Promise<void>; again(): void } {
    const id = this.#nextId++;
    const acknowledged = new Promise<void>((resolve) => this.#acks.set(id, resolve));
    const again = () => this.#post({ kind: 'interrupt', id });
    again();
    return { acknowledged, again };
  }

  /** How long, so far, the thread's event loop has waited for something to do. Asks nothing of the thread. */
  idleMs(): number {
    return this.#worker.performance.eventLoopUtilization().idle;
  }

  /** Fails the requests under way; their replies, should any still come, are dropped. */
  failPending(error: (rank: number) => Error): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    if (this.#state === 'running') this.#state = 'idle';
    for (const { reject } of pending) reject(error(this.rank));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#worker.terminate();
    await this.#exited;
  }

  #post(message: ToRank): void {
    this.#worker.postMessage(message);
  }

  #receive(message: FromRank, options: RankThreadOptions, ready: () => void): void {
    switch (message.kind) {
      case 'ready':
        if (this.#state === 'starting') this.#state = 'idle';
        ready();
        return;
      case 'event':
        options.onEvent(message.event);
        return;
      case 'hooked':
        this.#hooked = true;
        return;
      case 'interrupted':
        this.#acks.get(message.id)?.();
        this.#acks.delete(message.id);
        return;
      case 'reply':
        this.#memory = message.memory;
        this.#settle(message.id, options)?.resolve(message.value);
        return;
      case 'failure':
        this.#memory = message.memory;
        this.#settle(message.id, options)?.reject(fromWire(this.rank, message.error));
        return;
    }
  }

  #settle(id: number, options?: RankThreadOptions): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0 && this.#state === 'running') {
      this.#state = 'idle';
      options?.onIdle();
    }
    return pending;
  }

  #die(reason: string, cause: Error | undefined): void {
    this.#state = 'dead';
    this.#reason = reason;
    for (const done of this.#acks.values()) done();
    this.#acks.clear();
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(deadError(this.rank, reason, cause));
  }
}

function whyDead(failure: Error | undefined, exitCode: number, heapLimitMb: number): string {
  if (failure === undefined) return `its code called process.exit(${exitCode})`;
  if ((failure as NodeJS.ErrnoException).code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return `out of memory: its heap reached the limit of ${heapLimitMb} MB`;
  }
  return `uncaught ${failure.name}: ${failure.message}`;
}

function deadError(rank: number, reason: string, cause?: Error): ShardbookError {
  return new ShardbookError({
    code: 'SB_RANK_DEAD',
    message: `Cannot use rank ${rank}: it is dead (${reason}), wanted a live rank`,
    notes: ['the other ranks keep their state'],
    help: 'restart the rank, or the world',
    ...(cause === undefined ? {} : { cause }),
  });
}

function startError(rank: number, reason: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_RANK_START',
    message: `Cannot start rank ${rank}: ${reason}`,
  });
}
