/**
 * The run of a real program in virtual time. Each rank writes down what it issues: operations with their FLOPs and bytes,
 * collectives, messages, waits. Ranks keep no clock together while they run; times come from all ranks' programs at once, so
 * they depend on the program and the cluster alone.
 */
import { runStarted } from '../base/index.js';
import {
  addCommHook,
  type CommCall,
  dist,
  type HostTransfer,
  TRANSFER_STREAM,
  withoutCommHooks,
} from '../distributed/group/index.js';
import { onMemory } from '../tensor/index.js';
import { collectiveBytesOf, collectiveKind, messageKind } from './calls.js';
import type { Cluster } from './cluster.js';
import { type SimulateOptions, simulate } from './engine.js';
import { workOf } from './flops.js';
import { simulationError } from './graph.js';
import { MemoryLedger } from './ledger.js';
import { COMPUTE, type ComputeItem, type ProgramItem, RankProgram } from './program.js';
import type { SimulationResult } from './result.js';

export interface SimulationOptions extends SimulateOptions {
  /** Times operations as if they computed in this dtype ('bfloat16'), whatever the tensors have; default: theirs. */
  dtype?: string;
  /** Every operation a span of its own; otherwise what lies between two communications is one. Default false. */
  operations?: boolean;
  /** Keeps a ledger with the device's memory as capacity, so that what does not fit throws. Default false. */
  ledger?: boolean;
  /** Multiplies FLOPs and bytes of operations: a small model that stands for a larger one. Default 1. */
  computeScale?: number;
  /** Multiplies the bytes of communication. Default 1. */
  bytesScale?: number;
  /** Bytes per second between host and device, in each direction, for what is offloaded. Default 25 GB/s. */
  hostBandwidth?: number;
}

const HOST_BANDWIDTH = 25e9;

/**
 * Records this rank between `start` and `stop`; `result` is a collective call of all ranks.
 *
 * @example
 * const sim = new Simulation(Cluster.preset('h100'));
 * const result = sim.run(() => trainStep());
 * display(result);
 */
export class Simulation {
  readonly program: RankProgram;
  readonly ledger: MemoryLedger | undefined;
  readonly #items = new Map<CommCall, number>();
  readonly #marks = new Set<string>();
  /** Items that may still grow: the last one, if it is computation. */
  #open: ComputeItem | undefined;
  #stops: (() => void)[] = [];

  constructor(
    readonly cluster: Cluster,
    readonly options: SimulationOptions = {},
  ) {
    const [rank, size] = dist.isInitialized() ? [dist.getRank(), dist.getWorldSize()] : [0, 1];
    if (size > cluster.ranks)
      throw simulationError(`the world has ${size} ranks, the cluster ${cluster.ranks}`);
    this.program = new RankProgram(rank, size);
    if (options.ledger) this.ledger = new MemoryLedger({ cluster, rank });
  }

