/** The backward table: a rule for every operation, or the statement that it has none. */

import { applyMulti, applyOp } from '../../dispatch.js';
import { int64 } from '../../dtype.js';
import { alloc } from '../../kernels/common.js';
import { arange, fullLike, zeros } from '../../ops/creation.js';
import { bmm } from '../../ops/matmul.js';
import * as f from '../../ops/pointwise.js';
import * as r from '../../ops/reductions.js';
import * as v from '../../ops/views.js';
import { contiguousStrides, numelOf } from '../../shape.js';
import { getBackend, state } from '../../state.js';
import type { Tensor } from '../../tensor.js';
import type { InputMeta } from '../node.js';
import { type BackwardTable, notDifferentiable, type Rule, type RuleContext } from '../record.js';

// biome-ignore lint/suspicious/noExplicitAny: rules of this helper read no parameters
type AnyRule = Rule<any>;
type Ctx = RuleContext<unknown>;

const t = (x: Tensor): Tensor => v.transpose(x, -2, -1);
const sumTo = (g: Tensor, m: InputMeta | null): Tensor => v.sumToSize(g, m!.shape);
const zerosOf = (m: InputMeta): Tensor => zeros(m.shape, { dtype: m.dtype, device: m.device });

/** gradient times a factor of the input. */
const ofInput = (factor: (x: Tensor) => Tensor): AnyRule => ({
  save: [0],
  grad: (c) => [f.mul(c.grad, factor(c.input(0)))],
});
const ofOutput = (factor: (y: Tensor) => Tensor): AnyRule => ({
  save: [-1],
  grad: (c) => [f.mul(c.grad, factor(c.output(0)))],
});
const zeroGrad: AnyRule = { grad: (c) => c.inMeta.map((m, i) => (c.needs[i] ? zerosOf(m!) : null)) };

/** Two inputs that broadcast: factors of the gradient for each. */
function two(save: Rule<never>['save'], a: (c: Ctx) => Tensor, b: (c: Ctx) => Tensor): AnyRule {
  return {
    ...(save ? { save: save as NonNullable<AnyRule['save']> } : {}),
    grad: (c) => [
      c.needs[0] ? sumTo(a(c), c.inMeta[0]!) : null,
      c.needs[1] ? sumTo(b(c), c.inMeta[1]!) : null,
    ],
  };
}
const pick = (condition: Tensor, g: Tensor): Tensor =>
  f.whereOp(condition, g, f.mul(v.detach(g), 0).zerosLike());
const half = (c: Ctx, name: 'gt' | 'lt'): [Tensor, Tensor] => {
  const [x, y] = [c.input(0), c.input(1)];
  const g = f.whereOp(f.eq(x, y), f.div(c.grad, 2), c.grad);
  const first = name === 'gt' ? f.ge(x, y) : f.le(x, y);
  const second = name === 'gt' ? f.ge(y, x) : f.le(y, x);
  return [pick(first, g), pick(second, g)];
};
const extremeOf = (name: 'gt' | 'lt'): AnyRule => ({
  save: [0, 1],
  grad: (c) => {
    const [a, b] = half(c, name);
    return [c.needs[0] ? sumTo(a, c.inMeta[0]!) : null, c.needs[1] ? sumTo(b, c.inMeta[1]!) : null];
  },
});
const takeOne = (first: (x: Tensor, y: Tensor) => Tensor): AnyRule => ({
  save: [0, 1],
  grad: (c) => {
    const m = first(c.input(0), c.input(1));
    return [sumTo(pick(m, c.grad), c.inMeta[0]!), sumTo(pick(f.logicalNot(m), c.grad), c.inMeta[1]!)];
  },
});

/** A reduced gradient spread over the input's shape again. */
function spread(g: Tensor, shape: readonly number[], dims: readonly number[], keepdim: boolean): Tensor {
  return v.expand(restore(g, shape, dims, keepdim), shape);
}
function restore(x: Tensor, shape: readonly number[], dims: readonly number[], keepdim: boolean): Tensor {
  return keepdim
    ? x
    : v.reshape(
        x,
        shape.map((n, d) => (dims.includes(d) ? 1 : n)),
      );
}
const count = (shape: readonly number[], dims: readonly number[]): number =>
  numelOf(dims.map((d) => shape[d]!));

