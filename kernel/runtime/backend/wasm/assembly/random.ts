/** Random fills, four at a time. To the last bit what the reference gives, so every product that it rounds once is fused here. */
import { at, fma } from './math';

/** Cephes' logarithm: coefficients, highest first; then ln(2) in two parts; then 1, -1/2, sqrt(1/2), -2. */
const LOG: usize = memory.data<f32>([
  7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
  2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1, -2.1219444e-4, 0.693359375, 1, -0.5, 0.707106769084930420, -2,
], 16);

/** The logarithm of x in (0, 1], denormals excepted. */
// @ts-ignore: decorator
@inline
function log4(x: v128): v128 {
  const m = v128.or(v128.and(x, i32x4.splat(0x007fffff)), i32x4.splat(0x3f000000));
  const low = f32x4.lt(m, at(LOG, 13));
  // A comparison that holds is -1 in every lane.
  const e = f32x4.convert_i32x4_s(i32x4.add(i32x4.sub(i32x4.shr_u(x, 23), i32x4.splat(126)), low));
  const t = f32x4.add(f32x4.sub(m, at(LOG, 11)), v128.and(m, low));
  const z = f32x4.mul(t, t);
  let y = fma(at(LOG, 0), t, at(LOG, 1));
  y = fma(y, t, at(LOG, 2));
  y = fma(y, t, at(LOG, 3));
  y = fma(y, t, at(LOG, 4));
  y = fma(y, t, at(LOG, 5));
  y = fma(y, t, at(LOG, 6));
  y = fma(y, t, at(LOG, 7));
  y = fma(y, t, at(LOG, 8));
  y = f32x4.mul(y, t);
  y = fma(y, z, f32x4.mul(e, at(LOG, 9)));
  y = fma(z, at(LOG, 12), y);
  return fma(e, at(LOG, 10), f32x4.add(t, y));
}

/** 2 pi, 4/pi, pi/4 in three parts (negative); coefficients of the cosine, then of the sine; 1/2 and 1. */
const TURN: usize = memory.data<f32>([
  6.28318530717958648, 1.27323954473516, -0.78515625, -2.4187564849853516e-4, -3.774894977445941e-8,
  2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2,
  -1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1, 0.5, 1,
], 16);

/**
 * Blocks of 16 uniform numbers in [0, 1) become normal ones where they lie: eight radii, then eight angles, give eight cosines,
 * then eight sines (Box and Muller, 1958). `n` is a multiple of 16.
 */
export function normalBlocks(values: usize, n: i32, mean: f32, std: f32): void {
  const shift = f32x4.splat(mean);
  const spread = f32x4.splat(std);
  const one = at(TURN, 12);
  for (const end = values + 4 * <usize>n; values < end; values += 64) {
    for (let p = values; p < values + 32; p += 16) {
      const radius = f32x4.sqrt(f32x4.mul(at(LOG, 14), log4(f32x4.sub(one, v128.load(p)))));
      const angle = f32x4.mul(at(TURN, 0), v128.load(p, 32));
      const octant = i32x4.trunc_sat_f32x4_s(f32x4.mul(angle, at(TURN, 1)));
      const j = v128.and(i32x4.add(octant, i32x4.splat(1)), i32x4.splat(~1));
      const turns = f32x4.convert_i32x4_s(j);
      let x = fma(turns, at(TURN, 2), angle);
      x = fma(turns, at(TURN, 3), x);
      x = fma(turns, at(TURN, 4), x);
      const z = f32x4.mul(x, x);
      let c = fma(fma(at(TURN, 5), z, at(TURN, 6)), z, at(TURN, 7));
      c = f32x4.mul(c, z);
      c = f32x4.add(fma(c, z, f32x4.neg(f32x4.mul(z, at(TURN, 11)))), one);
      let s = fma(fma(at(TURN, 8), z, at(TURN, 9)), z, at(TURN, 10));
      s = f32x4.mul(s, z);
      s = fma(s, x, x);
      const two = i32x4.splat(2);
      const four = i32x4.splat(4);
      const swap = i32x4.eq(v128.and(j, two), two);
      const sine = v128.xor(v128.bitselect(c, s, swap), i32x4.shl(v128.and(j, four), 29));
      const cosine = v128.xor(v128.bitselect(s, c, swap), i32x4.shl(v128.andnot(four, i32x4.sub(j, two)), 29));
      v128.store(p, fma(f32x4.mul(radius, cosine), spread, shift));
      v128.store(p, fma(f32x4.mul(radius, sine), spread, shift), 32);
    }
  }
}

