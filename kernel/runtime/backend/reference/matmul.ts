/** Matrix products: float32 in double accumulators by row panels, integers exactly. */
import { numelOf } from '../../base/index.js';
import type { Backend, Nd } from '../backend.js';
import {
  bigs,
  type Compute,
  doubles,
  type Floats,
  floats,
  ints,
  kindOf,
  load,
  raw,
  store,
  target,
} from './access.js';

/** Contiguous copy of one operand, transposed when asked, as doubles would cost memory: keep the element type. */
function batches(x: Nd): number {
  return x.shape[0]!;
}

function product(
  a: Floats,
  ao: number,
  b: Floats,
  bo: number,
  o: Float64Array,
  n: number,
  k: number,
  m: number,
): void {
  o.fill(0);
  // Four rows of a at a time: each row of b is read once for all of them.
  let i = 0;
  for (; i + 3 < n; i += 4) {
    const r0 = i * m;
    const r1 = r0 + m;
    const r2 = r1 + m;
    const r3 = r2 + m;
    for (let p = 0; p < k; p++) {
      const x0 = a[ao + i * k + p]!;
      const x1 = a[ao + (i + 1) * k + p]!;
      const x2 = a[ao + (i + 2) * k + p]!;
      const x3 = a[ao + (i + 3) * k + p]!;
      const row = bo + p * m;
      for (let j = 0; j < m; j++) {
        const y = b[row + j]!;
        o[r0 + j] = o[r0 + j]! + x0 * y;
        o[r1 + j] = o[r1 + j]! + x1 * y;
        o[r2 + j] = o[r2 + j]! + x2 * y;
        o[r3 + j] = o[r3 + j]! + x3 * y;
      }
    }
  }
  for (; i < n; i++) {
    for (let p = 0; p < k; p++) {
      const x = a[ao + i * k + p]!;
      const row = bo + p * m;
      for (let j = 0; j < m; j++) o[i * m + j] = o[i * m + j]! + x * b[row + j]!;
    }
  }
}

export const matmul: Backend['matmul'] = (x, y, out, bias = null, alpha = 1, beta = 1) => {
  const [, n, k] = x.shape as [number, number, number];
  const m = y.shape[2]!;
  const o = target(out);
  const kind = kindOf(out.dtype);
  const count = batches(out);
  if (kind === 'i64' || kind === 'i32') {
    integerProduct(x, y, o, count, n, k, m, kind === 'i64');
    addIntegerBias(o, bias, alpha, beta);
    store(o, out);
    return;
  }
  const a = floats(x);
  const b = floats(y);
  const bv = bias && beta !== 0 ? floats(bias) : null;
  const row = new Float64Array(n * m);
  const of = o as Floats;
  for (let s = 0; s < count; s++) {
    product(a, s * n * k, b, s * k * m, row, n, k, m);
    const base = s * n * m;
    if (bv) for (let i = 0; i < row.length; i++) of[base + i] = alpha * row[i]! + beta * bv[base + i]!;
    else if (alpha !== 1) for (let i = 0; i < row.length; i++) of[base + i] = alpha * row[i]!;
    else of.set(row, base);
  }
  store(o, out);
};

function integerProduct(
  x: Nd,
  y: Nd,
  o: Compute,
  count: number,
  n: number,
  k: number,
  m: number,
  big: boolean,
): void {
  if (big) {
    const [a, b, r] = [bigs(x), bigs(y), o as BigInt64Array];
    for (let s = 0; s < count; s++)
      for (let i = 0; i < n; i++)
        for (let j = 0; j < m; j++) {
          let acc = 0n;
          for (let p = 0; p < k; p++) acc += a[(s * n + i) * k + p]! * b[(s * k + p) * m + j]!;
          r[(s * n + i) * m + j] = acc;
        }
    return;
  }
  const [a, b, r] = [ints(x), ints(y), o as Int32Array];
  for (let s = 0; s < count; s++)
    for (let i = 0; i < n; i++)
      for (let j = 0; j < m; j++) {
        let acc = 0;
        for (let p = 0; p < k; p++)
          acc = (acc + Math.imul(a[(s * n + i) * k + p]!, b[(s * k + p) * m + j]!)) | 0;
        r[(s * n + i) * m + j] = acc;
      }
}

function addIntegerBias(o: Compute, bias: Nd | null, alpha: number, beta: number): void {
  if (!bias && alpha === 1) return;
  const v = bias ? load(bias) : null;
  for (let i = 0; i < o.length; i++) {
    if (o instanceof BigInt64Array) o[i] = BigInt(alpha) * o[i]! + (v ? BigInt(beta) * (v[i] as bigint) : 0n);
    else o[i] = alpha * o[i]! + (v ? beta * (v[i] as number) : 0);
  }
}

