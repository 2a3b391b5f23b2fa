/** Losses of an input and a target of one shape: one node each in the graph. */
import { applyOp } from '../dispatch.js';
import type { LossReduction } from '../opnames.js';
import type { Tensor } from '../tensor.js';

export const mseLoss = (x: Tensor, y: Tensor, reduction: LossReduction = 'mean'): Tensor =>
  applyOp('mseLoss', [x, y], { reduction });
export const smoothL1Loss = (x: Tensor, y: Tensor, reduction: LossReduction = 'mean', beta = 1): Tensor =>
  applyOp('smoothL1Loss', [x, y], { reduction, beta });
export const huberLoss = (x: Tensor, y: Tensor, reduction: LossReduction = 'mean', delta = 1): Tensor =>
  applyOp('huberLoss', [x, y], { reduction, delta });
export const binaryCrossEntropy = (
  x: Tensor,
  y: Tensor,
  weight: Tensor | null = null,
  reduction: LossReduction = 'mean',
): Tensor => applyOp('binaryCrossEntropy', [x, y, weight], { reduction });
export const binaryCrossEntropyWithLogits = (
  x: Tensor,
  y: Tensor,
  weight: Tensor | null = null,
  posWeight: Tensor | null = null,
  reduction: LossReduction = 'mean',
): Tensor => applyOp('binaryCrossEntropyWithLogits', [x, y, weight, posWeight], { reduction });
