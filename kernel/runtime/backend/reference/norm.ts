/** Softmax, normalisations, negative log likelihood, embedding gradient, Adam. */
import { decodeTable, encoder, isSmallFloat, numelOf } from '../../base/index.js';
import type { Backend, Nd } from '../backend.js';
import { doubles, type Floats, floats, indices, isContiguous, rowsAlong, store, target } from './access.js';
import { narrow } from './matmul.js';

function line(t: Nd, dim: number): Nd {
  return t.shape.length === 0 ? { ...t, shape: [1], strides: [1] } : rowsAlong(t, dim);
}

export const softmax: Backend['softmax'] = (x, dim, log, out) => {
  const from = line(x, dim);
  const into = line(out, dim);
  const n = from.shape[from.shape.length - 1]!;
  const v = floats(from);
  // PyTorch keeps the sum and its logarithm in the small format along the last dimension.
  const small = log && isSmallFloat(x.dtype) && (x.shape.length === 0 || dim === x.shape.length - 1);
  const enc = small ? encoder(x.dtype) : null;
  const table = small ? decodeTable(x.dtype) : null;
  const rounded = (z: number): number => table![enc!(z)]!;
  const o = new Float64Array(v.length);
  for (let base = 0; base < v.length; base += n) {
    let top = Number.NEGATIVE_INFINITY;
    for (let i = base; i < base + n; i++) if (v[i]! > top) top = v[i]!;
    let z = 0;
    for (let i = base; i < base + n; i++) {
      const e = Math.exp(v[i]! - top);
      o[i] = e;
      z += e;
    }
    if (log) {
      const shift = small ? rounded(Math.log(rounded(z))) : Math.log(z);
      for (let i = base; i < base + n; i++) o[i] = v[i]! - top - shift;
    } else {
      for (let i = base; i < base + n; i++) o[i] = o[i]! / z;
    }
  }
  store(narrow(o, into), into);
};

export const softmaxBackward: Backend['softmaxBackward'] = (grad, y, dim, log, out) => {
  const g = floats(line(grad, dim));
  const from = line(y, dim);
  const into = line(out, dim);
  const v = floats(from);
  const n = from.shape[from.shape.length - 1]!;
  const o = new Float64Array(v.length);
  for (let base = 0; base < v.length; base += n) {
    let s = 0;
    if (log) for (let i = base; i < base + n; i++) s += g[i]!;
    else for (let i = base; i < base + n; i++) s += g[i]! * v[i]!;
    if (log) for (let i = base; i < base + n; i++) o[i] = g[i]! - Math.exp(v[i]!) * s;
    else for (let i = base; i < base + n; i++) o[i] = v[i]! * (g[i]! - s);
  }
  store(narrow(o, into), into);
};

export const layerNorm: Backend['layerNorm'] = (x, inner, weight, bias, eps, out, mean, rstd) => {
  const v = floats(x);
  const rows = inner === 0 ? 0 : v.length / inner;
  const w = weight ? floats(weight) : null;
  const b = bias ? floats(bias) : null;
  const o = new Float64Array(v.length);
  const mu = new Float64Array(numelOf(mean.shape));
  const rs = new Float64Array(mu.length);
  for (let r = 0; r < rows; r++) {
    const base = r * inner;
    let sum = 0;
    for (let i = 0; i < inner; i++) sum += v[base + i]!;
    const m = sum / inner;
    let acc = 0;
    for (let i = 0; i < inner; i++) acc += (v[base + i]! - m) ** 2;
    const s = 1 / Math.sqrt(acc / inner + eps);
    mu[r] = m;
    rs[r] = s;
    for (let i = 0; i < inner; i++) {
      const h = (v[base + i]! - m) * s;
      o[base + i] = (w ? h * w[i]! : h) + (b ? b[i]! : 0);
    }
  }
  store(narrow(o, out), out);
  store(narrow(mu, mean), mean);
  store(narrow(rs, rstd), rstd);
};

/**
 * One row of the input's gradient in float32 as PyTorch computes it. Rows whose elements are nearly equal lose most digits, and
 * what is left depends on this order of operations.
 */
