/** Process groups, and this rank's place in its world. */
import { ShardbookError } from '../../base/index.js';
import { coreCount, environment } from '../../platform/index.js';
import { Store } from '../store/index.js';
import { type Channel, createWorldMemory, type Op, Transport, type WorldMemory } from '../transport/index.js';

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

export const GroupMember = { NON_GROUP_MEMBER: new NonGroupMember() } as const;

export type Group = ProcessGroup | NonGroupMember;

/** Handle of an operation under way. */
export class Work {
  readonly #op: Op;
  readonly #transport: Transport;
  #waited: (() => void) | undefined;

  /** `waited` is called once, when somebody has waited for it. */
  constructor(op: Op, transport: Transport, waited?: () => void) {
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

  /** Settles when the operation is done; waits for it at once. */
  async getFuture(): Promise<void> {
    this.wait();
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

/** Joins this thread to its world; `dist` is initialised by it. Called once, by the thread's entry. */
export function attachRank(memory: WorldMemory, rank: number): Transport {
  transport = new Transport(memory, rank);
  store = new Store(memory.store, rank);
  startWorld(transport);
  return transport;
}

function startWorld(over: Transport, timeoutMs?: number): void {
  const ranks = Array.from({ length: over.worldSize }, (_, r) => r);
  world = new ProcessGroup(over.join(0, ranks, 'world', timeoutMs), over);
}

export interface InitOptions {
  /** Default: none. */
  timeoutMs?: number;
}

/** In a notebook, and under `shardbook run`, the group of all ranks exists already; alone, this makes a world of one rank. */
export function initProcessGroup(options: InitOptions | string = {}): void {
  const timeoutMs = typeof options === 'string' ? undefined : options.timeoutMs;
  if (world !== undefined) {
    if (timeoutMs !== undefined) world.channel.timeoutMs = timeoutMs;
    return;
  }
  if (transport === undefined) {
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
    store = new Store(memory.store);
    transport.beginWork();
  }
  startWorld(transport, timeoutMs);
}

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
  ended.transport.leave(ended.channel);
  if (ended === world) world = undefined;
}

/** Around each cell: whether this rank may still come to a collective. */
export function beginWork(): void {
  transport?.beginWork();
}

export function endWork(error?: unknown): void {
  transport?.endWork(error);
}

/** After this rank's code was stopped from outside. */
export function afterInterrupt(): void {
  transport?.afterInterrupt();
}
