/** Backward rules of matrix products, softmax, norms, losses and attention. */
import { applyMulti, applyOp } from '../../dispatch.js';
import { softmax } from '../../ops/fused.js';
import { bmm, outer } from '../../ops/matmul.js';
import * as f from '../../ops/pointwise.js';
import * as r from '../../ops/reductions.js';
import * as v from '../../ops/views.js';
import { noGrad, state } from '../../state.js';
import type { Tensor } from '../../tensor.js';
import type { InputMeta } from '../node.js';
import type { BackwardTable, RuleContext } from '../record.js';
import { type Ctx, fused, needed, sumTo, t, zerosBeside } from './common.js';

/** The gradients of attention written with plain operations, for derivatives of them. */
function attentionComposed(
  c: RuleContext<{ scale: number; causal: boolean }>,
  g: Tensor,
  mask: Tensor | null,
): (Tensor | null)[] {
  const { scale, causal } = c.params;
  const [q, k, value] = [c.input(0), c.input(1), c.input(2)];
  let s = f.mul(bmm(q, t(k)), scale);
  if (mask) s = f.add(s, mask);
  const low = Number.NEGATIVE_INFINITY;
  if (causal) {
    const future = v.triu(
      noGrad(() => s.onesLike()),
      1,
    );
    s = f.whereOp(f.ne(future, 0), low, s);
  }
  // Rows that see nothing have weights of zero, and no gradient goes through them.
  const blind = f.eq(
    r.amax(
      noGrad(() => s.detach()),
      -1,
      true,
    ),
    low,
  );
  const weights = f.whereOp(blind, 0, softmax(f.whereOp(blind, 0, s), -1));
  const dWeights = bmm(g, t(value));
  let ds = f.mul(weights, f.sub(dWeights, r.sum(f.mul(dWeights, weights), -1, true)));
  if (c.grads[1]) ds = f.add(ds, f.mul(weights, v.unsqueeze(c.grads[1], -1)));
  return [
    c.needs[0] ? f.mul(bmm(ds, k), scale) : null,
    c.needs[1] ? f.mul(bmm(t(ds), q), scale) : null,
    c.needs[2] ? bmm(t(weights), g) : null,
    c.needs[3] && mask ? v.sumToSize(ds, mask.shape) : null,
  ];
}

function attentionGrads(c: RuleContext<{ scale: number; causal: boolean }>): (Tensor | null)[] {
  const mask = c.inputOrNull(3);
  const g = c.grads[0] ?? zerosBeside(c.grads[1]!, c.outMeta[0]!);
  if (state.gradEnabled) return attentionComposed(c, g, mask);
  const out = applyMulti(
    'attentionBackward',
    [g, c.grads[1] ?? null, c.input(0), c.input(1), c.input(2), mask, c.output(0), c.output(1)],
    {
      ...c.params,
      needs: [c.needs[0]!, c.needs[1]!, c.needs[2]!, c.needs[3] ?? false],
    },
  );
  return [out[0]!, out[1]!, out[2]!, c.needs[3] && mask ? v.sumToSize(out[3]!, mask.shape) : null];
}

/** Softmax-like second derivatives come from writing the first with plain operations when a graph is made. */
function softmaxGrad(c: RuleContext<{ dim: number }>, log: boolean): Tensor {
  const y = c.output(0);
  const { dim } = c.params;
  if (!state.gradEnabled) {
    return applyOp(log ? 'logSoftmaxBackward' : 'softmaxBackward', [c.grad, y], {
      dim,
      dtype: c.inMeta[0]!.dtype,
    });
  }
  if (log) return f.sub(c.grad, f.mul(f.exp(y), r.sum(c.grad, dim, true)));
  return f.mul(y, f.sub(c.grad, r.sum(f.mul(c.grad, y), dim, true)));
}

const bothProducts = (
  c: Ctx,
  base: number,
  product: (a: Tensor, b: Tensor) => Tensor,
  scale: number,
): (Tensor | null)[] => {
  const s = (x: Tensor): Tensor => (scale === 1 ? x : f.mul(x, scale));
  return [
    c.needs[base] ? s(product(c.grad, t(c.input(base + 1)))) : null,
    c.needs[base + 1] ? s(product(t(c.input(base)), c.grad)) : null,
  ];
};

const mm = (a: Tensor, b: Tensor): Tensor => applyOp('mm', [a, b], {});

/** Whether a matrix lies column by column, as a transposed weight does. */
const byColumn = ({ shape: [rows = 0, columns = 0], strides }: InputMeta): boolean =>
  strides !== undefined && strides[0] === 1 && strides[1] === rows && rows > 1 && columns > 1;

/** The gradient of a factor lies in memory as the factor does, as PyTorch's: a weight's .grad is then contiguous. */
const matrixProducts = (c: Ctx, base: number, scale: number): (Tensor | null)[] => {
  const s = (x: Tensor): Tensor => (scale === 1 ? x : f.mul(x, scale));
  const columns = (i: number): boolean => byColumn(c.inMeta[base + i]!);
  const left = (): Tensor => {
    const b = c.input(base + 1);
    return columns(0) ? t(mm(b, t(c.grad))) : mm(c.grad, t(b));
  };
  const right = (): Tensor => {
    const a = c.input(base);
    return columns(1) ? t(mm(t(c.grad), a)) : mm(t(a), c.grad);
  };
  return [c.needs[base] ? s(left()) : null, c.needs[base + 1] ? s(right()) : null];
};

