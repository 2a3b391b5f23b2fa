/** Backward rules of operations on several tensors, element by element, and of activations with parameters. */
import { applyOp } from '../../dispatch.js';
import { fullLike } from '../../ops/creation.js';
import * as f from '../../ops/pointwise.js';
import * as v from '../../ops/views.js';
import { state } from '../../state.js';
import type { Tensor } from '../../tensor.js';
import type { BackwardTable, Rule } from '../record.js';
import { type AnyRule, type Ctx, fused, needed, no, pick, sumTo, zeroGrad } from './common.js';

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

/** The gradient but for the places of the mask. */
const except = (mask: Tensor, g: Tensor): Tensor => applyOp('maskedFill', [g, mask], { value: 0 });

/** Each input loses the gradient where the other won; they share it where they are equal. */
const extremeOf = (name: 'gt' | 'lt'): AnyRule => {
  const [lost, won] = name === 'gt' ? [f.lt, f.gt] : [f.gt, f.lt];
  const part = (c: Ctx, other: typeof lost): Tensor => {
    const [x, y] = [c.input(0), c.input(1)];
    return except(other(x, y), f.whereOp(f.eq(x, y), f.div(c.grad, 2), c.grad));
  };
  return two(
    [0, 1],
    (c) => part(c, lost),
    (c) => part(c, won),
  );
};

const takeOne = (first: (x: Tensor, y: Tensor) => Tensor): AnyRule => ({
  save: [0, 1],
  grad: (c) => {
    const taken = (): Tensor => first(c.input(0), c.input(1));
    return [
      c.needs[0] ? sumTo(except(f.logicalNot(taken()), c.grad), c.inMeta[0]!) : null,
      c.needs[1] ? sumTo(except(taken(), c.grad), c.inMeta[1]!) : null,
    ];
  },
});

export const pointwiseRules = {
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
      const slope = (): Tensor => f.mul(p, f.pow(x, f.sub(p, 1)));
      // Of a tensor of exponents the gradient is chosen after the product, as PyTorch does: nothing pending passes a choice.
      const base = (): Tensor =>
        p.wrapped
          ? f.mul(c.grad, f.whereOp(f.eq(p, 0), 0, slope()))
          : f.whereOp(f.eq(p, 0), 0, f.mul(c.grad, slope()));
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
      applyOp(
        'maskedFill',
        [f.xlogy(c.grad, c.input(1)), f.bitwiseAnd(f.eq(c.input(0), 0), f.le(c.input(1), 0))],
        { value: 0 },
      ),
    (c) => f.div(f.mul(c.grad, c.input(0)), c.input(1)),
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
      const above = lo === null ? null : f.ge(x, lo);
      const inside = hi === null ? above : above ? f.logicalAnd(above, f.le(x, hi)) : f.le(x, hi);
      return [
        c.needs[0] ? sumTo(inside ? pick(inside, c.grad) : c.grad, c.inMeta[0]!) : null,
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
  eluBackward: fused,
  softplusBackward: fused,
  elu: {
    save: [0],
    grad: (c) => {
      const { alpha, scale, inputScale } = c.params;
      const x = c.input(0);
      if (!state.gradEnabled) return [applyOp('eluBackward', [c.grad, x], c.params)];
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
      if (!state.gradEnabled) return [applyOp('softplusBackward', [c.grad, c.input(0)], c.params)];
      const z = f.mul(c.input(0), c.params.beta);
      return [f.whereOp(f.gt(z, c.params.threshold), c.grad, f.mul(c.grad, f.sigmoid(z)))];
    },
  },
  leakyRelu: {
    save: [0],
    grad: (c) => [applyOp('leakyReluBackward', [c.grad, c.input(0)], c.params)],
  },
  leakyReluBackward: {
    save: [1],
    grad: (c) => [
      c.needs[0] ? applyOp('leakyReluBackward', [c.grad, c.input(1)], c.params) : null,
      c.needs[1] ? c.grad.zerosLike() : null,
    ],
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
      c.needs[0] ? c.grad.zerosLike() : null,
      c.needs[1] ? v.to(sumTo(c.grad, c.inMeta[1]!), c.inMeta[1]!.dtype) : null,
    ],
  },
  fill: zeroGrad,
  fullLike: no,
  newZeros: no,
  dropoutMask: { save: [1], grad: (c) => [applyOp('dropoutMask', [c.grad, c.input(1)], c.params)] },
} satisfies Partial<BackwardTable>;
