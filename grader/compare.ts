/**
 * Compares a tensor that a rank returned with what it must hold. Order: present, shape, dtype, non-finite mask, values.
 *
 * A reduction may be summed in any order. Any order of K terms x in floating point with unit roundoff u is off by at most
 * (K - 1) u sum|x| (to first order), so that bound is what is allowed: tighter than a fixed tolerance, right at every scale,
 * and no order that is merely different can fail it.
 */
import type { Mismatch } from './verdict.js';
import { byteCount, describeTensor, elementCount, type WireDType, type WireTensor } from './wire.js';

export interface HostTensor extends WireTensor {
  readonly values: Float64Array;
}

export interface Expectation extends HostTensor {
  /** Largest absolute difference per element. */
  readonly allowed: Float64Array;
}

const UNIT_ROUNDOFF: Record<WireDType, number> = { float32: 2 ** -24, float64: 2 ** -53, int64: 0 };
/** Second-order terms of the bound, and the rounding of the expectation itself. */
const SLACK = 1.01;

/** The sum over ranks of `terms`, and how far any order of summation may be from it. */
export function expectSum(terms: readonly HostTensor[]): Expectation {
  const { dtype, shape } = terms[0]!;
  const size = elementCount(shape);
  const values = new Float64Array(size);
  const magnitude = new Float64Array(size);
  const lost = new Float64Array(size);
  for (const term of terms) {
    for (let i = 0; i < size; i++) {
      addExactly(values, lost, i, term.values[i]!);
      magnitude[i]! += Math.abs(term.values[i]!);
    }
  }
  const factor = Math.max(0, terms.length - 1) * UNIT_ROUNDOFF[dtype] * SLACK;
  return {
    dtype,
    shape,
    values: values.map((v, i) => v + finite(lost[i]!)),
    allowed: magnitude.map((m) => finite(m * factor)),
  };
}

/** Movement of data is compared bit for bit. */
export function expectSame(tensor: HostTensor): Expectation {
  return { ...tensor, allowed: new Float64Array(tensor.values.length) };
}

/** Neumaier's compensated sum: the expectation is exact to far below what is allowed. */
function addExactly(sums: Float64Array, lost: Float64Array, i: number, term: number): void {
  const before = sums[i]!;
  const after = before + term;
  lost[i]! += Math.abs(before) >= Math.abs(term) ? before - after + term : term - after + before;
  sums[i] = after;
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : 0;
}

export function compareTensor(
  got: HostTensor,
  want: Expectation,
  rank: number,
  tensor: string,
): Mismatch | undefined {
  const base = { rank, tensor };
  if (got.shape.join() !== want.shape.join()) {
    return { ...base, kind: 'shape', got: describeTensor(got), expected: describeTensor(want) };
  }
  if (got.dtype !== want.dtype) return { ...base, kind: 'dtype', got: got.dtype, expected: want.dtype };
  const size = want.values.length;
  let off = 0;
  let first = -1;
  let firstMask = -1;
  for (let i = 0; i < size; i++) {
    const a = got.values[i]!;
    const b = want.values[i]!;
    if (!Number.isFinite(a) || !Number.isFinite(b)) {
      if (Object.is(a, b)) continue;
      if (firstMask < 0) firstMask = i;
    } else if (Math.abs(a - b) <= want.allowed[i]!) continue;
    off++;
    if (first < 0) first = i;
  }
  if (off === 0) return undefined;
  const at = firstMask >= 0 ? firstMask : first;
  const difference = Math.abs(got.values[at]! - want.values[at]!);
  return {
    ...base,
    kind: firstMask >= 0 ? 'non-finite' : 'values',
    index: unflatten(at, want.shape),
    got: String(got.values[at]),
    expected: String(roundTo(want.values[at]!, want.dtype)),
    ...(Number.isFinite(difference) ? { difference, allowed: want.allowed[at]! } : {}),
    share: off / size,
  };
}

/** What the mistake may be: the first guess that explains every element. */
export function hypothesis(
  got: HostTensor,
  want: Expectation,
  worldSize: number,
  own: HostTensor,
): string | undefined {
  if (got.values.length !== want.values.length || got.values.length === 0) return undefined;
  const roundoff = UNIT_ROUNDOFF[want.dtype];
  const explains = (f: (i: number) => number): boolean =>
    got.values.every((v, i) => {
      const guess = f(i);
      return (
        Object.is(v, guess) || Math.abs(v - guess) <= 4 * (want.allowed[i]! + roundoff * Math.abs(guess))
      );
    });
  const expected = (i: number): number => want.values[i]!;
  if (want.values.every((v) => v === 0)) return undefined;
  const several: [string, (i: number) => number][] = [
    [
      `equals expected / ${worldSize}: is it divided by the world size, a mean where a sum is asked?`,
      (i) => expected(i) / worldSize,
    ],
    [
      `equals expected x ${worldSize}: is a division by the world size missing?`,
      (i) => expected(i) * worldSize,
    ],
    ["equals this rank's own input: did nothing arrive?", (i) => own.values[i]!],
  ];
  const guesses: [string, (i: number) => number][] = [
    ...(worldSize > 1 ? several : []),
    ['equals expected / 2: is a 2 written where the world size is meant?', (i) => expected(i) / 2],
    ['equals expected x 2: is something added twice?', (i) => expected(i) * 2],
    ['equals -expected: is a sign turned?', (i) => -expected(i)],
    ['is zero everywhere: was the result never filled?', () => 0],
  ];
  const single = got.values.every((v) => Object.is(v, Math.fround(v)));
  if (
    want.dtype === 'float64' &&
    single &&
    got.values.every((v, i) => Math.abs(v - expected(i)) <= 1e-6 * Math.abs(expected(i)))
  ) {
    return 'equals expected rounded to float32: is a float64 tensor turned into float32 on the way?';
  }
  return guesses.find(([, f]) => explains(f))?.[0];
}

/** Decodes the bytes that a rank sent; undefined when there are not as many as the shape says. */
export function decodeTensor(tensor: WireTensor, bytes: Uint8Array): HostTensor | undefined {
  if (bytes.length !== byteCount(tensor)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const values = new Float64Array(elementCount(tensor.shape));
  for (let i = 0; i < values.length; i++) {
    if (tensor.dtype === 'float32') values[i] = view.getFloat32(4 * i, true);
    else if (tensor.dtype === 'float64') values[i] = view.getFloat64(8 * i, true);
    else values[i] = Number(view.getBigInt64(8 * i, true));
  }
  return { ...tensor, values };
}

export function encodeTensor(tensor: HostTensor): Uint8Array {
  const bytes = new Uint8Array(byteCount(tensor));
  const view = new DataView(bytes.buffer);
  tensor.values.forEach((value, i) => {
    if (tensor.dtype === 'float32') view.setFloat32(4 * i, value, true);
    else if (tensor.dtype === 'float64') view.setFloat64(8 * i, value, true);
    else view.setBigInt64(8 * i, BigInt(value), true);
  });
  return bytes;
}

export function roundTo(value: number, dtype: WireDType): number {
  return dtype === 'float32' ? Math.fround(value) : value;
}

function unflatten(flat: number, shape: readonly number[]): number[] {
  const index: number[] = [];
  let rest = flat;
  for (let d = shape.length - 1; d >= 0; d--) {
    index.unshift(rest % shape[d]!);
    rest = Math.floor(rest / shape[d]!);
  }
  return index;
}
