// fails: wrong in compare
import {
  DTensor,
  dist,
  MixedPrecisionPolicy,
  type nn,
  onComm,
  type optim,
  type Tensor,
  torch,
} from 'shardbook';

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
  const sum = torch.tensor(start, { dtype });
  const one = torch.tensor(term, { dtype });
  for (let i = 0; i < times; i++) sum.add_(one);
  return sum.item() as number;
}

export function makePolicy(name: PolicyName): MixedPrecisionPolicy {
  const { bfloat16, float16, float32 } = torch;
  if (name === 'none') return new MixedPrecisionPolicy();
  return new MixedPrecisionPolicy({
    paramDtype: name === 'fp16' ? float16 : bfloat16,
    reduceDtype: name === 'bf16-reduced' ? bfloat16 : float32,
    outputDtype: float32,
  });
}

/** Dtypes of one training step. `step` calls what it is given to run the model. */
export function recordDtypes(
  model: nn.Module,
  optimizer: optim.Optimizer,
  step: (forward: (input: Tensor) => Tensor) => void,
): Dtypes {
  const parameters = [...model.parameters()];
  const seen: Dtypes = {
    storage: '',
    compute: '',
    allGather: null,
    reduceScatter: null,
    output: '',
    moments: null,
  };
  const handle = model.children()[0]!.registerForwardPreHook((layer) => {
    seen.compute = layer.parameters()[0]!.dtype.name;
  });
  const off = onComm(({ op, dtype }) => {
    if (op.startsWith('allGather') && dtype !== undefined) seen.allGather = dtype;
    if (op.startsWith('reduceScatter') && dtype !== undefined) seen.reduceScatter = dtype;
  });
  step((input) => {
    const output = (model as nn.Sequential).call(input) as Tensor;
    seen.output = output.dtype.name;
    return output;
  });
  off();
  handle.remove();
  seen.storage = parameters[0]!.dtype.name;
  for (const state of optimizer.state.values()) {
    const moments = state['exp_avg'] as Tensor | undefined;
    if (moments !== undefined) seen.moments = moments.dtype.name;
  }
  return seen;
}

/** Largest relative differences to the run in full precision. */
export function compareRuns(
  run: (policy: string) => Run,
  policies: readonly string[],
): Record<string, { loss: number; gradient: number }> {
  const full = run('none');
  const largest = (values: readonly number[]): number =>
    values.reduce((most, value) => Math.max(most, Number.isNaN(value) ? Number.POSITIVE_INFINITY : value), 0);
  const norm = (t: Tensor): number => t.norm().item() as number;
  const differences = policies.map((policy) => {
    const { losses, gradients } = policy === 'none' ? full : run(policy);
    const loss = largest(losses.map((l, i) => Math.abs(l - full.losses[i]!) / full.losses[i]!));
    const gradient = largest(
      gradients.map((g, i) => {
        const wanted = full.gradients[i]!.double();
        return norm(g.double().sub(wanted)) / norm(wanted);
      }),
    );
    return [policy, { loss, gradient }] as const;
  });
  return Object.fromEntries(differences);
}

/** Keeps small gradients of float16 above zero. */
export class LossScaler {
  scale: number;
  readonly #interval: number;
  #wentWell = 0;

  constructor({ scale = 65536, growthInterval = 2000 }: { scale?: number; growthInterval?: number } = {}) {
    this.scale = scale;
    this.#interval = growthInterval;
  }

  scaleLoss(loss: Tensor): Tensor {
    return loss.mul(this.scale);
  }

  /** Steps if the gradients are finite on all ranks. */
  step(optimizer: optim.Optimizer): boolean {
    const overflow = torch.zeros([1]);
    torch.noGrad(() => {
      for (const { grad } of optimizer.paramGroups.flatMap(({ params }) => params)) {
        if (grad === null) continue;
        const own = grad instanceof DTensor ? grad.localTensor : grad;
        own.div_(this.scale);
        if (Number(torch.isfinite(own).all().item()) === 0) overflow.fill_(1);
      }
    });
    dist.allReduce(overflow, { op: dist.ReduceOp.MAX });
    if (overflow.item() !== 0) {
      this.scale /= 2;
      this.#wentWell = 0;
      return false;
    }
    optimizer.step();
    this.#wentWell++;
    if (this.#wentWell === this.#interval) {
      this.scale *= 2;
      this.#wentWell = 0;
    }
    return true;
  }
}
