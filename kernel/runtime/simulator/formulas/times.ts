/** Seconds of collectives in the alpha-beta model: a message of S bytes takes alpha + S / bandwidth. L = ceil(log2 N). */
import { ceilLog2, ratio, refuse, total } from './shared.js';

/** Algorithms of collectives that have a closed form of their time. */
export type TimedAlgorithm =
  | 'ringAllReduce'
  | 'ringAllGather'
  | 'ringReduceScatter'
  | 'treeAllReduce'
  | 'recursiveDoublingAllReduce'
  | 'halvingDoublingAllReduce'
  | 'naiveAllReduce'
  | 'binomialBroadcast'
  | 'chainBroadcast'
  | 'allToAll'
  | 'p2p';

export interface LinkOptions {
  /** Seconds of latency per message. */
  alpha: number;
  /** Bytes per second of a link, in each direction. */
  bandwidth: number;
}

export interface CollectiveTimeOptions extends LinkOptions {
  algorithm: TimedAlgorithm;
  /** Bytes: the tensor of allReduce and broadcast, the full tensor of allGather and reduceScatter, a rank's input of allToAll. */
  size: number;
  world: number;
  /** chainBroadcast: pieces in the pipeline. */
  chunks?: number;
}

/** Seconds of one collective on idle links (gloo's and NCCL's models of the algorithms). */
export function collectiveTime({
  algorithm,
  size,
  world: n,
  alpha,
  bandwidth,
  chunks = 1,
}: CollectiveTimeOptions): number {
  const s = ratio(size, bandwidth);
  if (algorithm === 'p2p') return alpha + s;
  if (n === 1) return 0;
  const steps = ceilLog2(n);
  switch (algorithm) {
    case 'ringAllReduce':
      return 2 * (n - 1) * alpha + ((2 * (n - 1)) / n) * s;
    case 'ringAllGather':
    case 'ringReduceScatter':
      return (n - 1) * alpha + ((n - 1) / n) * s;
    case 'treeAllReduce':
      return 2 * steps * alpha + 2 * s;
    case 'recursiveDoublingAllReduce':
    case 'halvingDoublingAllReduce':
      if ((n & (n - 1)) !== 0) throw refuse(`${algorithm} of ${n} ranks: wanted a power of two`);
      if (algorithm === 'recursiveDoublingAllReduce') return steps * (alpha + s);
      return 2 * steps * alpha + ((2 * (n - 1)) / n) * s;
    case 'naiveAllReduce':
      return 2 * (n - 1) * (alpha + s);
    case 'binomialBroadcast':
      return steps * (alpha + s);
    case 'chainBroadcast':
      return (n - 2 + chunks) * (alpha + ratio(s, chunks));
    case 'allToAll':
      return (n - 1) * (alpha + s / n);
  }
  throw refuse(`"${String(algorithm)}" is no algorithm`);
}

export interface HierarchicalOptions {
  size: number;
  nodes: number;
  perNode: number;
  alphaIn: number;
  bandwidthIn: number;
  alphaOut: number;
  bandwidthOut: number;
}

/** Two-level all-reduce: ring reduce-scatter inside the node, ring all-reduce of the shards across, ring all-gather inside. */
export function hierarchicalAllReduceTime(
  o: HierarchicalOptions,
): Record<'inside' | 'across' | 'total' | 'flat' | 'outBytes', number> {
  const { size, nodes: k, perNode: n } = o;
  const inside = 2 * ((n - 1) * o.alphaIn + ratio(((n - 1) / n) * size, o.bandwidthIn));
  const across = 2 * (k - 1) * o.alphaOut + ratio(((2 * (k - 1)) / k) * (size / n), o.bandwidthOut);
  const t = n * k;
  return {
    inside,
    across,
    total: inside + across,
    flat: 2 * (t - 1) * o.alphaOut + ratio(((2 * (t - 1)) / t) * size, o.bandwidthOut),
    outBytes: (((2 * (k - 1)) / k) * size) / n,
  };
}

