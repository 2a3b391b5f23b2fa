/** Integer fills: ranges by modulo (its bias is part of PyTorch's stream), whole-type values and permutations. */
import { ShardbookError } from '../../base/index.js';
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
  const [base, end] = representable(BigInt(low), BigInt(high), dtype);
  const range = end - base;
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

/** Bits of the significand. */
const DIGITS: Partial<Record<RandomDtype, bigint>> = {
  float64: 53n,
  float32: 24n,
  float16: 11n,
  bfloat16: 8n,
};

/** Bounds whose rounding in a floating type would leave the range move inwards, by the type's step there. */
function representable(low: bigint, high: bigint, dtype: RandomDtype): [bigint, bigint] {
  const digits = DIGITS[dtype];
  if (digits === undefined) return [low, high];
  const step = (n: bigint): bigint => {
    const shift = BigInt(n.toString(2).length - 1) - digits + 1n;
    return shift >= 0n ? 1n << shift : 0n;
  };
  const rounded = (n: bigint): number => roundTo(dtype as 'float32', Number(n));
  const from = rounded(low + 1n);
  const start = from < Number(low) ? BigInt(from) + step(low + 1n < 0n ? -(low + 1n) : low + 1n) : low;
  const last = high - 1n;
  const to = rounded(last);
  if (!Number.isFinite(from) || !Number.isFinite(to)) {
    throw new ShardbookError({
      code: 'SB_RANDOM',
      message: `Cannot draw integers: the range from ${low} to ${high} does not fit in ${dtype}`,
      help: 'choose bounds that the dtype can hold, or a wider dtype',
    });
  }
  const end = to >= Number(high) ? BigInt(to) - step(last < 0n ? -last : last) : high;
  return [start, end];
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
