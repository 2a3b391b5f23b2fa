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

type Run = { losses: readonly number[]; gradients: readonly Tensor[] };
type Differences = Record<string, { loss: number; gradient: number }>;

export function accumulate(start: number, term: number, times: number, dtype = torch.float32): number {
  let sum = torch.full([], start, { dtype });
  while (times-- > 0) sum = sum.add(torch.full([], term, { dtype }));
  return Number(sum.item());
}

const POLICIES = {
  none: new MixedPrecisionPolicy({ outputDtype: torch.float32 }),
  bf16: new MixedPrecisionPolicy({
    paramDtype: torch.bfloat16,
    reduceDtype: torch.float32,
    outputDtype: torch.float32,
  }),
  'bf16-reduced': new MixedPrecisionPolicy({ paramDtype: torch.bfloat16, outputDtype: torch.float32 }),
  fp16: new MixedPrecisionPolicy({
    paramDtype: torch.float16,
    reduceDtype: torch.float32,
    outputDtype: torch.float32,
  }),
};

export function makePolicy(name: keyof typeof POLICIES): MixedPrecisionPolicy {
  return POLICIES[name];
}

export function recordDtypes(
  model: nn.Module,
  optimizer: optim.Optimizer,
  step: (forward: (input: Tensor) => Tensor) => void,
) {
  const sent = new Map<string, string>();
  let compute = '';
  let output = '';
  const handles = [
    model.children()[0]!.registerForwardHook((layer) => {
      compute = (layer as nn.Linear).weight.dtype.name;
    }),
    model.registerForwardHook((_model, _args, result) => {
      output = (result as Tensor).dtype.name;
    }),
  ];
  // In front of FSDP's own hook, which reshards: only so does this one see the whole parameter.
  handles[0]!.remove();
  handles[0] = model.children()[0]!.registerForwardPreHook((layer) => {
    compute = (layer as nn.Linear).weight.dtype.name;
  });
  const off = onComm((call) => {
    if (call.dtype !== undefined) sent.set(call.op.replace(/Single$|Coalesced$/, ''), call.dtype);
  });
  try {
    step((input) => (model as nn.Sequential).call(input) as Tensor);
  } finally {
    off();
    for (const handle of handles) handle.remove();
  }
  const [state] = [...optimizer.state.values()];
  return {
    storage: [...model.parameters()][0]!.dtype.name,
    compute,
    output,
    allGather: sent.get('allGather') ?? null,
    reduceScatter: sent.get('reduceScatter') ?? null,
    moments: (state?.['exp_avg'] as Tensor | undefined)?.dtype.name ?? null,
  };
}

export function compareRuns(run: (policy: string) => Run, policies: readonly string[]): Differences {
  const known = new Map<string, Run>();
  const get = (policy: string): Run => {
    const result = known.get(policy) ?? run(policy);
    known.set(policy, result);
    return result;
  };
  const base = get('none');
  const table: Differences = {};
  for (const policy of policies) {
    const row = { loss: 0, gradient: 0 };
    const raise = (key: 'loss' | 'gradient', by: number): void => {
      if (!(by <= row[key])) row[key] = by > row[key] ? by : Number.POSITIVE_INFINITY;
    };
    const other = get(policy);
    for (const [i, l] of other.losses.entries())
      raise('loss', Math.abs((l - base.losses[i]!) / base.losses[i]!));
    for (const [i, g] of other.gradients.entries()) {
      const b = base.gradients[i]!.double();
      const off = Math.sqrt(g.double().sub(b).pow(2).sum().item() as number);
      raise('gradient', off / Math.sqrt(b.pow(2).sum().item() as number));
    }
    table[policy] = row;
  }
  return table;
}

export class LossScaler {
  public scale: number;
  private readonly interval: number;
  private row = 0;

  constructor(options?: { scale?: number; growthInterval?: number }) {
    this.scale = options?.scale ?? 2 ** 16;
    this.interval = options?.growthInterval ?? 2000;
  }

  scaleLoss(loss: Tensor): Tensor {
    return torch.mul(loss, this.scale);
  }

  step(optimizer: optim.Optimizer): boolean {
    const gradients = optimizer.paramGroups
      .flatMap(({ params }) => params)
      .flatMap(({ grad }) => (grad === null ? [] : [grad instanceof DTensor ? grad.localTensor : grad]));
    // How many elements are not finite, summed over the ranks.
    let count = 0;
    for (const g of gradients) count += Number(torch.isfinite(g).logicalNot().sum().item());
    const everywhere: number[] = new Array<number>(dist.getWorldSize()).fill(0);
    dist.allGatherObject(everywhere, count);
    const fine = everywhere.every((n) => n === 0);
    if (fine) {
      torch.noGrad(() => gradients.forEach((g) => void g.mul_(1 / this.scale)));
      optimizer.step();
    }
    this.row = fine ? this.row + 1 : 0;
    if (!fine) this.scale *= 0.5;
    else if (this.row >= this.interval) {
      this.row = 0;
      this.scale *= 2;
    }
    return fine;
  }
}