export const fusedRules = {
  mm: { save: needed(0), grad: (c) => matrixProducts(c, 0, 1) },
  mv: {
    save: needed(0),
    grad: (c) => [
      c.needs[0] ? outer(c.grad, c.input(1)) : null,
      c.needs[1] ? applyOp('mv', [t(c.input(0)), c.grad], {}) : null,
    ],
  },
  dot: {
    save: needed(0),
    grad: (c) => [
      c.needs[0] ? f.mul(c.grad, c.input(1)) : null,
      c.needs[1] ? f.mul(c.grad, c.input(0)) : null,
    ],
  },
  bmm: { save: needed(0), grad: (c) => bothProducts(c, 0, bmm, 1) },
  addmm: {
    save: needed(1),
    grad: (c) => [
      c.needs[0] ? sumTo(c.params.beta === 1 ? c.grad : f.mul(c.grad, c.params.beta), c.inMeta[0]!) : null,
      ...matrixProducts(c, 1, c.params.alpha),
    ],
  },
  baddbmm: {
    save: needed(1),
    grad: (c) => [
      c.needs[0] ? sumTo(c.params.beta === 1 ? c.grad : f.mul(c.grad, c.params.beta), c.inMeta[0]!) : null,
      ...bothProducts(c, 1, bmm, c.params.alpha),
    ],
  },
  softmax: { save: [-1], grad: (c) => [v.to(softmaxGrad(c, false), c.inMeta[0]!.dtype)] },
  logSoftmax: { save: [-1], grad: (c) => [v.to(softmaxGrad(c, true), c.inMeta[0]!.dtype)] },
  softmaxBackward: fused,
  logSoftmaxBackward: fused,
  layerNorm: {
    save: [0, 1, 2, -2, -3],
    differentiable: [0],
    grad: (c) => {
      const [x, w, mean, rstd] = [c.input(0), c.inputOrNull(1), c.output(1), c.output(2)];
      const mask = [c.needs[0]!, c.needs[1] ?? false, c.needs[2] ?? false] as const;
      if (!state.gradEnabled) {
        const out = applyMulti('layerNormBackward', [c.grad, x, mean, rstd, w, c.inputOrNull(2)], {
          inner: c.params.inner,
          mask,
        });
        return out.map((o, i) => (mask[i] ? o : null));
      }
      const dims = c.params.inner.map((_, i) => x.shape.length - c.params.inner.length + i);
      const outer = x.shape.map((_, d) => d).filter((d) => !dims.includes(d));
      const centred = f.sub(x, r.mean(x, dims, true));
      const s = f.rsqrt(f.add(r.mean(f.square(centred), dims, true), c.params.eps));
      const h = f.mul(centred, s);
      const gw = w ? f.mul(c.grad, w) : c.grad;
      const over = (z: Tensor): Tensor => (outer.length === 0 ? z : r.sum(z, outer));
      return [
        f.mul(s, f.sub(f.sub(gw, r.mean(gw, dims, true)), f.mul(h, r.mean(f.mul(gw, h), dims, true)))),
        mask[1] ? over(f.mul(c.grad, h)) : null,
        mask[2] ? over(c.grad) : null,
      ];
    },
  },
  layerNormBackward: fused,
  rmsNorm: {
    save: [0, 1, -2],
    differentiable: [0],
    grad: (c) => {
      const [x, w, rstd] = [c.input(0), c.inputOrNull(1), c.output(1)];
      const mask = [c.needs[0]!, c.needs[1] ?? false] as const;
      if (!state.gradEnabled) {
        const out = applyMulti('rmsNormBackward', [c.grad, x, rstd, w], { inner: c.params.inner, mask });
        return out.map((o, i) => (mask[i] ? o : null));
      }
      const dims = c.params.inner.map((_, i) => x.shape.length - c.params.inner.length + i);
      const outer = x.shape.map((_, d) => d).filter((d) => !dims.includes(d));
      const s = f.rsqrt(f.add(r.mean(f.square(x), dims, true), c.params.eps));
      const h = f.mul(x, s);
      const gw = w ? f.mul(c.grad, w) : c.grad;
      return [
        f.mul(s, f.sub(gw, f.mul(h, r.mean(f.mul(gw, h), dims, true)))),
        mask[1] ? (outer.length === 0 ? f.mul(c.grad, h) : r.sum(f.mul(c.grad, h), outer)) : null,
      ];
    },
  },
  rmsNormBackward: fused,
  nllLoss: {
    save: [0, 1, 2, -2],
    differentiable: [0],
    grad: (c) => [
      applyOp('nllLossBackward', [c.grad, c.input(0), c.input(1), c.inputOrNull(2), c.output(1)], c.params),
    ],
  },
  nllLossBackward: {
    save: [1, 2, 3, 4],
    grad: (c) => {
      const { reduction, ignoreIndex } = c.params;
      const g = applyMulti('nllLoss', [c.grad, c.input(2), c.inputOrNull(3)], {
        reduction: reduction === 'mean' ? 'sum' : reduction,
        ignoreIndex,
      })[0]!;
      return [reduction === 'mean' ? f.div(g, c.input(4)) : g];
    },
  },
  attention: { save: [0, 1, 2, 3, -1, -2], grad: attentionGrads },
  attentionBackward: fused,
} satisfies Partial<BackwardTable>;
