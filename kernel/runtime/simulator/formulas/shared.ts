/** What the closed forms share: sizes of dtypes, refusals. */
import { ShardbookError } from '../../base/index.js';

const SIZES: Readonly<Record<string, number>> = {
  float64: 8,
  int64: 8,
  float32: 4,
  int32: 4,
  float16: 2,
  bfloat16: 2,
  int16: 2,
  float8_e4m3fn: 1,
  float8_e5m2: 1,
  int8: 1,
  uint8: 1,
  bool: 1,
};

/** Bytes of an element. */
export function dtypeBytes(dtype: string): number {
  const size = SIZES[dtype];
  if (size === undefined) throw refuse(`"${dtype}" is no dtype`);
  return size;
}

export function refuse(problem: string, help?: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_FORMULA',
    message: `Cannot compute: ${problem}`,
    ...(help === undefined ? {} : { help }),
  });
}

/** A quotient that is refused where there is none. */
export function ratio(top: number, below: number): number {
  if (below === 0) throw refuse(`${top} / 0`);
  return top / below;
}

export const product = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);
export const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
export const ceilDiv = (a: number, b: number): number => Math.ceil(a / b);
/** ceil(log2 n), 0 for 1. */
export const ceilLog2 = (n: number): number => (n <= 1 ? 0 : 32 - Math.clz32(n - 1));
