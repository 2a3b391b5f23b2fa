/** Attention through scratch, a block of queries at a time, so that no more than a block of scores is held. */
import type { Backend } from '../backend.js';
import { dense, isF32, place } from './elementwise.js';
import { PRODUCT_MIN } from './matmul.js';
import type { Scratch } from './module.js';

/** Query rows computed at a time. */
const QUERY_BLOCK = 128;

export function attentionKernels(
  reference: Backend,
  scratch: Scratch,
): Pick<Backend, 'attention' | 'attentionBackward'> {
  const attention: Backend['attention'] = (q, k, v, mask, p, out, lse) => {
    const o = isF32(q, k, v, mask) ? place(out) : null;
    const l = place(lse);
    const [batch, n, d] = q.shape as [number, number, number];
    const [m, e] = [k.shape[1]!, v.shape[2]!];
    if (!o || !l || n * m * d * batch < PRODUCT_MIN) return reference.attention(q, k, v, mask, p, out, lse);
    const [qv, kv, vv] = [dense(q), dense(k), dense(v)];
    const mv = mask ? dense(mask) : null;
    const block = Math.min(n, QUERY_BLOCK);
    const work = Math.max(scratch.kernels.matmulScratch(m), scratch.kernels.matmulScratch(e)) >> 2;
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
        scratch.kernels.matmul(qa, d, 1, ka, 1, d, sa, count, m, d, false, wa);
        scratch.kernels.attentionRows(sa, maskAt, la, count, m, p.scale, p.causal ? i : -1);
        scratch.kernels.matmul(sa, m, 1, va, e, 1, oa, count, e, m, false, wa);
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
    const work =
      Math.max(
        scratch.kernels.matmulScratch(m),
        scratch.kernels.matmulScratch(e),
        scratch.kernels.matmulScratch(d),
      ) >> 2;
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
        scratch.kernels.matmul(qa, d, 1, ka, 1, d, sa, count, m, d, false, wa);
        scratch.kernels.matmul(ga, e, 1, va, 1, e, pa, count, m, e, false, wa);
        scratch.kernels.rowDots(ga, oa, lseGradAt, ta, count, e);
        scratch.kernels.attentionGradRows(sa, pa, maskAt, la, ta, count, m, p.scale, p.causal ? i : -1);
        if (mo) scratch.read(pa, count * m, mo, r * m);
        scratch.kernels.matmul(sa, 1, m, ga, e, 1, dva, m, e, count, true, wa);
        scratch.kernels.scale(pa, p.scale, (count * m + 3) & ~3);
        scratch.kernels.matmul(pa, m, 1, ka, d, 1, dqa, count, d, m, false, wa);
        scratch.kernels.matmul(pa, 1, m, qa, d, 1, dka, m, d, count, true, wa);
        scratch.read(dqa, count * d, qo, r * d);
      }
      scratch.read(dka, m * d, ko, b * m * d);
      scratch.read(dva, m * e, vo, b * m * e);
    }
  };

  return { attention, attentionBackward };
}
