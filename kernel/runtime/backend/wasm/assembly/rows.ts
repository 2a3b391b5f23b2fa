/** Kernels over rows of n contiguous values: softmax and norms. Sums run in f64 lanes so that long rows keep their bits. */
import { exp4, maxLanes } from './math';

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

function rowMax(x: usize, n: i32): f32 {
  let best = f32x4.splat(-f32.MAX_VALUE * 2);
  let j = 0;
  for (; j + 4 <= n; j += 4) best = f32x4.max(best, v128.load(x + 4 * <usize>j));
  let top = maxLanes(best);
  for (; j < n; j++) top = max(top, load<f32>(x + 4 * <usize>j));
  return top;
}

// @ts-ignore: decorator
@inline
function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}

/** out = softmax or log softmax of each of `rows` rows. */
export function softmax(x: usize, out: usize, rows: i32, n: i32, log: bool): void {
  for (let row = 0; row < rows; row++, x += 4 * <usize>n, out += 4 * <usize>n) {
    const top = rowMax(x, n);
    const shift = f32x4.splat(top);
    let sum = f64x2.splat(0);
    let tail: f64 = 0;
    let j = 0;
    for (; j + 4 <= n; j += 4) {
      const e = exp4(f32x4.sub(v128.load(x + 4 * <usize>j), shift));
      sum = f64x2.add(sum, f64x2.add(low2(e), high2(e)));
      v128.store(out + 4 * <usize>j, e);
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
      for (j = 0; j + 4 <= n; j += 4) {
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
    for (; j + 4 <= n; j += 4) {
      const g = v128.load(grad + 4 * <usize>j);
      const term = log ? g : f32x4.mul(g, v128.load(y + 4 * <usize>j));
      sum = f64x2.add(sum, f64x2.add(low2(term), high2(term)));
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
    let m: f64 = 0;
    let j = 0;
    if (centre) {
      let sum = f64x2.splat(0);
      for (; j + 4 <= n; j += 4) {
        const v = v128.load(x + 4 * <usize>j);
        sum = f64x2.add(sum, f64x2.add(low2(v), high2(v)));
      }
      m = total2(sum);
      for (; j < n; j++) m += load<f32>(x + 4 * <usize>j);
      m /= n;
    }
    const m2 = f64x2.splat(m);
    let squares = f64x2.splat(0);
    for (j = 0; j + 4 <= n; j += 4) {
      const v = v128.load(x + 4 * <usize>j);
      const a = f64x2.sub(low2(v), m2);
      const b = f64x2.sub(high2(v), m2);
      squares = f64x2.add(squares, f64x2.add(f64x2.mul(a, a), f64x2.mul(b, b)));
    }
    let variance = total2(squares);
    for (; j < n; j++) {
      const d = <f64>load<f32>(x + 4 * <usize>j) - m;
      variance += d * d;
    }
    const r = 1 / Math.sqrt(variance / n + eps);
    if (centre) store<f32>(mean + 4 * <usize>row, <f32>m);
    store<f32>(rstd + 4 * <usize>row, <f32>r);
    const centre4 = f32x4.splat(<f32>m);
    const scale4 = f32x4.splat(<f32>r);
    for (j = 0; j + 4 <= n; j += 4) {
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
    for (; j + 4 <= n; j += 4) {
      const at = (<usize>j) << 2;
      const g = v128.load(grad + at);
      const h = f32x4.mul(f32x4.sub(v128.load(x + at), m4), r4);
      const gh = f32x4.mul(g, h);
      if (dw) v128.store(dw + at, f32x4.add(v128.load(dw + at), gh));
      if (db) v128.store(db + at, f32x4.add(v128.load(db + at), g));
      const gw = weight ? f32x4.mul(g, v128.load(weight + at)) : g;
      const gwh = f32x4.mul(gw, h);
      if (centre) sumG = f64x2.add(sumG, f64x2.add(low2(gw), high2(gw)));
      sumGx = f64x2.add(sumGx, f64x2.add(low2(gwh), high2(gwh)));
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
