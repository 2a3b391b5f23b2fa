import {
  DTensor,
  dist,
  F,
  fullyShard,
  initDeviceMesh,
  MixedPrecisionPolicy,
  nn,
  optim,
  type Tensor,
  torch,
} from 'shardbook';

/** A function that waits for something may be asynchronous. */
type Awaitable<T> = T | Promise<T>;

interface Run {
  losses: readonly number[];
  gradients: readonly Tensor[];
}

interface Scaler {
  scale: number;
  scaleLoss(loss: Tensor): Tensor;
  step(optimizer: optim.Optimizer): Awaitable<boolean>;
}

interface Submission {
  accumulate(start: number, term: number, times: number, dtype: typeof torch.float32): Awaitable<number>;
  makePolicy(name: string): Awaitable<MixedPrecisionPolicy>;
  recordDtypes(
    model: nn.Module,
    optimizer: optim.Optimizer,
    step: (forward: (input: Tensor) => Tensor) => void,
  ): Awaitable<Record<string, string | null>>;
  compareRuns(
    run: (policy: string) => Run,
    policies: readonly string[],
  ): Awaitable<Record<string, { loss: number; gradient: number }>>;
  readonly LossScaler: new (options?: { scale?: number; growthInterval?: number }) => Scaler;
}

const DTYPES = {
  float32: torch.float32,
  float64: torch.float64,
  float16: torch.float16,
  bfloat16: torch.bfloat16,
} as const;
type Name = keyof typeof DTYPES;

export function accumulated(
  { accumulate }: Submission,
  start: number,
  term: number,
  times: number,
  dtype: Name,
) {
  return accumulate(start, term, times, DTYPES[dtype]);
}

function build(policy: MixedPrecisionPolicy): nn.Sequential {
  torch.manualSeed(11);
  const model = new nn.Sequential(
    new nn.Linear(6, 8),
    new nn.Tanh(),
    new nn.Linear(8, 8),
    new nn.Linear(8, 3),
  );
  const mesh = initDeviceMesh('cpu', [dist.getWorldSize()]);
  for (const layer of model.children())
    if (layer instanceof nn.Linear) fullyShard(layer, { mesh, mpPolicy: policy });
  fullyShard(model, { mesh, mpPolicy: policy });
  return model;
}

function batch(step: number): [Tensor, Tensor] {
  torch.manualSeed(100 * step + dist.getRank());
  const x = torch.randn([8, 6]);
  return [x, torch.tanh(x.narrow(1, 0, 3).mul(2))];
}

/** What is stored and sent in one step under a policy of the submission. */
export async function oneStep({ makePolicy }: Submission, name: string) {
  const model = build(await makePolicy(name));
  const adam = new optim.AdamW(model.parameters(), { lr: 1e-2 });
  const [x, y] = batch(0);
  const output = model.call(x) as Tensor;
  F.mseLoss(output.float(), y).backward();
  adam.step();
  return {
    output: output.dtype.name,
    storage: [...new Set([...model.parameters()].map((p) => p.dtype.name))],
    gradients: [...new Set([...model.parameters()].map((p) => p.grad!.dtype.name))],
    moments: [...new Set([...adam.state.values()].map((state) => (state['exp_avg'] as Tensor).dtype.name))],
  };
}

export async function losses({ makePolicy }: Submission, name: string, steps: number): Promise<number[]> {
  const model = build(await makePolicy(name));
  const adam = new optim.AdamW(model.parameters(), { lr: 1e-2 });
  const all: number[] = [];
  for (let step = 0; step < steps; step++) {
    const [x, y] = batch(step % 5);
    adam.zeroGrad();
    const loss = F.mseLoss((model.call(x) as Tensor).float(), y);
    loss.backward();
    adam.step();
    all.push(loss.item() as number);
  }
  return all;
}

