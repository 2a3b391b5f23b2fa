/** Adam and AdamW. */
import { adamStep_, type Tensor, torch } from '../tensor/index.js';
import { type Args, bindArgs, checkOption } from './args.js';
import { checkLr, gradOf, Optimizer, type ParamGroup, type Params } from './optimizer.js';

export interface AdamOptions {
  lr?: number;
  betas?: readonly [number, number] | readonly number[];
  eps?: number;
  weightDecay?: number;
  amsgrad?: boolean;
  maximize?: boolean;
  /** Accepted for PyTorch's sake; the numbers are the same. */
  foreach?: boolean | null;
  capturable?: boolean;
  differentiable?: boolean;
  fused?: boolean | null;
  /** Adam with AdamW's weight decay. */
  decoupledWeightDecay?: boolean;
}

const DEFAULTS = {
  lr: 1e-3,
  betas: [0.9, 0.999] as readonly number[],
  eps: 1e-8,
  weightDecay: 0,
  amsgrad: false,
  maximize: false,
  foreach: null as boolean | null,
  capturable: false,
  differentiable: false,
  fused: null as boolean | null,
  decoupledWeightDecay: false,
};

type AdamArgs = Args<
  [lr: number, betas: readonly number[], eps: number, weightDecay: number, amsgrad: boolean],
  AdamOptions
>;

function bindAdam(callee: string, defaults: typeof DEFAULTS, args: readonly unknown[]): typeof DEFAULTS {
  const o = bindArgs(callee, defaults, args);
  checkLr(callee, o.lr);
  checkOption(o.eps >= 0, callee, 'eps', o.eps, 'at least 0');
  const betas = Array.isArray(o.betas) && o.betas.length === 2 && o.betas.every((b) => b >= 0 && b < 1);
  checkOption(betas, callee, 'betas', o.betas, 'two numbers of at least 0 and below 1');
  checkOption(o.weightDecay >= 0, callee, 'weightDecay', o.weightDecay, 'at least 0');
  return o;
}

interface AdamState {
  step: Tensor;
  exp_avg: Tensor;
  exp_avg_sq: Tensor;
  max_exp_avg_sq?: Tensor;
}

/** Adam; weight decay is added to the gradient. */
export class Adam extends Optimizer {
  constructor(params: Params, ...args: AdamArgs) {
    super(params, bindAdam('Adam', DEFAULTS, args));
  }

  protected override update(group: ParamGroup, params: readonly Tensor[]): void {
    const options = group as unknown as typeof DEFAULTS;
    for (const p of params) adamStep(p, this.stateOf(p) as unknown as AdamState, options);
  }
}

/** Adam with decoupled weight decay (0.01 unless told otherwise): the parameter itself shrinks. */
export class AdamW extends Adam {
  constructor(params: Params, ...args: AdamArgs) {
    super(params, bindAdam('AdamW', { ...DEFAULTS, weightDecay: 1e-2, decoupledWeightDecay: true }, args));
  }
}

function adamStep(p: Tensor, state: AdamState, options: typeof DEFAULTS): void {
  const { lr, eps, weightDecay, amsgrad, maximize, decoupledWeightDecay } = options;
  const [beta1, beta2] = options.betas as [number, number];
  if (state.step === undefined) {
    state.step = torch.tensor(0, { dtype: torch.float32 });
    state.exp_avg = torch.zerosLike(p);
    state.exp_avg_sq = torch.zerosLike(p);
  }
  state.step.add_(1);
  const step = Number(state.step.item());
  if (amsgrad) state.max_exp_avg_sq ??= torch.zerosLike(p);
  const { exp_avg, exp_avg_sq } = state;
  const decoupled = decoupledWeightDecay;
  const fused = { lr, beta1, beta2, eps, weightDecay, step, decoupled, maximize };
  if (adamStep_(p, p.grad!, exp_avg, exp_avg_sq, amsgrad ? state.max_exp_avg_sq! : null, fused)) return;
  let grad = gradOf(p, maximize);
  if (weightDecay !== 0) {
    if (decoupledWeightDecay) p.mul_(1 - lr * weightDecay);
    else grad = grad.add(p, { alpha: weightDecay });
  }
  state.exp_avg.lerp_(grad, 1 - beta1);
  state.exp_avg_sq.mul_(beta2).addcmul_(grad, grad, { value: 1 - beta2 });
  const stepSize = lr / (1 - beta1 ** step);
  const correction = Math.sqrt(1 - beta2 ** step);
  let square = state.exp_avg_sq;
  if (amsgrad) {
    state.max_exp_avg_sq = torch.maximum(state.max_exp_avg_sq!, square);
    square = state.max_exp_avg_sq;
  }
  const denominator = square.sqrt().div_(correction).add_(eps);
  p.addcdiv_(state.exp_avg, denominator, { value: -stepSize });
}