function layerNormRow32(
  g: Floats,
  v: Floats,
  w: Floats | null,
  base: number,
  inner: number,
  m: number,
  s: number,
  out: Float64Array,
): void {
  const f = Math.fround;
  const scale = f(1 / inner);
  let ds = 0;
  let db = 0;
  for (let i = base; i < base + inner; i++) {
    const gw = w ? f(g[i]! * w[i - base]!) : g[i]!;
    ds = f(ds + f(gw * v[i]!));
    db = f(db + gw);
  }
  // A product that goes straight into a sum is not rounded in between: PyTorch's code is compiled to fused instructions.
  const b = f(f(f(f(f(db * m - ds) * s) * s) * s) * scale);
  const c = f(-b * m - f(f(db * s) * scale));
  for (let i = base; i < base + inner; i++) {
    const gw = w ? f(f(s * g[i]!) * w[i - base]!) : f(s * g[i]!);
    out[i] = f(f(gw + b * v[i]!) + c);
  }
}

export const layerNormBackward: Backend['layerNormBackward'] = (
  grad,
  x,
  mean,
  rstd,
  inner,
  weight,
  dx,
  dw,
  db,
) => {
  const g = floats(grad);
  const v = floats(x);
  const mu = floats(mean);
  const rs = floats(rstd);
  const w = weight ? floats(weight) : null;
  const rows = inner === 0 ? 0 : v.length / inner;
  const ox = new Float64Array(dx ? v.length : 0);
  const ow = new Float64Array(inner);
  const ob = new Float64Array(inner);
  for (let r = 0; r < rows; r++) {
    const base = r * inner;
    const m = mu[r]!;
    const s = rs[r]!;
    let sum = 0;
    let dot = 0;
    for (let i = 0; i < inner; i++) {
      const gi = g[base + i]!;
      const h = (v[base + i]! - m) * s;
      const gw = w ? gi * w[i]! : gi;
      sum += gw;
      dot += gw * h;
      ow[i] = ow[i]! + gi * h;
      ob[i] = ob[i]! + gi;
    }
    if (!dx) continue;
    if (dx.dtype === 'float32') layerNormRow32(g, v, w, base, inner, m, s, ox);
    else {
      for (let i = 0; i < inner; i++) {
        const h = (v[base + i]! - m) * s;
        const gw = w ? g[base + i]! * w[i]! : g[base + i]!;
        ox[base + i] = s * (gw - sum / inner - (h * dot) / inner);
      }
    }
  }
  if (dx) store(narrow(ox, dx), dx);
  if (dw) store(narrow(ow, dw), dw);
  if (db) store(narrow(ob, db), db);
};

export const rmsNorm: Backend['rmsNorm'] = (x, inner, weight, eps, out, rstd) => {
  const v = floats(x);
  const rows = inner === 0 ? 0 : v.length / inner;
  const w = weight ? floats(weight) : null;
  const o = new Float64Array(v.length);
  const rs = new Float64Array(numelOf(rstd.shape));
  for (let r = 0; r < rows; r++) {
    const base = r * inner;
    let acc = 0;
    for (let i = 0; i < inner; i++) acc += v[base + i]! ** 2;
    const s = 1 / Math.sqrt(acc / inner + eps);
    rs[r] = s;
    for (let i = 0; i < inner; i++) o[base + i] = v[base + i]! * s * (w ? w[i]! : 1);
  }
  store(narrow(o, out), out);
  store(narrow(rs, rstd), rstd);
};

