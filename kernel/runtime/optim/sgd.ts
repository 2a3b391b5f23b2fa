/** Stochastic gradient descent with momentum. */

import { ShardbookError } from '../base/index.js';
import type { Tensor } from '../tensor/index.js';
import { type Args, bindArgs, checkOption } from './args.js';
import { checkLr, gradOf, Optimizer, type ParamGroup, type Params } from './optimizer.js';

export interface SGDOptions {
  lr?: number;
  momentum?: number;
  dampening?: number;
  weightDecay?: number;
  nesterov?: boolean;
  maximize?: boolean;
  /** Accepted for PyTorch's sake; the numbers are the same. */
  foreach?: boolean | null;
  differentiable?: boolean;
  fused?: boolean | null;
}

const DEFAULTS = {
  lr: 1e-3,
  momentum: 0,
  dampening: 0,
  weightDecay: 0,
  nesterov: false,
  maximize: false,
  foreach: null as boolean | null,
  differentiable: false,
  fused: null as boolean | null,
};

/** SGD. The first momentum buffer is the gradient itself: dampening counts from the second step. */
export class SGD extends Optimizer {
  constructor(
    params: Params,
    ...args: Args<
      [lr: number, momentum: number, dampening: number, weightDecay: number, nesterov: boolean],
      SGDOptions
    >
  ) {
    const o = bindArgs('SGD', DEFAULTS, args);
    checkLr('SGD', o.lr);
    checkOption(o.momentum >= 0, 'SGD', 'momentum', o.momentum, 'at least 0');
    checkOption(o.weightDecay >= 0, 'SGD', 'weightDecay', o.weightDecay, 'at least 0');
    if (o.nesterov && (o.momentum <= 0 || o.dampening !== 0)) {
      throw new ShardbookError({
        code: 'SB_OPTIM_OPTION',
        message: `Cannot create "SGD": "nesterov" needs momentum above 0 and no dampening, they are ${o.momentum} and ${o.dampening}`,
      });
    }
    super(params, o);
  }

  protected override update(group: ParamGroup, params: readonly Tensor[]): void {
    const { lr, momentum, dampening, weightDecay, nesterov, maximize } = group as unknown as typeof DEFAULTS;
    for (const p of params) {
      let grad = gradOf(p, maximize);
      if (weightDecay !== 0) grad = grad.add(p, { alpha: weightDecay });
      if (momentum !== 0) {
        const state = this.stateOf(p);
        let buffer = state['momentum_buffer'] as Tensor | undefined | null;
        if (buffer === undefined || buffer === null) {
          buffer = grad.detach().clone();
          state['momentum_buffer'] = buffer;
        } else {
          buffer.mul_(momentum).add_(grad, { alpha: 1 - dampening });
        }
        grad = nesterov ? grad.add(buffer, { alpha: momentum }) : buffer;
      }
      p.add_(grad, { alpha: -lr });
    }
  }
}