export const attention: Backend['attention'] = (q, k, v, mask, p, out, lse) => {
  const [batch, n, d] = q.shape as [number, number, number];
  const m = k.shape[1]!;
  const e = v.shape[2]!;
  const [qv, kv, vv] = [floats(q), floats(k), floats(v)];
  const mv = mask ? floats(mask) : null;
  const o = target(out) as Floats;
  const l = target(lse) as Floats;
  const s = new Float64Array(m);
  const acc = new Float64Array(e);
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < n; i++) {
      const last = p.causal ? Math.min(m, i + 1) : m;
      const top = scores(qv, (b * n + i) * d, kv, b * m * d, d, last, p.scale, mv, (b * n + i) * m, s);
      let z = 0;
      acc.fill(0);
      if (top !== Number.NEGATIVE_INFINITY) {
        for (let j = 0; j < last; j++) {
          const w = Math.exp(s[j]! - top);
          if (w === 0) continue;
          z += w;
          const row = (b * m + j) * e;
          for (let c = 0; c < e; c++) acc[c] = acc[c]! + w * vv[row + c]!;
        }
      }
      l[b * n + i] = z === 0 ? Number.NEGATIVE_INFINITY : top + Math.log(z);
      // A row with nothing to attend to is zero, as PyTorch's safe softmax has it.
      const base = (b * n + i) * e;
      for (let c = 0; c < e; c++) o[base + c] = z === 0 ? 0 : acc[c]! / z;
    }
  }
  store(o, out);
  store(l, lse);
};

function scores(
  q: Floats,
  qo: number,
  k: Floats,
  ko: number,
  d: number,
  last: number,
  scale: number,
  mask: Floats | null,
  mo: number,
  s: Float64Array,
): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let j = 0; j < last; j++) {
    let dot = 0;
    const row = ko + j * d;
    for (let c = 0; c < d; c++) dot += q[qo + c]! * k[row + c]!;
    dot *= scale;
    if (mask) dot += mask[mo + j]!;
    s[j] = dot;
    if (dot > top || Number.isNaN(dot)) top = dot;
  }
  return top;
}

export const attentionBackward: Backend['attentionBackward'] = (
  grad,
  q,
  k,
  v,
  mask,
  out,
  lse,
  gradLse,
  p,
  dq,
  dk,
  dv,
  dmask,
) => {
  const [batch, n, d] = q.shape as [number, number, number];
  const m = k.shape[1]!;
  const e = v.shape[2]!;
  const [g, qv, kv, vv, ov, lv] = [floats(grad), floats(q), floats(k), floats(v), floats(out), floats(lse)];
  const mv = mask ? floats(mask) : null;
  const gl = gradLse ? floats(gradLse) : null;
  const rq = new Float64Array(numelOf(q.shape));
  const rk = new Float64Array(numelOf(k.shape));
  const rv = new Float64Array(numelOf(v.shape));
  const rm = dmask ? new Float64Array(batch * n * m) : null;
  const s = new Float64Array(m);
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < n; i++) {
      const r = b * n + i;
      const norm = lv[r]!;
      if (norm === Number.NEGATIVE_INFINITY) continue;
      const last = p.causal ? Math.min(m, i + 1) : m;
      scores(qv, r * d, kv, b * m * d, d, last, p.scale, mv, r * m, s);
      let delta = 0;
      for (let c = 0; c < e; c++) delta += g[r * e + c]! * ov[r * e + c]!;
      if (gl) delta -= gl[r]!;
      for (let j = 0; j < last; j++) {
        const w = Math.exp(s[j]! - norm);
        if (w === 0) continue;
        const vr = (b * m + j) * e;
        const kr = (b * m + j) * d;
        let dw = 0;
        for (let c = 0; c < e; c++) {
          const gc = g[r * e + c]!;
          dw += gc * vv[vr + c]!;
          rv[vr + c] = rv[vr + c]! + w * gc;
        }
        const ds = w * (dw - delta);
        if (rm) rm[r * m + j] = ds;
        const t = ds * p.scale;
        for (let c = 0; c < d; c++) {
          rq[r * d + c] = rq[r * d + c]! + t * kv[kr + c]!;
          rk[kr + c] = rk[kr + c]! + t * qv[r * d + c]!;
        }
      }
    }
  }
  for (const [values, into] of [
    [rq, dq],
    [rk, dk],
    [rv, dv],
  ] as const)
    store(narrow(values, into), into);
  if (rm && dmask) store(narrow(rm, dmask), dmask);
};

/** Small formats are rounded from float32, not from double. */
export function narrow(values: Float64Array, out: Nd): Compute {
  return kindOf(out.dtype) === 'f32' && out.dtype !== 'float32' ? Float32Array.from(values) : values;
}

export { doubles, raw };
