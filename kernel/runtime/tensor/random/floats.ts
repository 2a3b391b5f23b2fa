/**
 * Uniform and normal fills. `out` receives the values, already rounded to `dtype`, in the order of the memory;
 * float16 and bfloat16 come as the float32 values that they stand for, so the caller encodes them exactly.
 */
import { getBackend } from '../state.js';
import { fma32, fma64, type RandomFloat, roundTo } from './round.js';
import type { RandomStream } from './stream.js';

/** A receiver of values: any numeric typed array (or array) of at least the wanted length. */
export type Values = Float32Array | Float64Array;

const fround = Math.fround;
const TWO_PI = 2 * Math.PI;

/** `uniform_(low, high)`: values in [low, high). */
export function fillUniform(stream: RandomStream, out: Values, dtype: RandomFloat, low = 0, high = 1): void {
  const n = out.length;
  if (dtype === 'float32' && low === 0 && high === 1) {
    stream.fill24(out as Float32Array);
    return;
  }
  const first = roundTo(dtype, low);
  const end = roundTo(dtype, high);
  if (dtype === 'float64') {
    const width = high - low;
    for (let i = 0; i < n; i++) {
      const value = fma64(stream.u53(), width, low);
      out[i] = value === end ? first : value;
    }
    return;
  }
  const a = fround(low);
  const width = fround(fround(high) - a);
  if (dtype === 'float32') {
    stream.fill24(out as Float32Array);
    for (let i = 0; i < n; i++) {
      const value = fma32(out[i]!, width, a);
      out[i] = value === end ? first : value;
    }
    return;
  }
  for (let i = 0; i < n; i++) {
    const value = roundTo(dtype, fma32(stream.u24(), width, a));
    out[i] = value === end ? first : value;
  }
}

/** One standard normal by Box-Muller; of each pair the second waits in the stream's cache. */
export function drawNormal(stream: RandomStream): number {
  const cached = stream.cachedNormal;
  if (cached !== undefined) {
    stream.cachedNormal = undefined;
    return cached;
  }
  const u1 = stream.u53();
  const u2 = stream.u53();
  const radius = Math.sqrt(-2 * Math.log1p(-u2));
  const angle = TWO_PI * u1;
  stream.cachedNormal = radius * Math.sin(angle);
  return radius * Math.cos(angle);
}

/**
 * `normal_(mean, std)`. A contiguous tensor of 16 elements and more is made in blocks of 16 (PyTorch's vector code);
 * anything else one by one.
 */
export function fillNormal(
  stream: RandomStream,
  out: Values,
  dtype: RandomFloat,
  mean = 0,
  std = 1,
  contiguous = true,
): void {
  const n = out.length;
  if (n < 16 || !contiguous) {
    for (let i = 0; i < n; i++) out[i] = roundTo(dtype, drawNormal(stream) * std + mean);
  } else if (dtype === 'float64') {
    blocks(
      out,
      (part) => {
        for (let i = 0; i < part.length; i++) part[i] = stream.u53();
      },
      (part) => {
        for (let at = 0; at < part.length; at += 16) normalBlock64(part, at, mean, std);
      },
    );
  } else if (dtype === 'float32') {
    blocks(
      out as Float32Array,
      (part) => stream.fill24(part),
      (part) => getBackend().normalBlocks(part, fround(mean), fround(std)),
    );
  } else {
    narrowNormal(stream, out, dtype, fround(mean), fround(std));
  }
}

/** All uniforms first, then the blocks; an incomplete tail is redrawn as the last 16 elements. */
function blocks<T extends Values>(out: T, uniforms: (part: T) => void, transform: (part: T) => void): void {
  const n = out.length;
  uniforms(out);
  transform(out.subarray(0, n - (n % 16)) as T);
  if (n % 16 === 0) return;
  const last = out.subarray(n - 16) as T;
  uniforms(last);
  transform(last);
}

/** The narrow types draw block by block in float32 and never for the tail that the last block replaces. */
function narrowNormal(
  stream: RandomStream,
  out: Values,
  dtype: RandomFloat,
  mean: number,
  std: number,
): void {
  const n = out.length;
  const block = new Float32Array(16);
  const run = (at: number): void => {
    stream.fill24(block);
    getBackend().normalBlocks(block, mean, std);
    for (let i = 0; i < 16; i++) out[at + i] = roundTo(dtype, block[i]!);
  };
  for (let at = 0; at + 16 <= n; at += 16) run(at);
  if (n % 16 !== 0) run(n - 16);
}

function normalBlock64(d: Values, at: number, mean: number, std: number): void {
  for (let j = at; j < at + 8; j++) {
    const radius = Math.sqrt(-2 * Math.log(1 - d[j]!));
    const angle = TWO_PI * d[j + 8]!;
    d[j] = radius * Math.cos(angle) * std + mean;
    d[j + 8] = radius * Math.sin(angle) * std + mean;
  }
}
