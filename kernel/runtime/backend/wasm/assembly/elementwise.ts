/** Elementwise kernels over n values; the caller rounds n up to a multiple of four (the tail is scratch). */
import { erf4, exp4, sigmoid4, tanh4 } from './math';

const SQRT_HALF: f32 = 0.70710678118654752;
const INV_SQRT_2PI: f32 = 0.39894228040143268;
const SQRT_2_OVER_PI: f32 = 0.79788456080286536;
const GELU_CUBIC: f32 = 0.044715;

export function exp(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 16, out += 16) v128.store(out, exp4(v128.load(x)));
}

export function tanh(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 16, out += 16) v128.store(out, tanh4(v128.load(x)));
}

export function erf(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 16, out += 16) v128.store(out, erf4(v128.load(x)));
}

export function sigmoid(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 16, out += 16) v128.store(out, sigmoid4(v128.load(x)));
}

export function silu(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 16, out += 16) {
    const v = v128.load(x);
    v128.store(out, f32x4.mul(v, sigmoid4(v)));
  }
}

/** x/2 (1 + erf(x / sqrt 2)). Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016. */
export function gelu(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 16, out += 16) {
    const v = v128.load(x);
    const phi = f32x4.add(f32x4.splat(1), erf4(f32x4.mul(v, f32x4.splat(SQRT_HALF))));
    v128.store(out, f32x4.mul(f32x4.mul(v, f32x4.splat(0.5)), phi));
  }
}

export function geluTanh(x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 16, out += 16) {
    const v = v128.load(x);
    const cube = f32x4.mul(f32x4.mul(v, v), v);
    const inner = f32x4.mul(f32x4.splat(SQRT_2_OVER_PI), f32x4.add(v, f32x4.mul(f32x4.splat(GELU_CUBIC), cube)));
    v128.store(out, f32x4.mul(f32x4.mul(f32x4.splat(0.5), v), f32x4.add(f32x4.splat(1), tanh4(inner))));
  }
}

export function geluBackward(grad: usize, x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 16, out += 16, grad += 16) {
    const v = v128.load(x);
    const half = f32x4.splat(0.5);
    const cdf = f32x4.mul(half, f32x4.add(f32x4.splat(1), erf4(f32x4.mul(v, f32x4.splat(SQRT_HALF)))));
    const pdf = f32x4.mul(f32x4.splat(INV_SQRT_2PI), exp4(f32x4.neg(f32x4.mul(half, f32x4.mul(v, v)))));
    v128.store(out, f32x4.mul(v128.load(grad), f32x4.add(cdf, f32x4.mul(v, pdf))));
  }
}

export function geluTanhBackward(grad: usize, x: usize, out: usize, n: i32): void {
  for (let end = x + 4 * <usize>n; x < end; x += 16, out += 16, grad += 16) {
    const v = v128.load(x);
    const one = f32x4.splat(1);
    const half = f32x4.splat(0.5);
    const square = f32x4.mul(v, v);
    const inner = f32x4.mul(
      f32x4.splat(SQRT_2_OVER_PI),
      f32x4.add(v, f32x4.mul(f32x4.splat(GELU_CUBIC), f32x4.mul(square, v))),
    );
    const t = tanh4(inner);
    const left = f32x4.mul(half, f32x4.add(one, t));
    const slope = f32x4.mul(
      f32x4.splat(SQRT_2_OVER_PI),
      f32x4.add(one, f32x4.mul(f32x4.splat(3 * GELU_CUBIC), square)),
    );
    const right = f32x4.mul(f32x4.mul(half, v), f32x4.mul(f32x4.sub(one, f32x4.mul(t, t)), slope));
    v128.store(out, f32x4.mul(v128.load(grad), f32x4.add(left, right)));
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
