/** Adagrad and RMSprop. */
import { type Tensor, torch } from '../tensor/index.js';
import { type Args, bindArgs, checkOption } from './args.js';
import { checkLr, gradOf, Optimizer, type ParamGroup, type Params } from './optimizer.js';

export interface AdagradOptions {
  lr?: number;
  lrDecay?: number;
  weightDecay?: number;
  initialAccumulatorValue?: number;
  eps?: number;
  foreach?: boolean | null;
  maximize?: boolean;
  differentiable?: boolean;
  fused?: boolean | null;
}

const ADAGRAD = {
  lr: 1e-2,
  lrDecay: 0,
  weightDecay: 0,
  initialAccumulatorValue: 0,
  eps: 1e-10,
  foreach: null as boolean | null,
  maximize: false,
  differentiable: false,
  fused: null as boolean | null,
};

/** Adagrad: the rate of each element falls with the sum of its squared gradients. */
export class Adagrad extends Optimizer {
  constructor(
    params: Params,
    ...args: Args<
      [lr: number, lrDecay: number, weightDecay: number, initialAccumulatorValue: number, eps: number],
      AdagradOptions
    >
  ) {
    const o = bindArgs('Adagrad', ADAGRAD, args);
    checkLr('Adagrad', o.lr);
    for (const name of ['lrDecay', 'weightDecay', 'initialAccumulatorValue', 'eps'] as const) {
      checkOption(o[name] >= 0, 'Adagrad', name, o[name], 'at least 0');
    }
    super(params, o);
    // PyTorch's Adagrad has its state from the beginning.
    for (const p of this.paramGroups.flatMap((group) => group.params)) this.prepare(p);
  }

  private prepare(p: Tensor): { step: Tensor; sum: Tensor } {
    const state = this.stateOf(p) as { step: Tensor; sum: Tensor };
    if (state.step === undefined) {
      state.step = torch.tensor(0, { dtype: torch.float32 });
      state.sum = torch.fullLike(p, this.defaults['initialAccumulatorValue'] as number);
    }
    return state;
  }

  protected override update(group: ParamGroup, params: readonly Tensor[]): void {
    const { lr, lrDecay, weightDecay, eps, maximize } = group as unknown as typeof ADAGRAD;
    for (const p of params) {
      const state = this.prepare(p);
      state.step.add_(1);
      let grad = gradOf(p, maximize);
      if (weightDecay !== 0) grad = grad.add(p, { alpha: weightDecay });
      const rate = lr / (1 + (Number(state.step.item()) - 1) * lrDecay);
      state.sum.addcmul_(grad, grad, { value: 1 });
      p.addcdiv_(grad, state.sum.sqrt().add_(eps), { value: -rate });
    }
  }
}

export interface RMSpropOptions {
  lr?: number;
  alpha?: number;
  eps?: number;
  weightDecay?: number;
  momentum?: number;
  centered?: boolean;
  capturable?: boolean;
  foreach?: boolean | null;
  maximize?: boolean;
  differentiable?: boolean;
}

const RMSPROP = {
  lr: 1e-2,
  alpha: 0.99,
  eps: 1e-8,
  weightDecay: 0,
  momentum: 0,
  centered: false,
  capturable: false,
  foreach: null as boolean | null,
  maximize: false,
  differentiable: false,
};

interface RMSpropState {
  step: Tensor;
  square_avg: Tensor;
  momentum_buffer?: Tensor;
  grad_avg?: Tensor;
}

/** RMSprop: gradients divided by a running root mean square, optionally centered and with momentum. */
export class RMSprop extends Optimizer {
  constructor(
    params: Params,
    ...args: Args<
      [lr: number, alpha: number, eps: number, weightDecay: number, momentum: number, centered: boolean],
      RMSpropOptions
    >
  ) {
    const o = bindArgs('RMSprop', RMSPROP, args);
    checkLr('RMSprop', o.lr);
    for (const name of ['eps', 'momentum', 'weightDecay', 'alpha'] as const) {
      checkOption(o[name] >= 0, 'RMSprop', name, o[name], 'at least 0');
    }
    super(params, o);
  }

  protected override update(group: ParamGroup, params: readonly Tensor[]): void {
    const { lr, alpha, eps, weightDecay, momentum, centered, maximize } = group as unknown as typeof RMSPROP;
    for (const p of params) {
      const state = this.stateOf(p) as unknown as RMSpropState;
      if (state.step === undefined) {
        state.step = torch.tensor(0, { dtype: torch.float32 });
        state.square_avg = torch.zerosLike(p);
        if (momentum > 0) state.momentum_buffer = torch.zerosLike(p);
        if (centered) state.grad_avg = torch.zerosLike(p);
      }
      state.step.add_(1);
      let grad = gradOf(p, maximize);
      if (weightDecay !== 0) grad = grad.add(p, { alpha: weightDecay });
      state.square_avg.mul_(alpha).addcmul_(grad, grad, { value: 1 - alpha });
      let average = state.square_avg;
      if (centered) {
        const mean = state.grad_avg!;
        mean.lerp_(grad, 1 - alpha);
        average = average.addcmul(mean, mean, { value: -1 });
      }
      const root = average.sqrt().add_(eps);
      if (momentum > 0) {
        const buffer = state.momentum_buffer!;
        buffer.mul_(momentum).addcdiv_(grad, root);
        p.add_(buffer, { alpha: -lr });
      } else {
        p.addcdiv_(grad, root, { value: -lr });
      }
    }
  }
}
