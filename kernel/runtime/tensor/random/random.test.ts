import { beforeAll, describe, expect, it } from 'vitest';
import { referenceBackend } from '../../backend/index.js';
import { setBackend } from '../state.js';
import {
  drawMultinomial,
  fillBernoulli,
  fillIntegers,
  fillNormal,
  fillUniform,
  fma64,
  permutation,
  RandomStream,
  roundTo,
} from './index.js';

beforeAll(() => setBackend(referenceBackend));

const uniform = (stream: RandomStream, n: number): number[] => {
  const out = new Float32Array(n);
  fillUniform(stream, out, 'float32');
  return [...out];
};
const close = (actual: ArrayLike<number>, wanted: number[]): void =>
  wanted.forEach((w, i) => void expect(actual[i]).toBe(Math.fround(w)));

describe('RandomStream', () => {
  it('gives the words of seed 0', () => {
    const s = new RandomStream(0);
    expect([s.u32(), s.u32(), s.u32(), s.u32()]).toEqual([2357136044, 2546248239, 3071714933, 3626093760]);
  });
  it('keeps the low 32 bits of a seed and wraps negative ones', () => {
    expect(new RandomStream(2 ** 32 + 1).u32()).toBe(new RandomStream(1).u32());
    expect(new RandomStream(-1).u32()).toBe(new RandomStream(2 ** 32 - 1).u32());
    expect(new RandomStream(-1).currentSeed).toBe(2n ** 64n - 1n);
    expect(new RandomStream().currentSeed).toBe(67280421310721);
  });
  it('is as it was after a fill of nothing', () => {
    const s = new RandomStream(11);
    const fresh = s.saveBytes();
    s.fill24(new Float32Array(0));
    expect(s.saveBytes()).toEqual(fresh);
  });
  it('goes on from a saved state, cached normal included', () => {
    const s = new RandomStream(11);
    fillNormal(s, new Float32Array(3), 'float32');
    const saved = s.saveBytes();
    const first = new Float32Array(5);
    fillNormal(s, first, 'float32');
    const other = new RandomStream(0);
    other.loadBytes(saved);
    const again = new Float32Array(5);
    fillNormal(other, again, 'float32');
    expect([...again]).toEqual([...first]);
    expect(other.currentSeed).toBe(11);
  });
  it('saves a state nothing was drawn from, and one at the end of a block', () => {
    for (const drawn of [0, 1, 623, 624, 625]) {
      const s = new RandomStream(5);
      for (let i = 0; i < drawn; i++) s.u32();
      const t = new RandomStream(1);
      t.copyFrom(s);
      expect([t.u32(), t.u32()]).toEqual([s.u32(), s.u32()]);
    }
  });
  it('refuses bytes that are no state', () => {
    expect(() => new RandomStream().loadBytes(new Uint8Array(3))).toThrow('3 bytes');
    expect(() => new RandomStream().loadBytes(new Uint8Array(5056))).toThrow('not a Mersenne Twister');
    expect(() => new RandomStream(1.5)).toThrow('must be an integer');
  });
});

describe('fills', () => {
  it('fillUniform gives rand(4) of seed 0', () => {
    close(uniform(new RandomStream(0), 4), [0.49625659, 0.7682218, 0.088477433, 0.13203049]);
  });
  it('fillNormal gives randn(4) and randn(16) of seed 0', () => {
    const small = new Float32Array(4);
    fillNormal(new RandomStream(0), small, 'float32');
    close(small, [1.5409961, -0.2934289, -2.1787894, 0.56843126]);
    const large = new Float32Array(16);
    fillNormal(new RandomStream(0), large, 'float32');
    close(large, [-1.1258398, -1.1523602, -0.25057858, -0.43387881]);
  });
  it('fillNormal uses n words for full blocks and 16 more for a tail; the narrow types whole blocks only', () => {
    const used = (n: number, dtype: 'float32' | 'bfloat16'): number => {
      const s = new RandomStream(3);
      fillNormal(s, new Float32Array(n), dtype);
      const next = s.u32();
      const t = new RandomStream(3);
      let words = 0;
      while (t.u32() !== next) words++;
      return words;
    };
    expect([used(32, 'float32'), used(33, 'float32'), used(33, 'bfloat16')]).toEqual([32, 49, 48]);
  });
  it('fillUniform replaces a value that rounds to the upper bound', () => {
    const out = new Float32Array(4096);
    fillUniform(new RandomStream(1), out, 'bfloat16');
    expect(Math.max(...out)).toBeLessThan(1);
  });
  it('fillIntegers takes two words for wide ranges', () => {
    const s = new RandomStream(0);
    const t = new RandomStream(0);
    fillIntegers(s, new BigInt64Array(1), 'int64', 0, 2 ** 28);
    t.u64();
    expect(s.u32()).toBe(t.u32());
    const out = new Int32Array(100);
    fillIntegers(s, out, 'int32', -3, 4);
    expect(Math.min(...out)).toBe(-3);
    expect(Math.max(...out)).toBe(3);
  });
  it('permutation holds every index once and draws n - 1 words', () => {
    const s = new RandomStream(7);
    expect([...permutation(s, 10)].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    const t = new RandomStream(7);
    for (let i = 0; i < 9; i++) t.u32();
    expect(s.u32()).toBe(t.u32());
  });
  it('fillBernoulli hits with probability p', () => {
    const out = new Uint8Array(10000);
    fillBernoulli(new RandomStream(2), out, 0.25);
    expect(out.reduce((a, b) => a + b) / 10000).toBeCloseTo(0.25, 1);
  });
  it('drawMultinomial never picks weight 0 and picks each once without replacement', () => {
    const picked = drawMultinomial(new RandomStream(4), [0, 1, 2, 3], 1, 4, 3, false, 'float32');
    expect([...picked].sort()).toEqual([1, 2, 3]);
  });
});

describe('rounding', () => {
  it('roundTo float16 and bfloat16 rounds ties to even', () => {
    expect(roundTo('bfloat16', 1 + 2 ** -8)).toBe(1);
    expect(roundTo('bfloat16', 1 + 3 * 2 ** -8)).toBe(1 + 2 ** -6);
    expect(roundTo('float16', 1 + 2 ** -11)).toBe(1);
    expect(roundTo('float16', 65519)).toBe(65504);
    expect(roundTo('float16', 65520)).toBe(Infinity);
    expect(roundTo('float16', 2 ** -25)).toBe(0);
    expect(roundTo('float16', 1.5 * 2 ** -24)).toBe(2 ** -23);
  });
  it('fma64 rounds once', () => {
    const e = 2 ** -52;
    // (1 + e)(1 - e) = 1 - e^2: the product alone rounds to 1.
    expect(fma64(1 + e, 1 - e, -1)).toBe(-(e * e));
    expect(fma64(0.5, 4, 1)).toBe(3);
  });
});
