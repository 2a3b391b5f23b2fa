/** The ranks of a session: a world that can be replaced, what each rank has been sent, and requests that never reject. */
import path from 'node:path';
import { Cluster, type ClusterOptions } from '../../runtime/index.js';
import { checkWorldSize, distEntry, World } from '../world/index.js';
import type { CompileOutcome, SideFile } from './compiler/index.js';
import { type CreditMemory, clearCredit, createCredit, takeOutput } from './credit.js';
import type { ClusterWish } from './magics.js';
import type { RankEvent, RankFailure, RankRequest } from './rank/index.js';
import { requestFailure } from './report.js';
import type { RankInfo, RankObservation } from './types.js';
import { prepareWorld } from './world-memory.js';

/** What a rank thread of a session is started with. */
export interface SessionRankData {
  cwd: string;
  memory: unknown;
  credit: CreditMemory;
  cluster: ClusterOptions;
}

export interface RanksOptions {
  size: number;
  cwd: string;
  heapLimitMb?: number | undefined;
  onEvent(world: World, rank: number, event: RankEvent): void;
  /** A rank died, or one was replaced. */
  onChange(): void;
}

/** A rank's answer, or why there is none. */
export type Answer<A> = A | { ok: false; took?: number; seen?: RankObservation; error: RankFailure };

export class Ranks {
  readonly cwd: string;
  readonly #options: RanksOptions;
  readonly #sideFiles = new Map<string, { version: number; file: SideFile }>();
  #sideVersion = 0;
  /** Per rank: the newest side file it has. */
  #sent: number[] = [];
  #cluster: ClusterOptions | undefined;
  #world: Promise<World>;
  #ready: World | undefined;
  #waiting: (rank: number) => string | undefined = () => undefined;

  constructor(options: RanksOptions) {
    checkWorldSize(options.size);
    this.#options = options;
    this.cwd = path.resolve(options.cwd);
    this.#world = this.#start(options.size);
    // Whoever asks for `world` sees the failure; a session that is only launched has nobody waiting.
    this.#world.catch(() => {});
  }

  get world(): Promise<World> {
    return this.#world;
  }

  /** The world once it has started. */
  get current(): World | undefined {
    return this.#ready;
  }

  get size(): number {
    return this.#ready?.size ?? this.#options.size;
  }

  /** The machine that virtual times are of. */
  get machine(): string {
    return String(Cluster.of(this.#cluster ?? clusterOptions(this.size, {})));
  }

  /** Checks the wish, so that nothing is lost to a mistake; holds for the next world. */
  wish(size: number, wish: ClusterWish): void {
    checkWorldSize(size);
    this.#cluster = clusterOptions(size, wish);
  }

  /** A fresh world in place of this one. */
  async replace(size: number): Promise<void> {
    const old = await this.#world;
    this.#sent = [];
    this.#world = Promise.all([this.#start(size), old.stop()]).then(([fresh]) => fresh);
    await this.#world;
    this.#options.onChange();
  }

  async restart(rank: number): Promise<void> {
    await (await this.#world).restart(rank);
    this.forgetSent(rank);
    this.#options.onChange();
  }

  /** Never rejects: a rank that dies or is interrupted fails like one that throws. */
  async ask<A>(world: World, rank: number, request: RankRequest): Promise<Answer<A>> {
    try {
      return await world.request<RankRequest, A>(rank, request);
    } catch (error) {
      return { ok: false, error: requestFailure(error, world.status()[rank]) };
    }
  }

  async askAll<A>(request: RankRequest): Promise<Answer<A>[]> {
    const world = await this.#world;
    return Promise.all(Array.from({ length: world.size }, (_, rank) => this.ask<A>(world, rank, request)));
  }

  /** The learner's files of a compiled cell: ranks get the newer ones with their next request. */
  keepSideFiles({ sideFiles }: CompileOutcome): void {
    for (const file of sideFiles) this.#sideFiles.set(file.path, { version: ++this.#sideVersion, file });
  }

  newSideFiles(rank: number): SideFile[] {
    const known = this.#sent[rank] ?? 0;
    this.#sent[rank] = this.#sideVersion;
    return known === this.#sideVersion
      ? []
      : [...this.#sideFiles.values()].filter(({ version }) => version > known).map(({ file }) => file);
  }

  /** The rank's thread is a fresh one. */
  forgetSent(rank: number): void {
    this.#sent[rank] = 0;
  }

  infos(): RankInfo[] {
    return (this.#ready?.status() ?? []).map(({ rank, state, reason }) => {
      const waits = state === 'running' ? this.#waiting(rank) : undefined;
      return {
        rank,
        state,
        ...(reason === undefined ? {} : { reason }),
        ...(waits === undefined ? {} : { waits }),
      };
    });
  }

  async stop(): Promise<void> {
    await this.#world.then((started) => started.stop()).catch(() => {});
  }

  async #start(size: number): Promise<World> {
    const { memory, supervisor } = prepareWorld(size);
    const credit = createCredit(size);
    const cluster = this.#cluster ?? clusterOptions(size, {});
    const data: SessionRankData = { cwd: this.cwd, memory, credit, cluster };
    const { heapLimitMb, onEvent, onChange } = this.#options;
    const world = await World.start({
      size,
      entry: distEntry('rank-worker.js'),
      workerData: data,
      background: true,
      ...(heapLimitMb === undefined ? {} : { heapLimitMb }),
      supervisor,
    });
    world.onEvent((rank, event) => {
      const said = event as RankEvent;
      onEvent(world, rank, said);
      if (said.type === 'stream') takeOutput(credit, rank, said.text.length);
    });
    world.onExit((rank) => {
      clearCredit(credit, rank);
      onChange();
    });
    this.#ready = world;
    this.#waiting = (rank) => supervisor.waitsFor(rank);
    return world;
  }
}

/** A rank that does not say its variables for so long is in the middle of something. */
const SOON_MS = 2000;

/** Undefined when the answer takes longer. */
export async function soon<T>(answer: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), SOON_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The machine of a world; names that nobody knows are refused here, before any rank starts. */
function clusterOptions(size: number, wish: ClusterWish): ClusterOptions {
  const { nodes = 1, device, link, across } = wish;
  const options: ClusterOptions = {
    nodes,
    ranksPerNode: size / nodes,
    ...(device === undefined ? {} : { device }),
    ...(link === undefined ? {} : { inside: link }),
    ...(across === undefined ? {} : { across }),
  };
  Cluster.of(options);
  return options;
}
