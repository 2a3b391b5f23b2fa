/** The row work between the two products of attention, on a block of raw scores [rows, m] row major. */
import { expNegative4, maxLanes, sumLanes } from './math';

const INFINITY4: f32 = f32.MAX_VALUE * 2;

// @ts-ignore: decorator
@inline
function exp1(x: f32): f32 {
  return f32x4.extract_lane(expNegative4(f32x4.splat(x)), 0);
}

/** Row i of a causal block sees columns 0 .. first + i; `first` is -1 without causality. */
// @ts-ignore: decorator
@inline
function visible(first: i32, row: i32, m: i32): i32 {
  return first < 0 ? m : min(m, first + row + 1);
}

/** score = score * scale + mask. */
function scaled(s: usize, mask: usize, n: i32, scale: f32): void {
  const scale4 = f32x4.splat(scale);
  let j = 0;
  for (; j + 4 <= n; j += 4) {
    const at = (<usize>j) << 2;
    let v = f32x4.mul(v128.load(s + at), scale4);
    if (mask) v = f32x4.add(v, v128.load(mask + at));
    v128.store(s + at, v);
  }
  for (; j < n; j++) {
    const at = (<usize>j) << 2;
    store<f32>(s + at, load<f32>(s + at) * scale + (mask ? load<f32>(mask + at) : 0));
  }
}

/** Softmax of each row in place, log-sum-exp to lse; a row that sees nothing becomes zeros and -infinity. */
export function attentionRows(s: usize, mask: usize, lse: usize, rows: i32, m: i32, scale: f32, first: i32): void {
  const stride = (<usize>m) << 2;
  for (let i = 0; i < rows; i++) {
    const n = visible(first, i, m);
    scaled(s, mask, n, scale);
    let best = f32x4.splat(-INFINITY4);
    let j = 0;
    for (; j + 4 <= n; j += 4) best = f32x4.max(best, v128.load(s + ((<usize>j) << 2)));
    let top = maxLanes(best);
    for (; j < n; j++) top = max(top, load<f32>(s + ((<usize>j) << 2)));
    if (top == -INFINITY4) {
      memory.fill(s, 0, stride);
      store<f32>(lse, -INFINITY4);
    } else {
      const top4 = f32x4.splat(top);
      let sum4 = f32x4.splat(0);
      let sum: f32 = 0;
      for (j = 0; j + 8 <= n; j += 8) {
        const at = (<usize>j) << 2;
        const e = expNegative4(f32x4.sub(v128.load(s + at), top4));
        const f = expNegative4(f32x4.sub(v128.load(s + at, 16), top4));
        sum4 = f32x4.add(sum4, f32x4.add(e, f));
        v128.store(s + at, e);
        v128.store(s + at, f, 16);
      }
      for (; j + 4 <= n; j += 4) {
        const at = (<usize>j) << 2;
        const e = expNegative4(f32x4.sub(v128.load(s + at), top4));
        sum4 = f32x4.add(sum4, e);
        v128.store(s + at, e);
      }
      for (; j < n; j++) {
        const at = (<usize>j) << 2;
        const e = exp1(load<f32>(s + at) - top);
        sum += e;
        store<f32>(s + at, e);
      }
      sum += sumLanes(sum4);
      const inverse: f32 = 1 / sum;
      const inverse4 = f32x4.splat(inverse);
      for (j = 0; j + 4 <= n; j += 4) {
        const at = (<usize>j) << 2;
        v128.store(s + at, f32x4.mul(v128.load(s + at), inverse4));
      }
      for (; j < n; j++) {
        const at = (<usize>j) << 2;
        store<f32>(s + at, load<f32>(s + at) * inverse);
      }
      for (; j < m; j++) store<f32>(s + ((<usize>j) << 2), 0);
      store<f32>(lse, top + <f32>Math.log(<f64>sum));
    }
    s += stride;
    if (mask) mask += stride;
    lse += 4;
  }
}

/**
 * From raw scores s and dp = grad v^T: s becomes the probabilities exp(s scale + mask - lse), dp becomes
 * ds = p (dp - delta), the gradient of the scaled score. Rows with lse -infinity become zeros.
 */
export function attentionGradRows(
  s: usize, dp: usize, mask: usize, lse: usize, delta: usize, rows: i32, m: i32, scale: f32, first: i32,
): void {
  const stride = (<usize>m) << 2;
  for (let i = 0; i < rows; i++) {
    const norm = load<f32>(lse);
    if (norm == -INFINITY4) {
      memory.fill(s, 0, stride);
      memory.fill(dp, 0, stride);
    } else {
      const n = visible(first, i, m);
      scaled(s, mask, n, scale);
      const d = load<f32>(delta);
      const norm4 = f32x4.splat(norm);
      const d4 = f32x4.splat(d);
      let j = 0;
      for (; j + 8 <= n; j += 8) {
        const at = (<usize>j) << 2;
        const p = expNegative4(f32x4.sub(v128.load(s + at), norm4));
        const q = expNegative4(f32x4.sub(v128.load(s + at, 16), norm4));
        v128.store(s + at, p);
        v128.store(s + at, q, 16);
        v128.store(dp + at, f32x4.mul(p, f32x4.sub(v128.load(dp + at), d4)));
        v128.store(dp + at, f32x4.mul(q, f32x4.sub(v128.load(dp + at, 16), d4)), 16);
      }
      for (; j + 4 <= n; j += 4) {
        const at = (<usize>j) << 2;
        const p = expNegative4(f32x4.sub(v128.load(s + at), norm4));
        v128.store(s + at, p);
        v128.store(dp + at, f32x4.mul(p, f32x4.sub(v128.load(dp + at), d4)));
      }
      for (; j < n; j++) {
        const at = (<usize>j) << 2;
        const p = exp1(load<f32>(s + at) - norm);
        store<f32>(s + at, p);
        store<f32>(dp + at, p * (load<f32>(dp + at) - d));
      }
      for (; j < m; j++) {
        const at = (<usize>j) << 2;
        store<f32>(s + at, 0);
        store<f32>(dp + at, 0);
      }
    }
    s += stride;
    dp += stride;
    if (mask) mask += stride;
    lse += 4;
    delta += 4;
  }
}

/** delta[i] = sum(grad[i] * out[i]) - gradLse[i]. */
export function rowDots(grad: usize, out: usize, gradLse: usize, delta: usize, rows: i32, n: i32): void {
  for (let i = 0; i < rows; i++) {
    let sum4 = f32x4.splat(0);
    let sum: f32 = 0;
    let j = 0;
    for (; j + 4 <= n; j += 4) {
      const at = (<usize>j) << 2;
      sum4 = f32x4.add(sum4, f32x4.mul(v128.load(grad + at), v128.load(out + at)));
    }
    for (; j < n; j++) sum += load<f32>(grad + ((<usize>j) << 2)) * load<f32>(out + ((<usize>j) << 2));
    sum += sumLanes(sum4);
    if (gradLse) {
      sum -= load<f32>(gradLse);
      gradLse += 4;
    }
    store<f32>(delta, sum);
    grad += (<usize>n) << 2;
    out += (<usize>n) << 2;
    delta += 4;
  }
}

/** x = x * factor over n values (rounded up to four by the caller). */
export function scale(x: usize, factor: f32, n: i32): void {
  const f = f32x4.splat(factor);
  for (let end = x + 4 * <usize>n; x < end; x += 16) v128.store(x, f32x4.mul(v128.load(x), f));
}
