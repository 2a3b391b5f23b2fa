/** Kernels over rows of n contiguous values: softmax and norms. Sums run in f64 lanes so that long rows keep their bits. */
import { exp4, expNegative4, fma, maxLanes } from './math';

// @ts-ignore: decorator
@inline
function low2(v: v128): v128 {
  return f64x2.promote_low_f32x4(v);
}

// @ts-ignore: decorator
@inline
function high2(v: v128): v128 {
  return f64x2.promote_low_f32x4(i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
}

// @ts-ignore: decorator
@inline
function total2(v: v128): f64 {
  return f64x2.extract_lane(v, 0) + f64x2.extract_lane(v, 1);
}

/** Vectors summed in f32 before they go into the f64 sum: short enough that the lanes keep their bits. */
const RUN: i32 = 256;

/** Largest of n; nan may be lost, which callers allow. */
function rowMax(x: usize, n: i32): f32 {
  const lowest = f32x4.splat(-f32.MAX_VALUE * 2);
  let a = lowest, b = lowest, c = lowest, d = lowest;
  let j = 0;
  for (; j + 16 <= n; j += 16) {
    const at = x + 4 * <usize>j;
    a = f32x4.pmax(a, v128.load(at));
    b = f32x4.pmax(b, v128.load(at, 16));
    c = f32x4.pmax(c, v128.load(at, 32));
    d = f32x4.pmax(d, v128.load(at, 48));
  }
  for (; j + 4 <= n; j += 4) a = f32x4.pmax(a, v128.load(x + 4 * <usize>j));
  let top = maxLanes(f32x4.pmax(f32x4.pmax(a, b), f32x4.pmax(c, d)));
  for (; j < n; j++) top = max(top, load<f32>(x + 4 * <usize>j));
  return top;
}

/** Sum of n values. */
export function sum(x: usize, n: i32): f64 {
  let total = f64x2.splat(0);
  let j = 0;
  while (j + 16 <= n) {
    const end = min(j + 4 * RUN, n) - 15;
    let a = f32x4.splat(0), b = a, c = a, d = a;
    for (; j < end; j += 16) {
      const at = x + 4 * <usize>j;
      a = f32x4.add(a, v128.load(at));
      b = f32x4.add(b, v128.load(at, 16));
      c = f32x4.add(c, v128.load(at, 32));
      d = f32x4.add(d, v128.load(at, 48));
    }
    a = f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
    total = f64x2.add(total, f64x2.add(low2(a), high2(a)));
  }
  let rest = total2(total);
  for (; j < n; j++) rest += load<f32>(x + 4 * <usize>j);
  return rest;
}

/** Sum of the squares of the distances to m. */
export function squares(x: usize, n: i32, m: f32): f64 {
  const m4 = f32x4.splat(m);
  let total = f64x2.splat(0);
  let j = 0;
  while (j + 16 <= n) {
    const end = min(j + 4 * RUN, n) - 15;
    let a = f32x4.splat(0), b = a, c = a, d = a;
    for (; j < end; j += 16) {
      const at = x + 4 * <usize>j;
      const p = f32x4.sub(v128.load(at), m4);
      const q = f32x4.sub(v128.load(at, 16), m4);
      const r = f32x4.sub(v128.load(at, 32), m4);
      const s = f32x4.sub(v128.load(at, 48), m4);
      a = fma(p, p, a);
      b = fma(q, q, b);
      c = fma(r, r, c);
      d = fma(s, s, d);
    }
    a = f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
    total = f64x2.add(total, f64x2.add(low2(a), high2(a)));
  }
  let rest = total2(total);
  for (; j < n; j++) {
    const d = <f64>(load<f32>(x + 4 * <usize>j) - m);
    rest += d * d;
  }
  return rest;
}

/** out[j] (f64) += sum over the rows of x[row, j]. */
export function columnSums(x: usize, out: usize, rows: i32, n: i32): void {
  for (let row = 0; row < rows; row++, x += 4 * <usize>n) {
    let j = 0;
    for (; j + 4 <= n; j += 4) {
      const v = v128.load(x + 4 * <usize>j);
      const o = out + 8 * <usize>j;
      v128.store(o, f64x2.add(v128.load(o), low2(v)));
      v128.store(o, f64x2.add(v128.load(o, 16), high2(v)), 16);
    }
    for (; j < n; j++) {
      const o = out + 8 * <usize>j;
      store<f64>(o, load<f64>(o) + load<f32>(x + 4 * <usize>j));
    }
  }
}

// @ts-ignore: decorator
@inline
function exp1(x: f32): f32 {
  return f32x4.extract_lane(expNegative4(f32x4.splat(x)), 0);
}

/** out = softmax or log softmax of each of `rows` rows. */
export function softmax(x: usize, out: usize, rows: i32, n: i32, log: bool): void {
  for (let row = 0; row < rows; row++, x += 4 * <usize>n, out += 4 * <usize>n) {
    const top = rowMax(x, n);
    const shift = f32x4.splat(top);
    let sum = f64x2.splat(0);
    let tail: f64 = 0;
    let j = 0;
    while (j + 4 <= n) {
      const end = min(j + RUN, n) - 3;
      let part = f32x4.splat(0);
      for (; j < end - 4; j += 8) {
        const at = (<usize>j) << 2;
        const e = expNegative4(f32x4.sub(v128.load(x + at), shift));
        const f = expNegative4(f32x4.sub(v128.load(x + at, 16), shift));
        part = f32x4.add(part, f32x4.add(e, f));
        v128.store(out + at, e);
        v128.store(out + at, f, 16);
      }
      for (; j < end; j += 4) {
        const e = expNegative4(f32x4.sub(v128.load(x + 4 * <usize>j), shift));
        part = f32x4.add(part, e);
        v128.store(out + 4 * <usize>j, e);
      }
      sum = f64x2.add(sum, f64x2.add(low2(part), high2(part)));
    }
    for (; j < n; j++) {
      const e = exp1(load<f32>(x + 4 * <usize>j) - top);
      tail += e;
      store<f32>(out + 4 * <usize>j, e);
    }
    const total = total2(sum) + tail;
    if (log) {
      const offset = <f32>Math.log(total);
      const offset4 = f32x4.splat(offset);
      for (j = 0; j + 4 <= n; j += 4) {
        v128.store(out + 4 * <usize>j, f32x4.sub(f32x4.sub(v128.load(x + 4 * <usize>j), shift), offset4));
      }
      for (; j < n; j++) store<f32>(out + 4 * <usize>j, load<f32>(x + 4 * <usize>j) - top - offset);
    } else {
      const inverse = <f32>(1 / total);
      const scale = f32x4.splat(inverse);
      for (j = 0; j + 16 <= n; j += 16) {
        const at = out + 4 * <usize>j;
        v128.store(at, f32x4.mul(v128.load(at), scale));
        v128.store(at, f32x4.mul(v128.load(at, 16), scale), 16);
        v128.store(at, f32x4.mul(v128.load(at, 32), scale), 32);
        v128.store(at, f32x4.mul(v128.load(at, 48), scale), 48);
      }
      for (; j + 4 <= n; j += 4) {
        v128.store(out + 4 * <usize>j, f32x4.mul(v128.load(out + 4 * <usize>j), scale));
      }
      for (; j < n; j++) store<f32>(out + 4 * <usize>j, load<f32>(out + 4 * <usize>j) * inverse);
    }
  }
}

/** dx = y (g - sum(g y)) for softmax; g - exp(y) sum(g) for log softmax. */
export function softmaxBackward(grad: usize, y: usize, out: usize, rows: i32, n: i32, log: bool): void {
  for (let row = 0; row < rows; row++) {
    let sum = f64x2.splat(0);
    let tail: f64 = 0;
    let j = 0;
    while (j + 4 <= n) {
      const end = min(j + RUN, n) - 3;
      let part = f32x4.splat(0);
      if (log) for (; j < end; j += 4) part = f32x4.add(part, v128.load(grad + 4 * <usize>j));
      else for (; j < end; j += 4) part = fma(v128.load(grad + 4 * <usize>j), v128.load(y + 4 * <usize>j), part);
      sum = f64x2.add(sum, f64x2.add(low2(part), high2(part)));
    }
    for (; j < n; j++) {
      const g = load<f32>(grad + 4 * <usize>j);
      tail += log ? g : g * load<f32>(y + 4 * <usize>j);
    }
    const total = <f32>(total2(sum) + tail);
    const total4 = f32x4.splat(total);
    for (j = 0; j + 4 <= n; j += 4) {
      const g = v128.load(grad + 4 * <usize>j);
      const v = v128.load(y + 4 * <usize>j);
      const d = log ? f32x4.sub(g, f32x4.mul(exp4(v), total4)) : f32x4.mul(v, f32x4.sub(g, total4));
      v128.store(out + 4 * <usize>j, d);
    }
    for (; j < n; j++) {
      const g = load<f32>(grad + 4 * <usize>j);
      const v = load<f32>(y + 4 * <usize>j);
      store<f32>(out + 4 * <usize>j, log ? g - exp1(v) * total : v * (g - total));
    }
    grad += 4 * <usize>n;
    y += 4 * <usize>n;
    out += 4 * <usize>n;
  }
}

/**
 * Layer norm (Ba et al., 2016), or RMS norm (Zhang and Sennrich, 2019) when `centre` is false. weight and bias are 0 when
 * absent; mean is 0 for RMS norm.
 */
export function norm(
  x: usize, weight: usize, bias: usize, out: usize, mean: usize, rstd: usize, rows: i32, n: i32, eps: f64, centre: bool,
): void {
  for (let row = 0; row < rows; row++, x += 4 * <usize>n, out += 4 * <usize>n) {
    const m = centre ? sum(x, n) / n : 0;
    // Distances to the rounded mean, put right by its distance to the mean.
    const shift = m - <f64><f32>m;
    const variance = squares(x, n, <f32>m) - n * shift * shift;
    let j = 0;
    const r = 1 / Math.sqrt(variance / n + eps);
    if (centre) store<f32>(mean + 4 * <usize>row, <f32>m);
    store<f32>(rstd + 4 * <usize>row, <f32>r);
    const centre4 = f32x4.splat(<f32>m);
    const scale4 = f32x4.splat(<f32>r);
    if (weight && bias) {
      for (; j + 8 <= n; j += 8) {
        const at = (<usize>j) << 2;
        const u = f32x4.mul(f32x4.sub(v128.load(x + at), centre4), scale4);
        const v = f32x4.mul(f32x4.sub(v128.load(x + at, 16), centre4), scale4);
        v128.store(out + at, fma(u, v128.load(weight + at), v128.load(bias + at)));
        v128.store(out + at, fma(v, v128.load(weight + at, 16), v128.load(bias + at, 16)), 16);
      }
    }
    for (; j + 4 <= n; j += 4) {
      let v = f32x4.mul(f32x4.sub(v128.load(x + 4 * <usize>j), centre4), scale4);
      if (weight) v = f32x4.mul(v, v128.load(weight + 4 * <usize>j));
      if (bias) v = f32x4.add(v, v128.load(bias + 4 * <usize>j));
      v128.store(out + 4 * <usize>j, v);
    }
    for (; j < n; j++) {
      let v = (load<f32>(x + 4 * <usize>j) - <f32>m) * <f32>r;
      if (weight) v *= load<f32>(weight + 4 * <usize>j);
      if (bias) v += load<f32>(bias + 4 * <usize>j);
      store<f32>(out + 4 * <usize>j, v);
    }
  }
}

/** Gradient of `norm`; dw and db (0 when not wanted) are added to over the rows. */
export function normBackward(
  grad: usize, x: usize, mean: usize, rstd: usize, weight: usize, dx: usize, dw: usize, db: usize,
  rows: i32, n: i32, centre: bool,
): void {
  for (let row = 0; row < rows; row++, x += 4 * <usize>n, grad += 4 * <usize>n, dx += 4 * <usize>n) {
    const m: f32 = centre ? load<f32>(mean + 4 * <usize>row) : 0;
    const r = load<f32>(rstd + 4 * <usize>row);
    const m4 = f32x4.splat(m);
    const r4 = f32x4.splat(r);
    let sumG = f64x2.splat(0);
    let sumGx = f64x2.splat(0);
    let tailG: f64 = 0;
    let tailGx: f64 = 0;
    let j = 0;
    while (j + 4 <= n) {
      const end = min(j + RUN, n) - 3;
      let partG = f32x4.splat(0);
      let partGx = f32x4.splat(0);
      for (; j < end; j += 4) {
        const at = (<usize>j) << 2;
        const g = v128.load(grad + at);
        const h = f32x4.mul(f32x4.sub(v128.load(x + at), m4), r4);
        if (dw) v128.store(dw + at, fma(g, h, v128.load(dw + at)));
        if (db) v128.store(db + at, f32x4.add(v128.load(db + at), g));
        const gw = weight ? f32x4.mul(g, v128.load(weight + at)) : g;
        partG = f32x4.add(partG, gw);
        partGx = fma(gw, h, partGx);
      }
      sumG = f64x2.add(sumG, f64x2.add(low2(partG), high2(partG)));
      sumGx = f64x2.add(sumGx, f64x2.add(low2(partGx), high2(partGx)));
    }
    for (; j < n; j++) {
      const at = (<usize>j) << 2;
      const g = load<f32>(grad + at);
      const h = (load<f32>(x + at) - m) * r;
      if (dw) store<f32>(dw + at, load<f32>(dw + at) + g * h);
      if (db) store<f32>(db + at, load<f32>(db + at) + g);
      const gw = weight ? g * load<f32>(weight + at) : g;
      tailG += gw;
      tailGx += gw * h;
    }
    const a: f32 = centre ? <f32>((total2(sumG) + tailG) / n) : 0;
    const b = <f32>((total2(sumGx) + tailGx) / n);
    const a4 = f32x4.splat(a);
    const b4 = f32x4.splat(b);
    for (j = 0; j + 4 <= n; j += 4) {
      const at = (<usize>j) << 2;
      const g = v128.load(grad + at);
      const h = f32x4.mul(f32x4.sub(v128.load(x + at), m4), r4);
      const gw = weight ? f32x4.mul(g, v128.load(weight + at)) : g;
      v128.store(dx + at, f32x4.mul(r4, f32x4.sub(f32x4.sub(gw, a4), f32x4.mul(h, b4))));
    }
    for (; j < n; j++) {
      const at = (<usize>j) << 2;
      const h = (load<f32>(x + at) - m) * r;
      const g = load<f32>(grad + at);
      const gw = weight ? g * load<f32>(weight + at) : g;
      store<f32>(dx + at, r * (gw - a - h * b));
    }
  }
}
