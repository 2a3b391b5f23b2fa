/** How much communication hides behind compute. Times in any unit. */
import { ratio, total } from './shared.js';

/**
 * Forward of layers whose parameters are gathered on another stream, `depth` ahead: gather i starts when gather i - 1 has ended
 * and layer i - 1 - depth has been computed; compute i when gather i and compute i - 1 have ended. `peak`: most layers unsharded.
 */
export function forwardOverlap(
  compute: readonly number[],
  gather: readonly number[],
  depth = 1,
): { total: number; exposed: number; hiddenShare: number; peak: number } {
  const gathered: number[] = [];
  const computed: number[] = [];
  const marks: [time: number, change: number][] = [];
  const layers = Math.min(compute.length, gather.length);
  for (let i = 0; i < layers; i++) {
    const start = Math.max(gathered[i - 1] ?? 0, computed[i - 1 - depth] ?? 0);
    gathered.push(start + gather[i]!);
    computed.push(Math.max(gathered[i]!, computed[i - 1] ?? 0) + compute[i]!);
    if (computed[i]! > start) marks.push([start, 1], [computed[i]!, -1]);
  }
  marks.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let live = 0;
  let peak = 0;
  for (const [, change] of marks) {
    live += change;
    peak = Math.max(peak, live);
  }
  const end = computed[layers - 1] ?? 0;
  const exposed = end - total(compute);
  const all = total(gather);
  return { total: end, exposed, hiddenShare: all === 0 ? 0 : 1 - exposed / all, peak };
}

/**
 * Backward over layers L - 1 .. 0: gather one ahead, compute, reduce-scatter. With `sharedLink` gathers and scatters take turns
 * on one stream: gather L-1, gather L-2, scatter L-1, gather L-3, scatter L-2, ..., scatter 0.
 */
export function backwardOverlap(
  compute: readonly number[],
  gather: readonly number[],
  scatter: readonly number[],
  sharedLink = false,
): { total: number; exposed: number } {
  const last = compute.length - 1;
  const gathered: number[] = [];
  const computed: number[] = [];
  const scattered: number[] = [];
  // Layers are computed when first asked for; what they need was gathered before.
  const computeEnd = (i: number): number => {
    if (i > last) return 0;
    computed[i] ??= Math.max(gathered[i]!, computeEnd(i + 1)) + compute[i]!;
    return computed[i];
  };
  let free = 0;
  const doGather = (i: number): void => {
    const start = Math.max(sharedLink ? free : 0, gathered[i + 1] ?? 0, computeEnd(i + 2));
    gathered[i] = free = start + gather[i]!;
  };
  for (let i = last; i >= 0; i--) {
    if (i === last) doGather(i);
    if (i > 0) doGather(i - 1);
    const start = Math.max(sharedLink ? free : 0, computeEnd(i), scattered[i + 1] ?? 0);
    scattered[i] = free = start + scatter[i]!;
  }
  const end = Math.max(0, ...computed, ...scattered);
  return { total: end, exposed: end - total(compute) };
}

export interface BucketOverlapOptions {
  /** Bytes of the gradients, in the order in which they become ready. */
  sizes: readonly number[];
  /** Time until each is ready, after the one before. */
  compute: readonly number[];
  /** Bytes at which a bucket is sent; the first has its own. */
  cap: number;
  firstCap: number;
  alpha: number;
  bandwidth: number;
}

/** DDP's gradient buckets during backward, one all-reduce at a time: what is in each, when the last is done, time not hidden. */
export function bucketOverlap(o: BucketOverlapOptions): {
  buckets: number[][];
  end: number;
  exposed: number;
} {
  const buckets: number[][] = [];
  let filling: number[] = [];
  let load = 0;
  let ready = 0;
  let end = 0;
  const launch = (): void => {
    end = Math.max(end, ready) + o.alpha + ratio(load, o.bandwidth);
    buckets.push(filling);
    filling = [];
    load = 0;
  };
  const tensors = Math.min(o.sizes.length, o.compute.length);
  for (let i = 0; i < tensors; i++) {
    ready += o.compute[i]!;
    filling.push(i);
    load += o.sizes[i]!;
    if (load >= (buckets.length > 0 ? o.cap : o.firstCap)) launch();
  }
  if (filling.length > 0) launch();
  return { buckets, end, exposed: Math.max(end, ready) - ready };
}

/** Ring attention of cp equal blocks, each hop behind the block before it or not. */
export function ringOverlap(
  cp: number,
  compute: number,
  hop: number,
): { serial: number; overlapped: number } {
  return {
    serial: cp * compute + (cp - 1) * hop,
    overlapped: compute + (cp - 1) * Math.max(compute, hop),
  };
}
