/**
 * A world: N rank threads under one supervisor. The main thread never blocks and never runs user code, so it can always
 * interrupt, restart and report.
 *
 * [Note: interrupt] A running rank first gets a message; one that sits in its event loop reads it and is done. The idle time
 * of a rank's loop tells whether it sits there: one that does is given a moment, any other is stopped at once by the inspector,
 * which leaves its namespace as it is. A rank that does not come back in time (a long native call) is replaced by a fresh one,
 * and the report says that its state is lost.
 */
import { ShardbookError } from '../../runtime/index.js';
import { type RankStatus, RankThread } from './rank-thread.js';
import { Terminator } from './terminator.js';

/** The cap is the width of the wait table's rows and of what one machine can usefully hold. */
const WORLD_SIZE_MAX = 64;
const DEFAULT_HEAP_LIMIT_MB = 1024;
/** How long a rank whose event loop waits may take to read the interrupt by itself. */
const COOPERATION_MS = 5;
/** How long a stopped rank may take to come back before it is replaced. */
const RETURN_MS = 3000;
const ASK_AGAIN_MS = 10;
const STOP_AGAIN_MS = 500;
/** How long to wait until a rank that has answered was hit by the last stop. */
const SETTLE_MS = 1000;

/** Is told what happens to ranks, to keep shared state consistent: the runtime's `superviseWorld()` makes one. */
export interface WorldSupervisor {
  /** The rank is about to be sent work: said for all ranks of a batch before any of them starts. */
  started?(rank: number): void;
  /** The rank has answered all it was sent. */
  ended?(rank: number): void;
  /** The rank's work was interrupted; it is idle and its state is kept. */
  interrupted(rank: number): void;
  dead(rank: number, reason: string): void;
  /** A fresh thread takes the rank's place. */
  restarted(rank: number): void;
}

export interface WorldOptions {
  size: number;
  /** Path of the thread's entry; `distEntry()` finds built ones. */
  entry: string;
  /** Structured-cloneable; the same for every rank (`RankLink.data`). */
  workerData?: unknown;
  /** Heap limit of each rank; typed arrays are outside the heap. */
  heapLimitMb?: number;
  /** Ranks compute at a lower priority than this process's other threads, where the system has such (Linux). */
  background?: boolean;
  /** Beside the variables that torchrun sets; for all ranks, or for each. */
  env?: Record<string, string> | ((rank: number) => Record<string, string>);
  supervisor?: WorldSupervisor;
}

export interface InterruptReport {
  ranks: InterruptedRank[];
}

export interface InterruptedRank {
  rank: number;
  /** `state lost`: the rank did not come back and a fresh one took its place. */
  outcome: 'not running' | 'state kept' | 'state lost';
  ms: number;
}

/** A rank that was asked to stop what it runs. */
interface Asked {
  done: Promise<void>;
  again(): void;
  answered(): boolean;
  elapsed(): number;
}

type EventListener = (rank: number, event: unknown) => void;
type OutputListener = (rank: number, stream: 'stdout' | 'stderr', text: string) => void;
type ExitListener = (rank: number, reason: string, exitCode: number | undefined) => void;

export class World {
  readonly size: number;
  readonly #options: WorldOptions;
  readonly #threads: RankThread[] = [];
  readonly #eventListeners = new Set<EventListener>();
  readonly #outputListeners = new Set<OutputListener>();
  readonly #exitListeners = new Set<ExitListener>();
  #stopped = false;

  private constructor(options: WorldOptions) {
    this.size = options.size;
    this.#options = options;
    for (let rank = 0; rank < options.size; rank++) this.#threads.push(this.#spawn(rank));
  }

