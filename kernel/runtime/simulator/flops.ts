/** What an operation asks of a device: floating-point operations (a multiply-add counts as two) and bytes moved. */
import { storageOf, type Tensor } from '../tensor/index.js';

export interface Work {
  flops: number;
  bytes: number;
  dtype: string;
}

type Shape = readonly number[];

const volume = (shape: Shape): number => shape.reduce((a, b) => a * b, 1);

/** By operation: from the shapes of inputs and results. Others do one operation per element of their results. */
const FLOPS: Readonly<Record<string, (inputs: readonly Shape[], results: readonly Shape[]) => number>> = {
  mm: ([a, b]) => 2 * a![0]! * a![1]! * b![1]!,
  mv: ([a]) => 2 * a![0]! * a![1]!,
  dot: ([a]) => 2 * a![0]!,
  addmm: ([, a, b]) => 2 * a![0]! * a![1]! * b![1]!,
  bmm: ([a, b]) => 2 * volume(a!) * b![2]!,
  baddbmm: ([, a, b]) => 2 * volume(a!) * b![2]!,
  // Scores and their product with v; backward makes the scores again and has four products more.
  attention: ([q, k, v]) => 2 * volume(q!) * k![1]! + 2 * q![0]! * q![1]! * volume(v!.slice(1)),
  attentionBackward: ([, , q, k, v]) => 6 * volume(q!) * k![1]! + 4 * q![0]! * q![1]! * volume(v!.slice(1)),
  embedding: () => 0,
  clone: () => 0,
  copy: () => 0,
  fill: () => 0,
  fullLike: () => 0,
  toCopy: () => 0,
  cat: () => 0,
  stack: () => 0,
  index: () => 0,
  indexSelect: () => 0,
  gather: () => 0,
  // Moments, bias corrections, root, division, update.
  adam: (_, results) => 12 * volume(results[0]!),
};

/** Undefined for views and other operations that only describe memory anew. */
export function workOf(
  op: string,
  inputs: readonly (Tensor | null)[],
  results: readonly Tensor[],
): Work | undefined {
  const given = inputs.filter((t): t is Tensor => t !== null && !t.wrapped);
  const first = results[0];
  if (first === undefined) return undefined;
  const inplace = results.every((r) => inputs.includes(r)) || op === 'adam';
  const sources = new Set(given.map(storageOf));
  if (!inplace && results.every((r) => sources.has(storageOf(r)))) return undefined;
  const shapes = inputs.map((t) => t?.shape ?? []);
  const outs = results.map((t) => t.shape);
  const size = (t: Tensor): number => t.numel() * t.dtype.itemsize;
  const flops = FLOPS[op]?.(shapes, outs) ?? outs.reduce((sum, shape) => sum + volume(shape), 0);
  const bytes = [...given, ...results].reduce((sum, t) => sum + size(t), 0);
  return { flops, bytes, dtype: (given[0] ?? first).dtype.name };
}