/** Size in bytes at which ring and tree all-reduce take the same time; below it the tree is faster. */
export function ringTreeCrossover(world: number, { alpha, bandwidth }: LinkOptions): number {
  return (world - 1 - ceilLog2(world)) * world * alpha * bandwidth;
}

export interface RingStep {
  /** By sender. */
  sends: [src: number, dst: number, chunk: number, value: number][];
  /** The ranks' chunks afterwards. */
  state: number[][];
}

/**
 * A ring step by step: `values[r]` is rank r's list of N chunks. Rank r sends chunk (r - s) mod N in step s of the reduce-scatter,
 * chunk (r + 1 - s) mod N in step s of the all-gather. `owner`: the chunk that each rank completes.
 */
export function ringTrace(
  values: readonly (readonly number[])[],
  op: 'allReduce' | 'reduceScatter' = 'allReduce',
): { steps: RingStep[]; owner: number[] } {
  const n = values.length;
  const state = values.map((chunks) => [...chunks]);
  const steps: RingStep[] = [];
  const phase = (shift: number, add: boolean): void => {
    for (let s = 0; s < n - 1; s++) {
      const sends = state.map((chunks, r): RingStep['sends'][number] => {
        const chunk = (((r + shift - s) % n) + n) % n;
        return [r, (r + 1) % n, chunk, chunks[chunk]!];
      });
      for (const [, dst, chunk, value] of sends)
        state[dst]![chunk] = add ? state[dst]![chunk]! + value : value;
      steps.push({ sends, state: state.map((chunks) => [...chunks]) });
    }
  };
  phase(0, true);
  if (op === 'allReduce') phase(1, false);
  return { steps, owner: state.map((_, r) => (r + 1) % n) };
}

const BUS: Readonly<Record<string, number>> = { allReduce: 2, allGather: 1, reduceScatter: 1, allToAll: 1 };

/** Algorithm and bus bandwidth as nccl-tests count them, bytes per second. */
export function busBandwidth(
  collective: string,
  size: number,
  world: number,
  seconds: number,
): { algbw: number; busbw: number } {
  const algbw = ratio(size, seconds);
  const factor = BUS[collective];
  return { algbw, busbw: algbw * (factor === undefined ? 1 : (factor * (world - 1)) / world) };
}

/** Least-squares line t = alpha + S / bandwidth through measurements; `half`: the size that reaches half the bandwidth. */
export function fitLink(
  sizes: readonly number[],
  seconds: readonly number[],
): { alpha: number; bandwidth: number; half: number } {
  const n = sizes.length;
  const meanSize = total(sizes) / n;
  const meanTime = total(seconds) / n;
  const variance = total(sizes.map((s) => (s - meanSize) ** 2));
  if (variance === 0) throw refuse('a line through measurements of one size only');
  const slope = total(sizes.map((s, i) => (s - meanSize) * (seconds[i]! - meanTime))) / variance;
  const alpha = meanTime - slope * meanSize;
  return { alpha, bandwidth: ratio(1, slope), half: ratio(alpha, slope) };
}

export interface Protocol {
  name: string;
  /** Seconds. */
  latency: number;
  /** Share of the bandwidth that it reaches. */
  efficiency: number;
}

/** The fastest protocol for a message of each size (NCCL's choice of LL, LL128, Simple); of equals the first. */
export function chooseProtocol(
  sizes: readonly number[],
  protocols: readonly Protocol[],
  bandwidth: number,
): string[] {
  return sizes.map((size) => {
    const seconds = (p: Protocol): number => p.latency + ratio(size, p.efficiency * bandwidth);
    return protocols.reduce((best, p) => (seconds(p) < seconds(best) ? p : best)).name;
  });
}

/** Gradient buckets one after the other: transfers, seconds, largest bucket in bytes. */
export function bucketTime(
  totalBytes: number,
  bucket: number,
  { alpha, bandwidth }: LinkOptions,
): { count: number; seconds: number; peak: number } {
  const count = Math.ceil(ratio(totalBytes, bucket));
  return { count, seconds: count * alpha + ratio(totalBytes, bandwidth), peak: Math.min(bucket, totalBytes) };
}
