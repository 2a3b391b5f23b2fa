/**
 * Losses of pairs. PyTorch finds where they can run by taking them apart, and runs them whole on the parts: a mean of cut
 * tensors is a pending average, and its gradient divides by the elements of one part.
 */
import type { LossReduction } from '../../../tensor/index.js';
import type { Placement } from '../placements.js';
import type { AxisRule, RuleCall, RuleTable, Way } from './rule.js';
import { avg, elementwise, pendingAmong, R, replicasLast, sum } from './shared.js';

type Loss = 'mseLoss' | 'smoothL1Loss' | 'huberLoss' | 'binaryCrossEntropy' | 'binaryCrossEntropyWithLogits';
type LossBackward =
  | 'mseLossBackward'
  | 'smoothL1LossBackward'
  | 'huberLossBackward'
  | 'binaryCrossEntropyBackward';

const pendingOf = (reduction: LossReduction): Placement | null =>
  reduction === 'none' ? null : reduction === 'mean' ? avg : sum;

const loss = {
  kind: 'axis',
  ways: (call: RuleCall<Loss>): readonly Way[] => {
    const pending = pendingOf(call.params.reduction);
    const ways = elementwise(call.inputs, call.inputs[0]!.shape);
    return replicasLast(call, pending ? ways.map((way) => ({ out: [pending], in: way.in })) : ways);
  },
} as const;

/** What may stay pending: the placements of gradient, input, target, by what the gradient is linear in. */
type Pass = readonly [Placement, Placement, Placement];
const OF_GRADIENT: readonly Pass[] = [
  [sum, R, R],
  [avg, R, R],
];
const OF_DIFFERENCE: readonly Pass[] = [
  [R, sum, sum],
  [R, avg, avg],
  [R, avg, R],
  [R, R, avg],
];
const OF_TARGET: readonly Pass[] = [[R, R, avg]];

const backward = <K extends LossBackward>(passes: readonly Pass[]): AxisRule<K> => ({
  kind: 'axis',
  ways: (call) => {
    const [, x] = call.inputs;
    const ways = elementwise(call.inputs, x!.shape);
    const through = passes.map((pass): Way => {
      const pending = pass.find((p) => p.isPartial())!;
      return { out: [pending], in: call.inputs.map((input, i) => (input ? (pass[i] ?? R) : null)) };
    });
    return replicasLast(call, [...ways, ...pendingAmong(call, through)]);
  },
});

export const lossRules: RuleTable = {
  mseLoss: loss,
  smoothL1Loss: loss,
  huberLoss: loss,
  binaryCrossEntropy: loss,
  binaryCrossEntropyWithLogits: loss,
  mseLossBackward: backward([...OF_GRADIENT, ...OF_DIFFERENCE]),
  smoothL1LossBackward: backward([]),
  huberLossBackward: backward([]),
  binaryCrossEntropyBackward: backward([...OF_GRADIENT, ...OF_TARGET]),
};
