/**
 * Four f32 at a time: functions that more than one kernel uses. Errors stay within a few units in the last place.
 *
 * Constants come from memory: V8 builds a vector constant with three instructions wherever it is used, inside of loops too,
 * where a load that spreads one number is a single one.
 */

/** Number `i` of a table, in all lanes. */
// @ts-ignore: decorator
@inline
export function at(table: usize, i: usize): v128 {
  return v128.load_splat<f32>(table + (i << 2));
}

const ONE: usize = memory.data<f32>([1], 16);

// @ts-ignore: decorator
@inline
export function one4(): v128 {
  return at(ONE, 0);
}

/** a b + c; rounded once in the module that is compiled for engines with relaxed SIMD. */
// @ts-ignore: decorator
@inline
export function fma(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** Between low and high, one instruction each; nan stays nan. */
// @ts-ignore: decorator
@inline
function clamp4(x: v128, low: v128, high: v128): v128 {
  return f32x4.pmin(f32x4.pmax(x, low), high);
}

/** Coefficients of e^r for |r| <= ln(2)/2, highest first; then -ln(2) in two parts, the first with few bits; then 1/ln(2). */
const EXP: usize = memory.data<f32>([
  1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
  -0.693359375, 2.12194440e-4, 1.44269504088896341,
], 16);
/** 1.5 * 2^23: adding it rounds to an integer, which is then in the low bits. Plus 127: the integer as an exponent field. */
const MAGIC: usize = memory.data<f32>([12582912, 12583039], 16);
/** Where the scaling over- and underflows by itself; below -87.3 the result is not a normal number. */
const EXP_RANGE: usize = memory.data<f32>([-104.5, 89.5, -87.3], 16);
const EXPONENT_BIAS: usize = memory.data<i32>([127], 16);

/** e^t / 2^n for the n that z, made by adding `magic` to t / ln(2), has in its low bits. */
// @ts-ignore: decorator
@inline
function expReduced(t: v128, z: v128, magic: v128): v128 {
  const n = f32x4.sub(z, magic);
  let r = fma(n, at(EXP, 6), t);
  r = fma(n, at(EXP, 7), r);
  let p = at(EXP, 0);
  p = fma(p, r, at(EXP, 1));
  p = fma(p, r, at(EXP, 2));
  p = fma(p, r, at(EXP, 3));
  p = fma(p, r, at(EXP, 4));
  p = fma(p, r, at(EXP, 5));
  const one = one4();
  p = fma(p, r, one);
  return fma(p, r, one);
}

/** e^x by 2^n * e^r, |r| <= ln(2)/2; 0 below -104, infinity above 88.73, nan kept. */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const t = clamp4(x, at(EXP_RANGE, 0), at(EXP_RANGE, 1));
  const magic = at(MAGIC, 0);
  const z = fma(t, at(EXP, 8), magic);
  const p = expReduced(t, z, magic);
  // 2^n in two factors: n reaches -151 and 129, which one exponent field does not hold.
  const bias = at(EXPONENT_BIAS, 0);
  const i = i32x4.sub(z, magic);
  const half = i32x4.shr_s(i, 1);
  const s1 = i32x4.shl(i32x4.add(half, bias), 23);
  const s2 = i32x4.shl(i32x4.add(i32x4.sub(i, half), bias), 23);
  return f32x4.mul(f32x4.mul(p, s1), s2);
}

/** e^x for x <= 0, or a little above; what is not a normal number (below -87.3) becomes 0. nan kept. */
// @ts-ignore: decorator
@inline
export function expNegative4(x: v128): v128 {
  const lowest = at(EXP_RANGE, 2);
  const t = f32x4.pmax(x, lowest);
  const magic = at(MAGIC, 1);
  const z = fma(t, at(EXP, 8), magic);
  const y = f32x4.mul(expReduced(t, z, magic), i32x4.shl(z, 23));
  return v128.andnot(y, f32x4.lt(x, lowest));
}

/** Coefficients of (ln(1 + f) - f + f^2/2) / f^3, highest first; then ln(2) in two parts, the first with few bits; then 1/2. */
const LOG: usize = memory.data<f32>([
  7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
  2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1, 0.693359375, -2.12194440e-4, -0.5,
], 16);

/** The smallest normal number, 2^25 and 25 to scale smaller ones, infinity, nan, sqrt(1/2). */
const LOG_RANGE: usize = memory.data<f32>([
  1.17549435e-38, 33554432, 25, f32.MAX_VALUE * 2, NaN, 0.707106769084930420,
], 16);
const MANTISSA: usize = memory.data<i32>([0x007fffff], 16);