  start(): this {
    this.stop();
    // One after the other, so that `stop` knows each of them wherever an interrupt comes.
    this.#stops.push(
      onMemory({
        ran: (op, inputs, results) => {
          const work = workOf(op, inputs, results);
          if (work !== undefined) this.#compute(op, work);
        },
      }),
    );
    this.#stops.push(
      addCommHook({
        before: (call) => this.#issue(call),
        done: (call, error) => this.#done(call, error),
        waited: (call) => this.#waited(call),
        mark: (name) => this.mark(name),
        streamWaits: (stream, name) => {
          // Marks from before the recording are in the past.
          if (this.#marks.has(name)) this.program.waitEvent(name, stream);
        },
        transfer: (transfer) => this.#transfer(transfer),
      }),
    );
    this.ledger?.start();
    return this;
  }

  stop(): void {
    for (const stop of this.#stops) stop();
    this.#stops.length = 0;
    this.ledger?.stop();
    this.#open = undefined;
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  /** Records `body`, then gives the times of all ranks. Every rank of the world calls it. */
  run(body: () => unknown): SimulationResult {
    runStarted(this, () => {
      if (body() instanceof Promise)
        throw simulationError('the body awaits, and its rest would not be recorded; use runAsync');
    });
    return this.result();
  }

  /** As `run`, for a body that awaits. */
  async runAsync(body: () => Promise<unknown>): Promise<SimulationResult> {
    await runStarted(this, body);
    return this.result();
  }

  /** Marks the point that this rank's computation has reached; `SimulationResult.timeOf(rank, name)` is its time. */
  mark(name: string): void {
    this.#open = undefined;
    this.#marks.add(name);
    this.program.record(name);
  }

  /** Work that no tensor operation stands for: seconds, or FLOPs and bytes. */
  compute(work: Parameters<RankProgram['compute']>[0], label?: string): void {
    this.#open = undefined;
    this.program.compute(work, label === undefined ? {} : { label });
  }

  /** Virtual times of all ranks' programs. Every rank of the world calls it. */
  result(options: SimulateOptions = this.options): SimulationResult {
    const programs: RankProgram[] = [];
    if (this.program.worldSize === 1) programs.push(this.program);
    else {
      const all = Array.from({ length: this.program.worldSize }, () => null as unknown);
      withoutCommHooks(() => dist.allGatherObject(all, this.program.items));
      all.forEach((items, rank) => {
        const program = new RankProgram(rank, this.program.worldSize);
        program.items.push(...(items as ProgramItem[]));
        programs.push(program);
      });
    }
    return simulate(this.cluster, programs, options);
  }

  #compute(op: string, work: { flops: number; bytes: number; dtype: string }): void {
    const scale = this.options.computeScale ?? 1;
    const [flops, bytes] = [work.flops * scale, work.bytes * scale];
    const dtype = this.options.dtype ?? work.dtype;
    const time = this.cluster.computeSeconds(this.program.rank, flops, bytes, dtype);
    if (this.#open !== undefined && !this.options.operations) {
      this.#open.seconds! += time;
      this.#open.flops! += flops;
      return;
    }
    const label = this.options.operations ? op : 'compute';
    const item: ComputeItem = { kind: 'compute', label, stream: COMPUTE, seconds: time, flops };
    this.program.push(item);
    this.#open = item;
  }

  #transfer({ name, direction, bytes, label, after, before }: HostTransfer): void {
    this.#open = undefined;
    const stream = TRANSFER_STREAM[direction];
    if (after !== undefined) {
      this.program.record(`${name} after`, after);
      this.program.waitEvent(`${name} after`, stream);
    }
    this.program.record(`${name} begin`, stream);
    const moved = bytes * (this.options.bytesScale ?? 1);
    const seconds = moved / (this.options.hostBandwidth ?? HOST_BANDWIDTH);
    const item = this.program.compute(seconds, { label: `${stream} ${label}`, stream });
    this.program.record(`${name} end`, stream);
    this.#marks.add(`${name} end`);
    if (before !== undefined) this.program.wait(item, before);
  }

  #issue(call: CommCall): void {
    this.#open = undefined;
    const bytes = this.options.bytesScale ?? 1;
    const message = messageKind(call.op);
    if (message !== undefined) {
      const options = { tag: `${call.group} ${call.tag}`, label: call.op, asyncOp: true };
      const item = this.program[message](call.peer ?? -1, call.bytes * bytes, options);
      this.#items.set(call, item);
      return;
    }
    const op = collectiveKind(call.op);
    // Groups are made outside of what is timed.
    if (op === 'barrier' && !/barrier/i.test(call.op)) return;
    const root = call.root === undefined ? -1 : call.groupRanks.indexOf(call.root);
    const item = this.program.collective(op, collectiveBytesOf(call) * bytes, {
      group: call.group,
      ranks: call.groupRanks,
      label: call.op,
      asyncOp: true,
      ...(root >= 0 ? { root } : {}),
      ...(call.sendBytes === undefined ? {} : { sends: call.sendBytes.map((n) => n * bytes) }),
      ...(call.stream === undefined ? {} : { stream: call.stream.name }),
      ...(call.stream?.independent ? { independent: true } : {}),
    });
    this.#items.set(call, item);
  }

  #done(call: CommCall, error: unknown): void {
    const at = this.#items.get(call);
    if (at === undefined) return;
    const item = this.program.items[at]!;
    if (item.kind === 'recv') item.peer = call.peer ?? -1;
    // A call that failed did not move anything.
    if (error !== undefined)
      this.program.items[at] = { kind: 'record', stream: COMPUTE, event: `failed ${at}` };
  }

  #waited(call: CommCall): void {
    const item = this.#items.get(call);
    if (item === undefined) return;
    this.#open = undefined;
    this.program.wait(item);
    this.#items.delete(call);
  }
}
