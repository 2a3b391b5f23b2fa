/** Backward rules of losses of pairs. */
import { applyOp } from '../../dispatch.js';
import { float32 } from '../../dtype.js';
import type { LossReduction, OpName, OpParams } from '../../opnames.js';
import * as f from '../../ops/pointwise.js';
import * as v from '../../ops/views.js';
import { numelOf } from '../../shape.js';
import type { Tensor } from '../../tensor.js';
import type { BackwardTable, Rule, RuleContext } from '../record.js';
import { sumTo } from './common.js';

interface Reduced {
  reduction: LossReduction;
}

/** Divides by the number of elements where the loss was a mean. */
const perElement = (c: RuleContext<Reduced>, at: number, g: Tensor): Tensor =>
  c.params.reduction === 'mean' ? f.div(g, numelOf(c.inMeta[at]!.shape)) : g;

/** A loss of the difference: the gradient of the target is that of the input with both exchanged. */
const symmetric = <K extends OpName>(backward: K): Rule<OpParams[K]> => ({
  save: [0, 1],
  grad: (c) => [
    c.needs[0] ? applyOp(backward, [c.grad, c.input(0), c.input(1)], c.params) : null,
    c.needs[1] ? applyOp(backward, [c.grad, c.input(1), c.input(0)], c.params) : null,
  ],
});

/** The gradient of such a gradient, from the loss' first and second derivative by the difference. */
const second = <P extends Reduced>(
  slope: (d: Tensor, params: P) => Tensor,
  curvature: (d: Tensor, params: P) => Tensor | number,
): Rule<P> => ({
  save: [0, 1, 2],
  grad: (c) => {
    const d = f.sub(c.input(1), c.input(2));
    const g = perElement(c, 1, c.grad);
    const moved = (): Tensor => f.mul(f.mul(g, c.input(0)), curvature(d, c.params));
    return [
      c.needs[0] ? sumTo(f.mul(g, slope(d, c.params)), c.inMeta[0]!) : null,
      c.needs[1] ? moved() : null,
      c.needs[2] ? f.neg(moved()) : null,
    ];
  },
});

const within = (d: Tensor, bound: number): Tensor => f.whereOp(f.lt(f.abs(d), bound), 1, 0);

export const lossRules = {
  mseLoss: symmetric('mseLossBackward'),
  mseLossBackward: second(
    (d) => f.mul(d, 2),
    () => 2,
  ),
  smoothL1Loss: symmetric('smoothL1LossBackward'),
  smoothL1LossBackward: second(
    (d, { beta }: { beta: number } & Reduced) => f.whereOp(f.lt(f.abs(d), beta), f.div(d, beta), f.sign(d)),
    (d, { beta }) => f.div(within(d, beta), beta),
  ),
  huberLoss: symmetric('huberLossBackward'),
  huberLossBackward: second(
    (d, { delta }: { delta: number } & Reduced) => f.clamp(d, -delta, delta),
    (d, { delta }) => within(d, delta),
  ),
  binaryCrossEntropy: {
    save: [0, 1, 2],
    grad: (c) => {
      const [x, y, weight] = [c.input(0), c.input(1), c.inputOrNull(2)];
      const weigh = (g: Tensor): Tensor => (weight ? f.mul(g, weight) : g);
      // Minus the logit, rounded once.
      const byTarget = (): Tensor => {
        const wide = x.dtype.itemsize < 4 ? v.to(x, float32) : x;
        return v.to(f.log(f.sub(f.reciprocal(wide), 1)), x.dtype);
      };
      return [
        c.needs[0] ? applyOp('binaryCrossEntropyBackward', [c.grad, x, y, weight], c.params) : null,
        c.needs[1] ? perElement(c, 1, weigh(f.mul(byTarget(), c.grad))) : null,
      ];
    },
  },
  binaryCrossEntropyBackward: {
    save: [0, 1, 2, 3],
    grad: (c) => {
      const [grad, x, y, weight] = [c.input(0), c.input(1), c.input(2), c.inputOrNull(3)];
      const g = perElement(c, 1, weight ? f.mul(c.grad, weight) : c.grad);
      const spread = f.clamp(f.mul(x, f.rsub(x, 1)), 1e-12);
      const curvature = (): Tensor =>
        f.div(f.add(f.sub(f.mul(x, x), f.mul(f.mul(x, y), 2)), y), f.mul(spread, spread));
      return [
        c.needs[0] ? sumTo(f.mul(g, f.div(f.sub(x, y), spread)), c.inMeta[0]!) : null,
        c.needs[1] ? f.mul(f.mul(g, grad), curvature()) : null,
        c.needs[2] ? f.neg(f.div(f.mul(g, grad), spread)) : null,
      ];
    },
  },
  binaryCrossEntropyWithLogits: {
    save: [0, 1, 2, 3],
    grad: (c) => {
      const [x, y, weight, posWeight] = [c.input(0), c.input(1), c.inputOrNull(2), c.inputOrNull(3)];
      const finish = (g: Tensor): Tensor => perElement(c, 0, weight ? f.mul(g, weight) : g);
      const byInput = (): Tensor => {
        if (posWeight === null) return f.sub(f.sigmoid(x), y);
        const t = f.mul(posWeight, y);
        return f.sub(f.mul(f.sub(f.add(t, 1), y), f.sigmoid(x)), t);
      };
      const byTarget = (): Tensor => {
        if (posWeight === null) return f.mul(f.neg(x), c.grad);
        return f.mul(f.sub(f.logsigmoid(f.neg(x)), f.mul(f.logsigmoid(x), posWeight)), c.grad);
      };
      return [c.needs[0] ? finish(f.mul(byInput(), c.grad)) : null, c.needs[1] ? finish(byTarget()) : null];
    },
  },
} satisfies Partial<BackwardTable>;
