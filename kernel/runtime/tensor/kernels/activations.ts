/**
 * Gradients of activations. They are operations of their own, as ATen's, so that whatever stands between autograd and the
 * kernels sees the gradient and the activation together: what is pending in a gradient must not pass an activation.
 */
import { float64, int64 } from '../dtype.js';
import { getBackend } from '../state.js';
import type { Tensor } from '../tensor.js';
import { alloc, type KernelTable } from './common.js';
import { elementwiseKernels as k } from './elementwise.js';

type Pair = [Tensor, Tensor];

function number(value: number): Tensor {
  const t = alloc([], Number.isInteger(value) ? int64 : float64, 'cpu');
  getBackend().fill(value, t.nd());
  t.wrapped = true;
  return t;
}

const one = (result: Tensor | Tensor[]): Tensor => result as Tensor;
const mul = (a: Tensor, b: Tensor | number): Tensor =>
  one(k.mul([a, typeof b === 'number' ? number(b) : b], {}, null));
const oneMinus = (x: Tensor): Tensor => one(k.sub([number(1), x], { alpha: 1 }, null));
const plusOne = (x: Tensor): Tensor => one(k.add([x, number(1)], { alpha: 1 }, null));
const where = (condition: Tensor, a: Tensor, b: Tensor | number): Tensor =>
  one(k.where([condition, a, typeof b === 'number' ? number(b) : b], {}, null));
const below = (x: Tensor, value: number): Tensor => one(k.le([x, number(value)], {}, null));
const atLeast = (x: Tensor, value: number): Tensor => one(k.ge([x, number(value)], {}, null));
const above = (x: Tensor, value: number): Tensor => one(k.gt([x, number(value)], {}, null));

export const activationKernels = {
  sigmoidBackward: (inputs) => {
    const [grad, y] = inputs as Pair;
    return mul(grad, mul(y, oneMinus(y)));
  },
  tanhBackward: (inputs) => {
    const [grad, y] = inputs as Pair;
    return mul(grad, oneMinus(mul(y, y)));
  },
  siluBackward: (inputs) => {
    const [grad, x] = inputs as Pair;
    const s = one(k.sigmoid([x], {}, null));
    return mul(grad, mul(s, plusOne(mul(x, oneMinus(s)))));
  },
  eluBackward: (inputs, { alpha, scale, inputScale }) => {
    const [grad, x] = inputs as Pair;
    const low = mul(one(k.exp([mul(x, inputScale)], {}, null)), alpha * scale * inputScale);
    return mul(grad, where(one(k.le([x, number(0)], {}, null)), low, scale));
  },
  hardtanh: ([x], { min, max }) => {
    const upper = one(k.where([atLeast(x!, max), number(max), x!], {}, null));
    return one(k.where([below(x!, min), number(min), upper], {}, null));
  },
  hardtanhBackward: (inputs, { min, max }) => {
    const [grad, x] = inputs as Pair;
    const outside = one(k.logicalOr([below(x, min), atLeast(x, max)], {}, null));
    return one(k.where([outside, number(0), grad], {}, null));
  },
  leakyReluBackward: (inputs, { negativeSlope }) => {
    const [grad, x] = inputs as Pair;
    return where(above(x, 0), grad, mul(grad, negativeSlope));
  },
  softplusBackward: (inputs, { beta, threshold }) => {
    const [grad, x] = inputs as Pair;
    const z = mul(x, beta);
    return where(above(z, threshold), grad, mul(grad, one(k.sigmoid([z], {}, null))));
  },
} satisfies Partial<KernelTable>;
