/** Rounding to the narrow float types (as float32 values) and fused multiply-add. */

import { type DTypeName, decodeTable, toBfloat16Bits, toFloat16Bits } from '../../base/index.js';

/** The dtypes that random fills know, by name. */
export type RandomDtype = Exclude<DTypeName, `float8_${string}`>;

export type RandomFloat = 'float64' | 'float32' | 'float16' | 'bfloat16';

const f64 = new Float64Array(1);
const u64 = new BigInt64Array(f64.buffer);

/** x rounded to the type, ties to even; the narrow types go through float32 as PyTorch's do. */
export function roundTo(dtype: RandomFloat, x: number): number {
  switch (dtype) {
    case 'float64':
      return x;
    case 'float32':
      return Math.fround(x);
    case 'bfloat16':
      return decodeTable('bfloat16')[toBfloat16Bits(x)]!;
    case 'float16':
      return decodeTable('float16')[toFloat16Bits(x)]!;
  }
}

/** The float32 fused multiply-add of float32 values: the product is exact in a double. */
export function fma32(a: number, b: number, c: number): number {
  return Math.fround(a * b + c);
}

/** The double fused multiply-add, correctly rounded (Boldo and Melquiond: round the tail to odd, then add once). */
export function fma64(a: number, b: number, c: number): number {
  const product = a * b;
  if (c === 0 || !Number.isFinite(product + c) || Math.abs(product) > 2 ** 990) return product + c;
  const [ah, al] = split(a);
  const [bh, bl] = split(b);
  const productTail = al * bl - (product - ah * bh - al * bh - ah * bl);
  const [th, tl] = twoSum(c, productTail);
  const [vh, vl] = twoSum(product, th);
  return vh + addToOdd(tl, vl);
}

function split(x: number): [number, number] {
  const scaled = 134217729 * x;
  const high = scaled - (scaled - x);
  return [high, x - high];
}

function twoSum(a: number, b: number): [number, number] {
  const sum = a + b;
  const shadow = sum - a;
  return [sum, a - (sum - shadow) + (b - shadow)];
}

function addToOdd(a: number, b: number): number {
  const [sum, tail] = twoSum(a, b);
  if (tail === 0) return sum;
  f64[0] = sum;
  if ((u64[0]! & 1n) === 0n) u64[0]! += tail > 0 === sum > 0 ? 1n : -1n;
  return f64[0];
}
