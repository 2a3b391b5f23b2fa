/** Integer fills: ranges by modulo (its bias is part of PyTorch's stream), whole-type values and permutations. */
import { type RandomDtype, roundTo } from './round.js';
import type { RandomStream } from './stream.js';

/** Receives integers: bigints for int64, numbers for every other type. */
export type IntegerValues =
  | BigInt64Array
  | Float64Array
  | Float32Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray;

/** `random_(low, high)` and `randint`: integers in [low, high). */
export function fillIntegers(
  stream: RandomStream,
  out: IntegerValues,
  dtype: RandomDtype,
  low: number | bigint,
  high: number | bigint,
): void {
  const base = BigInt(low);
  const range = BigInt(high) - base;
  const put = writer(out, dtype);
  if (range >= 1n << 28n) {
    for (let i = 0; i < out.length; i++) put(i, base + (stream.u64() % range));
    return;
  }
  const width = Number(range);
  if (base >= -(2n ** 52n) && base <= 2n ** 52n) {
    const start = Number(base);
    for (let i = 0; i < out.length; i++) put(i, start + (stream.u32() % width));
  } else {
    for (let i = 0; i < out.length; i++) put(i, base + BigInt(stream.u32() % width));
  }
}

/** Writes integers into `out`, rounded to the floating types. */
function writer(out: IntegerValues, dtype: RandomDtype): (i: number, value: number | bigint) => void {
  if (out instanceof BigInt64Array) {
    return (i, value) => {
      out[i] = BigInt(value);
    };
  }
  if (dtype === 'float16' || dtype === 'bfloat16') {
    return (i, value) => {
      out[i] = roundTo(dtype, Number(value));
    };
  }
  return (i, value) => {
    out[i] = Number(value);
  };
}

const WORD_RANGES: Partial<Record<RandomDtype, number>> = {
  int32: 2 ** 31,
  int16: 2 ** 15,
  int8: 2 ** 7,
  uint8: 2 ** 8,
  bool: 2,
  float32: 2 ** 24 + 1,
  float16: 2049,
  bfloat16: 257,
};

/** `random_()`: non-negative integers that the type holds exactly. */
export function fillRandom(stream: RandomStream, out: IntegerValues, dtype: RandomDtype): void {
  const put = writer(out, dtype);
  const range = WORD_RANGES[dtype];
  for (let i = 0; i < out.length; i++) {
    if (range !== undefined) put(i, stream.u32() % range);
    else if (dtype === 'int64') put(i, stream.u64() & 0x7fffffffffffffffn);
    else put(i, stream.u64() % (2n ** 53n + 1n));
  }
}

/** `randperm(n)`: 0 .. n-1 in random order, n - 1 words. */
export function permutation(stream: RandomStream, n: number): Float64Array {
  const r = Float64Array.from({ length: n }, (_, i) => i);
  for (let i = 0; i < n - 1; i++) {
    const j = i + (stream.u32() % (n - i));
    const held = r[i]!;
    r[i] = r[j]!;
    r[j] = held;
  }
  return r;
}
