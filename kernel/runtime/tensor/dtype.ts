/** Data types and PyTorch's promotion rules. */
import { type DTypeName, isFloat, itemSizes, ShardbookError } from '../base/index.js';

export type DTypeCategory = 'bool' | 'int' | 'float';

export class DType {
  /** Bytes of one element. */
  readonly itemsize: number;
  readonly isFloatingPoint: boolean;
  readonly category: DTypeCategory;
  constructor(
    readonly name: DTypeName,
    /** As errors write it: `f32`. */
    readonly short: string,
  ) {
    this.itemsize = itemSizes[name];
    this.isFloatingPoint = isFloat(name);
    this.category = name === 'bool' ? 'bool' : this.isFloatingPoint ? 'float' : 'int';
  }
  get isFloat8(): boolean {
    return this.name.startsWith('float8');
  }
  /** Half precision or float8. */
  get isReduced(): boolean {
    return this.isFloatingPoint && this.itemsize < 4;
  }
  toString(): string {
    return `torch.${this.name}`;
  }
  /** Node prints it as PyTorch does. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

export const float64 = new DType('float64', 'f64');
export const float32 = new DType('float32', 'f32');
export const float16 = new DType('float16', 'f16');
export const bfloat16 = new DType('bfloat16', 'bf16');
export const float8_e4m3fn = new DType('float8_e4m3fn', 'f8e4m3');
export const float8_e5m2 = new DType('float8_e5m2', 'f8e5m2');
export const int64 = new DType('int64', 'i64');
export const int32 = new DType('int32', 'i32');
export const int16 = new DType('int16', 'i16');
export const int8 = new DType('int8', 'i8');
export const uint8 = new DType('uint8', 'u8');
export const bool = new DType('bool', 'bool');

export const dtypes: Record<DTypeName, DType> = {
  float64,
  float32,
  float16,
  bfloat16,
  float8_e4m3fn,
  float8_e5m2,
  int64,
  int32,
  int16,
  int8,
  uint8,
  bool,
};

let defaultDtype = float32;
export const getDefaultDtype = (): DType => defaultDtype;
export function setDefaultDtype(dtype: DType): void {
  defaultDtype = dtype;
}

const ladder: DType[] = [bool, uint8, int8, int16, int32, int64, bfloat16, float16, float32, float64];

/** The dtype both are converted to when two tensors meet (`torch.promote_types`). */
export function promoteTypes(a: DType, b: DType): DType {
  if (a === b) return a;
  if (a.isFloat8 || b.isFloat8) {
    throw new ShardbookError({
      code: 'SB_DTYPE_PROMOTION',
      message: `Cannot promote ${a.name} and ${b.name}: float8 has no implicit promotion`,
      help: 'convert with .to(torch.float32) first',
    });
  }
  if (a.isReduced && b.isReduced) return float32;
  if (a.category !== b.category) return ladder.indexOf(a) > ladder.indexOf(b) ? a : b;
  if (a === uint8 || b === uint8) {
    const other = a === uint8 ? b : a;
    return other === int8 ? int16 : other;
  }
  return ladder.indexOf(a) > ladder.indexOf(b) ? a : b;
}

/** Whether a result of `from` may be written into `to`: the category may not shrink. */
export function canCast(from: DType, to: DType): boolean {
  if (from.category === 'float' && to.category !== 'float') return false;
  return !(from.category !== 'bool' && to.category === 'bool');
}

export interface PromotionOperand {
  dtype: DType;
  /** Number of dimensions. */
  ndim: number;
  /** A JavaScript number. */
  wrapped: boolean;
}

/** PyTorch's result_type: tensors with dimensions first, then 0-dim tensors, then numbers, each only by category. */
export function resultType(operands: readonly PromotionOperand[]): DType {
  let dim: DType | null = null;
  let zero: DType | null = null;
  let wrapped: DType | null = null;
  for (const o of operands) {
    if (o.wrapped) {
      const current = o.dtype.isFloatingPoint ? (o.dtype === float64 ? defaultDtype : o.dtype) : o.dtype;
      wrapped = wrapped ? promoteTypes(wrapped, current) : current;
    } else if (o.ndim > 0) dim = dim ? promoteTypes(dim, o.dtype) : o.dtype;
    else zero = zero ? promoteTypes(zero, o.dtype) : o.dtype;
  }
  return combine(dim, combine(zero, wrapped))!;
}

function combine(higher: DType | null, lower: DType | null): DType | null {
  if (!higher) return lower;
  if (!lower || higher.isFloatingPoint) return higher;
  if (higher === bool || lower.isFloatingPoint) return promoteTypes(higher, lower);
  return higher;
}

export interface FloatInfo {
  bits: number;
  max: number;
  min: number;
  eps: number;
  tiny: number;
  smallestSubnormal: number;
}

/** Numeric limits of a floating dtype. */
export function finfo(dtype: DType): FloatInfo {
  const make = (bits: number, max: number, mantissa: number, least: number): FloatInfo => ({
    bits,
    max,
    min: -max,
    eps: 2 ** -mantissa,
    tiny: 2 ** least,
    smallestSubnormal: 2 ** (least - mantissa),
  });
  switch (dtype.name) {
    case 'float64':
      return { ...make(64, Number.MAX_VALUE, 52, -1022), smallestSubnormal: Number.MIN_VALUE };
    case 'float32':
      return make(32, 3.4028234663852886e38, 23, -126);
    case 'float16':
      return make(16, 65504, 10, -14);
    case 'bfloat16':
      return make(16, 3.3895313892515355e38, 7, -126);
    case 'float8_e4m3fn':
      return make(8, 448, 3, -6);
    case 'float8_e5m2':
      return make(8, 57344, 2, -14);
    default:
      throw new ShardbookError({
        code: 'SB_DTYPE',
        message: `Cannot give finfo of ${dtype.name}: not a floating dtype`,
        help: 'use torch.iinfo',
      });
  }
}

export interface IntInfo {
  bits: number;
  max: bigint;
  min: bigint;
}

/** Numeric limits of an integer dtype. */
export function iinfo(dtype: DType): IntInfo {
  if (dtype.category !== 'int') {
    throw new ShardbookError({
      code: 'SB_DTYPE',
      message: `Cannot give iinfo of ${dtype.name}: not an integer dtype`,
      help: 'use torch.finfo',
    });
  }
  const bits = BigInt(dtype.itemsize * 8);
  if (dtype === uint8) return { bits: 8, max: 255n, min: 0n };
  return { bits: Number(bits), max: 2n ** (bits - 1n) - 1n, min: -(2n ** (bits - 1n)) };
}
