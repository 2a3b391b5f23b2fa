/** Bytes on the wire per rank. S bytes, N ranks; f(n) = (n - 1) / n. */
import { Fraction, numbers } from './fraction.js';
import { refuse, total } from './shared.js';

/** Collectives that have a closed form of their bytes. */
export type CollectiveName =
  | 'allReduce'
  | 'allGather'
  | 'reduceScatter'
  | 'allToAll'
  | 'broadcast'
  | 'ringBroadcastSent'
  | 'gather'
  | 'reduce';

/** Bytes that cross the wire per rank and byte of the tensor, in units of f(N). */
const RING: Readonly<Record<string, number>> = { allReduce: 2, allGather: 1, reduceScatter: 1, allToAll: 1 };
const share = (n: number): Fraction => Fraction.of(n - 1, n);

/**
 * Bytes that one rank sends (and receives) in a bandwidth-optimal algorithm: allReduce 2 S f(N) of the tensor; allGather and
 * reduceScatter S f(N) of the full tensor; allToAll S f(N) of a rank's input; broadcast S (received by all but the root);
 * gather S (N - 1) of a rank's input (received by the root). One rank: 0.
 */
export function collectiveBytes(collective: CollectiveName, size: number, world: number): number {
  if (world === 1) return 0;
  const factor = RING[collective];
  if (factor !== undefined) return share(world).times(size).times(factor).toNumber();
  return collective === 'gather' ? size * (world - 1) : size;
}

export interface StrategyTrafficOptions {
  strategy: 'ddp' | 'zero1' | 'zero2' | 'fsdp' | 'fsdpNoReshard' | 'hsdp';
  /** Elements of each communication group: a DDP bucket, a fullyShard module. */
  groups: readonly number[];
  world: number;
  paramBytes?: number;
  reduceBytes?: number;
  microBatches?: number;
  /** hsdp: ranks of a shard group. */
  shard?: number | null;
  /** Reduces gradients after every micro-batch, not only after the last. */
  syncEveryMicroBatch?: boolean;
  /** Index of the group that is not resharded after forward (FSDP's root). */
  rootGroup?: number | null;
}

/** Bytes that a rank sends in a step, by collective. */
export interface StrategyTraffic {
  allGather: number;
  reduceScatter: number;
  allReduce: number;
  total: number;
  counts: { allGather: number; reduceScatter: number; allReduce: number };
}

/**
 * Bytes sent per rank and optimizer step, and collectives issued. ddp all-reduces gradients; zero1 and zero2 reduce-scatter
 * them and gather the updated parameters; fsdp gathers every group before forward and again before backward of each
 * micro-batch and reduce-scatters; hsdp adds an all-reduce of the shards across replicas. Padding aside.
 */
export function strategyTraffic(o: StrategyTrafficOptions): StrategyTraffic {
  const { strategy, groups, world, paramBytes = 2, reduceBytes = 2, microBatches = 1 } = o;
  const rounds = o.syncEveryMicroBatch ? microBatches : 1;
  if (strategy === 'hsdp' && !o.shard) throw refuse('hsdp without the size of a shard group', 'give shard');
  const n = strategy === 'hsdp' ? o.shard! : world;
  const params = total(groups) * paramBytes;
  const grads = total(groups) * reduceBytes;
  let allGather = Fraction.of(0);
  let reduceScatter = Fraction.of(0);
  let allReduce = Fraction.of(0);
  const counts = { allGather: 0, reduceScatter: 0, allReduce: 0 };
  if (strategy === 'ddp') {
    allReduce = share(n)
      .times(2 * rounds)
      .times(grads);
    counts.allReduce = rounds * groups.length;
  } else {
    const times = {
      zero1: 1,
      zero2: 1,
      fsdp: 2 * microBatches,
      hsdp: 2 * microBatches,
      fsdpNoReshard: microBatches,
    }[strategy];
    if (times === undefined) throw refuse(`"${String(strategy)}" is no strategy`);
    reduceScatter = share(n).times(rounds).times(grads);
    counts.reduceScatter = rounds * groups.length;
    allGather = share(n).times(times).times(params);
    counts.allGather = times * groups.length;
    if (typeof o.rootGroup === 'number' && (strategy === 'fsdp' || strategy === 'hsdp')) {
      const root = groups[o.rootGroup < 0 ? groups.length + o.rootGroup : o.rootGroup];
      if (root === undefined) throw refuse(`there is no group ${o.rootGroup} of ${groups.length}`);
      allGather = allGather.minus(
        share(n)
          .times(microBatches)
          .times(root * paramBytes),
      );
      counts.allGather -= microBatches;
    }
    const replicas = strategy === 'hsdp' ? Math.floor(world / n) : 1;
    if (replicas > 1) {
      allReduce = share(replicas)
        .times(2 * rounds)
        .times(Fraction.of(grads, n));
      counts.allReduce = rounds * groups.length;
    }
  }
  const sum = Fraction.sum([allGather, reduceScatter, allReduce]);
  return { ...numbers({ allGather, reduceScatter, allReduce, total: sum }), counts };
}

