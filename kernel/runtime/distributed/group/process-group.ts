/** Process groups, and this rank's place in its world. */
import { giveUp, leaveScopes, ShardbookError } from '../../base/index.js';
import { coreCount, environment } from '../../platform/index.js';
import { MemoryStore, Store, shareStores } from '../store/index.js';
import { type Channel, createWorldMemory, type Op, Transport, type WorldMemory } from '../transport/index.js';
import type { CommTensor } from './tensors.js';

/** An ordered set of ranks that communicate; `channel` is its place in shared memory. */
export class ProcessGroup {
  constructor(
    readonly channel: Channel,
    readonly transport: Transport,
  ) {}

  get name(): string {
    return this.channel.name;
  }

  /** Global ranks, in group order. */
  get ranks(): readonly number[] {
    return this.channel.ranks;
  }

  /** As PyTorch says it. */
  get groupName(): string {
    return this.name;
  }
  get groupDesc(): string {
    return this.name;
  }

  get isDestroyed(): boolean {
    return this.channel.isClosed;
  }

  /** Milliseconds that operations started from now on wait for others. */
  setTimeout(timeoutMs: number | undefined): void {
    this.channel.timeoutMs = timeoutMs;
  }

  /** This rank's position in the group. */
  rank(): number {
    return this.channel.me;
  }

  size(): number {
    return this.channel.size;
  }

  toString(): string {
    return `ProcessGroup(${this.name})`;
  }
}

/** Stands for a group that this rank is not a member of. Collectives on it do nothing, as in PyTorch. */
export class NonGroupMember {
  readonly name = 'NON_GROUP_MEMBER';
}

/** What the ranks outside of a group have in its place, and the world. */
export const GroupMember = {
  NON_GROUP_MEMBER: new NonGroupMember(),
  /** The group of all ranks. */
  get WORLD(): ProcessGroup {
    return worldGroup();
  },
} as const;

/** What `newGroup` returns: the group on its members, a marker on other ranks. */
export type Group = ProcessGroup | NonGroupMember;

/** The value of an operation under way; can be awaited. */
export class Future<T> implements PromiseLike<T> {
  constructor(
    private readonly work: Work,
    private readonly read: () => T,
  ) {}

  /** Blocks until it is there. */
  wait(): T {
    this.work.wait();
    return this.read();
  }

  done(): boolean {
    return this.work.isCompleted();
  }

  /** What is there already. */
  value(): T {
    if (!this.done()) {
      throw new ShardbookError({
        code: 'SB_NOT_READY',
        message: 'Cannot read the value of a future: its operation is still under way',
        help: 'wait() for it first',
      });
    }
    return this.wait();
  }

  // biome-ignore lint/suspicious/noThenProperty: a future is awaited
  then<A = T, B = never>(
    fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return new Promise<T>((resolve) => resolve(this.wait())).then(fulfilled, rejected);
  }
}

/** Handle of an operation under way. */
export class Work {
  readonly #op: Op;
  readonly #transport: Transport;
  #waited: (() => void) | undefined;

  /** `waited` is called once, when somebody has waited for it. */
  constructor(
    op: Op,
    transport: Transport,
    waited?: () => void,
    private readonly outputs: readonly CommTensor[] = [],
  ) {
    this.#op = op;
    this.#transport = transport;
    this.#waited = waited;
  }

  /** Blocks until the operation is done; throws what failed it. */
  wait(timeoutMs?: number): boolean {
    this.#transport.wait(this.#op, timeoutMs);
    this.#tell();
    return true;
  }

  /** Blocks as `wait` does, without counting as a wait: in simulated time what this rank computes is not held back. */
  settle(timeoutMs?: number): void {
    this.#transport.wait(this.#op, timeoutMs);
  }

  isCompleted(): boolean {
    this.#transport.progress();
    return this.#op.done;
  }

  /** For a receive: the global rank of the sender. */
  sourceRank(): number {
    const source = this.#transport.wait(this.#op) as number;
    this.#tell();
    return source;
  }