  /** Starts the ranks and waits until all of them serve requests. */
  static async start(options: WorldOptions): Promise<World> {
    checkWorldSize(options.size);
    const world = new World(options);
    try {
      await Promise.all(world.#threads.map((thread) => thread.ready));
    } catch (error) {
      await world.stop();
      throw error;
    }
    return world;
  }

  /** Ids of the ranks' threads, by rank; a rank that is restarted gets another. */
  threadIds(): number[] {
    return this.#threads.map(({ threadId }) => threadId);
  }

  status(): RankStatus[] {
    return this.#threads.map((thread) => thread.status());
  }

  /** Runs the rank's handler on `body`. Rejects with what the handler threw, or with a coded error if the rank dies or is interrupted. */
  async request<Q, A>(rank: number, body: Q, options: { signal?: AbortSignal } = {}): Promise<A> {
    const thread = this.#thread(rank);
    const { signal } = options;
    if (signal?.aborted) throw interruptedError(rank);
    this.#options.supervisor?.started?.(rank);
    const answer = thread.request(body) as Promise<A>;
    if (signal === undefined) return answer;
    const abort = () => void this.interrupt({ ranks: [rank] });
    signal.addEventListener('abort', abort, { once: true });
    return answer.finally(() => signal.removeEventListener('abort', abort));
  }

  /** What ranks emit, in order with their replies. Returns a function that unsubscribes. */
  onEvent(listener: EventListener): () => void {
    return subscribe(this.#eventListeners, listener);
  }

  /** What ranks write to stdout and stderr past their console. */
  onOutput(listener: OutputListener): () => void {
    return subscribe(this.#outputListeners, listener);
  }

  /** Ranks that died by themselves, with the reason, and the code if they called process.exit. */
  onExit(listener: ExitListener): () => void {
    return subscribe(this.#exitListeners, listener);
  }

  /** Stops what the ranks (default: all) are running. State is kept where possible; the report says where not. */
  async interrupt(options: { ranks?: readonly number[] } = {}): Promise<InterruptReport> {
    const ranks = options.ranks ?? this.#threads.map((_, rank) => rank);
    const idle = ranks.map((rank) => this.#thread(rank).idleMs());
    const terminator = new Terminator();
    try {
      const asked = ranks.map((rank) => this.#ask(rank));
      const done = Promise.all(asked.map((each) => each?.done));
      await Promise.race([done, turn()]);
      const waits = ranks.map((rank, i) => this.#thread(rank).idleMs() > idle[i]!);
      // Reaching for the inspector disturbs all ranks: not while there is none to be stopped.
      if (asked.every((each, i) => each === undefined || each.answered() || waits[i]))
        await Promise.race([done, sleep(COOPERATION_MS)]);
      if (asked.some((each) => each?.answered() === false)) terminator.prepare();
      const outcomes = ranks.map((rank, i) => this.#interruptRank(rank, asked[i], waits[i]!, terminator));
      return { ranks: await Promise.all(outcomes) };
    } finally {
      terminator.close();
    }
  }

  /** Replaces a rank, or all of them, by fresh threads. */
  async restart(rank?: number): Promise<void> {
    const ranks = rank === undefined ? this.#threads.map((_, r) => r) : [rank];
    await Promise.all(ranks.map((r) => this.#replace(r)));
  }

  /** Ends all ranks; nothing is left behind. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#threads.map((thread) => thread.stop()));
  }

  #spawn(rank: number): RankThread {
    const {
      size,
      entry,
      workerData,
      heapLimitMb = DEFAULT_HEAP_LIMIT_MB,
      background = false,
      env = {},
    } = this.#options;
    return new RankThread({
      rank,
      worldSize: size,
      entry,
      data: workerData,
      heapLimitMb,
      isBackground: background,
      env: { ...inheritedEnv(), ...rankEnv(rank, size), ...(typeof env === 'function' ? env(rank) : env) },
      onEvent: (event) => this.#eventListeners.forEach((listener) => void listener(rank, event)),
      onOutput: (stream, text) =>
        this.#outputListeners.forEach((listener) => void listener(rank, stream, text)),
      onIdle: () => this.#options.supervisor?.ended?.(rank),
      onDeath: (reason, exitCode) => {
        this.#options.supervisor?.dead(rank, reason);
        this.#exitListeners.forEach((listener) => void listener(rank, reason, exitCode));
      },
    });
  }

  #isAlive(thread: RankThread): boolean {
    return thread.state !== 'dead';
  }

  #ask(rank: number): Asked | undefined {
    const thread = this.#thread(rank);
    if (thread.state !== 'running') return undefined;
    const started = performance.now();
    let answered = false;
    const { acknowledged, again } = thread.askToStop();
    const done = acknowledged.then(() => {
      answered = true;
    });
    return { done, again, answered: () => answered, elapsed: () => performance.now() - started };
  }

  async #interruptRank(
    rank: number,
    asked: Asked | undefined,
    waits: boolean,
    terminator: Terminator,
  ): Promise<InterruptedRank> {
    if (asked === undefined) return { rank, outcome: 'not running', ms: 0 };
    const thread = this.#thread(rank);
    const { done, again, answered, elapsed } = asked;
    if (!answered() && waits) await Promise.race([done, sleep(Math.max(0, COOPERATION_MS - elapsed()))]);
    // A rank that cannot be unwound is replaced.
    let reachable = thread.canUnwind;
    let nextStop = 0;
    while (!answered() && reachable && elapsed() < RETURN_MS) {
      // Stopping a rank that is back in its event loop would kill its reading of the message: stop rarely, ask often.
      if (elapsed() >= nextStop) {
        reachable = terminator.terminate(thread.threadId);
        nextStop = elapsed() + STOP_AGAIN_MS;
      } else {
        again();
      }
      await Promise.race([done, sleep(ASK_AGAIN_MS)]);
    }
    // A stop that came too late would hit the next request: let it hit a message that says nothing new.
    const late = elapsed() + SETTLE_MS;
    while (
      answered() &&
      this.#isAlive(thread) &&
      !terminator.isSettled(thread.threadId) &&
      elapsed() < late
    ) {
      again();
      await sleep(1);
    }
    if (answered() && this.#isAlive(thread)) {
      this.#options.supervisor?.interrupted(rank);
      thread.failPending(interruptedError);
      return { rank, outcome: 'state kept', ms: elapsed() };
    }
    thread.failPending(interruptedError);
    await this.#replace(rank);
    return { rank, outcome: 'state lost', ms: elapsed() };
  }

  async #replace(rank: number): Promise<void> {
    await this.#thread(rank).stop();
    if (this.#stopped) return;
    this.#options.supervisor?.restarted(rank);
    const fresh = this.#spawn(rank);
    this.#threads[rank] = fresh;
    await fresh.ready;
  }

  #thread(rank: number): RankThread {
    const thread = this.#threads[rank];
    if (thread === undefined) {
      throw new ShardbookError({
        code: 'SB_NO_SUCH_RANK',
        message: `Cannot use rank ${rank}: the world has ranks 0 to ${this.size - 1}`,
      });
    }
    return thread;
  }
}

/** Throws unless `size` is a whole number from 1 to 64. */
export function checkWorldSize(size: number): void {
  if (Number.isInteger(size) && size >= 1 && size <= WORLD_SIZE_MAX) return;
  throw new ShardbookError({
    code: 'SB_WORLD_SIZE',
    message: `Cannot start a world of ${size} ranks: wanted a whole number from 1 to ${WORLD_SIZE_MAX}`,
    notes: ['every rank is a thread of this machine'],
    help:
      size > WORLD_SIZE_MAX
        ? `use ${WORLD_SIZE_MAX} ranks or fewer, for example "%world ${WORLD_SIZE_MAX}"`
        : 'use at least one rank, for example "%world 4"',
  });
}

function interruptedError(rank: number): ShardbookError {
  return new ShardbookError({
    code: 'SB_INTERRUPTED',
    message: `Cannot finish what rank ${rank} was running: it was interrupted`,
  });
}

function subscribe<L>(listeners: Set<L>, listener: L): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

function inheritedEnv(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

/** The variables that torchrun sets for a process; the ranks stand on `nodes` nodes with as many on each. */
export function rankEnv(rank: number, size: number, nodes = 1): Record<string, string> {
  const perNode = size / nodes;
  return {
    RANK: String(rank),
    LOCAL_RANK: String(rank % perNode),
    ROLE_RANK: String(rank),
    GROUP_RANK: String(Math.floor(rank / perNode)),
    WORLD_SIZE: String(size),
    LOCAL_WORLD_SIZE: String(perNode),
    ROLE_WORLD_SIZE: String(size),
    GROUP_WORLD_SIZE: String(nodes),
    ROLE_NAME: 'default',
    MASTER_ADDR: 'localhost',
    MASTER_PORT: '29500',
  };
}

/** Messages that have come are read. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
