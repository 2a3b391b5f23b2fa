/** Backward rules of views, joins and moves of elements. */
import { applyOp } from '../../dispatch.js';
import * as r from '../../ops/reductions.js';
import * as v from '../../ops/views.js';
import { contiguousStrides } from '../../shape.js';
import type { Tensor } from '../../tensor.js';
import type { InputMeta } from '../node.js';
import type { BackwardTable } from '../record.js';
import { type Ctx, no, sumTo, viewBack, zerosBeside } from './common.js';

interface Layout {
  strides: readonly number[];
  offset: number;
}

function layoutOf(m: InputMeta): Layout {
  return { strides: m.strides ?? contiguousStrides(m.shape), offset: m.offset ?? 0 };
}

/** Gradients of all results; zeros where a result had no part in the output. */
const allGrads = (c: Pick<Ctx, 'grads' | 'outMeta'>): Tensor[] => {
  const some = c.grads.find((g) => g !== null)!;
  return c.grads.map((g, i) => g ?? zerosBeside(some, c.outMeta[i]!));
};

export const viewsRules = {
  alias: { grad: (c) => [c.grad] },
  detach: no,
  view: viewBack((c) => v.reshape(c.grad, c.inMeta[0]!.shape)),
  viewDtype: no,
  expand: viewBack((c) => sumTo(c.grad, c.inMeta[0]!)),
  repeat: {
    grad: (c) => {
      const { repeats } = c.params;
      const shape = c.inMeta[0]!.shape;
      const lead = repeats.length - shape.length;
      let g = c.grad;
      for (let d = 0; d < lead; d++) g = r.sum(g, 0);
      const sizes: number[] = [];
      const dims: number[] = [];
      shape.forEach((n, d) => {
        const times = repeats[lead + d]!;
        if (times !== 1) {
          dims.push(sizes.length);
          sizes.push(times);
        }
        sizes.push(n);
      });
      return [dims.length === 0 ? g : r.sum(v.reshape(g, sizes), dims)];
    },
  },
  permute: {
    grad: (c) => [
      v.permute(
        c.grad,
        c.params.dims.map((_, i) => c.params.dims.indexOf(i)),
      ),
    ],
  },
  select: {
    grad: (c) => [applyOp('selectBackward', [c.grad], { shape: c.inMeta[0]!.shape, ...c.params })],
  },
  selectBackward: { grad: (c) => [v.select(c.grad, c.params.dim, c.params.index)] },
  slice: { grad: (c) => [applyOp('sliceBackward', [c.grad], { shape: c.inMeta[0]!.shape, ...c.params })] },
  sliceBackward: {
    grad: (c) => [v.sliceDim(c.grad, c.params.dim, c.params.start, c.params.end, c.params.step)],
  },
  squeeze: viewBack((c) => v.reshape(c.grad, c.inMeta[0]!.shape)),
  unsqueeze: viewBack((c) => v.reshape(c.grad, c.inMeta[0]!.shape)),
  diagonal: {
    grad: (c) => [applyOp('diagonalBackward', [c.grad], { shape: c.inMeta[0]!.shape, ...c.params })],
  },
  diagonalBackward: {
    grad: (c) => [v.diagonal(c.grad, c.params.offset, c.params.dim1, c.params.dim2)],
  },
  unfold: {
    grad: (c) => [applyOp('unfoldBackward', [c.grad], { shape: c.inMeta[0]!.shape, ...c.params })],
  },
  unfoldBackward: { grad: (c) => [v.unfold(c.grad, c.params.dim, c.params.size, c.params.step)] },
  asStrided: {
    grad: (c) => {
      const base = { shape: c.inMeta[0]!.shape, ...layoutOf(c.inMeta[0]!) };
      return [applyOp('asStridedBackward', [c.grad], { base, ...c.params })];
    },
  },
  asStridedBackward: {
    grad: (c) => [applyOp('asStridedOf', [c.grad], c.params)],
  },
  asStridedOf: {
    grad: (c) => [applyOp('asStridedBackward', [c.grad], c.params)],
  },
  split: {
    grad: (c) => [v.cat(allGrads(c), c.params.dim)],
  },
  unbind: {
    grad: (c) => [v.stack(allGrads(c), c.params.dim)],
  },
  flip: { grad: (c) => [v.flip(c.grad, c.params.dims as number[])] },
  roll: {
    grad: (c) => [
      v.roll(
        c.grad,
        c.params.shifts.map((s) => -s),
        c.params.dims as number[],
      ),
    ],
  },
  cat: {
    grad: (c) => {
      let start = 0;
      return c.inMeta.map((m, i) => {
        if (m!.shape.length === 1 && m!.shape[0] === 0 && c.grad.shape.length !== 1)
          return c.needs[i] ? zerosBeside(c.grad, m!) : null;
        const n = m!.shape[c.params.dim]!;
        start += n;
        return c.needs[i] ? v.to(v.narrow(c.grad, c.params.dim, start - n, n), m!.dtype) : null;
      });
    },
  },
  stack: {
    grad: (c) =>
      c.inMeta.map((m, i) => (c.needs[i] ? v.to(v.select(c.grad, c.params.dim, i), m!.dtype) : null)),
  },
  constantPad: {
    grad: (c) => [
      v.pad(
        c.grad,
        c.params.pad.map((p) => -p),
      ),
    ],
  },
  tril: { grad: (c) => [v.tril(c.grad, c.params.diagonal)] },
  triu: { grad: (c) => [v.triu(c.grad, c.params.diagonal)] },
} satisfies Partial<BackwardTable>;