  /** Whether the operation is done and has not failed. */
  isSuccess(): boolean {
    return this.isCompleted() && !this.#op.failed;
  }

  /** What failed the operation, if it has failed. */
  exception(): unknown {
    return this.isCompleted() && this.#op.failed ? this.#op.error : undefined;
  }

  /** The tensors that the operation has written; it must be done. */
  result(): readonly CommTensor[] {
    return new Future(this, () => this.outputs).value();
  }

  /** As `wait()`: there is one stream. */
  synchronize(): void {
    this.wait();
  }

  /** The tensors that the operation writes. */
  getFuture(): Future<readonly CommTensor[]> {
    return new Future(this, () => this.outputs);
  }

  #tell(): void {
    const waited = this.#waited;
    this.#waited = undefined;
    waited?.();
  }
}

let transport: Transport | undefined;
let world: ProcessGroup | undefined;
let store: Store | undefined;

/** Joins this thread to its world; `dist` is initialised by it. Called once, by the thread's entry. `own` replaces the store in the world's memory. */
export function attachRank(memory: WorldMemory, rank: number, own?: Store): Transport {
  transport = new Transport(memory, rank);
  openStore(memory, rank, own);
  startWorld(transport);
  return transport;
}

function openStore(memory: WorldMemory, rank: number, own?: Store): void {
  const over = transport!;
  store =
    own ??
    new MemoryStore(memory.store, rank, {
      waiter: (keys, ready) => over.waitForKeys(keys, ready),
      changed: () => over.keysChanged(),
    });
  shareStores(store);
}

function startWorld(over: Transport, timeoutMs?: number): void {
  const ranks = Array.from({ length: over.worldSize }, (_, r) => r);
  world = new ProcessGroup(over.join(0, ranks, 'world', timeoutMs), over);
  groupCount = 1;
}

/** Groups that this rank has seen made since the world began, whether it is in them or not. */
let groupCount = 0;

export function countGroups(more: number): void {
  groupCount += more;
}

/** How many groups were made since the world began. */
export function getPgCount(): number {
  return groupCount;
}

/** `shrunk` takes the place of the world. */
export function replaceWorld(shrunk: ProcessGroup): void {
  world = shrunk;
}

export interface InitOptions {
  /** `shm` is the only one; the names of PyTorch's are taken for it. */
  backend?: string | null;
  /** `env://`, `tcp://host:port` or `file:///name`. */
  initMethod?: string | null;
  /** Milliseconds that operations wait for others; default: for ever. */
  timeoutMs?: number;
  /** What the program expects; refused if the world is another. */
  worldSize?: number;
  rank?: number;
  /** What `getStore()` gives; default: the store of the world. */
  store?: Store | null;
  groupName?: string;
  pgOptions?: unknown;
  deviceId?: unknown;
}

const INIT_NAMES = [
  'backend',
  'initMethod',
  'timeoutMs',
  'worldSize',
  'rank',
  'store',
  'groupName',
  'pgOptions',
  'deviceId',
] as const;

/**
 * In a notebook, and under `shardbook run`, the group of all ranks exists already, and this checks that it is what the program
 * expects; alone, it makes a world of one rank.
 */
export function initProcessGroup(
  ...given: [
    backend?: string | InitOptions | null,
    initMethod?: string | InitOptions | null,
    timeoutMs?: number | InitOptions | null,
    worldSize?: number | InitOptions | null,
    rank?: number | InitOptions | null,
    store?: Store | InitOptions | null,
    groupName?: string | InitOptions | null,
    pgOptions?: unknown,
    deviceId?: unknown,
  ]
): void {
  const options: InitOptions = {};
  given.forEach((value, i) => {
    const isOptions = typeof value === 'object' && value !== null && !(value instanceof Store);
    if (isOptions) Object.assign(options, value);
    else if (value !== undefined && value !== null)
      Object.assign(options, { [INIT_NAMES[i] ?? 'deviceId']: value });
  });
  checkInit(options);
  const { timeoutMs } = options;
  if (world !== undefined) {
    if (timeoutMs !== undefined) world.channel.timeoutMs = timeoutMs;
  } else {
    if (transport === undefined) startAlone();
    startWorld(transport!, timeoutMs);
  }
  const [size, rank] = [world!.size(), world!.rank()];
  if (options.worldSize !== undefined && options.worldSize !== -1 && options.worldSize !== size) {
    throw badInit(`worldSize is ${options.worldSize}, but the world has ${size} ranks`);
  }
  if (options.rank !== undefined && options.rank !== -1 && options.rank !== rank) {
    throw badInit(`rank is ${options.rank}, but this is rank ${rank}`);
  }
  if (options.store) store = options.store;
}