export const rmsNormBackward: Backend['rmsNormBackward'] = (grad, x, rstd, inner, weight, dx, dw) => {
  const g = floats(grad);
  const v = floats(x);
  const rs = floats(rstd);
  const w = weight ? floats(weight) : null;
  const rows = inner === 0 ? 0 : v.length / inner;
  const ox = new Float64Array(dx ? v.length : 0);
  const ow = new Float64Array(inner);
  for (let r = 0; r < rows; r++) {
    const base = r * inner;
    const s = rs[r]!;
    let dot = 0;
    for (let i = 0; i < inner; i++) {
      const gi = g[base + i]!;
      const h = v[base + i]! * s;
      dot += (w ? gi * w[i]! : gi) * h;
      ow[i] = ow[i]! + gi * h;
    }
    if (!dx) continue;
    for (let i = 0; i < inner; i++) {
      const gw = w ? g[base + i]! * w[i]! : g[base + i]!;
      ox[base + i] = s * (gw - (v[base + i]! * s * dot) / inner);
    }
  }
  if (dx) store(narrow(ox, dx), dx);
  if (dw) store(narrow(ow, dw), dw);
};

export const nllLoss: Backend['nllLoss'] = (logp, target, weight, ignoreIndex, perItem, itemWeights) => {
  // logp [rows, classes]
  const classes = logp.shape[1]!;
  const v = floats(logp);
  const t = indices(target);
  const w = weight ? floats(weight) : null;
  const loss = new Float64Array(t.length);
  const used = new Float64Array(t.length);
  for (let r = 0; r < t.length; r++) {
    const c = t[r]!;
    if (c === ignoreIndex) continue;
    used[r] = w ? w[c]! : 1;
    loss[r] = -used[r]! * v[r * classes + c]!;
  }
  store(narrow(loss, perItem), perItem);
  store(narrow(used, itemWeights), itemWeights);
};

export const embeddingBackward: Backend['embeddingBackward'] = (
  grad,
  index,
  rows,
  paddingIdx,
  scaleByFreq,
  out,
) => {
  const width = out.shape[1]!;
  const g = floats(grad);
  const ids = indices(index);
  // Rows that many positions share are summed in double, then rounded once: only rows that occur get an accumulator.
  const o = target(out) as Floats;
  o.fill(0);
  const sums = new Map<number, Float64Array>();
  const count = scaleByFreq ? new Int32Array(rows) : null;
  if (count) for (const id of ids) count[id] = count[id]! + 1;
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (id === paddingIdx) continue;
    const scale = count ? 1 / count[id]! : 1;
    let sum = sums.get(id);
    if (!sum) {
      sum = new Float64Array(width);
      sums.set(id, sum);
    }
    for (let j = 0; j < width; j++) sum[j] = sum[j]! + scale * g[i * width + j]!;
  }
  for (const [id, sum] of sums) o.set(sum, id * width);
  store(o, out);
};

export const adam: Backend['adam'] = (param, grad, expAvg, expAvgSq, maxExpAvgSq, p) => {
  const w = inPlace(param);
  const g = floats(grad);
  const m = inPlace(expAvg);
  const v = inPlace(expAvgSq);
  const top = maxExpAvgSq ? inPlace(maxExpAvgSq) : null;
  const c1 = 1 - p.beta1 ** p.step;
  const c2 = Math.sqrt(1 - p.beta2 ** p.step);
  const stepSize = p.lr / c1;
  const inverse = p.gradScale ? 1 / p.gradScale : 1;
  for (let i = 0; i < w.length; i++) {
    let d = (p.maximize ? -g[i]! : g[i]!) * inverse;
    let x = w[i]!;
    if (p.weightDecay !== 0) {
      if (p.decoupled) x *= 1 - p.lr * p.weightDecay;
      else d += p.weightDecay * x;
    }
    const mi = m[i]! + (d - m[i]!) * (1 - p.beta1);
    const vi = p.beta2 * v[i]! + (1 - p.beta2) * d * d;
    m[i] = mi;
    v[i] = vi;
    let second = v[i]!;
    if (top) {
      if (second > top[i]!) top[i] = second;
      second = top[i]!;
    }
    w[i] = x - (stepSize * m[i]!) / (Math.sqrt(second) / c2 + p.eps);
  }
};

function inPlace(x: Nd): Floats {
  if (!isContiguous(x)) throw new Error('adam needs contiguous operands');
  return x.data.subarray(x.offset, x.offset + numelOf(x.shape)) as Floats;
}

export { doubles };
