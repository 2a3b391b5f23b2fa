/** Backward rules of reductions, scans and sorts. */
import { applyOp } from '../../dispatch.js';
import { finfo } from '../../dtype.js';
import * as f from '../../ops/pointwise.js';
import * as r from '../../ops/reductions.js';
import * as v from '../../ops/views.js';
import { Tensor } from '../../tensor.js';
import type { BackwardTable, Rule, RuleContext } from '../record.js';
import { type AnyRule, count, no, pick, restore, spread } from './common.js';

/** Gradient of values taken at indices along dim. */
const byIndex: AnyRule = {
  save: [-2],
  differentiable: [0],
  grad: (c) => {
    const { dim, keepdim = true } = c.params as { dim: number; keepdim?: boolean };
    return [
      applyOp('valueSelectingReductionBackward', [c.grad, c.output(1)], {
        shape: c.inMeta[0]!.shape,
        dim,
        keepdim,
      }),
    ];
  },
};

const evenly: Rule<{ dims: readonly number[]; keepdim: boolean }> = {
  save: [0, -1],
  grad: (c) => {
    const { dims, keepdim } = c.params;
    const x = c.input(0);
    const mask = f.eq(x, restore(c.output(0), x.shape, dims, keepdim));
    const share = f.div(restore(c.grad, x.shape, dims, keepdim), r.sum(mask, dims as number[], true));
    return [f.mul(share, mask)];
  },
};

function reverseCumsum(g: Tensor, dim: number): Tensor {
  return g.shape.length === 0 ? g : v.flip(r.cumsum(v.flip(g, dim), dim), dim);
}

function productGrad(c: RuleContext<{ dims: readonly number[]; keepdim: boolean }>): Tensor {
  const x = v.to(c.input(0), c.grad.dtype);
  const { dims, keepdim } = c.params;
  const g = restore(c.grad, x.shape, dims, keepdim);
  if (x.constructor === Tensor && !x.isMeta && !r.truth(r.any(f.eq(x, 0))))
    return f.mul(g, f.div(restore(c.output(0), x.shape, dims, keepdim), x));
  if (x.shape.length === 0) return f.mul(g, x.onesLike());
  // With zeros: the product of all the others, from both sides.
  const rest = x.shape.map((_, d) => d).filter((d) => !dims.includes(d));
  const order = [...rest, ...dims];
  const moved = v.permute(x, order);
  const lead = rest.map((d) => x.shape[d]!);
  const flat = v.reshape(moved, [...lead, count(x.shape, dims)]);
  const d = lead.length;
  const one = v.narrow(flat, d, 0, 1).onesLike();
  const n = flat.shape[d]!;
  const before = r.cumprod(v.cat([one, v.narrow(flat, d, 0, n - 1)], d), d);
  const after = v.flip(r.cumprod(v.cat([one, v.flip(v.narrow(flat, d, 1, n - 1), d)], d), d), d);
  const others = v.reshape(f.mul(before, after), moved.shape);
  return f.mul(
    g,
    v.permute(
      others,
      order.map((_, i) => order.indexOf(i)),
    ),
  );
}

function cumprodGrad(x: Tensor, y: Tensor, g: Tensor, dim: number): Tensor {
  if (x.shape.length === 0 || x.shape[dim] === 1) return g;
  if (x.constructor === Tensor && !x.isMeta && !r.truth(r.any(f.eq(x, 0))))
    return f.div(reverseCumsum(f.mul(y, g), dim), x);
  // Exact with zeros too: d out_k / d x_i = product of the others up to k.
  const n = x.shape[dim]!;
  const columns: Tensor[] = [];
  for (let i = 0; i < n; i++) {
    const head = v.narrow(x, dim, 0, i);
    const prefix = i === 0 ? v.narrow(x, dim, 0, 1).onesLike() : r.prod(head, dim, true);
    const tail = i + 1 < n ? r.cumprod(v.narrow(x, dim, i + 1, n - i - 1), dim) : null;
    const ones = prefix.onesLike();
    const factors = f.mul(tail ? v.cat([ones, tail], dim) : ones, prefix);
    columns.push(r.sum(f.mul(factors, v.narrow(g, dim, i, n - i)), dim, true));
  }
  return v.cat(columns, dim);
}