/** The record of a step under a policy that the submission does not know; without optimizer state with SGD. */
export async function recorded(
  { recordDtypes }: Submission,
  param: Name | null,
  reduce: Name | null,
  output: Name | null,
  withState: boolean,
  sharded: boolean,
) {
  const policy = new MixedPrecisionPolicy({
    paramDtype: param === null ? null : DTYPES[param],
    reduceDtype: reduce === null ? null : DTYPES[reduce],
    outputDtype: output === null ? null : DTYPES[output],
  });
  const model = sharded ? build(policy) : new nn.Sequential(new nn.Linear(6, 3));
  const optimizer = withState
    ? new optim.AdamW(model.parameters(), { lr: 1e-2 })
    : new optim.SGD(model.parameters(), { lr: 1e-2, momentum: 0.9 });
  const [x, y] = batch(0);
  let steps = 0;
  const dtypes = await recordDtypes(model, optimizer, (forward) => {
    steps++;
    F.mseLoss(forward(x).float(), y).backward();
    optimizer.step();
    // Neither of the two collectives that are asked for.
    dist.barrier();
    dist.allReduce(torch.zeros([1], { dtype: torch.float64 }));
  });
  const recorded = { ...dtypes };
  // What comes later is not recorded any more.
  const world = dist.getWorldSize();
  const long = torch.zeros([world], { dtype: torch.float64 });
  dist.allGatherSingle(long, long.narrow(0, 0, 1).clone());
  dist.reduceScatterSingle(torch.zeros([1], { dtype: torch.float64 }), long);
  if (!sharded) model.double().call(x.double());
  return { dtypes: recorded, steps, kept: Object.values(dtypes).join() === Object.values(recorded).join() };
}

export async function compared(
  { compareRuns }: Submission,
  names: string[],
  runs: { losses: number[]; gradients: Tensor[] }[],
  policies: string[],
) {
  const asked: string[] = [];
  const table = await compareRuns((policy) => {
    asked.push(policy);
    return runs[names.indexOf(policy)]!;
  }, policies);
  return { table, full: asked.filter((policy) => policy === 'none').length };
}

/** Steps with given gradients, which are scaled as a scaled loss would have scaled them. */
export async function scaled(
  { LossScaler }: Submission,
  options: { scale?: number; growthInterval?: number },
  gradients: (Tensor | null)[][],
) {
  const scaler = new LossScaler(options);
  const parameters = gradients[0]!.map((_, i) => torch.zeros([i + 2]).requiresGrad_(true));
  // A group of its own for each.
  const sgd = new optim.SGD(
    parameters.map((p) => ({ params: [p] })),
    { lr: 1 },
  );
  const loss = torch.tensor(2);
  const factor = scaler.scaleLoss(loss).item() as number;
  const rows: { stepped: boolean; scale: number }[] = [];
  for (const own of gradients) {
    for (const [i, g] of own.entries()) parameters[i]!.grad = g === null ? null : g.mul(scaler.scale);
    const stepped = await scaler.step(sgd);
    rows.push({ stepped, scale: scaler.scale });
  }
  return { factor, loss: loss.item() as number, rows, parameters: parameters.map((p) => p.detach()) };
}

/** Training in float16 of a loss so small that its gradients vanish unless it is scaled. */
export async function trainedSmall({ makePolicy, LossScaler }: Submission, steps: number) {
  const model = build(await makePolicy('fp16'));
  const adam = new optim.SGD(model.parameters(), { lr: 2e5 });
  const scaler = new LossScaler({ scale: 2 ** 24, growthInterval: 3 });
  const rows: [boolean, number][] = [];
  const all: number[] = [];
  for (let step = 0; step < steps; step++) {
    const [x, y] = batch(step % 2);
    adam.zeroGrad();
    const loss = F.mseLoss((model.call(x) as Tensor).float(), y);
    scaler.scaleLoss(loss.mul(1e-6)).backward();
    rows.push([await scaler.step(adam), scaler.scale]);
    all.push(loss.item() as number);
  }
  const finite = [...model.parameters()].every((p) => {
    const local = p instanceof DTensor ? p.toLocal() : p;
    return local.numel() === 0 || Number(torch.isfinite(local).all().item()) === 1;
  });
  return { rows, losses: all, finite };
}
