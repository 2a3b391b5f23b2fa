/**
 * Elementwise kernels over n values; the caller rounds n up to a multiple of eight (the tail is scratch). The heavy ones take two
 * vectors at a time, which share the constants.
 */
import { erf4, exp4, expNegative4, fma, log4, one4, sigmoid4, tanh4 } from './math';

/** sqrt(1/2), 1/2, 1/sqrt(2 pi), 0.044715 (of the tanh approximation), 2 sqrt(2/pi), 3 * 0.044715; see math.ts for why in memory. */
const GELU: usize = memory.data<f32>([
  0.70710678118654752, 0.5, 0.39894228040143268, 0.044715, 1.59576912160573072, 0.134145,
], 16);

// @ts-ignore: decorator
@inline
function gelu4(i: usize): v128 {
  return v128.load_splat<f32>(GELU + (i << 2));
}

export function exp(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 32, out += 32) {
    const a = exp4(v128.load(x));
    const b = exp4(v128.load(x, 16));
    v128.store(out, a);
    v128.store(out, b, 16);
  }
}

export function tanh(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 32, out += 32) {
    const a = tanh4(v128.load(x));
    const b = tanh4(v128.load(x, 16));
    v128.store(out, a);
    v128.store(out, b, 16);
  }
}

export function erf(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 32, out += 32) {
    const a = erf4(v128.load(x));
    const b = erf4(v128.load(x, 16));
    v128.store(out, a);
    v128.store(out, b, 16);
  }
}

export function sigmoid(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 32, out += 32) {
    const a = sigmoid4(v128.load(x));
    const b = sigmoid4(v128.load(x, 16));
    v128.store(out, a);
    v128.store(out, b, 16);
  }
}

// @ts-ignore: decorator
@inline
function siluOf(v: v128): v128 {
  return f32x4.mul(v, sigmoid4(v));
}

export function silu(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 32, out += 32) {
    const a = siluOf(v128.load(x));
    const b = siluOf(v128.load(x, 16));
    v128.store(out, a);
    v128.store(out, b, 16);
  }
}

export function neg(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 16, out += 16) {
    const v = v128.load(x);
    v128.store(out, f32x4.neg(v));
  }
}

export function abs(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 16, out += 16) {
    const v = v128.load(x);
    v128.store(out, f32x4.abs(v));
  }
}

export function sqrt(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 16, out += 16) {
    const v = v128.load(x);
    v128.store(out, f32x4.sqrt(v));
  }
}

export function rsqrt(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 16, out += 16) {
    const v = v128.load(x);
    v128.store(out, f32x4.div(f32x4.splat(1), f32x4.sqrt(v)));
  }
}

export function reciprocal(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 16, out += 16) {
    const v = v128.load(x);
    v128.store(out, f32x4.div(f32x4.splat(1), v));
  }
}

export function square(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 16, out += 16) {
    const v = v128.load(x);
    v128.store(out, f32x4.mul(v, v));
  }
}

export function relu(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 16, out += 16) {
    const v = v128.load(x);
    v128.store(out, v128.andnot(v, f32x4.le(v, f32x4.splat(0))));
  }
}

export function log(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 32, out += 32) {
    const a = log4(v128.load(x));
    const b = log4(v128.load(x, 16));
    v128.store(out, a);
    v128.store(out, b, 16);
  }
}

export function add(a: usize, b: usize, out: usize, n: i32): void {
  for (let end = a + 4 * <usize>n; a < end; a += 16, b += 16, out += 16) {
    const x = v128.load(a);
    const y = v128.load(b);
    v128.store(out, f32x4.add(x, y));
  }
}

export function sub(a: usize, b: usize, out: usize, n: i32): void {
  for (let end = a + 4 * <usize>n; a < end; a += 16, b += 16, out += 16) {
    const x = v128.load(a);
    const y = v128.load(b);
    v128.store(out, f32x4.sub(x, y));
  }
}

export function mul(a: usize, b: usize, out: usize, n: i32): void {
  for (let end = a + 4 * <usize>n; a < end; a += 16, b += 16, out += 16) {
    const x = v128.load(a);
    const y = v128.load(b);
    v128.store(out, f32x4.mul(x, y));
  }
}

export function div(a: usize, b: usize, out: usize, n: i32): void {
  for (let end = a + 4 * <usize>n; a < end; a += 16, b += 16, out += 16) {
    const x = v128.load(a);
    const y = v128.load(b);
    v128.store(out, f32x4.div(x, y));
  }
}

export function maximum(a: usize, b: usize, out: usize, n: i32): void {
  for (let end = a + 4 * <usize>n; a < end; a += 16, b += 16, out += 16) {
    const x = v128.load(a);
    const y = v128.load(b);
    v128.store(out, f32x4.max(x, y));
  }
}

export function minimum(a: usize, b: usize, out: usize, n: i32): void {
  for (let end = a + 4 * <usize>n; a < end; a += 16, b += 16, out += 16) {
    const x = v128.load(a);
    const y = v128.load(b);
    v128.store(out, f32x4.min(x, y));
  }
}

/** (1 + 2^-12)^2 - (1 + 2^-11): 2^-24, unless the product is rounded before the sum. */
const PROBE: usize = memory.data<f32>([1.000244140625, -1.00048828125], 16);

/** Whether products that are added to something are rounded once: relaxed SIMD leaves that to the machine. */
export function isFused(): bool {
  const x = v128.load_splat<f32>(PROBE);
  return f32x4.extract_lane(fma(x, x, v128.load_splat<f32>(PROBE + 4)), 0) != 0;
}

