/**
 * Gradients of views and of picked elements: zeros with the gradient written or added where the elements came from. They are
 * operations of their own, as ATen's, so that whatever stands between autograd and the kernels (a tensor subclass, a counter)
 * sees the gradient and never a bare tensor of zeros.
 */
import { int64 } from '../dtype.js';
import type { Layout } from '../opnames.js';
import { contiguousStrides, numelOf } from '../shape.js';
import { getBackend } from '../state.js';
import type { Tensor } from '../tensor.js';
import { alloc, contiguous, elementwise, type KernelTable, viewOf } from './common.js';
import { indexingKernels } from './indexing.js';
import { viewKernels } from './view.js';

/** Zeros of `shape` with the gradient copied to the places `view` shows. */
function into(grad: Tensor, shape: readonly number[], view: (zeros: Tensor) => Tensor): Tensor {
  const out = alloc(shape, grad.dtype, grad.device);
  if (!grad.isMeta && grad.numel() > 0) getBackend().copy(grad.nd(), view(out).nd());
  return out;
}

/** Storage places of all elements, in order. */
export function placesOf({ shape, strides, offset }: Layout): Tensor {
  const n = numelOf(shape);
  const out = alloc([n], int64, 'cpu');
  const flat = contiguousStrides(shape);
  const data = out.storage.as(int64) as BigInt64Array;
  for (let i = 0; i < n; i++) {
    let at = offset;
    for (let d = 0; d < shape.length; d++) at += (Math.floor(i / flat[d]!) % shape[d]!) * strides[d]!;
    data[i] = BigInt(at);
  }
  return out;
}

/** One past the last storage place in use. */
function reach({ shape, strides, offset }: Layout): number {
  return numelOf(shape) === 0 ? offset : offset + shape.reduce((a, n, d) => a + (n - 1) * strides[d]!, 1);
}

const flat = (x: Tensor): Tensor => viewOf(contiguous(x), [x.numel()], [1]);

/** What lies at the places of `to` when x lies at those of `from`, added up where places coincide. */
function moved(x: Tensor, from: Layout, to: Layout): Tensor {
  const out = alloc(to.shape, x.dtype, x.device);
  if (x.isMeta || out.numel() === 0) return out;
  const storage = alloc([Math.max(reach(from), reach(to))], x.dtype, 'cpu');
  getBackend().indexReduce('add', storage.nd(), 0, placesOf(from).nd(), flat(x).nd(), 1);
  getBackend().indexSelect(storage.nd(), 0, placesOf(to).nd(), viewOf(out, [out.numel()], [1]).nd());
  return out;
}

const one = <R>(result: R | R[]): R => result as R;

export const backwardKernels = {
  newZeros: ([x], { shape }) => alloc(shape, x!.dtype, x!.device),
  thresholdBackward: ([grad, x], { threshold }, out) =>
    elementwise([grad!, x!], grad!.shape, grad!.dtype, grad!.device, out, ([g, y], o) =>
      getBackend().thresholdBackward(g!.nd(), y!.nd(), threshold, o.nd()),
    ),
  selectBackward: ([grad], { shape, ...p }) => into(grad!, shape, (z) => one(viewKernels.select([z], p))),
  sliceBackward: ([grad], { shape, ...p }) => into(grad!, shape, (z) => one(viewKernels.slice([z], p))),
  diagonalBackward: ([grad], { shape, ...p }) => into(grad!, shape, (z) => one(viewKernels.diagonal([z], p))),
  unfoldBackward: ([grad], { shape, ...p }) => {
    const out = alloc(shape, grad!.dtype, grad!.device);
    const windows = viewKernels.unfold([out], p);
    if (!out.isMeta && grad!.numel() > 0) {
      const at = placesOf({ shape: windows.shape, strides: windows.strides, offset: 0 });
      getBackend().indexReduce('add', viewOf(out, [out.numel()], [1]).nd(), 0, at.nd(), flat(grad!).nd(), 1);
    }
    return out;
  },
  asStridedBackward: ([grad], { base, ...view }) => moved(grad!, view, base),
  asStridedOf: ([x], { base, ...view }) => moved(x!, base, view),
  indexBackward: ([grad, ...at], { shape, dims }) =>
    indexingKernels.indexPut([alloc(shape, grad!.dtype, grad!.device), grad!, ...at], {
      dims,
      accumulate: true,
    }),
  indexSelectBackward: ([grad, index], { shape, dim }) =>
    indexingKernels.indexAdd([alloc(shape, grad!.dtype, grad!.device), index!, grad!], { dim, alpha: 1 }),
  gatherBackward: ([grad, index], { shape, dim }) =>
    indexingKernels.scatterAdd([alloc(shape, grad!.dtype, grad!.device), index!, grad!], { dim }),
  valueSelectingReductionBackward: ([grad, index], { shape, dim, keepdim }) => {
    const out = alloc(shape, grad!.dtype, grad!.device);
    if (shape.length === 0) {
      if (!out.isMeta) getBackend().copy(viewOf(grad!, [], []).nd(), out.nd());
      return out;
    }
    const up = (t: Tensor): Tensor => (keepdim ? t : one(viewKernels.unsqueeze([t], { dim })));
    return indexingKernels.scatterAdd([out, up(index!), up(grad!)], { dim });
  },
  maskedSelectBackward: ([grad, mask], { shape }) => {
    const zeros = alloc(shape, grad!.dtype, grad!.device);
    const spread = indexingKernels.maskedScatter([zeros, mask!, grad!]);
    // The mask may have been larger than the input: its rows add up.
    const lead = spread.shape.length - shape.length;
    const dims = spread.shape.map((_, d) => d).filter((d) => d < lead || shape[d - lead] !== spread.shape[d]);
    if (dims.length === 0) return spread;
    const sum = alloc(shape, grad!.dtype, grad!.device);
    if (!sum.isMeta) {
      const rest = spread.shape.filter((_, d) => !dims.includes(d));
      getBackend().reduce('sum', spread.nd(), dims, viewOf(sum, rest, contiguousStrides(rest)).nd());
    }
    return sum;
  },
} satisfies Partial<KernelTable>;
