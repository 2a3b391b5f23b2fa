/** Softmax and norms through scratch, block by block of whole rows. */
import { numelOf } from '../../base/index.js';
import type { Backend, Nd } from '../backend.js';
import { dense, ELEMENTS_MIN, isF32, PIECE, place } from './elementwise.js';
import type { Scratch } from './module.js';

export function rowKernels(
  reference: Backend,
  scratch: Scratch,
): Pick<
  Backend,
  'softmax' | 'softmaxBackward' | 'layerNorm' | 'layerNormBackward' | 'rmsNorm' | 'rmsNormBackward'
> {
  const softmax: Backend['softmax'] = (x, dim, log, out) => {
    const o = isF32(x) && dim === x.shape.length - 1 ? place(out) : null;
    if (!o || o.length < ELEMENTS_MIN) return reference.softmax(x, dim, log, out);
    rows([dense(x)], o, x.shape[dim]!, ([a], to, count, n) => scratch.kernels.softmax(a!, to, count, n, log));
  };

  const softmaxBackward: Backend['softmaxBackward'] = (grad, y, dim, log, out) => {
    const o = isF32(grad, y) && dim === y.shape.length - 1 ? place(out) : null;
    if (!o || o.length < ELEMENTS_MIN) return reference.softmaxBackward(grad, y, dim, log, out);
    rows([dense(grad), dense(y)], o, y.shape[dim]!, ([g, a], to, count, n) =>
      scratch.kernels.softmaxBackward(g!, a!, to, count, n, log),
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
      scratch.kernels.norm(xa, w, b, oa, ma, ra, count, inner, eps, mo !== null);
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
    if ([dx, dw, db].some((t, i) => t && !targets[i]) || inner === 0 || numelOf(x.shape) < ELEMENTS_MIN)
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
      scratch.kernels.normBackward(ga, xa, ma, ra, w, da, wa, ba, count, inner, mu !== null);
      if (xo) scratch.read(da, count * inner, xo, i * inner);
    }
    if (wo) scratch.read(wa, inner, wo);
    if (bo) scratch.read(ba, inner, bo);
    return true;
  }

  return {
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
  };
}
