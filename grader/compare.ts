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

const UNIT_ROUNDOFF: Record<WireDType, number> = {
  float32: 2 ** -24,
  float64: 2 ** -53,
  float16: 2 ** -11,
  bfloat16: 2 ** -8,
  int64: 0,
  int32: 0,
  uint8: 0,
  bool: 0,
};
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

/** Default tolerances as `torch.testing.assert_close` has them. */
const TOLERANCE: Record<WireDType, { rtol: number; atol: number }> = {
  float16: { rtol: 1e-3, atol: 1e-5 },
  bfloat16: { rtol: 1.6e-2, atol: 1e-5 },
  float32: { rtol: 1.3e-6, atol: 1e-5 },
  float64: { rtol: 1e-7, atol: 1e-7 },
  int64: { rtol: 0, atol: 0 },
  int32: { rtol: 0, atol: 0 },
  uint8: { rtol: 0, atol: 0 },
  bool: { rtol: 0, atol: 0 },
};

export interface Tolerance {
  /** Terms that are summed per element: the defaults grow with its square root. */
  readonly terms?: number;
  readonly rtol?: number;
  readonly atol?: number;
  /** Why it is looser than the default; asked for when it is. */
  readonly reason?: string;
}

/** A result that rounding may move: the defaults of PyTorch's testing, looser only with a written reason. */
export function expectClose(tensor: HostTensor, tolerance: Tolerance = {}): Expectation {
  const base = TOLERANCE[tensor.dtype];
  const scale = Math.sqrt(Math.max(1, tolerance.terms ?? 1));
  const { rtol = base.rtol * scale, atol = base.atol * scale, reason } = tolerance;
  if ((rtol > base.rtol * scale || atol > base.atol * scale) && (reason ?? '') === '')
    throw new Error(`a tolerance of ${rtol} / ${atol} is looser than the default and no reason is written`);
  return { ...tensor, allowed: tensor.values.map((v) => finite(atol + rtol * Math.abs(v))) };
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
  // What is off has the digits of a dtype with fewer of them, and is off by some of its roundings.
  const rounded = (['float32', 'float16', 'bfloat16'] as const).find(
    (dtype) =>
      UNIT_ROUNDOFF[dtype] > roundoff &&
      // Small integers have few digits anyway.
      (roundoff > 0 || dtype === 'float32') &&
      got.values.every(
        (v, i) =>
          Math.abs(v - expected(i)) <= want.allowed[i]! ||
          (Object.is(v, roundTo(v, dtype)) &&
            expected(i) !== roundTo(expected(i), dtype) &&
            Math.abs(v - expected(i)) <=
              (dtype === 'float32' ? 16 : 2) * UNIT_ROUNDOFF[dtype] * Math.abs(expected(i))),
      ),
  );
  if (rounded !== undefined)
    return `equals expected rounded to ${rounded}: is a ${want.dtype} tensor turned into ${rounded} on the way?`;
  return guesses.find(([, f]) => explains(f))?.[0];
}

/** Decodes the bytes that a rank sent; undefined when there are not as many as the shape says. */
export function decodeTensor(tensor: WireTensor, bytes: Uint8Array): HostTensor | undefined {
  if (bytes.length !== byteCount(tensor)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const values = new Float64Array(elementCount(tensor.shape));
  const read = READ[tensor.dtype];
  for (let i = 0; i < values.length; i++) values[i] = read(view, i);
  return { dtype: tensor.dtype, shape: [...tensor.shape], values };
}

export function encodeTensor(tensor: HostTensor): Uint8Array {
  const bytes = new Uint8Array(byteCount(tensor));
  const view = new DataView(bytes.buffer);
  const write = WRITE[tensor.dtype];
  for (let i = 0; i < tensor.values.length; i++) write(view, i, tensor.values[i]!);
  return bytes;
}

const READ: Record<WireDType, (view: DataView, i: number) => number> = {
  float32: (view, i) => view.getFloat32(4 * i, true),
  float64: (view, i) => view.getFloat64(8 * i, true),
  float16: (view, i) => halfToNumber(view.getUint16(2 * i, true)),
  bfloat16: (view, i) => bitsToFloat(view.getUint16(2 * i, true) << 16),
  int64: (view, i) => Number(view.getBigInt64(8 * i, true)),
  int32: (view, i) => view.getInt32(4 * i, true),
  uint8: (view, i) => view.getUint8(i),
  bool: (view, i) => view.getUint8(i),
};

const WRITE: Record<WireDType, (view: DataView, i: number, value: number) => void> = {
  float32: (view, i, value) => view.setFloat32(4 * i, value, true),
  float64: (view, i, value) => view.setFloat64(8 * i, value, true),
  float16: (view, i, value) => view.setUint16(2 * i, numberToHalf(value), true),
  bfloat16: (view, i, value) => view.setUint16(2 * i, floatToBits(roundTo(value, 'bfloat16')) >>> 16, true),
  int64: (view, i, value) => view.setBigInt64(8 * i, BigInt(value), true),
  int32: (view, i, value) => view.setInt32(4 * i, value, true),
  uint8: (view, i, value) => view.setUint8(i, value),
  bool: (view, i, value) => view.setUint8(i, value === 0 ? 0 : 1),
};

const scratch = new DataView(new ArrayBuffer(4));

function bitsToFloat(bits: number): number {
  scratch.setInt32(0, bits);
  return scratch.getFloat32(0);
}

function floatToBits(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}

function halfToNumber(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}

function numberToHalf(value: number): number {
  const sign = Object.is(Math.sign(value), -0) || value < 0 ? 0x8000 : 0;
  const size = Math.abs(roundTo(value, 'float16'));
  if (Number.isNaN(size)) return 0x7e00;
  if (size === Number.POSITIVE_INFINITY) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | Math.round(size * 2 ** 24);
  const exponent = Math.floor(Math.log2(size));
  return sign | ((exponent + 15) << 10) | Math.round((size / 2 ** exponent - 1) * 1024);
}

/** The nearest number that the dtype can hold; ties to even. */
export function roundTo(value: number, dtype: WireDType): number {
  if (dtype === 'float32') return Math.fround(value);
  if (dtype === 'bfloat16') {
    if (!Number.isFinite(value)) return value;
    const bits = floatToBits(value);
    return bitsToFloat(((bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000) | 0);
  }
  if (dtype !== 'float16' || !Number.isFinite(value) || value === 0) return value;
  const step = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(value))), -14) - 10);
  const scaled = value / step;
  const even = Math.abs(scaled % 1) === 0.5 ? 2 * Math.round(scaled / 2) : Math.round(scaled);
  return Math.abs(even * step) >= 65520 ? Math.sign(value) * Number.POSITIVE_INFINITY : even * step;
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
