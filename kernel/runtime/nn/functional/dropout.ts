import { ShardbookError } from '../../base/index.js';
import { type Tensor, torch } from '../../tensor/index.js';
import { named } from '../options.js';

export interface DropoutFunctionOptions {
  p?: number;
  training?: boolean;
  inplace?: boolean;
}

/**
 * Zeroes elements with probability `p` and scales the others by 1 / (1 - p). The mask is drawn in the memory order of
 * the input; nothing is drawn when nothing can be random.
 */
export function dropout(
  input: Tensor,
  p?: number | DropoutFunctionOptions,
  training?: boolean | DropoutFunctionOptions,
  inplace?: boolean | DropoutFunctionOptions,
): Tensor {
  const o = named<DropoutFunctionOptions>([p, training, inplace], ['p', 'training', 'inplace']);
  const probability = checkProbability('dropout', o.p ?? 0.5);
  if (!(o.training ?? true) || probability === 0 || input.numel() === 0) return input;
  if (probability === 1) return o.inplace ? input.mul_(0) : input.mul(0);
  const mask = torch
    .emptyLike(input)
    .bernoulli_(1 - probability)
    .div_(1 - probability);
  return o.inplace ? input.mul_(mask) : input.mul(mask);
}

/** Dropout that keeps mean and variance of SELU networks; the identity unless `training`. */
export function alphaDropout(input: Tensor, p = 0.5, training = false): Tensor {
  const probability = checkProbability('alphaDropout', p);
  if (!training || probability === 0 || input.numel() === 0) return input;
  if (probability === 1) return input.mul(0);
  const alpha = 1.7580993408473766;
  const a = 1 / Math.sqrt((alpha * alpha * probability + 1) * (1 - probability));
  const mask = torch.emptyLike(input).bernoulli_(1 - probability);
  const offset = mask
    .sub(1)
    .mul(alpha * a)
    .add(alpha * a * probability);
  return input.mul(mask.mul(a)).add(offset);
}

function checkProbability(op: string, p: number): number {
  if (p >= 0 && p <= 1) return p;
  throw new ShardbookError({
    code: 'SB_NN_ARGUMENT',
    message: `Cannot run ${op}: the probability is ${p}, wanted 0 to 1`,
  });
}