function checkInit({ backend, initMethod, store: given, timeoutMs }: InitOptions): void {
  for (const part of backend?.split(',') ?? []) {
    const name = part.includes(':') ? part.slice(part.indexOf(':') + 1) : part;
    if (!BACKENDS.includes(name)) {
      throw badInit(
        `"${backend}" is no backend`,
        `use 'shm' or none; taken for it are ${BACKENDS.slice(1).join(', ')}`,
      );
    }
  }
  if (initMethod && given) throw badInit('initMethod and store are given', 'give one of them');
  if (initMethod && !/^(env|tcp|file):\/\//.test(initMethod)) {
    throw badInit(`initMethod "${initMethod}" does not begin with env://, tcp:// or file://`);
  }
  if (timeoutMs !== undefined && !(timeoutMs >= 0))
    throw badInit(`a timeout of ${timeoutMs} ms is not possible`);
}

/** What programs for PyTorch name; here all of them mean shared memory. */
const BACKENDS = ['shm', 'gloo', 'nccl', 'mpi', 'ucc', 'xccl', 'fake'];

function badInit(problem: string, help?: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_BAD_ARGUMENT',
    message: `Cannot initialise the process group: ${problem}`,
    ...(help === undefined ? {} : { help }),
  });
}

function startAlone(): void {
  const size = Number(environment('WORLD_SIZE') ?? 1);
  if (size !== 1) {
    throw new ShardbookError({
      code: 'SB_NO_WORLD',
      message: `Cannot initialise a process group of ${size} ranks: this program is not a rank of a world`,
      help: 'start it with "shardbook run script.ts --nproc N"',
    });
  }
  const memory = createWorldMemory({ worldSize: 1, cores: coreCount() });
  transport = new Transport(memory, 0);
  openStore(memory, 0);
  transport.beginWork();
}

/** Whether `initProcessGroup` was called (a cell's world is initialised already). */
export function isInitialized(): boolean {
  return world !== undefined;
}

export function worldGroup(): ProcessGroup {
  if (world === undefined) {
    throw new ShardbookError({
      code: 'SB_NOT_INITIALIZED',
      message: 'Cannot use the default process group: it has not been initialised',
      help: 'call dist.initProcessGroup() first',
    });
  }
  return world;
}

/** The store that all ranks of the world share. */
export function getStore(): Store {
  worldGroup();
  return store!;
}

/** Ends a group, or all of them. */
export function destroyProcessGroup(group?: Group): void {
  if (group instanceof NonGroupMember) return;
  const ended = group ?? worldGroup();
  if (ended.isDestroyed) {
    throw new ShardbookError({
      code: 'SB_GROUP_DESTROYED',
      message: `Cannot destroy group ${ended.name}: it was destroyed before`,
    });
  }
  if (ended !== world) {
    ended.transport.leave(ended.channel);
    return;
  }
  // Without the world no group of it is left.
  ended.transport.leaveAll();
  world = undefined;
  groupCount = 0;
}

/** Around each cell: whether this rank may still come to a collective. */
export function beginWork(): void {
  transport?.beginWork();
}

/** After each cell: this rank comes to no collective until the next one begins. */
export function endWork(error?: unknown): void {
  if (error !== undefined) giveUp(false);
  transport?.endWork(error);
}

/** After this rank's code was stopped from outside, anywhere: nothing that it had begun is open any more. */
export function afterInterrupt(): void {
  transport?.afterInterrupt();
  leaveScopes();
}