/** a + alpha b. */
export function axpy(alpha: f32, a: usize, b: usize, out: usize, n: i32): void {
  const k = f32x4.splat(alpha);
  for (let end = a + 4 * <usize>n; a < end; a += 16, b += 16, out += 16) {
    v128.store(out, fma(k, v128.load(b), v128.load(a)));
  }
}

/** The gradient where y is above the threshold or nan, else 0. */
export function thresholdBackward(grad: usize, y: usize, out: usize, n: i32, threshold: f32): void {
  const limit = f32x4.splat(threshold);
  for (let end = y + 4 * <usize>n; y < end; y += 16, grad += 16, out += 16) {
    v128.store(out, v128.andnot(v128.load(grad), f32x4.le(v128.load(y), limit)));
  }
}

/** x/2 (1 + erf(x / sqrt 2)). Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016. */
// @ts-ignore: decorator
@inline
function geluOf(v: v128): v128 {
  const half = f32x4.mul(v, gelu4(1));
  return fma(half, erf4(f32x4.mul(v, gelu4(0))), half);
}

export function gelu(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 32, out += 32) {
    const a = geluOf(v128.load(x));
    const b = geluOf(v128.load(x, 16));
    v128.store(out, a);
    v128.store(out, b, 16);
  }
}

/** Twice the inner value u = sqrt(2/pi) (x + 0.044715 x^3) of the approximation x/2 (1 + tanh(u)) = x sigmoid(2 u). */
// @ts-ignore: decorator
@inline
function doubleInner(v: v128, square: v128): v128 {
  return f32x4.mul(gelu4(4), fma(f32x4.mul(gelu4(3), square), v, v));
}

// @ts-ignore: decorator
@inline
function geluTanhOf(v: v128): v128 {
  const u2 = doubleInner(v, f32x4.mul(v, v));
  // From e = exp(-|2 u|) both tails keep their bits.
  const e = expNegative4(f32x4.neg(f32x4.abs(u2)));
  const one = one4();
  return f32x4.mul(v, f32x4.div(v128.bitselect(e, one, f32x4.lt(u2, f32x4.splat(0))), f32x4.add(one, e)));
}

export function geluTanh(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 32, out += 32) {
    const a = geluTanhOf(v128.load(x));
    const b = geluTanhOf(v128.load(x, 16));
    v128.store(out, a);
    v128.store(out, b, 16);
  }
}

// @ts-ignore: decorator
@inline
function geluGradOf(g: v128, v: v128): v128 {
  const half = gelu4(1);
  const cdf = fma(half, erf4(f32x4.mul(v, gelu4(0))), half);
  const pdf = f32x4.mul(gelu4(2), expNegative4(f32x4.mul(f32x4.neg(half), f32x4.mul(v, v))));
  return f32x4.mul(g, fma(v, pdf, cdf));
}

export function geluBackward(grad: usize, x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 32, out += 32, grad += 32) {
    const a = geluGradOf(v128.load(grad), v128.load(x));
    const b = geluGradOf(v128.load(grad, 16), v128.load(x, 16));
    v128.store(out, a);
    v128.store(out, b, 16);
  }
}

// @ts-ignore: decorator
@inline
function geluTanhGradOf(g: v128, v: v128): v128 {
  const one = one4();
  const square = f32x4.mul(v, v);
  const u2 = doubleInner(v, square);
  // s = sigmoid(2 u) and s (1 - s) = e / (1 + e)^2 with e = exp(-|2 u|).
  const e = expNegative4(f32x4.neg(f32x4.abs(u2)));
  const r = f32x4.div(one, f32x4.add(one, e));
  const er = f32x4.mul(e, r);
  const s = v128.bitselect(er, r, f32x4.lt(u2, f32x4.splat(0)));
  const slope = f32x4.mul(gelu4(4), fma(gelu4(5), square, one));
  return f32x4.mul(g, fma(f32x4.mul(v, f32x4.mul(er, r)), slope, s));
}

export function geluTanhBackward(grad: usize, x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 32, out += 32, grad += 32) {
    const a = geluTanhGradOf(v128.load(grad), v128.load(x));
    const b = geluTanhGradOf(v128.load(grad, 16), v128.load(x, 16));
    v128.store(out, a);
    v128.store(out, b, 16);
  }
}

/** One step of Adam or AdamW in place, PyTorch's order of roundings (Loshchilov and Hutter, 2019). */
export function adam(
  param: usize, grad: usize, m: usize, v: usize, n: i32,
  beta1: f32, beta2: f32, eps: f32, stepSize: f32, rootCorrection2: f32, decay: f32, l2: f32, sign: f32,
): void {
  const b1 = f32x4.splat(1 - beta1);
  const b2 = f32x4.splat(beta2);
  const b2c = f32x4.splat(1 - beta2);
  for (let end = param + 4 * <usize>n; param < end; param += 16, grad += 16, m += 16, v += 16) {
    let p = v128.load(param);
    let g = f32x4.mul(v128.load(grad), f32x4.splat(sign));
    p = f32x4.mul(p, f32x4.splat(decay));
    g = f32x4.add(g, f32x4.mul(p, f32x4.splat(l2)));
    let mean = v128.load(m);
    mean = f32x4.add(mean, f32x4.mul(b1, f32x4.sub(g, mean)));
    const square = f32x4.add(f32x4.mul(v128.load(v), b2), f32x4.mul(b2c, f32x4.mul(g, g)));
    v128.store(m, mean);
    v128.store(v, square);
    const denominator = f32x4.add(f32x4.div(f32x4.sqrt(square), f32x4.splat(rootCorrection2)), f32x4.splat(eps));
    v128.store(param, f32x4.sub(p, f32x4.div(f32x4.mul(f32x4.splat(stepSize), mean), denominator)));
  }
}
