/** Activation memory of transformers (Korthikanti et al. 2022) and what checkpointing makes of it. Bytes, 16-bit activations. */
import { Fraction } from './fraction.js';
import { refuse, total } from './shared.js';

/** What of a layer is computed again in backward: nothing, attention alone, all. */
export type Recompute = 'none' | 'selective' | 'full';

export interface LayerOptions {
  batch: number;
  seq: number;
  hidden: number;
  heads: number;
}

/** What one layer (dropout, GELU, 4h MLP) keeps for backward, entry by entry; flash attention keeps nothing of seq x seq. */
export function activationItems(o: LayerOptions & { flash?: boolean }): [name: string, bytes: number][] {
  const x = o.seq * o.batch * o.hidden;
  const y = o.heads * o.seq * o.seq * o.batch;
  const square: [string, number][] = [
    ['softmax_out', 2 * y],
    ['softmax_mask', y],
    ['dropped_out', 2 * y],
  ];
  return [
    ['norm1_in', 2 * x],
    ['qkv_in', 2 * x],
    ['q', 2 * x],
    ['k', 2 * x],
    ...(o.flash ? [] : square),
    ['v', 2 * x],
    ['proj_in', 2 * x],
    ['attn_mask', x],
    ['norm2_in', 2 * x],
    ['mlp_in', 2 * x],
    ['gelu_in', 8 * x],
    ['mlp_mid', 8 * x],
    ['mlp_mask', x],
  ];
}

export interface ActivationOptions extends LayerOptions {
  tp?: number;
  sequenceParallel?: boolean;
  recompute?: Recompute;
  /** Context parallelism: seq / cp tokens per rank, all keys. */
  cp?: number;
}

/**
 * Activation bytes of one layer per rank: with u = s b h and w = 5 a s S b, 10 u + (24 u + w) / tp, or (34 u + w) / tp with
 * sequence parallelism; 'selective' recompute (or flash attention) leaves out w, 'full' keeps the layer's input.
 */
export function activationLayer(o: ActivationOptions): number {
  return layerFraction(o).toNumber();
}

function layerFraction({
  batch,
  seq,
  hidden,
  heads,
  tp = 1,
  sequenceParallel,
  recompute = 'none',
  cp = 1,
}: ActivationOptions) {
  const u = Fraction.of(batch * seq * hidden, cp);
  if (recompute === 'full') return u.times(2).over(sequenceParallel ? tp : 1);
  const square = 5 * heads * batch * seq;
  const w = recompute === 'selective' ? Fraction.of(0) : Fraction.of(square, cp).times(seq);
  if (sequenceParallel) return u.times(34).plus(w).over(tp);
  return u.times(10).plus(u.times(24).over(tp)).plus(w.over(tp));
}

/** Layers of one rank, with the layer under recomputation. */
function layersFraction(o: ActivationOptions, layers: Fraction): Fraction {
  const kept = layerFraction(o).times(layers);
  return o.recompute === 'full' ? kept.plus(layerFraction({ ...o, recompute: 'none' })) : kept;
}

export interface ModelActivationOptions extends Omit<ActivationOptions, 'cp'> {
  layers: number;
  vocab: number;
  stages?: number;
  microBatches?: number;
  schedule?: 'gpipe' | '1f1b';
}

/** Peak activation bytes of each pipeline rank: micro-batches in flight, recomputed layer, float32 logits on the last. */
export function activationModel(o: ModelActivationOptions): number[] {
  const { stages = 1, microBatches = 1, layers } = o;
  if (layers % stages !== 0)
    throw refuse(`${layers} layers on ${stages} stages`, 'stages must divide the layers');
  return Array.from({ length: stages }, (_, rank) => {
    const inFlight = o.schedule === 'gpipe' ? microBatches : Math.min(stages - rank, microBatches);
    const logits = rank === stages - 1 ? 4 * o.seq * o.batch * o.vocab : 0;
    return layersFraction(o, Fraction.of(layers * inFlight, stages))
      .plus(logits)
      .toNumber();
  });
}

/** For plans: bytes of `layers` layers on one rank. */
export function activationLayers(o: ActivationOptions, layers: number): Fraction {
  return layersFraction(o, Fraction.of(layers));
}

/** In units of the activation of one layer: held without checkpoints, at boundaries, at the peak; layers computed again. */
export interface CheckpointCost {
  without: number;
  boundaries: number;
  peak: number;
  extraForwards: number;
}

/**
 * Checkpointing of consecutive segments of n_1 .. n_k layers, in units of one layer's activation; a boundary costs one unit.
 * Backward recomputes segment j while boundaries 1 .. j are held: peak = max (j + n_j).
 */
export function checkpointMemory(segments: readonly number[]): CheckpointCost {
  const layers = total(segments);
  return {
    without: layers,
    boundaries: segments.length,
    peak: Math.max(...segments.map((n, j) => j + 1 + n)),
    extraForwards: layers,
  };
}

/** The least peak over even cuts into k = 1 .. layers segments (the first `layers mod k` one longer), and the smallest such k. */
export function bestCheckpoint(layers: number): { segments: number; peak: number; peaks: number[] } {
  const peaks = Array.from({ length: layers }, (_, i) => {
    const k = i + 1;
    const even = Math.floor(layers / k);
    return checkpointMemory(Array.from({ length: k }, (_, j) => even + (j < layers % k ? 1 : 0))).peak;
  });
  const peak = Math.min(...peaks);
  return { segments: peaks.indexOf(peak) + 1, peak, peaks };
}

/** The least peak over all cuts of `layers` layers into k segments, and the lexicographically smallest cut that has it. */
export function optimalSegments(layers: number, k: number): { peak: number; segments: number[] } {
  if (k < 1 || k > layers) throw refuse(`${layers} layers in ${k} segments: wanted 1 to ${layers}`);
  // Segment j may have up to peak - j layers, so a peak is possible when these add up to all layers.
  const room = (peak: number, from: number): number => {
    let sum = 0;
    for (let j = from; j <= k; j++) sum += peak - j;
    return sum;
  };
  let peak = k + 1;
  while (room(peak, 1) < layers) peak++;
  const segments: number[] = [];
  let left = layers;
  for (let j = 1; j <= k; j++) {
    const n = Math.max(1, left - room(peak, j + 1));
    segments.push(n);
    left -= n;
  }
  return { peak, segments };
}
