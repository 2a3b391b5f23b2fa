/**
 * Element formats: names, sizes, and exact conversion between numbers and the bits of the small floating formats.
 * Rounding is to nearest, ties to even. float64 reaches a small format through float32, as PyTorch does.
 */
export type DTypeName =
  | 'float64'
  | 'float32'
  | 'float16'
  | 'bfloat16'
  | 'float8_e4m3fn'
  | 'float8_e5m2'
  | 'int64'
  | 'int32'
  | 'int16'
  | 'int8'
  | 'uint8'
  | 'bool';

/** The arrays that hold elements; small floats are bits in 8- or 16-bit integers. */
export type TypedArray =
  | Float64Array
  | Float32Array
  | Uint16Array
  | Uint8Array
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Int8Array;

/** Bytes per element. */
export const itemSizes: Record<DTypeName, number> = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  float8_e4m3fn: 1,
  float8_e5m2: 1,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
};

/** The raw storage array of a format over `buffer`. */
export function typedView(
  name: DTypeName,
  buffer: ArrayBufferLike,
  byteOffset = 0,
  length?: number,
): TypedArray {
  const size = itemSizes[name];
  const n = length ?? Math.floor((buffer.byteLength - byteOffset) / size);
  switch (name) {
    case 'float64':
      return new Float64Array(buffer, byteOffset, n);
    case 'float32':
      return new Float32Array(buffer, byteOffset, n);
    case 'float16':
    case 'bfloat16':
      return new Uint16Array(buffer, byteOffset, n);
    case 'int64':
      return new BigInt64Array(buffer, byteOffset, n);
    case 'int32':
      return new Int32Array(buffer, byteOffset, n);
    case 'int16':
      return new Int16Array(buffer, byteOffset, n);
    case 'int8':
      return new Int8Array(buffer, byteOffset, n);
    default:
      return new Uint8Array(buffer, byteOffset, n);
  }
}

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);

/** Bits of the bfloat16 nearest to the float32 nearest to `value`. */
export function toBfloat16Bits(value: number): number {
  f32[0] = value;
  const x = u32[0]!;
  if ((x & 0x7fffffff) > 0x7f800000) return ((x >>> 16) & 0x8000) | 0x7fc0;
  return ((x + 0x7fff + ((x >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Bits of the float16 nearest to the float32 nearest to `value`. */
export function toFloat16Bits(value: number): number {
  f32[0] = value;
  const x = u32[0]!;
  const sign = (x >>> 16) & 0x8000;
  const abs = x & 0x7fffffff;
  if (abs > 0x7f800000) return sign | 0x7e00;
  if (abs >= 0x477ff000) return sign | 0x7c00;
  if (abs < 0x38800000) {
    // Subnormal: the unit is 2^-24, and the scaled value is exact in a double.
    return sign | roundHalfEven(Math.abs(f32[0]!) * 16777216);
  }
  return sign | (((abs + 0xfff + ((abs >>> 13) & 1)) >>> 13) - 0x1c000);
}

/** The nearest whole number, the even one of two that are as near. */
export function roundHalfEven(x: number): number {
  const f = Math.floor(x);
  const d = x - f;
  if (d < 0.5) return f;
  if (d > 0.5) return f + 1;
  return f % 2 === 0 ? f : f + 1;
}

/** Bits of float8_e4m3fn; the format has no infinity: what is too large saturates at 448. */
export function toFloat8E4M3Bits(value: number): number {
  f32[0] = value;
  const v = f32[0]!;
  const sign = u32[0]! >>> 31 ? 0x80 : 0;
  if (Number.isNaN(v)) return sign | 0x7f;
  const a = Math.abs(v);
  if (a >= 448) return sign | 0x7e;
  return sign | encodeSmall(a, 3, 7);
}

/** Bits of float8_e5m2; overflows to infinity. */
export function toFloat8E5M2Bits(value: number): number {
  f32[0] = value;
  const v = f32[0]!;
  const sign = u32[0]! >>> 31 ? 0x80 : 0;
  if (Number.isNaN(v)) return sign | 0x7f;
  const a = Math.abs(v);
  if (a >= 61440) return sign | 0x7c;
  return sign | encodeSmall(a, 2, 15);
}

function encodeSmall(a: number, mantissa: number, bias: number): number {
  const least = 2 ** (1 - bias);
  if (a < least) return roundHalfEven(a * 2 ** (bias - 1 + mantissa));
  f32[0] = a;
  const e = (u32[0]! >>> 23) - 127;
  const m = roundHalfEven((a / 2 ** e) * 2 ** mantissa); // in [2^m, 2^(m+1)]; a carry moves into the exponent
  return ((e + bias) << mantissa) + (m - (1 << mantissa));
}

function decodeSmall(bits: number, exponentBits: number, mantissaBits: number, kind: 'ieee' | 'fn'): number {
  const m = bits & ((1 << mantissaBits) - 1);
  const e = (bits >>> mantissaBits) & ((1 << exponentBits) - 1);
  const sign = (bits >>> (mantissaBits + exponentBits)) & 1 ? -1 : 1;
  const bias = (1 << (exponentBits - 1)) - 1;
  const top = (1 << exponentBits) - 1;
  if (e === top && kind === 'ieee') return m === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (e === top && m === (1 << mantissaBits) - 1) return Number.NaN;
  if (e === 0) return sign * m * 2 ** (1 - bias - mantissaBits);
  return sign * (1 + m / (1 << mantissaBits)) * 2 ** (e - bias);
}

const tables = new Map<DTypeName, Float32Array>();

/** Value of every bit pattern of a small floating format. */
export function decodeTable(name: DTypeName): Float32Array {
  let table = tables.get(name);
  if (table) return table;
  const n = 1 << (8 * itemSizes[name]);
  table = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    if (name === 'float16') table[i] = decodeSmall(i, 5, 10, 'ieee');
    else if (name === 'bfloat16') table[i] = decodeSmall(i, 8, 7, 'ieee');
    else if (name === 'float8_e4m3fn') table[i] = decodeSmall(i, 4, 3, 'fn');
    else table[i] = decodeSmall(i, 5, 2, 'ieee');
  }
  tables.set(name, table);
  return table;
}

/** Whether elements are floats kept as bits: 16 or 8 of them. */
export function isSmallFloat(name: DTypeName): boolean {
  return name === 'bfloat16' || name === 'float16' || name === 'float8_e4m3fn' || name === 'float8_e5m2';
}

/** Whether elements are floating-point numbers. */
export function isFloat(name: DTypeName): boolean {
  return name === 'float32' || name === 'float64' || isSmallFloat(name);
}

/** A number to what the array of its dtype holds. */
export type Encoder = (value: number) => number;

/** The conversion of numbers to elements of a dtype. */
export function encoder(name: DTypeName): Encoder {
  switch (name) {
    case 'float16':
      return toFloat16Bits;
    case 'bfloat16':
      return toBfloat16Bits;
    case 'float8_e4m3fn':
      return toFloat8E4M3Bits;
    default:
      return toFloat8E5M2Bits;
  }
}

/** A JavaScript number as int64, as a C cast does on x86: out of range and nan give the least value. */
export function toInt64(value: number): bigint {
  const t = Math.trunc(value);
  if (Number.isNaN(t) || t >= 2 ** 63 || t < -(2 ** 63)) return -9223372036854775808n;
  return BigInt(t);
}
