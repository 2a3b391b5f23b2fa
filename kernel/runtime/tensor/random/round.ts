/** Rounding to the narrow float types (as float32 values) and fused multiply-add. */

/** The dtypes that random fills know, by name. */
export type RandomDtype =
  | 'float64'
  | 'float32'
  | 'float16'
  | 'bfloat16'
  | 'int64'
  | 'int32'
  | 'int16'
  | 'int8'
  | 'uint8'
  | 'bool';

export type RandomFloat = 'float64' | 'float32' | 'float16' | 'bfloat16';

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);
const f64 = new Float64Array(1);
const u64 = new BigInt64Array(f64.buffer);

function toBfloat16(x: number): number {
  f32[0] = x;
  const bits = u32[0]!;
  if ((bits & 0x7fffffff) > 0x7f800000) return Number.NaN;
  u32[0] = (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000;
  return f32[0];
}

function toFloat16(x: number): number {
  const a = Math.abs(x);
  if (!(a < 65520)) return a === Infinity || a >= 65520 ? Math.sign(x) * Infinity : x;
  // Adding and taking away a power of two leaves exactly the bits that float16 keeps at this magnitude.
  const exponent = a < 2 ** -14 ? -14 : Math.floor(Math.log2(a));
  const quantum = 2 ** (exponent - 10);
  const steps = x / quantum;
  const magic = 1.5 * 2 ** 52;
  return (steps + magic - magic) * quantum;
}

/** x rounded to the type, ties to even; the narrow types go through float32 as PyTorch's do. */
export function roundTo(dtype: RandomFloat, x: number): number {
  switch (dtype) {
    case 'float64':
      return x;
    case 'float32':
      return Math.fround(x);
    case 'bfloat16':
      return toBfloat16(Math.fround(x));
    case 'float16':
      return toFloat16(Math.fround(x));
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