function normGrad(c: RuleContext<{ ord: number; dims: readonly number[]; keepdim: boolean }>): Tensor | null {
  const x = c.input(0);
  const { ord, dims, keepdim } = c.params;
  const y = restore(c.output(0), x.shape, dims, keepdim);
  const g = restore(c.grad, x.shape, dims, keepdim);
  const safe = (z: Tensor): Tensor => f.maskedFillLike(z, f.eq(y, 0));
  if (ord === 0) return null;
  if (ord === 1) return f.mul(f.sign(x), g);
  if (ord === 2) return f.mul(g, safe(f.div(x, y)));
  if (!Number.isFinite(ord)) {
    const hit = f.eq(f.abs(x), y);
    return f.mul(f.mul(f.sign(x), hit), f.div(g, r.sum(hit, dims as number[], true)));
  }
  if (ord < 1)
    return f.mul(
      safe(f.mul(f.sign(x), f.whereOp(f.eq(x, 0), 0, f.pow(f.abs(x), ord - 1)))),
      f.mul(g, f.pow(y, 1 - ord)),
    );
  if (ord < 2) return safe(f.div(f.mul(f.mul(f.sign(x), f.pow(f.abs(x), ord - 1)), g), f.pow(y, ord - 1)));
  return safe(f.div(f.mul(f.mul(x, f.pow(f.abs(x), ord - 2)), g), f.pow(y, ord - 1)));
}

export const reductionsRules = {
  sum: { grad: (c) => [spread(c.grad, c.inMeta[0]!.shape, c.params.dims, c.params.keepdim)] },
  nansum: {
    save: [0],
    grad: (c) => [
      pick(
        f.logicalNot(f.isnan(c.input(0))),
        spread(c.grad, c.inMeta[0]!.shape, c.params.dims, c.params.keepdim),
      ),
    ],
  },
  mean: {
    grad: (c) => [
      f.div(
        spread(c.grad, c.inMeta[0]!.shape, c.params.dims, c.params.keepdim),
        count(c.inMeta[0]!.shape, c.params.dims),
      ),
    ],
  },
  prod: { save: [0, -1], grad: (c) => [productGrad(c)] },
  amax: evenly,
  amin: evenly,
  all: no,
  any: no,
  countNonzero: no,
  logsumexp: {
    save: [0, -1],
    grad: (c) => {
      const x = c.input(0);
      const y = restore(c.output(0), x.shape, c.params.dims, c.params.keepdim);
      const finite = f.whereOp(f.isinf(y), 0, y);
      return [
        f.mul(
          restore(c.grad, x.shape, c.params.dims, c.params.keepdim),
          f.exp(f.sub(x, f.whereOp(f.isposinf(y), y, finite))),
        ),
      ];
    },
  },
  norm: { save: [0, -1], grad: (c) => [normGrad(c)] },
  var: {
    save: [0],
    grad: (c) => {
      const x = c.input(0);
      const { dims, keepdim, correction } = c.params;
      const g = f.mul(restore(c.grad, x.shape, dims, keepdim), 2 / (count(x.shape, dims) - correction));
      return [f.mul(g, f.sub(x, r.mean(x, dims as number[], true)))];
    },
  },
  std: {
    save: [0, -1],
    grad: (c) => {
      const x = c.input(0);
      const { dims, keepdim, correction } = c.params;
      const y = restore(c.output(0), x.shape, dims, keepdim);
      const g = f.div(restore(c.grad, x.shape, dims, keepdim), f.mul(y, count(x.shape, dims) - correction));
      return [f.mul(f.whereOp(f.eq(y, 0), 0, g), f.sub(x, r.mean(x, dims as number[], true)))];
    },
  },
  max: byIndex,
  min: byIndex,
  argmax: no,
  argmin: no,
  sort: byIndex,
  topk: byIndex,
  kthvalue: byIndex,
  median: byIndex,
  cumsum: { grad: (c) => [reverseCumsum(v.to(c.grad, c.inMeta[0]!.dtype), c.params.dim)] },
  cumprod: {
    save: [0, -1],
    grad: (c) => [cumprodGrad(c.input(0), c.output(0), v.to(c.grad, c.inMeta[0]!.dtype), c.params.dim)],
  },
  logcumsumexp: {
    save: [0, -1],
    grad: (c) => {
      const [x, y, g] = [c.input(0), c.output(0), c.grad];
      const { dim } = c.params;
      if (x.shape.length === 0) return [g];
      const part = (z: Tensor): Tensor =>
        f.exp(f.add(applyOp('logcumsumexp', [v.flip(f.sub(z, y), dim)], { dim }).flip(dim), x));
      // Gradients of one sign at a time; a finite logarithm for the others keeps nan out of further derivatives.
      const logs = f.log(f.abs(g));
      const lowest = finfo(g.dtype).min;
      return [f.sub(part(f.whereOp(f.gt(g, 0), logs, lowest)), part(f.whereOp(f.lt(g, 0), logs, lowest)))];
    },
  },
  cummax: byIndex,
  cummin: byIndex,
  valueSelectingReductionBackward: {
    save: [1],
    grad: (c) => {
      const { shape, dim, keepdim } = c.params;
      if (shape.length === 0) return [c.grad];
      const at = keepdim ? c.input(1) : v.unsqueeze(c.input(1), dim);
      const g = applyOp('gather', [c.grad, at], { dim });
      return [keepdim ? g : v.squeeze(g, dim)];
    },
  },
} satisfies Partial<BackwardTable>;
