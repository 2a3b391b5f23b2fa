/**
 * The SIMD backend: overrides the reference backend where operands are float32 and large enough that a copy into WASM
 * memory pays. Everything else (other dtypes, tiny operands, rare operations) goes to the reference.
 */
import type { AdamParams, Backend, Nd } from '../backend.js';
import { contiguousStrides, sizeOf } from '../reference/access.js';
import { dense, ELEMENTS_MIN, elementwiseKernels, isF32, PIECE, place } from './elementwise.js';
import { embeddingKernels } from './embedding.js';
import { type Kernels, Scratch } from './module.js';
import { randomKernels } from './random.js';
import { reduceKernels } from './reduce.js';

/** Below this size a product costs more to copy than it saves. */
const PRODUCT_MIN = 4096;
/** Query rows of attention computed at a time: bounds the block of scores. */
const QUERY_BLOCK = 128;

/** `enableRelaxed` is the platform's way to switch relaxed SIMD on, called only where the engine does not take it yet. */
export function createWasmBackend(reference: Backend, enableRelaxed?: () => void): Backend {
  const scratch = new Scratch(enableRelaxed);
  const { kernels } = scratch;

  const matmul: Backend['matmul'] = (a, b, out, bias = null, alpha = 1, beta = 1) => {
    const o = isF32(a, b, bias) ? place(out) : null;
    const [count, m, k] = a.shape as [number, number, number];
    const n = b.shape[2]!;
    const row = bias && beta !== 0 ? rowOf(bias, n) : null;
    const plain = alpha === 1 && (!bias || beta === 0 || (beta === 1 && row !== null));
    if (!o || !plain || m * n * k < PRODUCT_MIN) return reference.matmul(a, b, out, bias, alpha, beta);
    const x = operand(a);
    const y = operand(b);
    // Kernel scratch is in bytes; one batch entry is in WASM memory at a time.
    scratch.start(x.extent + y.extent + m * n + n + kernels.matmulScratch(n) / 4 + 64);
    const xa = scratch.take(x.extent);
    const ya = scratch.take(y.extent);
    const c = scratch.take(m * n);
    const r = row ? scratch.put(row) : 0;
    const work = scratch.take(kernels.matmulScratch(n) >> 2);
    let lastX = -1;
    let lastY = -1;
    for (let s = 0; s < count; s++) {
      const xs = x.offset + s * x.batch;
      const ys = y.offset + s * y.batch;
      // A broadcast operand is copied once.
      if (xs !== lastX) scratch.set(xa, x.data.subarray(xs, xs + x.extent));
      if (ys !== lastY) scratch.set(ya, y.data.subarray(ys, ys + y.extent));
      lastX = xs;
      lastY = ys;
      kernels.matmul(xa, x.rs, x.cs, ya, y.rs, y.cs, c, m, n, k, false, work);
      if (r) kernels.addRow(c, r, m, n);
      scratch.read(c, m * n, o, s * m * n);
    }
  };

  const softmax: Backend['softmax'] = (x, dim, log, out) => {
    const o = isF32(x) && dim === x.shape.length - 1 ? place(out) : null;
    if (!o || o.length < ELEMENTS_MIN) return reference.softmax(x, dim, log, out);
    rows([dense(x)], o, x.shape[dim]!, ([a], to, count, n) => kernels.softmax(a!, to, count, n, log));
  };

  const softmaxBackward: Backend['softmaxBackward'] = (grad, y, dim, log, out) => {
    const o = isF32(grad, y) && dim === y.shape.length - 1 ? place(out) : null;
    if (!o || o.length < ELEMENTS_MIN) return reference.softmaxBackward(grad, y, dim, log, out);
    rows([dense(grad), dense(y)], o, y.shape[dim]!, ([g, a], to, count, n) =>
      kernels.softmaxBackward(g!, a!, to, count, n, log),
    );
  };

  /** Runs `kernel` over blocks of whole rows. */
  function rows(
    inputs: Float32Array[],
    out: Float32Array,
    n: number,
    kernel: (addresses: number[], out: number, rows: number, n: number) => void,
  ): void {
    const total = out.length / n;
    const block = Math.max(1, Math.floor(PIECE / n));
    scratch.start((inputs.length + 1) * (block * n + 8));
    const addresses = inputs.map(() => scratch.take(block * n));
    const target = scratch.take(block * n);
    for (let i = 0; i < total; i += block) {
      const count = Math.min(block, total - i);
      for (const [q, values] of inputs.entries())
        scratch.set(addresses[q]!, values.subarray(i * n, (i + count) * n));
      kernel(addresses, target, count, n);
      scratch.read(target, count * n, out, i * n);
    }
  }

  function normForward(
    x: Nd,
    inner: number,
    weight: Nd | null,
    bias: Nd | null,
    eps: number,
    out: Nd,
    mean: Nd | null,
    rstd: Nd,
  ): boolean {
    const o = isF32(x, weight, bias) ? place(out) : null;
    const mo = mean ? place(mean) : null;
    const ro = place(rstd);
    if (!o || !ro || (mean && !mo) || o.length < ELEMENTS_MIN || inner === 0) return false;
    const v = dense(x);
    const total = v.length / inner;
    const block = Math.max(1, Math.floor(PIECE / inner));
    scratch.start(2 * block * inner + 2 * inner + 2 * block + 64);
    const w = weight ? scratch.put(dense(weight)) : 0;
    const b = bias ? scratch.put(dense(bias)) : 0;
    const [xa, oa, ma, ra] = [
      scratch.take(block * inner),
      scratch.take(block * inner),
      scratch.take(block),
      scratch.take(block),
    ];
    for (let i = 0; i < total; i += block) {
      const count = Math.min(block, total - i);
      scratch.set(xa, v.subarray(i * inner, (i + count) * inner));
      kernels.norm(xa, w, b, oa, ma, ra, count, inner, eps, mo !== null);
      scratch.read(oa, count * inner, o, i * inner);
      if (mo) scratch.read(ma, count, mo, i);
      scratch.read(ra, count, ro, i);
    }
    return true;
  }

  function normGradient(
    grad: Nd,
    x: Nd,
    mean: Nd | null,
    rstd: Nd,
    inner: number,
    weight: Nd | null,
    dx: Nd | null,
    dw: Nd | null,
    db: Nd | null,
  ): boolean {
    if (!isF32(grad, x, mean, rstd, weight)) return false;
    const targets = [dx, dw, db].map((t) => (t ? place(t) : null));
    if ([dx, dw, db].some((t, i) => t && !targets[i]) || inner === 0 || sizeOf(x.shape) < ELEMENTS_MIN)
      return false;
    const [xo, wo, bo] = targets;
    const [g, v, r] = [dense(grad), dense(x), dense(rstd)];
    const mu = mean ? dense(mean) : null;
    const total = v.length / inner;
    const block = Math.max(1, Math.floor(PIECE / inner));
    scratch.start(3 * block * inner + 3 * inner + 2 * block + 96);
    const w = weight ? scratch.put(dense(weight)) : 0;
    const [ga, xa, da] = [
      scratch.take(block * inner),
      scratch.take(block * inner),
      scratch.take(block * inner),
    ];
    const [ma, ra] = [scratch.take(block), scratch.take(block)];
    const wa = wo ? scratch.take(inner) : 0;
    const ba = bo ? scratch.take(inner) : 0;
    if (wa) scratch.zero(wa, inner);
    if (ba) scratch.zero(ba, inner);
    for (let i = 0; i < total; i += block) {
      const count = Math.min(block, total - i);
      scratch.set(ga, g.subarray(i * inner, (i + count) * inner));
      scratch.set(xa, v.subarray(i * inner, (i + count) * inner));
      scratch.set(ra, r.subarray(i, i + count));
      if (mu) scratch.set(ma, mu.subarray(i, i + count));
      kernels.normBackward(ga, xa, ma, ra, w, da, wa, ba, count, inner, mu !== null);
      if (xo) scratch.read(da, count * inner, xo, i * inner);
    }
    if (wo) scratch.read(wa, inner, wo);
    if (bo) scratch.read(ba, inner, bo);
    return true;
  }

  const attention: Backend['attention'] = (q, k, v, mask, p, out, lse) => {
    const o = isF32(q, k, v, mask) ? place(out) : null;
    const l = place(lse);
    const [batch, n, d] = q.shape as [number, number, number];
    const [m, e] = [k.shape[1]!, v.shape[2]!];
    if (!o || !l || n * m * d * batch < PRODUCT_MIN) return reference.attention(q, k, v, mask, p, out, lse);
    const [qv, kv, vv] = [dense(q), dense(k), dense(v)];
    const mv = mask ? dense(mask) : null;
    const block = Math.min(n, QUERY_BLOCK);
    const work = Math.max(kernels.matmulScratch(m), kernels.matmulScratch(e)) >> 2;
    scratch.start(block * (d + e + 2 * m + 1) + m * (d + e) + work + 128);
    const [qa, ka, va] = [scratch.take(block * d), scratch.take(m * d), scratch.take(m * e)];
    const [sa, oa, la, wa] = [
      scratch.take(block * m),
      scratch.take(block * e),
      scratch.take(block),
      scratch.take(work),
    ];
    const maskAt = mv ? scratch.take(block * m) : 0;
    for (let b = 0; b < batch; b++) {
      scratch.set(ka, kv.subarray(b * m * d, (b + 1) * m * d));
      scratch.set(va, vv.subarray(b * m * e, (b + 1) * m * e));
      for (let i = 0; i < n; i += block) {
        const r = b * n + i;
        const count = Math.min(block, n - i);
        // Keys beyond the last query of a causal block are seen by none of its rows.
        scratch.set(qa, qv.subarray(r * d, (r + count) * d));
        if (mv) scratch.set(maskAt, mv.subarray(r * m, (r + count) * m));
        kernels.matmul(qa, d, 1, ka, 1, d, sa, count, m, d, false, wa);
        kernels.attentionRows(sa, maskAt, la, count, m, p.scale, p.causal ? i : -1);
        kernels.matmul(sa, m, 1, va, e, 1, oa, count, e, m, false, wa);
        scratch.read(oa, count * e, o, r * e);
        scratch.read(la, count, l, r);
      }
    }
  };

  const attentionBackward: Backend['attentionBackward'] = (
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
    const [qo, ko, vo] = [place(dq), place(dk), place(dv)];
    const mo = dmask ? place(dmask) : null;
    const [batch, n, d] = q.shape as [number, number, number];
    const [m, e] = [k.shape[1]!, v.shape[2]!];
    if (
      !isF32(grad, q, k, v, mask, out, lse, gradLse) ||
      !qo ||
      !ko ||
      !vo ||
      (dmask && !mo) ||
      n * m * d * batch < PRODUCT_MIN
    ) {
      return reference.attentionBackward(grad, q, k, v, mask, out, lse, gradLse, p, dq, dk, dv, dmask);
    }
    const [gv, qv, kv, vv, ov, lv] = [grad, q, k, v, out, lse].map(dense) as [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const mv = mask ? dense(mask) : null;
    const gl = gradLse ? dense(gradLse) : null;
    const block = Math.min(n, QUERY_BLOCK);
    const work = Math.max(kernels.matmulScratch(m), kernels.matmulScratch(e), kernels.matmulScratch(d)) >> 2;
    scratch.start(block * (2 * d + 2 * e + 3 * m + 3) + 2 * m * (d + e) + work + 256);
    const take = (count: number) => scratch.take(count);
    const [ka, va, dka, dva] = [take(m * d), take(m * e), take(m * d), take(m * e)];
    const [qa, ga, oa, dqa] = [take(block * d), take(block * e), take(block * e), take(block * d)];
    const [sa, pa, la, ta, wa] = [take(block * m), take(block * m), take(block), take(block), take(work)];
    const maskAt = mv ? take(block * m) : 0;
    const lseGradAt = gl ? take(block) : 0;
    for (let b = 0; b < batch; b++) {
      scratch.set(ka, kv.subarray(b * m * d, (b + 1) * m * d));
      scratch.set(va, vv.subarray(b * m * e, (b + 1) * m * e));
      scratch.zero(dka, m * d);
      scratch.zero(dva, m * e);
      for (let i = 0; i < n; i += block) {
        const r = b * n + i;
        const count = Math.min(block, n - i);
        scratch.set(qa, qv.subarray(r * d, (r + count) * d));
        scratch.set(ga, gv.subarray(r * e, (r + count) * e));
        scratch.set(oa, ov.subarray(r * e, (r + count) * e));
        scratch.set(la, lv.subarray(r, r + count));
        if (mv) scratch.set(maskAt, mv.subarray(r * m, (r + count) * m));
        if (gl) scratch.set(lseGradAt, gl.subarray(r, r + count));
        kernels.matmul(qa, d, 1, ka, 1, d, sa, count, m, d, false, wa);
        kernels.matmul(ga, e, 1, va, 1, e, pa, count, m, e, false, wa);
        kernels.rowDots(ga, oa, lseGradAt, ta, count, e);
        kernels.attentionGradRows(sa, pa, maskAt, la, ta, count, m, p.scale, p.causal ? i : -1);
        if (mo) scratch.read(pa, count * m, mo, r * m);
        kernels.matmul(sa, 1, m, ga, e, 1, dva, m, e, count, true, wa);
        kernels.scale(pa, p.scale, (count * m + 3) & ~3);
        kernels.matmul(pa, m, 1, ka, d, 1, dqa, count, d, m, false, wa);
        kernels.matmul(pa, 1, m, qa, d, 1, dka, m, d, count, true, wa);
        scratch.read(dqa, count * d, qo, r * d);
      }
      scratch.read(dka, m * d, ko, b * m * d);
      scratch.read(dva, m * e, vo, b * m * e);
    }
  };

  const adam: Backend['adam'] = (param, grad, expAvg, expAvgSq, maxExpAvgSq, p) => {
    const [w, m, v] = [place(param), place(expAvg), place(expAvgSq)];
    if (!w || !m || !v || maxExpAvgSq || !isF32(grad) || w.length < ELEMENTS_MIN) {
      return reference.adam(param, grad, expAvg, expAvgSq, maxExpAvgSq, p);
    }
    adamPieces(scratch, kernels, w, dense(grad), m, v, p);
  };

  return {
    ...reference,
    name: 'wasm',
    ...elementwiseKernels(reference, scratch),
    ...reduceKernels(reference, scratch),
    ...embeddingKernels(reference, scratch),
    ...randomKernels(reference, scratch),
    matmul,
    softmax,
    softmaxBackward,
    layerNorm: (x, inner, weight, bias, eps, out, mean, rstd) => {
      if (!normForward(x, inner, weight, bias, eps, out, mean, rstd)) {
        reference.layerNorm(x, inner, weight, bias, eps, out, mean, rstd);
      }
    },
    layerNormBackward: (grad, x, mean, rstd, inner, weight, dx, dw, db) => {
      if (!normGradient(grad, x, mean, rstd, inner, weight, dx, dw, db)) {
        reference.layerNormBackward(grad, x, mean, rstd, inner, weight, dx, dw, db);
      }
    },
    rmsNorm: (x, inner, weight, eps, out, rstd) => {
      if (!normForward(x, inner, weight, null, eps, out, null, rstd))
        reference.rmsNorm(x, inner, weight, eps, out, rstd);
    },
    rmsNormBackward: (grad, x, rstd, inner, weight, dx, dw) => {
      if (!normGradient(grad, x, null, rstd, inner, weight, dx, dw, null)) {
        reference.rmsNormBackward(grad, x, rstd, inner, weight, dx, dw);
      }
    },
    attention,
    attentionBackward,
    adam,
  };
}

function adamPieces(
  scratch: Scratch,
  kernels: Kernels,
  w: Float32Array,
  g: Float32Array,
  m: Float32Array,
  v: Float32Array,
  p: AdamParams,
): void {
  scratch.start(4 * (PIECE + 8));
  const [wa, ga, ma, va] = [
    scratch.take(PIECE),
    scratch.take(PIECE),
    scratch.take(PIECE),
    scratch.take(PIECE),
  ];
  const stepSize = p.lr / (1 - p.beta1 ** p.step);
  const root2 = Math.sqrt(1 - p.beta2 ** p.step);
  const decay = p.decoupled ? 1 - p.lr * p.weightDecay : 1;
  const l2 = p.decoupled ? 0 : p.weightDecay;
  const sign = (p.maximize ? -1 : 1) / (p.gradScale || 1);
  for (let i = 0; i < w.length; i += PIECE) {
    const n = Math.min(PIECE, w.length - i);
    scratch.set(wa, w.subarray(i, i + n));
    scratch.set(ga, g.subarray(i, i + n));
    scratch.set(ma, m.subarray(i, i + n));
    scratch.set(va, v.subarray(i, i + n));
    kernels.adam(wa, ga, ma, va, (n + 3) & ~3, p.beta1, p.beta2, p.eps, stepSize, root2, decay, l2, sign);
    scratch.read(wa, n, w, i);
    scratch.read(ma, n, m, i);
    scratch.read(va, n, v, i);
  }
}

/** A bias that is one row for every row of the product, or null. */
function rowOf(bias: Nd, n: number): Float32Array | null {
  const rank = bias.shape.length;
  if (bias.strides.slice(0, rank - 1).some((stride, d) => stride !== 0 && bias.shape[d] !== 1)) return null;
  const row = { ...bias, shape: [n], strides: [bias.strides[rank - 1]!] };
  return dense(row);
}

interface Operand {
  data: Float32Array;
  offset: number;
  batch: number;
  rs: number;
  cs: number;
  /** Floats from the first to the last element of one batch entry. */
  extent: number;
}

/** A batch of matrices whose storage can be copied as it lies; scattered ones are made dense first. */
function operand(x: Nd): Operand {
  const [, rows, columns] = x.shape as [number, number, number];
  const [batch, rs, cs] = x.strides as [number, number, number];
  const extent = (rows - 1) * rs + (columns - 1) * cs + 1;
  if (extent <= 2 * rows * columns)
    return { data: x.data as Float32Array, offset: x.offset, batch, rs, cs, extent };
  const [b, r, c] = contiguousStrides(x.shape) as [number, number, number];
  return { data: dense(x), offset: 0, batch: b, rs: r, cs: c, extent: rows * columns };
}