/** Gradient of values taken at indices along dim. */
function scatterBack(g: Tensor, index: Tensor, meta: InputMeta, dim: number, keepdim: boolean): Tensor {
  if (meta.shape.length === 0) return v.reshape(g, []);
  const up = keepdim ? g : v.unsqueeze(g, dim);
  const at = keepdim ? index : v.unsqueeze(index, dim);
  return applyOp('scatterAdd', [zerosOf(meta), at, up], { dim });
}
const byIndex: AnyRule = {
  save: [-2],
  differentiable: [0],
  grad: (c) => [
    scatterBack(
      c.grad,
      c.output(1),
      c.inMeta[0]!,
      (c.params as { dim: number }).dim,
      (c.params as { keepdim?: boolean }).keepdim ?? true,
    ),
  ],
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

/** Linear positions in a contiguous copy of `meta` for the elements of an as-strided view of its storage. */
function positions(shape: readonly number[], strides: readonly number[], offset: number): Tensor {
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
interface Layout {
  strides: readonly number[];
  offset: number;
}
export function layoutOf(m: InputMeta): Layout {
  return (m as InputMeta & { layout?: Layout }).layout ?? { strides: contiguousStrides(m.shape), offset: 0 };
}
export { positions };

function attentionGrads(c: RuleContext<{ scale: number; causal: boolean }>): (Tensor | null)[] {
  const mask = c.inputOrNull(3);
  const g = c.grads[0] ?? zerosOf(c.outMeta[0]!);
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

function productGrad(c: RuleContext<{ dims: readonly number[]; keepdim: boolean }>): Tensor {
  const x = c.input(0);
  const { dims, keepdim } = c.params;
  const g = restore(c.grad, x.shape, dims, keepdim);
  if (!x.isMeta && !r.truth(r.any(f.eq(x, 0))))
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

function cumprodGrad(x: Tensor, g: Tensor, dim: number): Tensor {
  if (x.shape.length === 0) return g;
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

function normGrad(c: RuleContext<{ ord: number; dims: readonly number[]; keepdim: boolean }>): Tensor {
  const x = c.input(0);
  const { ord, dims, keepdim } = c.params;
  const y = restore(c.output(0), x.shape, dims, keepdim);
  const g = restore(c.grad, x.shape, dims, keepdim);
  const safe = (z: Tensor): Tensor => f.maskedFillLike(z, f.eq(y, 0));
  if (ord === 0) return x.zerosLike();
  if (ord === 1) return f.mul(f.sign(x), g);
  if (ord === 2) return safe(f.mul(f.div(x, y), g));
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

const viewBack = (back: (c: RuleContext<never>) => Tensor): AnyRule => ({
  grad: (c) => [back(c as RuleContext<never>)],
});
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
const needed =
  (base: number) =>
  (needs: readonly boolean[]): number[] => [
    ...(needs[base + 1] ? [base] : []),
    ...(needs[base] ? [base + 1] : []),
  ];
const fused: typeof notDifferentiable = notDifferentiable;
const no: typeof notDifferentiable = notDifferentiable;

export const rules: BackwardTable = {
  abs: ofInput(f.sign),
  neg: { grad: (c) => [f.neg(c.grad)] },
  exp: ofOutput((y) => y),
  exp2: ofOutput((y) => f.mul(y, Math.LN2)),
  expm1: ofOutput((y) => f.add(y, 1)),
  log: { save: [0], grad: (c) => [f.div(c.grad, c.input(0))] },
  log2: { save: [0], grad: (c) => [f.div(c.grad, f.mul(c.input(0), Math.LN2))] },
  log10: { save: [0], grad: (c) => [f.div(c.grad, f.mul(c.input(0), Math.LN10))] },
  log1p: { save: [0], grad: (c) => [f.div(c.grad, f.add(c.input(0), 1))] },
  sqrt: { save: [-1], grad: (c) => [f.div(c.grad, f.mul(c.output(0), 2))] },
  rsqrt: ofOutput((y) => f.mul(f.pow(y, 3), -0.5)),
  reciprocal: ofOutput((y) => f.neg(f.mul(y, y))),
  square: ofInput((x) => f.mul(x, 2)),
  sin: ofInput(f.cos),
  cos: ofInput((x) => f.neg(f.sin(x))),
  tan: ofOutput((y) => f.add(f.mul(y, y), 1)),
  asin: ofInput((x) => f.rsqrt(f.rsub(f.mul(x, x), 1))),
  acos: ofInput((x) => f.neg(f.rsqrt(f.rsub(f.mul(x, x), 1)))),
  atan: ofInput((x) => f.reciprocal(f.add(f.mul(x, x), 1))),
  sinh: ofInput(f.cosh),
  cosh: ofInput(f.sinh),
  tanh: ofOutput((y) => f.rsub(f.mul(y, y), 1)),
  asinh: ofInput((x) => f.rsqrt(f.add(f.mul(x, x), 1))),
  acosh: ofInput((x) => f.rsqrt(f.sub(f.mul(x, x), 1))),
  atanh: ofInput((x) => f.reciprocal(f.rsub(f.mul(x, x), 1))),
  sigmoid: ofOutput((y) => f.mul(y, f.rsub(y, 1))),
  relu: { save: [-1], grad: (c) => [pick(f.gt(c.output(0), 0), c.grad)] },
  sign: zeroGrad,
  ceil: zeroGrad,
  floor: zeroGrad,
  round: zeroGrad,
  trunc: zeroGrad,
  frac: { grad: (c) => [c.grad] },
  erf: ofInput((x) => f.mul(f.exp(f.neg(f.mul(x, x))), 2 / Math.sqrt(Math.PI))),
  erfc: ofInput((x) => f.mul(f.exp(f.neg(f.mul(x, x))), -2 / Math.sqrt(Math.PI))),
  erfinv: ofOutput((y) => f.mul(f.exp(f.mul(y, y)), Math.sqrt(Math.PI) / 2)),
  lgamma: ofInput(f.digamma),
  digamma: ofInput(f.trigamma),
  trigamma: no,
  silu: ofInput((x) => {
    const s = f.sigmoid(x);
    return f.mul(s, f.add(f.mul(x, f.rsub(s, 1)), 1));
  }),
  mish: ofInput((x) => {
    const th = f.tanh(f.softplus(x));
    return f.add(th, f.mul(f.mul(x, f.sigmoid(x)), f.rsub(f.mul(th, th), 1)));
  }),
  logsigmoid: ofInput((x) => f.sigmoid(f.neg(x))),
  bitwiseNot: no,
  isnan: no,
  isinf: no,
  isfinite: no,
  signbit: no,
  logicalNot: no,
  isposinf: no,
  isneginf: no,
  eq: no,
  ne: no,
  lt: no,
  le: no,
  gt: no,
  ge: no,
  logicalAnd: no,
  logicalOr: no,
  logicalXor: no,
  add: {
    grad: (c) => [
      c.needs[0] ? sumTo(c.grad, c.inMeta[0]!) : null,
      c.needs[1]
        ? sumTo(c.params.alpha === 1 ? c.grad : f.mul(c.grad, Number(c.params.alpha)), c.inMeta[1]!)
        : null,
    ],
  },
  sub: {
    grad: (c) => [
      c.needs[0] ? sumTo(c.grad, c.inMeta[0]!) : null,
      c.needs[1]
        ? sumTo(c.params.alpha === 1 ? f.neg(c.grad) : f.mul(c.grad, -Number(c.params.alpha)), c.inMeta[1]!)
        : null,
    ],
  },
  mul: two(
    needed(0),
    (c) => f.mul(c.grad, c.input(1)),
    (c) => f.mul(c.grad, c.input(0)),
  ),
  div: two(
    (needs: readonly boolean[]) => (needs[1] ? [0, 1] : [1]),
    (c) => f.div(c.grad, c.input(1)),
    (c) => f.mul(f.neg(c.grad), f.div(f.div(c.input(0), c.input(1)), c.input(1))),
  ),
  divFloor: zeroGrad,
  divTrunc: zeroGrad,
  pow: {
    save: [0, 1, -1],
    grad: (c) => {
      const [x, p] = [c.input(0), c.input(1)];
      const base = (): Tensor => f.mul(c.grad, f.whereOp(f.eq(p, 0), 0, f.mul(p, f.pow(x, f.sub(p, 1)))));
      const exponent = (): Tensor =>
        f.mul(c.grad, f.whereOp(f.logicalAnd(f.eq(x, 0), f.ge(p, 0)), 0, f.mul(c.output(0), f.log(x))));
      return [
        c.needs[0] ? sumTo(base(), c.inMeta[0]!) : null,
        c.needs[1] ? sumTo(exponent(), c.inMeta[1]!) : null,
      ];
    },
  },
  atan2: two(
    [0, 1],
    (c) => f.mul(c.grad, f.div(c.input(1), f.add(f.square(c.input(0)), f.square(c.input(1))))),
    (c) => f.mul(c.grad, f.div(f.neg(c.input(0)), f.add(f.square(c.input(0)), f.square(c.input(1))))),
  ),
  maximum: extremeOf('gt'),
  minimum: extremeOf('lt'),
  fmax: takeOne((x, y) => f.logicalOr(f.ge(x, y), f.isnan(y))),
  fmin: takeOne((x, y) => f.logicalOr(f.le(x, y), f.isnan(y))),
  remainder: two(
    [0, 1],
    (c) => c.grad,
    (c) => f.mul(f.neg(c.grad), f.div(c.input(0), c.input(1), { roundingMode: 'floor' })),
  ),
  fmod: two(
    [0, 1],
    (c) => c.grad,
    (c) => f.mul(f.neg(c.grad), f.div(c.input(0), c.input(1), { roundingMode: 'trunc' })),
  ),
  copysign: two(
    [0, -1],
    (c) => f.mul(c.grad, f.whereOp(f.eq(c.input(0), 0), 0, f.div(c.output(0), c.input(0)))),
    (c) => f.mul(c.grad, 0),
  ),
  hypot: two(
    [0, 1, -1],
    (c) => f.mul(c.grad, f.div(c.input(0), c.output(0))),
    (c) => f.mul(c.grad, f.div(c.input(1), c.output(0))),
  ),
  logaddexp: two(
    [0, 1, -1],
    (c) => f.mul(c.grad, f.sigmoid(f.sub(c.input(0), c.input(1)))),
    (c) => f.mul(c.grad, f.sigmoid(f.sub(c.input(1), c.input(0)))),
  ),
  logaddexp2: two(
    [0, 1],
    (c) => f.mul(c.grad, f.sigmoid(f.mul(f.sub(c.input(0), c.input(1)), Math.LN2))),
    (c) => f.mul(c.grad, f.sigmoid(f.mul(f.sub(c.input(1), c.input(0)), Math.LN2))),
  ),
  xlogy: two(
    [0, 1],
    (c) =>
      f.mul(c.grad, f.whereOp(f.logicalAnd(f.eq(c.input(0), 0), f.le(c.input(1), 0)), 0, f.log(c.input(1)))),
    (c) => f.mul(c.grad, f.div(c.input(0), c.input(1))),
  ),
  gcd: no,
  lcm: no,
  bitwiseAnd: no,
  bitwiseOr: no,
  bitwiseXor: no,
  leftShift: no,
  rightShift: no,
  nextafter: no,
  clamp: {
    save: (_needs, _p) => [0, 1, 2],
    grad: (c) => {
      const x = c.input(0);
      const lo = c.inMeta[1] ? c.input(1) : c.params.min;
      const hi = c.inMeta[2] ? c.input(2) : c.params.max;
      let inside = f.eq(x, x);
      if (lo !== null) inside = f.logicalAnd(inside, f.ge(x, lo));
      if (hi !== null) inside = f.logicalAnd(inside, f.le(x, hi));
      return [
        sumTo(pick(inside, c.grad), c.inMeta[0]!),
        c.needs[1]
          ? sumTo(
              pick(hi === null ? f.lt(x, lo!) : f.logicalAnd(f.lt(x, lo!), f.lt(c.input(1), hi)), c.grad),
              c.inMeta[1]!,
            )
          : null,
        c.needs[2]
          ? sumTo(
              pick(
                lo === null
                  ? f.gt(x, hi!)
                  : f.logicalOr(
                      f.gt(x, hi!),
                      f.gt(c.inMeta[1] ? c.input(1) : fullLike(x, lo as number), hi!),
                    ),
                c.grad,
              ),
              c.inMeta[2]!,
            )
          : null,
      ];
    },
  },
  addcmul: {
    save: (n) => [...(n[2] ? [1] : []), ...(n[1] ? [2] : [])],
    grad: (c) => [
      c.needs[0] ? sumTo(c.grad, c.inMeta[0]!) : null,
      c.needs[1] ? sumTo(f.mul(c.grad, f.mul(c.input(2), c.params.value)), c.inMeta[1]!) : null,
      c.needs[2] ? sumTo(f.mul(c.grad, f.mul(c.input(1), c.params.value)), c.inMeta[2]!) : null,
    ],
  },
  addcdiv: {
    save: (n) => [...(n[2] ? [1] : []), 2],
    grad: (c) => [
      c.needs[0] ? sumTo(c.grad, c.inMeta[0]!) : null,
      c.needs[1] ? sumTo(f.mul(c.grad, f.rdiv(c.params.value, c.input(2))), c.inMeta[1]!) : null,
      c.needs[2]
        ? sumTo(
            f.mul(f.neg(c.grad), f.div(f.mul(c.input(1), c.params.value), f.mul(c.input(2), c.input(2)))),
            c.inMeta[2]!,
          )
        : null,
    ],
  },
  lerp: {
    save: [0, 1, 2],
    grad: (c) => [
      c.needs[0] ? sumTo(f.mul(c.grad, f.rsub(c.input(2), 1)), c.inMeta[0]!) : null,
      c.needs[1] ? sumTo(f.mul(c.grad, c.input(2)), c.inMeta[1]!) : null,
      c.needs[2] ? sumTo(f.mul(c.grad, f.sub(c.input(1), c.input(0))), c.inMeta[2]!) : null,
    ],
  },
  where: {
    save: [0],
    grad: (c) => [
      null,
      c.needs[1] ? sumTo(pick(c.input(0), c.grad), c.inMeta[1]!) : null,
      c.needs[2] ? sumTo(pick(f.logicalNot(c.input(0)), c.grad), c.inMeta[2]!) : null,
    ],
  },
  gelu: {
    save: [0],
    grad: (c) => {
      const x = c.input(0);
      if (!state.gradEnabled)
        return [applyOp('geluBackward', [c.grad, x], { approximate: c.params.approximate })];
      if (c.params.approximate === 'tanh') {
        const k = Math.sqrt(2 / Math.PI);
        const th = f.tanh(f.mul(f.add(x, f.mul(f.pow(x, 3), 0.044715)), k));
        const inner = f.mul(f.add(f.mul(f.square(x), 3 * 0.044715), 1), k);
        return [
          f.mul(
            c.grad,
            f.add(f.mul(f.add(th, 1), 0.5), f.mul(f.mul(f.mul(x, 0.5), f.rsub(f.square(th), 1)), inner)),
          ),
        ];
      }
      const cdf = f.mul(f.add(f.erf(f.mul(x, Math.SQRT1_2)), 1), 0.5);
      const pdf = f.mul(f.exp(f.mul(f.square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
      return [f.mul(c.grad, f.add(cdf, f.mul(x, pdf)))];
    },
  },
  geluBackward: fused,
  elu: {
    save: [0],
    grad: (c) => {
      const { alpha, scale, inputScale } = c.params;
      const x = c.input(0);
      return [
        f.mul(
          c.grad,
          f.whereOp(f.le(x, 0), f.mul(f.exp(f.mul(x, inputScale)), alpha * scale * inputScale), scale),
        ),
      ];
    },
  },
  softplus: {
    save: [0],
    grad: (c) => {
      const z = f.mul(c.input(0), c.params.beta);
      return [f.whereOp(f.gt(z, c.params.threshold), c.grad, f.mul(c.grad, f.sigmoid(z)))];
    },
  },
  leakyRelu: {
    save: [0],
    grad: (c) => [f.whereOp(f.gt(c.input(0), 0), c.grad, f.mul(c.grad, c.params.negativeSlope))],
  },
  hardswish: {
    save: [0],
    grad: (c) => {
      const x = c.input(0);
      return [
        f.whereOp(
          f.lt(x, -3),
          f.mul(c.grad, 0),
          f.whereOp(f.le(x, 3), f.mul(c.grad, f.add(f.div(x, 3), 0.5)), c.grad),
        ),
      ];
    },
  },
  hardsigmoid: {
    save: [0],
    grad: (c) => [pick(f.logicalAnd(f.gt(c.input(0), -3), f.lt(c.input(0), 3)), f.div(c.grad, 6))],
  },
  nanToNum: { save: [0], grad: (c) => [pick(f.isfinite(c.input(0)), c.grad)] },
  clone: { grad: (c) => [c.grad] },
  toCopy: { grad: (c) => [v.to(c.grad, { dtype: c.inMeta[0]!.dtype, device: c.inMeta[0]!.device })] },
  copy: {
    grad: (c) => [
      c.needs[0] ? zerosOf(c.inMeta[0]!) : null,
      c.needs[1] ? v.to(sumTo(c.grad, c.inMeta[1]!), c.inMeta[1]!.dtype) : null,
    ],
  },
  fill: zeroGrad,
  fullLike: no,
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
  cumsum: { grad: (c) => [reverseCumsum(c.grad, c.params.dim)] },
  cumprod: { save: [0], grad: (c) => [cumprodGrad(c.input(0), c.grad, c.params.dim)] },
  logcumsumexp: {
    save: [0, -1],
    grad: (c) => {
      const [x, y, g] = [c.input(0), c.output(0), c.grad];
      const { dim } = c.params;
      if (x.shape.length === 0) return [g];
      const part = (z: Tensor): Tensor =>
        f.exp(f.add(applyOp('logcumsumexp', [v.flip(f.sub(f.log(z), y), dim)], { dim }).flip(dim), x));
      const zero = g.zerosLike();
      return [f.sub(part(f.whereOp(f.gt(g, 0), g, zero)), part(f.whereOp(f.lt(g, 0), f.neg(g), zero)))];
    },
  },
  cummax: byIndex,
  cummin: byIndex,
  alias: { grad: (c) => [c.grad] },
  detach: no,
  view: viewBack((c) => v.reshape(c.grad, c.inMeta[0]!.shape)),
  viewDtype: no,
  expand: viewBack((c) => sumTo(c.grad, c.inMeta[0]!)),
  permute: {
    grad: (c) => [
      v.permute(
        c.grad,
        c.params.dims.map((_, i) => c.params.dims.indexOf(i)),
      ),
    ],
  },
  select: {
    grad: (c) => [
      applyOp(
        'indexCopy',
        [
          zerosOf(c.inMeta[0]!),
          v.reshape(arange(c.params.index, c.params.index + 1), [1]),
          v.unsqueeze(c.grad, c.params.dim),
        ],
        { dim: c.params.dim },
      ),
    ],
  },
  slice: {
    grad: (c) => {
      const { dim, start, end, step } = c.params;
      const n = c.inMeta[0]!.shape[dim]!;
      if (step === 1) {
        const pad = new Array<number>(2 * (c.inMeta[0]!.shape.length - dim)).fill(0);
        pad[pad.length - 2] = start;
        pad[pad.length - 1] = n - Math.max(start, end);
        return [v.pad(c.grad, pad)];
      }
      return [
        applyOp('indexCopy', [zerosOf(c.inMeta[0]!), arange(start, Math.max(start, end), step), c.grad], {
          dim,
        }),
      ];
    },
  },
  squeeze: viewBack((c) => v.reshape(c.grad, c.inMeta[0]!.shape)),
  unsqueeze: viewBack((c) => v.reshape(c.grad, c.inMeta[0]!.shape)),
  diagonal: {
    grad: (c) => {
      const m = c.inMeta[0]!;
      const base = alloc(m.shape, m.dtype, 'cpu');
      const d = base.diagonal(c.params.offset, c.params.dim1, c.params.dim2);
      const flat = applyOp(
        'indexCopy',
        [
          zeros([numelOf(m.shape)], { dtype: m.dtype }),
          positions(d.shape, d.strides, d.storageOffset),
          v.reshape(c.grad, [-1]),
        ],
        { dim: 0 },
      );
      return [v.view(flat, m.shape)];
    },
  },
  unfold: {
    grad: (c) => {
      const m = c.inMeta[0]!;
      const u = alloc(m.shape, m.dtype, 'cpu').unfold(c.params.dim, c.params.size, c.params.step);
      const flat = applyOp(
        'indexAdd',
        [
          zeros([numelOf(m.shape)], { dtype: m.dtype }),
          positions(u.shape, u.strides, u.storageOffset),
          v.reshape(c.grad, [-1]),
        ],
        { dim: 0, alpha: 1 },
      );
      return [v.view(flat, m.shape)];
    },
  },
  asStrided: {
    grad: (c) => {
      const m = c.inMeta[0]!;
      const { strides, offset } = layoutOf(m);
      const { shape } = c.params;
      const reach = (s: readonly number[], st: readonly number[], o: number): number =>
        numelOf(s) === 0 ? o : o + s.reduce((a, n, d) => a + (n - 1) * st[d]!, 1);
      const total = Math.max(
        reach(m.shape, strides, offset),
        reach(shape, c.params.strides, c.params.offset),
      );
      const flat = applyOp(
        'indexAdd',
        [
          zeros([total], { dtype: m.dtype }),
          positions(shape, c.params.strides, c.params.offset),
          v.reshape(c.grad, [-1]),
        ],
        { dim: 0, alpha: 1 },
      );
      return [
        v.reshape(applyOp('indexSelect', [flat, positions(m.shape, strides, offset)], { dim: 0 }), m.shape),
      ];
    },
  },
  split: {
    grad: (c) => [
      v.cat(
        c.grads.map((g, i) => g ?? zerosOf(c.outMeta[i]!)),
        c.params.dim,
      ),
    ],
  },
  unbind: {
    grad: (c) => [
      v.stack(
        c.grads.map((g, i) => g ?? zerosOf(c.outMeta[i]!)),
        c.params.dim,
      ),
    ],
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
          return c.needs[i] ? zerosOf(m!) : null;
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
  index: {
    save: (needs) => needs.map((_, i) => i).slice(1),
    grad: (c) => [
      applyOp(
        'indexPut',
        [zerosOf(c.inMeta[0]!), c.grad, ...c.inMeta.slice(1).map((_, i) => c.input(i + 1))],
        { dims: c.params.dims, accumulate: true },
      ),
    ],
  },
  indexPut: {
    save: (needs) => needs.map((_, i) => i).slice(2),
    grad: (c) => {
      const at = c.inMeta.slice(2).map((_, i) => c.input(i + 2));
      const zero = zeros([], { dtype: c.grad.dtype });
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
    grad: (c) => {
      const m = c.inMeta[0]!;
      if (m.shape.length === 0) return [r.sum(c.grad)];
      return [applyOp('indexAdd', [zerosOf(m), c.input(1), c.grad], { dim: c.params.dim, alpha: 1 })];
    },
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
        c.needs[0]
          ? applyOp('indexCopy', [c.grad, at, zeros(shape, { dtype: c.grad.dtype })], { dim })
          : null,
        null,
        c.needs[2] ? v.reshape(applyOp('indexSelect', [c.grad, at], { dim }), c.inMeta[2]!.shape) : null,
      ];
    },
  },
  gather: {
    save: [1],
    grad: (c) => [applyOp('scatterAdd', [zerosOf(c.inMeta[0]!), c.input(1), c.grad], { dim: c.params.dim })],
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
      if (reduce === 'add') return [c.needs[0] ? c.grad : null, null, c.needs[2] ? back(c.grad) : null];
      if (reduce === null) {
        const zero = zeros(at.shape, { dtype: c.grad.dtype });
        return [
          c.needs[0]
            ? applyOp('scatter', [c.grad, at, zero], { dim, reduce: null, includeSelf: true })
            : null,
          null,
          c.needs[2] ? back(c.grad) : null,
        ];
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
      const g = f.mul(c.grad, y);
      return [
        c.params.includeSelf
          ? f.div(g, x)
          : f.mul(
              c.grad,
              applyOp('scatter', [x.onesLike(), at, s.zerosLike()], { dim, reduce: null, includeSelf: true }),
            ),
        null,
        f.div(applyOp('gather', [g, at], { dim }), s),
      ];
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
    grad: (c) => {
      const m = c.inMeta[0]!;
      const mask = c.input(1);
      const shape = f.add(zerosOf(m), v.to(mask, m.dtype)).shape;
      return [
        sumTo(
          applyOp('maskedScatter', [zeros(shape, { dtype: m.dtype }), v.expand(mask, shape), c.grad], {}),
          m,
        ),
      ];
    },
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
  mm: { save: needed(0), grad: (c) => matrixProducts(c, 0, 1) },
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
        const out = applyMulti('layerNormBackward', [c.grad, x, mean, rstd, w], {
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
  dropoutMask: { save: [1], grad: (c) => [applyOp('dropoutMask', [c.grad, c.input(1)], c.params)] },
  attention: { save: [0, 1, 2, 3, -1, -2], grad: attentionGrads },
  attentionBackward: fused,
};

export { getBackend };
