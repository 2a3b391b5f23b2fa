import { type MixedPrecisionPolicy, type nn, type optim, type Tensor, torch } from 'shardbook';

export type PolicyName = 'none' | 'bf16' | 'bf16-reduced' | 'fp16';

export interface Dtypes {
  storage: string;
  compute: string;
  allGather: string | null;
  reduceScatter: string | null;
  output: string;
  moments: string | null;
}

export interface Run {
  losses: readonly number[];
  gradients: readonly Tensor[];
}

/** What a sum in `dtype` holds after `term` was added to `start` that often. */
export function accumulate(start: number, term: number, times: number, dtype = torch.float32): number {
  // TODO: one addition after the other.
  throw new Error(`not begun: ${start}, ${term}, ${times}, ${dtype.name}`);
}

export function makePolicy(name: PolicyName): MixedPrecisionPolicy {
  throw new Error(`not begun: ${name}`);
}

/** Dtypes of one training step. `step` calls what it is given to run the model. */
export function recordDtypes(
  model: nn.Module,
  optimizer: optim.Optimizer,
  step: (forward: (input: Tensor) => Tensor) => void,
): Dtypes {
  throw new Error(`not begun: ${[model, optimizer, step].length}`);
}

/** Largest relative differences to the run in full precision. */
export function compareRuns(
  run: (policy: string) => Run,
  policies: readonly string[],
): Record<string, { loss: number; gradient: number }> {
  throw new Error(`not begun: ${[run].length}, ${policies.join(', ')}`);
}

/** Keeps small gradients of float16 above zero. */
export class LossScaler {
  scale: number;

  constructor(options: { scale?: number; growthInterval?: number } = {}) {
    this.scale = options.scale ?? 65536;
    // TODO: how many steps in a row went well.
  }

  scaleLoss(loss: Tensor): Tensor {
    throw new Error(`not begun: ${loss.toString()}`);
  }

  /** Steps if the gradients are finite on all ranks. */
  step(optimizer: optim.Optimizer): boolean {
    throw new Error(`not begun: ${[optimizer].length}`);
  }
}
