/** Bernoulli, multinomial and the distributions drawn one element at a time. */
import { drawNormal, type Values } from './floats.js';
import { type RandomFloat, roundTo } from './round.js';
import type { RandomStream } from './stream.js';

/** Receives 0 and 1. */
export type FlagValues =
  | Float32Array
  | Float64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray;

/** `bernoulli_(p)` with a number: 1 with probability p, whatever the type. */
export function fillBernoulli(stream: RandomStream, out: FlagValues, p: number): void {
  for (let i = 0; i < out.length; i++) out[i] = stream.u53() < p ? 1 : 0;
}

/** `bernoulli(P)`: one probability for each element; a float64 P takes doubles from the stream. */
export function fillBernoulliFrom(
  stream: RandomStream,
  out: FlagValues,
  probabilities: ArrayLike<number>,
  dtype: RandomFloat,
): void {
  const wide = dtype === 'float64';
  for (let i = 0; i < out.length; i++) {
    out[i] = (wide ? stream.u53() : stream.u24()) < probabilities[i]! ? 1 : 0;
  }
}

/** `exponential_(rate)`. */
export function fillExponential(stream: RandomStream, out: Values, dtype: RandomFloat, rate = 1): void {
  for (let i = 0; i < out.length; i++) out[i] = roundTo(dtype, (-1 / rate) * Math.log1p(-stream.u53()));
}

/** `geometric_(p)`: number of trials up to the first success. */
export function fillGeometric(stream: RandomStream, out: Values | FlagValues, p: number): void {
  const scale = Math.log(1 - p);
  for (let i = 0; i < out.length; i++) out[i] = Math.ceil(Math.log(stream.u53()) / scale);
}

/** `cauchy_(median, sigma)`. */
export function fillCauchy(
  stream: RandomStream,
  out: Values,
  dtype: RandomFloat,
  median = 0,
  sigma = 1,
): void {
  for (let i = 0; i < out.length; i++) {
    out[i] = roundTo(dtype, median + sigma * Math.tan(Math.PI * (stream.u53() - 0.5)));
  }
}

/** `logNormal_(mean, std)`: exp of normals drawn one by one, for any number of elements. */
export function fillLogNormal(
  stream: RandomStream,
  out: Values,
  dtype: RandomFloat,
  mean = 1,
  std = 2,
): void {
  for (let i = 0; i < out.length; i++) out[i] = roundTo(dtype, Math.exp(drawNormal(stream) * std + mean));
}

/**
 * `multinomial`: `count` indices for each row of `weights` (rows x size, row major, values of `dtype`).
 * One draw, or draws without replacement, race exponentials; draws with replacement search running sums.
 */
export function drawMultinomial(
  stream: RandomStream,
  weights: ArrayLike<number>,
  rows: number,
  size: number,
  count: number,
  replacement: boolean,
  dtype: RandomFloat,
): Float64Array {
  const picked = new Float64Array(rows * count);
  if (replacement && count > 1) {
    for (let r = 0; r < rows; r++) searchRow(stream, weights, r, size, count, dtype, picked);
    return picked;
  }
  const races = new Float64Array(rows * size);
  fillExponential(stream, races, dtype);
  for (let i = 0; i < races.length; i++) races[i] = roundTo(dtype, weights[i]! / races[i]!);
  for (let r = 0; r < rows; r++) {
    const row = races.subarray(r * size, (r + 1) * size);
    const order = Array.from({ length: size }, (_, i) => i).sort((i, j) => row[j]! - row[i]! || i - j);
    for (let k = 0; k < count; k++) picked[r * count + k] = order[k]!;
  }
  return picked;
}

function searchRow(
  stream: RandomStream,
  weights: ArrayLike<number>,
  r: number,
  size: number,
  count: number,
  dtype: RandomFloat,
  picked: Float64Array,
): void {
  const sums = dtype === 'float64' ? new Float64Array(size) : new Float32Array(size);
  let sum = 0;
  for (let i = 0; i < size; i++) {
    sums[i] = sum + weights[r * size + i]!;
    sum = sums[i]!;
  }
  for (let i = 0; i < size; i++) sums[i] = sums[i]! / sum;
  for (let k = 0; k < count; k++) {
    const u = stream.u53();
    let low = 0;
    let high = size - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle]! < u) low = middle + 1;
      else high = middle;
    }
    picked[r * count + k] = low;
  }
}
