/** The step of Adam through scratch, piece by piece. */
import type { AdamParams, Backend } from '../backend.js';
import { dense, ELEMENTS_MIN, isF32, PIECE, place } from './elementwise.js';
import type { Scratch } from './module.js';

export function adamKernels(reference: Backend, scratch: Scratch): Pick<Backend, 'adam'> {
  const adam: Backend['adam'] = (param, grad, expAvg, expAvgSq, maxExpAvgSq, p) => {
    const [w, m, v] = [place(param), place(expAvg), place(expAvgSq)];
    if (!w || !m || !v || maxExpAvgSq || !isF32(grad) || w.length < ELEMENTS_MIN) {
      return reference.adam(param, grad, expAvg, expAvgSq, maxExpAvgSq, p);
    }
    adamPieces(scratch, w, dense(grad), m, v, p);
  };

  return { adam };
}

function adamPieces(
  scratch: Scratch,
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
    scratch.kernels.adam(
      wa,
      ga,
      ma,
      va,
      (n + 3) & ~3,
      p.beta1,
      p.beta2,
      p.eps,
      stepSize,
      root2,
      decay,
      l2,
      sign,
    );
    scratch.read(wa, n, w, i);
    scratch.read(ma, n, m, i);
    scratch.read(va, n, v, i);
  }
}