export interface TensorParallelTrafficOptions {
  batch: number;
  seq: number;
  hidden: number;
  layers: number;
  world: number;
  bytesPerElement?: number;
}

/**
 * Tensor parallelism (Megatron-LM): 4 all-reduces of the activation per layer and step. With sequence parallelism each becomes
 * a reduce-scatter and an all-gather, the same bytes.
 */
export function tensorParallelTraffic(
  o: TensorParallelTrafficOptions,
): Record<'message' | 'allReduce' | 'layer' | 'total', number> {
  const message = Fraction.of(o.batch * o.seq * o.hidden * (o.bytesPerElement ?? 2));
  const allReduce = message.times(2).times(share(o.world));
  const layer = allReduce.times(4);
  return numbers({ message, allReduce, layer, total: layer.times(o.layers) });
}

export interface PipelineTrafficOptions {
  microBatches: number;
  tokens: number;
  hidden: number;
  stages: number;
  bytesPerElement?: number;
}

/** Pipeline parallelism per step: activations forward and gradients backward over every boundary; `sent` by each stage. */
export function pipelineTraffic(o: PipelineTrafficOptions): {
  message: number;
  perBoundary: number;
  total: number;
  sent: number[];
} {
  const message = o.tokens * o.hidden * (o.bytesPerElement ?? 2);
  const perBoundary = 2 * o.microBatches * message;
  const sides = (stage: number): number => Number(stage < o.stages - 1) + Number(stage > 0);
  const sent = Array.from({ length: o.stages }, (_, stage) => o.microBatches * message * sides(stage));
  return { message, perBoundary, total: perBoundary * (o.stages - 1), sent };
}

export interface ContextParallelTrafficOptions {
  batch: number;
  seq: number;
  kvHeads: number;
  headDim: number;
  layers: number;
  cp: number;
  bytesPerElement?: number;
  gradBytes?: number;
  /** Full activation checkpointing: the forward's hops again. */
  recompute?: boolean;
}

/** Ring attention: K and V go around in forward and again in backward, dK and dV once more. Bytes sent per rank. */
export function contextParallelTraffic(
  o: ContextParallelTrafficOptions,
): Record<'hop' | 'forward' | 'backward' | 'total' | 'kvHops' | 'gradHops', number> {
  const { cp, layers, bytesPerElement: size = 2, gradBytes = 4 } = o;
  if (o.seq % cp !== 0) throw refuse(`a sequence of ${o.seq} on ${cp} ranks`, 'cp must divide the sequence');
  const elements = o.batch * (o.seq / cp) * 2 * o.kvHeads * o.headDim;
  const hop = elements * size;
  if (cp === 1) return { hop, forward: 0, backward: 0, total: 0, kvHops: 0, gradHops: 0 };
  const extra = o.recompute ? 2 : 1;
  const forward = (cp - 1) * hop * layers;
  const backward = (extra * (cp - 1) * size + cp * gradBytes) * elements * layers;
  return { hop, forward, backward, total: forward + backward, kvHops: (1 + extra) * (cp - 1), gradHops: cp };
}

export interface ExpertParallelTrafficOptions {
  tokens: number;
  topK: number;
  hidden: number;
  ep: number;
  layers?: number;
  bytesPerElement?: number;
}

/** Expert parallelism with evenly spread tokens: 4 all-to-alls per MoE layer and step; what leaves the rank. */
export function expertParallelTraffic(
  o: ExpertParallelTrafficOptions,
): Record<'rows' | 'allToAll' | 'total', number> {
  const rows = o.tokens * o.topK;
  const allToAll = share(o.ep).times(rows * o.hidden * (o.bytesPerElement ?? 2));
  return { rows, ...numbers({ allToAll, total: allToAll.times(4 * (o.layers ?? 1)) }) };
}

export interface OffloadTrafficOptions {
  params: number;
  world: number;
  bytesPerElement?: number;
  microBatches?: number;
  reshard?: boolean;
  /** Bytes per second between host and device; without: no time. */
  bandwidth?: number | null;
}

/** CPU offload of sharded parameters, per rank and step: host to device, device to host. */
export function offloadTraffic(o: OffloadTrafficOptions): {
  h2d: number;
  d2h: number;
  seconds: number | null;
} {
  const microBatches = o.microBatches ?? 1;
  const shard = Fraction.of(o.params * (o.bytesPerElement ?? 4), o.world);
  const h2d = shard.times(microBatches).times((o.reshard ?? true) ? 2 : 1);
  const d2h = shard.times(microBatches);
  const seconds = o.bandwidth ? h2d.plus(d2h).over(o.bandwidth).toNumber() : null;
  return { ...numbers({ h2d, d2h }), seconds };
}
