/** Backward rules of indexing, gathering and scattering. */
import { applyOp } from '../../dispatch.js';
import * as f from '../../ops/pointwise.js';
import * as r from '../../ops/reductions.js';
import * as v from '../../ops/views.js';
import { numelOf } from '../../shape.js';
import type { Tensor } from '../../tensor.js';
import type { BackwardTable } from '../record.js';
import { pick, sumTo, zerosBeside } from './common.js';

export const indexingRules = {
  index: {
    save: (needs) => needs.map((_, i) => i).slice(1),
    grad: (c) => [
      applyOp('indexBackward', [c.grad, ...c.inMeta.slice(1).map((_, i) => c.input(i + 1))], {
        shape: c.inMeta[0]!.shape,
        dims: c.params.dims,
      }),
    ],
  },
  indexBackward: {
    save: (needs) => needs.map((_, i) => i).slice(1),
    grad: (c) => [
      applyOp('index', [c.grad, ...c.inMeta.slice(1).map((_, i) => c.input(i + 1))], { dims: c.params.dims }),
    ],
  },
  indexPut: {
    save: (needs) => needs.map((_, i) => i).slice(2),
    grad: (c) => {
      const at = c.inMeta.slice(2).map((_, i) => c.input(i + 2));
      const zero = zerosBeside(c.grad, { shape: [] });
      return [
        c.needs[0]
          ? c.params.accumulate
            ? c.grad
            : applyOp('indexPut', [c.grad, zero, ...at], { dims: c.params.dims, accumulate: false })
          : null,
        c.needs[1] ? sumTo(applyOp('index', [c.grad, ...at], { dims: c.params.dims }), c.inMeta[1]!) : null,
      ];
    },
  },
  indexSelect: {
    save: [1],
    grad: (c) => [
      applyOp('indexSelectBackward', [c.grad, c.input(1)], {
        shape: c.inMeta[0]!.shape,
        dim: c.params.dim,
      }),
    ],
  },
  indexSelectBackward: {
    save: [1],
    grad: (c) => [applyOp('indexSelect', [c.grad, c.input(1)], { dim: c.params.dim })],
  },
  indexAdd: {
    save: [1],
    grad: (c) => {
      const g = c.needs[2] ? applyOp('indexSelect', [c.grad, c.input(1)], { dim: c.params.dim }) : null;
      return [
        c.grad,
        null,
        g ? v.reshape(c.params.alpha === 1 ? g : f.mul(g, c.params.alpha), c.inMeta[2]!.shape) : null,
      ];
    },
  },
  indexCopy: {
    save: [1],
    grad: (c) => {
      const { dim } = c.params;
      const at = c.input(1);
      const shape = c.inMeta[0]!.shape.map((n, d) => (d === dim ? at.numel() : n));
      return [
        c.needs[0] ? applyOp('indexCopy', [c.grad, at, zerosBeside(c.grad, { shape })], { dim }) : null,
        null,
        c.needs[2] ? v.reshape(applyOp('indexSelect', [c.grad, at], { dim }), c.inMeta[2]!.shape) : null,
      ];
    },
  },
  gather: {
    save: [1],
    grad: (c) => [
      applyOp('gatherBackward', [c.grad, c.input(1)], { shape: c.inMeta[0]!.shape, dim: c.params.dim }),
    ],
  },
  gatherBackward: {
    save: [1],
    grad: (c) => [applyOp('gather', [c.grad, c.input(1)], { dim: c.params.dim })],
  },
  scatter: {
    save: (_needs, p) => (p.reduce === null || p.reduce === 'add' ? [1] : [0, 1, 2, -1]),
    grad: (c) => {
      const { dim, reduce } = c.params;
      const at = c.input(1);
      const back = (g: Tensor): Tensor => {
        const part = applyOp('gather', [g, at], { dim });
        return v.pad(part, c.inMeta[2]!.shape.flatMap((n, d) => [0, n - part.shape[d]!].reverse()).reverse());
      };
      if (reduce === 'add' || reduce === null) {
        // What was written over has no part in the result.
        const zero = zerosBeside(c.grad, at);
        const self = (): Tensor =>
          reduce === 'add' && c.params.includeSelf
            ? c.grad
            : applyOp('scatter', [c.grad, at, zero], { dim, reduce: null, includeSelf: true });
        return [c.needs[0] ? self() : null, null, c.needs[2] ? back(c.grad) : null];
      }
      const [x, s, y] = [c.input(0), c.input(2), c.output(0)];
      if (reduce === 'amax' || reduce === 'amin') {
        const picked = applyOp('gather', [y, at], { dim });
        const hitS = v.to(f.eq(s, picked), s.dtype);
        const hitX = f.mul(v.to(f.eq(x, y), x.dtype), c.params.includeSelf ? 1 : 0);
        const n = applyOp('scatterAdd', [hitX, at, hitS], { dim });
        const g = f.div(c.grad, f.whereOp(f.eq(n, 0), 1, n));
        return [f.mul(g, hitX), null, f.mul(applyOp('gather', [g, at], { dim }), hitS)];
      }
      if (reduce === 'mean') {
        const ones = x.onesLike();
        const n = applyOp('scatterAdd', [c.params.includeSelf ? ones : ones.zerosLike(), at, s.onesLike()], {
          dim,
        });
        const g = f.div(c.grad, f.whereOp(f.eq(n, 0), 1, n));
        const untouched = applyOp('scatter', [ones, at, s.zerosLike()], {
          dim,
          reduce: null,
          includeSelf: true,
        });
        return [
          c.params.includeSelf ? g : f.mul(c.grad, untouched),
          null,
          applyOp('gather', [g, at], { dim }),
        ];
      }
      // A product without one of its factors that is zero is no quotient: that factor counts as one.
      const one = (t: Tensor, mask: Tensor): Tensor => applyOp('maskedFill', [t, mask], { value: 1 });
      const scattered = (base: Tensor, from: Tensor): Tensor =>
        applyOp('scatter', [base, at, from], c.params);
      const pick = (g: Tensor): Tensor => applyOp('gather', [g, at], { dim });
      const self = (): Tensor => {
        const base = one(x, f.eq(x, 0));
        const g = f.div(f.mul(c.grad, scattered(base, s)), base);
        return c.params.includeSelf
          ? g
          : applyOp('scatter', [g, at, zerosBeside(c.grad, at)], { dim, reduce: null, includeSelf: true });
      };
      const source = (): Tensor => {
        const zero = f.eq(s, 0);
        const zeros = pick(applyOp('scatterAdd', [x.zerosLike(), at, v.to(zero, x.dtype)], { dim }));
        const alone = f.logicalAnd(zero, f.eq(zeros, 1));
        return f.whereOp(
          alone,
          pick(f.mul(c.grad, scattered(x, one(s, alone)))),
          f.div(pick(f.mul(c.grad, y)), one(s, zero)),
        );
      };
      return [c.needs[0] ? self() : null, null, c.needs[2] ? source() : null];
    },
  },
  scatterAdd: {
    save: [1],
    grad: (c) => {
      const part = c.needs[2] ? applyOp('gather', [c.grad, c.input(1)], { dim: c.params.dim }) : null;
      const grow = part ? c.inMeta[2]!.shape.flatMap((n, d) => [n - part.shape[d]!, 0]).reverse() : [];
      return [c.grad, null, part ? (grow.some((p) => p !== 0) ? v.pad(part, grow) : part) : null];
    },
  },
  maskedFill: {
    save: [1],
    grad: (c) => [
      c.needs[0] ? sumTo(f.whereOp(c.input(1), 0, c.grad), c.inMeta[0]!) : null,
      null,
      c.needs[2] ? r.sum(pick(c.input(1), c.grad)) : null,
    ],
  },
  maskedSelect: {
    save: [1],
    grad: (c) => [applyOp('maskedSelectBackward', [c.grad, c.input(1)], { shape: c.inMeta[0]!.shape })],
  },
  maskedSelectBackward: {
    save: [1],
    grad: (c) => [applyOp('maskedSelect', [c.grad, c.input(1)], {})],
  },
  maskedScatter: {
    save: [1],
    grad: (c) => {
      const picked = applyOp('maskedSelect', [c.grad, v.expand(c.input(1), c.grad.shape)], {});
      const m = c.inMeta[2]!;
      return [
        sumTo(f.whereOp(c.input(1), 0, c.grad), c.inMeta[0]!),
        null,
        v.view(v.pad(picked, [0, numelOf(m.shape) - picked.numel()]), m.shape),
      ];
    },
  },
  embedding: {
    save: [1],
    grad: (c) => {
      const rows = c.inMeta[0]!.shape[0]!;
      return [applyOp('embeddingBackward', [c.grad, c.input(1)], { rows, ...c.params })];
    },
  },
  embeddingBackward: {
    save: [1],
    grad: (c) => {
      const g = applyOp('embedding', [c.grad, c.input(1)], { paddingIdx: -1, scaleGradByFreq: false });
      return [
        c.params.paddingIdx < 0 ? g : f.whereOp(v.unsqueeze(f.eq(c.input(1), c.params.paddingIdx), -1), 0, g),
      ];
    },
  },
} satisfies Partial<BackwardTable>;
