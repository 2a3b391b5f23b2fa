/** Model state: what parameters, gradients and optimizer take on each rank. Bytes; P parameters on N ranks. */
import { Fraction, numbers } from './fraction.js';
import { ceilDiv, dtypeBytes, product, ratio, refuse, total } from './shared.js';

/** Who holds parameters, gradients and optimizer state: all ranks, or a part each. */
export type Strategy = 'ddp' | 'zero1' | 'zero2' | 'zero3' | 'fsdp' | 'hsdp';

export interface ModelStateOptions {
  params: number;
  world: number;
  strategy: Strategy;
  /** Dtypes; default bfloat16 parameters and gradients, float32 master weights (null: none) and moments. */
  param?: string;
  grad?: string;
  master?: string | null;
  moment?: string;
  /** Optimizer moments per parameter: Adam 2 (default), SGD with momentum 1, plain SGD 0. */
  moments?: number;
  /** hsdp: ranks of a shard group. */
  shard?: number | null;
}

/**
 * Bytes of model state per rank, padding of uneven shards aside (ZeRO, Rajbhandari et al. 2020). zero1 shards master weights and
 * moments over N, zero2 the gradients too, zero3 and fsdp the parameters too; hsdp shards all inside groups of `shard` ranks.
 * FSDP2 with mixed precision keeps float32 shards: param and grad 'float32', master null.
 */
export function modelState(
  o: ModelStateOptions,
): Record<'param' | 'grad' | 'master' | 'optim' | 'total', number> {
  const { params, world, strategy } = o;
  if (strategy === 'hsdp' && (!o.shard || world % o.shard !== 0))
    throw refuse(`hsdp with shard groups of ${o.shard} on ${world} ranks`, 'shard must divide the world');
  const divisors: Record<Strategy, readonly [number, number, number]> = {
    ddp: [1, 1, 1],
    zero1: [1, 1, world],
    zero2: [1, world, world],
    zero3: [world, world, world],
    fsdp: [world, world, world],
    hsdp: [o.shard ?? 1, o.shard ?? 1, o.shard ?? 1],
  };
  const by = divisors[strategy];
  if (by === undefined)
    throw refuse(`"${strategy}" is no strategy: wanted one of ${Object.keys(divisors).join(', ')}`);
  const master = o.master === undefined ? 'float32' : o.master;
  const parts = {
    param: Fraction.of(params * dtypeBytes(o.param ?? 'bfloat16'), by[0]),
    grad: Fraction.of(params * dtypeBytes(o.grad ?? 'bfloat16'), by[1]),
    master: master === null ? Fraction.of(0) : Fraction.of(params * dtypeBytes(master), by[2]),
    optim: Fraction.of((o.moments ?? 2) * params * dtypeBytes(o.moment ?? 'float32'), by[2]),
  };
  return numbers({ ...parts, total: Fraction.sum(Object.values(parts)) });
}

/**
 * Per-parameter sharding on dim 0 as FSDP2 does it: chunks of ceil(d0 / N) rows, later ranks may have fewer or none. `padded`:
 * bytes of an all-gather's input, in which every rank gives ceil(d0 / N) rows. `imbalance`: the largest rank over the mean.
 */
export function fsdpShards(
  shapes: readonly (readonly number[])[],
  world: number,
  bytesPerElement = 4,
): { elements: number[][]; bytes: number[]; padded: number; imbalance: number } {
  const elements = Array.from({ length: world }, (_, rank) =>
    shapes.map(([rows = 1, ...rest]) => {
      const chunk = ceilDiv(rows, world);
      return Math.max(Math.min(rows - rank * chunk, chunk), 0) * product(rest);
    }),
  );
  const bytes = elements.map((row) => total(row) * bytesPerElement);
  const padded = total(shapes.map(([rows = 1, ...rest]) => ceilDiv(rows, world) * product(rest)));
  return {
    elements,
    bytes,
    padded: padded * bytesPerElement,
    imbalance: ratio(Math.max(...bytes) * world, total(bytes)),
  };
}

/** Flat sharding (FSDP1, ZeRO): all elements in one vector, padded to a multiple of N, cut in N; `pieces`: what is whose. */
export function flatShards(
  shapes: readonly (readonly number[])[],
  world: number,
): {
  numel: number;
  padded: number;
  perRank: number;
  pieces: [parameter: number, from: number, to: number][][];
} {
  const sizes = shapes.map(product);
  const numel = total(sizes);
  const perRank = ceilDiv(numel, world);
  const pieces = Array.from({ length: world }, (_, rank) => {
    const row: [number, number, number][] = [];
    let at = 0;
    sizes.forEach((size, i) => {
      const from = Math.max(rank * perRank, at);
      const to = Math.min((rank + 1) * perRank, at + size);
      if (from < to) row.push([i, from - at, to - at]);
      at += size;
    });
    return row;
  });
  return { numel, padded: perRank * world, perRank, pieces };
}

export interface TransformerParamsOptions {
  layers: number;
  hidden: number;
  vocab: number;
  /** Default 4 hidden. */
  ffn?: number | null;
  heads?: number | null;
  /** Default: as many as heads. */
  kvHeads?: number | null;
  gated?: boolean;
  biases?: boolean;
  tied?: boolean;
  positions?: number;
  normBias?: boolean;
}

/** Parameters of a decoder: embedding (with learned positions), layers of attention and MLP and two norms, final norm, head unless tied. */
export function transformerParams(
  o: TransformerParamsOptions,
): Record<'embedding' | 'layer' | 'norm' | 'head' | 'total' | 'twelve', number> {
  const { layers, hidden: h, vocab, biases = true } = o;
  const ffn = o.ffn || 4 * h;
  const kv = o.heads ? Math.floor((h * (o.kvHeads || o.heads)) / o.heads) : h;
  const norm = h * ((o.normBias ?? true) ? 2 : 1);
  const attention = 2 * h * h + 2 * h * kv + (biases ? 2 * h + 2 * kv : 0);
  const mlp = (o.gated ? 3 : 2) * h * ffn + (biases ? (o.gated ? 2 : 1) * ffn + h : 0);
  const layer = attention + mlp + 2 * norm;
  const embedding = (vocab + (o.positions ?? 0)) * h;
  const head = (o.tied ?? true) ? 0 : vocab * h;
  return {
    embedding,
    layer,
    norm,
    head,
    total: embedding + layers * layer + norm + head,
    twelve: 12 * layers * h * h,
  };
}

/** Share of memory that sharding a fraction of it over N ranks saves. */
export function shardingSaving(world: number, shardedFraction = 1): number {
  return shardedFraction * (1 - ratio(1, world));
}