const WORDS: i32 = 624;
const SHIFT: i32 = 397;

// @ts-ignore: decorator
@inline
function twist(word: i32, next: i32): i32 {
  const y = (word & 0x80000000) | (next & 0x7fffffff);
  return (y >>> 1) ^ (-(y & 1) & 0x9908b0df);
}

/** Four words at x: what lies `far` bytes on, mixed with them and with those after each. */
// @ts-ignore: decorator
@inline
function renew4(x: usize, far: usize): void {
  const y = v128.or(
    v128.and(v128.load(x), i32x4.splat(0x80000000)),
    v128.and(v128.load(x, 4), i32x4.splat(0x7fffffff)),
  );
  const odd = v128.and(i32x4.neg(v128.and(y, i32x4.splat(1))), i32x4.splat(0x9908b0df));
  v128.store(x, v128.xor(v128.load(x + far), v128.xor(i32x4.shr_u(y, 1), odd)));
}

// @ts-ignore: decorator
@inline
function renew1(words: usize, k: i32, from: i32, next: i32): void {
  const x = words + 4 * <usize>k;
  store<i32>(x, load<i32>(words + 4 * <usize>from) ^ twist(load<i32>(x), load<i32>(words + 4 * <usize>next)));
}

function renew(words: usize): void {
  let k = 0;
  for (; k + 4 <= WORDS - SHIFT; k += 4) renew4(words + 4 * <usize>k, 4 * <usize>SHIFT);
  for (; k < WORDS - SHIFT; k++) renew1(words, k, k + SHIFT, k + 1);
  for (; k + 4 < WORDS; k += 4) renew4(words + 4 * <usize>k, 4 * <usize>(SHIFT - WORDS));
  for (; k < WORDS - 1; k++) renew1(words, k, k + SHIFT - WORDS, k + 1);
  renew1(words, WORDS - 1, SHIFT - 1, 0);
}

// @ts-ignore: decorator
@inline
function uniform4(x: usize): v128 {
  let y = v128.load(x);
  y = v128.xor(y, i32x4.shr_u(y, 11));
  y = v128.xor(y, v128.and(i32x4.shl(y, 7), i32x4.splat(0x9d2c5680)));
  y = v128.xor(y, v128.and(i32x4.shl(y, 15), i32x4.splat(0xefc60000)));
  y = v128.and(v128.xor(y, i32x4.shr_u(y, 18)), i32x4.splat(0xffffff));
  return f32x4.mul(f32x4.convert_i32x4_s(y), f32x4.splat(5.9604644775390625e-8));
}

/**
 * Uniform numbers of 24 bits in [0, 1), one of each word of a Mersenne Twister, of which `position` words are used. Returns how
 * many are used then. May write up to three numbers more, and reads as far beyond the words.
 */
export function uniforms(words: usize, position: i32, out: usize, n: i32): i32 {
  for (let i = 0; i < n; ) {
    if (position >= WORDS) {
      renew(words);
      position = 0;
    }
    const count = min(n - i, WORDS - position);
    const from = words + 4 * <usize>position;
    const to = out + 4 * <usize>i;
    for (let k: usize = 0; k < 4 * <usize>count; k += 16) v128.store(to + k, uniform4(from + k));
    i += count;
    position += count;
  }
  return position;
}