/** Natural logarithm: x = m * 2^e with m in [sqrt(1/2), sqrt(2)), polynomial in m - 1. -infinity at 0, nan below. */
// @ts-ignore: decorator
@inline
export function log4(value: v128): v128 {
  const root = at(LOG_RANGE, 5);
  const tiny = f32x4.lt(value, at(LOG_RANGE, 0));
  // Denormals are scaled up by 2^25 first.
  const x = v128.bitselect(f32x4.mul(value, at(LOG_RANGE, 1)), value, tiny);
  const shifted = i32x4.sub(x, root);
  const exponent = f32x4.convert_i32x4_s(i32x4.shr_s(shifted, 23));
  const e = f32x4.sub(exponent, v128.and(tiny, at(LOG_RANGE, 2)));
  const m = i32x4.add(v128.and(shifted, at(MANTISSA, 0)), root);
  const f = f32x4.sub(m, one4());
  const z = f32x4.mul(f, f);
  let p = at(LOG, 0);
  p = fma(p, f, at(LOG, 1));
  p = fma(p, f, at(LOG, 2));
  p = fma(p, f, at(LOG, 3));
  p = fma(p, f, at(LOG, 4));
  p = fma(p, f, at(LOG, 5));
  p = fma(p, f, at(LOG, 6));
  p = fma(p, f, at(LOG, 7));
  p = fma(p, f, at(LOG, 8));
  let y = f32x4.mul(f32x4.mul(p, f), z);
  y = fma(e, at(LOG, 10), y);
  y = fma(z, at(LOG, 11), y);
  y = fma(e, at(LOG, 9), f32x4.add(f, y));
  const infinity = at(LOG_RANGE, 3);
  y = v128.bitselect(value, y, v128.or(f32x4.eq(value, infinity), f32x4.ne(value, value)));
  y = v128.bitselect(f32x4.neg(infinity), y, f32x4.eq(value, f32x4.splat(0)));
  return v128.bitselect(at(LOG_RANGE, 4), y, f32x4.lt(value, f32x4.splat(0)));
}

/** Coefficients of the odd and of the even polynomial, highest first; the end of the range; below the last tanh x is x. */
const TANH: usize = memory.data<f32>([
  -2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-8, 1.48572235717979e-5,
  6.37261928875436e-4, 4.89352455891786e-3,
  1.19825839466702e-6, 1.18534705686654e-4, 2.268434632439e-3, 4.89352518554385e-3,
  7.90531110763549805, -7.90531110763549805, 0.0004,
], 16);

/** Rational approximation, odd over even polynomial in x on [-7.905, 7.905], where f32 tanh reaches 1. */
// @ts-ignore: decorator
@inline
export function tanh4(value: v128): v128 {
  const end = at(TANH, 11);
  const x = clamp4(value, at(TANH, 12), end);
  const z = f32x4.mul(x, x);
  let p = at(TANH, 0);
  p = fma(p, z, at(TANH, 1));
  p = fma(p, z, at(TANH, 2));
  p = fma(p, z, at(TANH, 3));
  p = fma(p, z, at(TANH, 4));
  p = fma(p, z, at(TANH, 5));
  p = fma(p, z, at(TANH, 6));
  p = f32x4.mul(p, x);
  let q = at(TANH, 7);
  q = fma(q, z, at(TANH, 8));
  q = fma(q, z, at(TANH, 9));
  q = fma(q, z, at(TANH, 10));
  const one = one4();
  const size = f32x4.abs(value);
  const sign = v128.xor(value, size);
  // Rounding must not carry beyond 1; from the end of the range on it is 1.
  let y = f32x4.pmin(f32x4.div(f32x4.abs(p), q), one);
  y = v128.or(v128.bitselect(one, y, f32x4.gt(size, end)), sign);
  // Near zero tanh x = x to the last bit, and the quotient would lose it.
  return v128.bitselect(value, y, f32x4.lt(size, at(TANH, 13)));
}

/** Coefficients of the odd and of the even polynomial, highest first; the end of the range. */
const ERF: usize = memory.data<f32>([
  -2.72614225801306e-10, 2.77068142495902e-8, -2.10102402082508e-6, -5.69250639462346e-5, -7.34990630326855e-4,
  -2.95459980854025e-3, -1.60960333262415e-2,
  -1.45660718464996e-5, -2.13374055278905e-4, -1.68282697438203e-3, -7.37332916720468e-3, -1.42647390514189e-2,
  4, -4, -1,
], 16);

/** Rational approximation on [-4, 4], where f32 erf reaches 1. */
// @ts-ignore: decorator
@inline
export function erf4(value: v128): v128 {
  const x = clamp4(value, at(ERF, 13), at(ERF, 12));
  const z = f32x4.mul(x, x);
  let p = at(ERF, 0);
  p = fma(p, z, at(ERF, 1));
  p = fma(p, z, at(ERF, 2));
  p = fma(p, z, at(ERF, 3));
  p = fma(p, z, at(ERF, 4));
  p = fma(p, z, at(ERF, 5));
  p = fma(p, z, at(ERF, 6));
  p = f32x4.mul(p, x);
  let q = at(ERF, 7);
  q = fma(q, z, at(ERF, 8));
  q = fma(q, z, at(ERF, 9));
  q = fma(q, z, at(ERF, 10));
  q = fma(q, z, at(ERF, 11));
  return clamp4(f32x4.div(p, q), at(ERF, 14), one4());
}

// @ts-ignore: decorator
@inline
export function sigmoid4(x: v128): v128 {
  const one = one4();
  return f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(x))));
}

/** Sum of the four lanes, pairwise. */
// @ts-ignore: decorator
@inline
export function sumLanes(v: v128): f32 {
  return f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

/** Largest of the four lanes; nan wins. */
// @ts-ignore: decorator
@inline
export function maxLanes(v: v128): f32 {
  return max(max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)), max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)));
}
