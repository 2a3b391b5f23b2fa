/** Softmax, normalisations, embedding, negative log likelihood, attention, dropout's mask: one node each in the graph. */
import { applyMulti, applyOp } from '../dispatch.js';
import type { DType } from '../dtype.js';
import { wrapDim } from '../shape.js';
import type { Tensor } from '../tensor.js';

export interface SoftmaxOptions {
  dtype?: DType | undefined;
  dim?: number;
}
const soft =
  (name: 'softmax' | 'logSoftmax') =>
  (x: Tensor, dim: number | SoftmaxOptions = -1, o: SoftmaxOptions | DType = {}): Tensor => {
    const options = 'itemsize' in o ? { dtype: o as DType } : (o as SoftmaxOptions);
    const d = typeof dim === 'number' ? dim : (dim.dim ?? -1);
    const dtype = options.dtype ?? (typeof dim === 'object' ? dim.dtype : undefined) ?? null;
    return applyOp(name, [x], { dim: wrapDim(d, x.shape.length, name), dtype });
  };
export const softmax = soft('softmax');
export const logSoftmax = soft('logSoftmax');

/** [result, mean, 1 / standard deviation]. */
export const nativeLayerNorm = (
  x: Tensor,
  inner: readonly number[],
  weight: Tensor | null,
  bias: Tensor | null,
  eps: number,
): [Tensor, Tensor, Tensor] =>
  applyMulti('layerNorm', [x, weight, bias], { inner, eps }) as [Tensor, Tensor, Tensor];
export const layerNorm = (
  x: Tensor,
  inner: readonly number[],
  weight: Tensor | null = null,
  bias: Tensor | null = null,
  eps = 1e-5,
): Tensor => nativeLayerNorm(x, inner, weight, bias, eps)[0];
export function rmsNorm(
  x: Tensor,
  inner: readonly number[],
  weight: Tensor | null = null,
  eps: number | null = null,
): Tensor {
  const least =
    x.dtype.name === 'float64'
      ? 2.220446049250313e-16
      : x.dtype.name === 'float32'
        ? 1.1920928955078125e-7
        : x.dtype.name === 'bfloat16'
          ? 1.1920928955078125e-7
          : 1.1920928955078125e-7;
  return applyMulti('rmsNorm', [x, weight], { inner, eps: eps ?? least })[0]!;
}
export const embedding = (
  weight: Tensor,
  index: Tensor,
  o: { paddingIdx?: number; scaleGradByFreq?: boolean } = {},
): Tensor =>
  applyOp('embedding', [weight, index], {
    paddingIdx: o.paddingIdx ?? -1,
    scaleGradByFreq: o.scaleGradByFreq ?? false,
  });
export interface NllOptions {
  weight?: Tensor | null;
  ignoreIndex?: number;
  reduction?: 'none' | 'mean' | 'sum';
}
/** Negative log likelihood of classes in dimension 1. */
export const nllLoss = (logp: Tensor, target: Tensor, o: NllOptions = {}): Tensor =>
  applyMulti('nllLoss', [logp, target, o.weight ?? null], {
    reduction: o.reduction ?? 'mean',
    ignoreIndex: o.ignoreIndex ?? -100,
  })[0]!;
/** x * mask * scale with one rounding; mask holds zeros and ones. */
export const dropoutMask = (x: Tensor, mask: Tensor, scale: number): Tensor =>
  applyOp('dropoutMask', [x, mask], { scale });
/** softmax(scale q k^T + mask) v over [batch, positions, size], and the log-sum-exp of the scores. */
export const attention = (
  q: Tensor,
  k: Tensor,
  v: Tensor,
  mask: Tensor | null,
  o: { scale: number; causal?: boolean },
): [Tensor, Tensor] =>
  applyMulti('attention', [q, k, v, mask], { scale: o.scale, causal: o.causal ?? false }) as [Tensor, Tensor];
