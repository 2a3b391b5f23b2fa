/** Numbers among tensors. */
import { ShardbookError } from '../../base/index.js';
import { bool, type DType, float64, int64 } from '../dtype.js';
import { alloc } from '../kernels/common.js';
import { getBackend } from '../state.js';
import { Tensor } from '../tensor.js';

/**
 * A number that is floating whatever its value: JavaScript writes 2 and 2.0 alike, and PyTorch promotes them differently.
 * Plain whole numbers count as integers.
 */
export class Float extends Number {}

export type Scalar = number | bigint | boolean | Float;
export type Operand = Tensor | Scalar;

export function isFloatScalar(v: Scalar): boolean {
  return v instanceof Number || (typeof v === 'number' && !Number.isSafeInteger(v));
}

export function scalarDtype(v: Scalar): DType {
  return typeof v === 'boolean' ? bool : isFloatScalar(v) ? float64 : int64;
}

export function plain(v: Scalar): number | bigint {
  return typeof v === 'bigint' || typeof v === 'number' ? v : Number(v);
}

export function isScalar(v: unknown): v is Scalar {
  return typeof v === 'number' || typeof v === 'bigint' || typeof v === 'boolean' || v instanceof Number;
}

/** A 0-dim tensor that stands for a number in promotion. */
export function wrap(v: Operand): Tensor {
  if (v instanceof Tensor) return v;
  if (!isScalar(v)) {
    throw new ShardbookError({
      code: 'SB_OPERAND',
      message: `Cannot use ${v === null || v === undefined ? String(v) : `a ${typeof v}`} as an operand: wanted a tensor or a number`,
    });
  }
  const t = alloc([], scalarDtype(v), 'cpu');
  getBackend().fill(plain(v), t.nd());
  t.wrapped = true;
  return t;
}

export interface TensorOptions {
  dtype?: DType | undefined;
  device?: string | undefined;
  requiresGrad?: boolean | undefined;
}
