/** Plans: what fits, on how many ranks, how well a step uses the devices; and how an allocator fragments. */
import { activationLayers, type LayerOptions, type Recompute } from './activations.js';
import { Fraction, numbers } from './fraction.js';
import { ratio, refuse } from './shared.js';

export interface MemoryPlanOptions extends LayerOptions {
  params: number;
  world: number;
  /** Parameters of the largest layer that is unsharded as a whole. */
  layerParams: number;
  layers: number;
  vocab: number;
  recompute?: Recompute;
  /** Layers gathered ahead. */
  prefetch?: number;
  /** Bytes per parameter of parameters, gradients and optimizer; default 16. */
  stateBytes?: number;
  /** Bytes per element of unsharded layers; default 2. */
  workingBytes?: number;
  /** Bytes of context and libraries. */
  overhead?: number;
  /** Share lost to fragmentation: 0.1 is 10 %. */
  fragmentation?: number;
}

/** Budget of a rank of fully sharded training, bytes. */
export function memoryPlan(
  o: MemoryPlanOptions,
): Record<'state' | 'working' | 'activations' | 'logits' | 'overhead' | 'total', number> {
  const parts = {
    state: Fraction.of((o.stateBytes ?? 16) * o.params, o.world),
    working: Fraction.of((o.workingBytes ?? 2) * o.layerParams * (1 + (o.prefetch ?? 1))),
    activations: activationLayers(
      {
        batch: o.batch,
        seq: o.seq,
        hidden: o.hidden,
        heads: o.heads,
        recompute: o.recompute ?? 'none',
      },
      o.layers,
    ),
    logits: Fraction.of(4 * o.seq * o.batch * o.vocab),
    overhead: Fraction.of(o.overhead ?? 0),
  };
  const sum = Fraction.sum(Object.values(parts));
  return numbers({ ...parts, total: sum.times(Fraction.decimal(o.fragmentation ?? 0).plus(1)) });
}

/** The largest batch whose plan stays within `limit` bytes; 0 if none does. */
export function largestBatch(limit: number, o: Omit<MemoryPlanOptions, 'batch'>): number {
  const fits = (batch: number): boolean => memoryPlan({ ...o, batch }).total <= limit;
  if (!fits(1)) return 0;
  let above = 2;
  while (fits(above)) above *= 2;
  let below = above / 2;
  while (above - below > 1) {
    const middle = Math.floor((above + below) / 2);
    if (fits(middle)) below = middle;
    else above = middle;
  }
  return below;
}

/** The fewest ranks (a power of two unless told otherwise) on which the sharded state fits a device. */
export function fewestRanks(
  params: number,
  stateBytes: number,
  deviceBytes: number,
  powerOfTwo = true,
): number {
  const need = stateBytes * params;
  if (!powerOfTwo) return Math.max(Math.ceil(ratio(need, deviceBytes)), 1);
  if (!(deviceBytes > 0) && need > 0) throw refuse(`devices of ${deviceBytes} bytes: wanted more than 0`);
  let n = 1;
  while (need > n * deviceBytes) n *= 2;
  return n;
}

export interface StepMetricsOptions {
  params: number;
  tokens: number;
  seconds: number;
  ranks: number;
  /** Of one device. */
  peakFlops: number;
  /** Full recomputation: 8 P T FLOPs are executed for 6 P T useful ones. */
  recompute?: boolean;
}

/** FLOPs of a training step (6 P T), throughput, model and hardware FLOP utilisation. */
export function stepMetrics(
  o: StepMetricsOptions,
): Record<'modelFlops' | 'hardwareFlops' | 'tokensPerSecond' | 'mfu' | 'hfu', number> {
  const modelFlops = 6 * o.params * o.tokens;
  const hardwareFlops = o.recompute ? 8 * o.params * o.tokens : modelFlops;
  const possible = o.seconds * o.ranks * o.peakFlops;
  return {
    modelFlops,
    hardwareFlops,
    tokensPerSecond: ratio(o.tokens, o.seconds),
    mfu: ratio(modelFlops, possible),
    hfu: ratio(hardwareFlops, possible),
  };
}

/** What happens to an allocator, in order. */
export type AllocatorEvent =
  | readonly ['alloc', name: string, bytes: number]
  | readonly ['free', name: string];

/** Where each block went, and what fragmentation left. */
export interface AllocatorResult {
  /** Per event: the address, or null where no hole was large enough. */
  results: (number | null)[];
  /** Bytes in use at the end, and the most ever in use. */
  allocated: number;
  peak: number;
  largestHole: number;
  free: number;
}

/** A first-fit allocator over one address range, sizes rounded up to blocks: free memory may be there and yet not fit. */
export function firstFitAllocator(
  events: readonly AllocatorEvent[],
  capacity: number,
  block = 512,
): AllocatorResult {
  const used = new Map<string, [address: number, size: number]>();
  const results: (number | null)[] = [];
  const inUse = (): number => [...used.values()].reduce((sum, [, size]) => sum + size, 0);
  const holes = (): [address: number, size: number][] => {
    const found: [number, number][] = [];
    let at = 0;
    for (const [address, size] of [...used.values()].sort((a, b) => a[0] - b[0])) {
      if (address > at) found.push([at, address - at]);
      at = address + size;
    }
    if (capacity > at) found.push([at, capacity - at]);
    return found;
  };
  let peak = 0;
  for (const event of events) {
    if (event[0] === 'alloc') {
      const size = Math.ceil(event[2] / block) * block;
      const address = holes().find(([, room]) => room >= size)?.[0] ?? null;
      if (address !== null) used.set(event[1], [address, size]);
      results.push(address);
    } else {
      const freed = used.get(event[1]);
      if (freed === undefined) throw refuse(`free of "${event[1]}", which is not allocated`);
      used.delete(event[1]);
      results.push(freed[0]);
    }
    peak = Math.max(peak, inUse());
  }
  const allocated = inUse();
  const largestHole = Math.max(0, ...holes().map(([, size]) => size));
  return { results, allocated, peak, largestHole, free: capacity - allocated };
}
