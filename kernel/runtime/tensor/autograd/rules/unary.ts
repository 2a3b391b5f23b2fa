/** Backward rules of operations on one tensor, element by element. */
import { applyOp } from '../../dispatch.js';
import * as f from '../../ops/pointwise.js';
import { state } from '../../state.js';
import type { Tensor } from '../../tensor.js';
import type { BackwardTable } from '../record.js';
import { type AnyRule, fused, no, zeroGrad } from './common.js';

/** gradient times a factor of the input. */
const ofInput = (factor: (x: Tensor) => Tensor): AnyRule => ({
  save: [0],
  grad: (c) => [f.mul(c.grad, factor(c.input(0)))],
});

const ofOutput = (factor: (y: Tensor) => Tensor): AnyRule => ({
  save: [-1],
  grad: (c) => [f.mul(c.grad, factor(c.output(0)))],
});

export const unaryRules = {
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
  tanh: {
    save: [-1],
    grad: (c) => {
      const y = c.output(0);
      return [
        state.gradEnabled
          ? f.mul(c.grad, f.rsub(f.mul(y, y), 1))
          : applyOp('tanhBackward', [c.grad, y], c.params),
      ];
    },
  },
  asinh: ofInput((x) => f.rsqrt(f.add(f.mul(x, x), 1))),
  acosh: ofInput((x) => f.rsqrt(f.sub(f.mul(x, x), 1))),
  atanh: ofInput((x) => f.reciprocal(f.rsub(f.mul(x, x), 1))),
  sigmoid: {
    save: [-1],
    grad: (c) => {
      const y = c.output(0);
      return [
        state.gradEnabled
          ? f.mul(c.grad, f.mul(y, f.rsub(y, 1)))
          : applyOp('sigmoidBackward', [c.grad, y], c.params),
      ];
    },
  },
  relu: {
    save: [-1],
    grad: (c) => [applyOp('thresholdBackward', [c.grad, c.output(0)], { threshold: 0 })],
  },
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
  silu: {
    save: [0],
    grad: (c) => {
      const x = c.input(0);
      if (!state.gradEnabled) return [applyOp('siluBackward', [c.grad, x], c.params)];
      const s = f.sigmoid(x);
      return [f.mul(c.grad, f.mul(s, f.add(f.mul(x, f.rsub(s, 1)), 1)))];
    },
  },
  sigmoidBackward: fused,
  tanhBackward: fused,
  siluBackward: fused,
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
  hardtanh: {
    save: [0],
    grad: (c) => [applyOp('hardtanhBackward', [c.grad, c.input(0)], c.params)],
  },
  hardtanhBackward: {
    save: [1],
    grad: (c) => [
      c.needs[0] ? applyOp('hardtanhBackward', [c.grad, c.input(1)], c.params) : null,
      c.needs[1] ? c.grad.zerosLike() : null,
    ],
  },
  thresholdBackward: {
    save: [1],
    grad: (c) => [
      c.needs[0] ? applyOp('thresholdBackward', [c.grad, c.input(1)], c.params) : null,
      c.needs[1] ? c.grad.zerosLike() : null,
    ],
  },
} satisfies Partial<BackwardTable>;
