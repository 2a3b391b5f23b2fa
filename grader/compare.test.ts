import { describe, expect, it } from 'vitest';
import {
  compareTensor,
  decodeTensor,
  encodeTensor,
  expectSame,
  expectSum,
  type HostTensor,
  hypothesis,
} from './compare.js';

const f32 = (...values: number[]): HostTensor => ({
  dtype: 'float32',
  shape: [values.length],
  values: Float64Array.from(values, Math.fround),
});
const f64 = (...values: number[]): HostTensor => ({
  dtype: 'float64',
  shape: [values.length],
  values: Float64Array.from(values),
});
const terms = [f32(1, 10), f32(2, 20), f32(3, 30)];

describe('expectSum() and compareTensor()', () => {
  it('take every order of summation', () => {
    const values = Array.from({ length: 8 }, (_, i) => Math.fround(Math.sin(i) * 10 ** (i % 5)));
    const want = expectSum(values.map((v) => f32(v)));
    for (const order of [values, [...values].reverse(), [...values].sort()]) {
      const sum = order.reduce((a, b) => Math.fround(a + b), 0);
      expect(compareTensor(f32(sum), want, 0, 'result')).toBeUndefined();
    }
  });

  it('refuse what is off by 1e-5 and float32 rounding in float64', () => {
    expect(compareTensor(f32(6.00001, 60), expectSum(terms), 0, 'result')?.kind).toBe('values');
    const want = expectSum([f64(0.1), f64(0.2)]);
    expect(compareTensor(f64(0.1 + 0.2), want, 0, 'result')).toBeUndefined();
    expect(compareTensor(f64(Math.fround(0.3)), want, 0, 'result')?.kind).toBe('values');
  });

  it('refuse tiny values that a fixed tolerance would let through', () => {
    const tiny = terms.map((t) => f32(...[...t.values].map((v) => v * 1e-6)));
    expect(compareTensor(f32(0, 0), expectSum(tiny), 0, 'result')?.share).toBe(1);
  });

  it('look at shape, dtype and non-finite values before values', () => {
    const want = expectSum(terms);
    expect(compareTensor({ ...f64(0), shape: [1] }, want, 1, 'result')).toMatchObject({
      kind: 'shape',
      got: 'f64[1]',
      expected: 'f32[2]',
    });
    expect(compareTensor(f64(6, 60), want, 1, 'result')?.kind).toBe('dtype');
    expect(compareTensor(f32(0, Number.NaN), want, 1, 'result')).toMatchObject({
      kind: 'non-finite',
      index: [1],
      got: 'NaN',
      share: 1,
    });
    const infinite = expectSum([f32(Number.POSITIVE_INFINITY, Number.NaN), f32(1, 1)]);
    expect(compareTensor(f32(Number.POSITIVE_INFINITY, Number.NaN), infinite, 0, 'result')).toBeUndefined();
  });

  it('name the first element that is off by its index', () => {
    const matrix = { ...f32(1, 2, 3, 4), shape: [2, 2] };
    const got = { ...f32(1, 2, 9, 8), shape: [2, 2] };
    expect(compareTensor(got, expectSum([matrix]), 3, 'result')).toEqual({
      kind: 'values',
      rank: 3,
      tensor: 'result',
      index: [1, 0],
      got: '9',
      expected: '3',
      difference: 6,
      allowed: 0,
      share: 0.5,
    });
  });
});

describe('hypothesis()', () => {
  const want = expectSum(terms);
  it.each([
    [
      'a mean',
      f32(2, 20),
      'equals expected / 3: is it divided by the world size, a mean where a sum is asked?',
    ],
    ['its own input', f32(1, 10), "equals this rank's own input: did nothing arrive?"],
    ['zeros', f32(0, 0), 'is zero everywhere: was the result never filled?'],
  ])('recognises %s', (_name, got, text) => {
    expect(hypothesis(got, want, 3, terms[0]!)).toBe(text);
  });

  it('recognises what was rounded on the way, also where the rest is right', () => {
    const exact = [0.249410018, 0.3, 100.7].map(Math.fround);
    const want = { ...expectSame(f32(...exact)), allowed: Float64Array.of(1e-8, 1e-8, 1e-6) };
    const half = f32(0.2490234375, exact[1]!, exact[2]!);
    expect(hypothesis(half, want, 2, half)).toContain('a float32 tensor turned into bfloat16');
    expect(hypothesis(f32(0.25, exact[1]!, exact[2]!), want, 2, half)).toContain('bfloat16');
    expect(hypothesis(f32(0.26, exact[1]!, exact[2]!), want, 2, half)).toBeUndefined();
    const count = (value: number) =>
      expectSame({ dtype: 'int64', shape: [1], values: Float64Array.of(value) });
    expect(hypothesis(count(2 ** 30), count(2 ** 30 + 3), 3, count(0))).toContain(
      'int64 tensor turned into float32',
    );
    expect(hypothesis(count(1000), count(1001), 3, count(0))).toBeUndefined();
  });

  it('says nothing when nothing fits', () => {
    expect(hypothesis(f32(5, 17), want, 3, terms[0]!)).toBeUndefined();
  });
});

describe('encodeTensor()', () => {
  it('is undone by decodeTensor(), which refuses missing bytes', () => {
    const bytes = encodeTensor(f64(1.5, -2));
    expect(decodeTensor({ dtype: 'float64', shape: [2] }, bytes)).toEqual(f64(1.5, -2));
    expect(decodeTensor({ dtype: 'float64', shape: [3] }, bytes)).toBeUndefined();
  });
});
