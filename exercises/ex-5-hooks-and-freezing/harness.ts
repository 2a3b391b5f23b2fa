import {
  DTensor,
  dist,
  F,
  type FSDPModule,
  fullyShard,
  initDeviceMesh,
  nn,
  onFsdp,
  optim,
  type Tensor,
  torch,
} from 'shardbook';

const VOCABULARY = 12;
const WIDTH = 6;

interface Handle {
  remove(): void;
}

/** A function that waits for something may be asynchronous. */
type Awaitable<T> = T | Promise<T>;

interface Submission {
  freeze(model: nn.Module, patterns: readonly string[]): Awaitable<string[]>;
  readonly HookTrace: new () => {
    readonly entries: [string, string, string][];
    before(name: string, layer: nn.Linear): void;
    after(name: string, layer: nn.Linear): void;
    remove(): void;
  };
  clipByHook(model: nn.Module, value: number): Awaitable<Handle[]>;
  clipGlobal(model: nn.Module, maxNorm: number): Awaitable<number>;
  addPrefetchHooks(layers: readonly (nn.Module & FSDPModule)[]): Awaitable<Handle[]>;
  hookOverhead(
    layers: readonly nn.Module[],
    hook: () => void,
    counts: readonly number[],
    step: () => void,
    steps: number,
  ): Awaitable<{ hooks: number; secondsPerStep: number }[]>;
}

class Model extends nn.Module {
  declare embedding: nn.Embedding;
  declare layers: nn.Sequential;
  declare output: nn.Linear;

  constructor() {
    super();
    this.embedding = new nn.Embedding(VOCABULARY, WIDTH);
    this.layers = new nn.Sequential(
      new nn.Linear(WIDTH, WIDTH),
      new nn.Linear(WIDTH, WIDTH),
      new nn.Linear(WIDTH, WIDTH),
    );
    this.output = new nn.Linear(WIDTH, VOCABULARY);
  }

  forward(ids: Tensor): Tensor {
    let x = this.embedding.call(ids);
    for (const layer of this.layers.children()) x = torch.tanh((layer as nn.Linear).call(x));
    return this.output.call(x);
  }
}

type Sharded = Model & FSDPModule;

function build(): Model {
  torch.manualSeed(5);
  return new Model();
}

function layersOf(model: Model): (nn.Linear & FSDPModule)[] {
  return model.layers.children() as (nn.Linear & FSDPModule)[];
}

function shard(model: Model): Sharded {
  const mesh = initDeviceMesh('cpu', [dist.getWorldSize()]);
  for (const layer of layersOf(model)) fullyShard(layer, { mesh });
  fullyShard(model, { mesh });
  return model as Sharded;
}

function lossOf(model: Model, ids: Tensor, targets: Tensor): Tensor {
  return F.crossEntropy((model.call(ids) as Tensor).reshape([-1, VOCABULARY]), targets.reshape([-1]));
}

function whole(t: Tensor): Tensor {
  return (t instanceof DTensor ? t.fullTensor() : t).detach().clone();
}

function gradientsOf(model: Model): (Tensor | null)[] {
  return [...model.parameters()].map((p) => (p.grad === null ? null : whole(p.grad)));
}

/** Trains after freezing: which parameters moved, which have gradients, and where all of them ended. */
export async function frozen(
  { freeze }: Submission,
  patterns: string[],
  ids: Tensor,
  targets: Tensor,
  steps: number,
) {
  const model = build();
  const start = new Map(model.namedParameters().map(([name, p]) => [name, p.detach().clone()]));
  const names = await freeze(model, patterns);
  const trainable = [...model.parameters()]
    .filter((p) => p.requiresGrad)
    .reduce((sum, p) => sum + p.numel(), 0);
  shard(model);
  const trained = [...model.parameters()].filter((p) => p.requiresGrad);
  const adam = trained.length === 0 ? undefined : new optim.AdamW(trained, { lr: 0.05, weightDecay: 0.1 });
  for (let step = 0; step < steps; step++) {
    adam?.zeroGrad();
    const loss = lossOf(model, ids, targets);
    if (loss.requiresGrad) loss.backward();
    adam?.step();
  }
  const gradients = model.namedParameters().map(([name, p]): [string, boolean] => [name, p.grad !== null]);
  const end = model.namedParameters().map(([name, p]): [string, Tensor] => [name, whole(p)]);
  return {
    names,
    trainable,
    moved: Object.fromEntries(end.map(([name, t]) => [name, !torch.equal(t, start.get(name)!)])),
    gradients: Object.fromEntries(gradients),
    values: Object.fromEntries(end),
  };
}

/** Patterns that are refused: what was said, and what was frozen all the same. */
export async function refused({ freeze }: Submission, patterns: string[]) {
  const model = build();
  let said: string | undefined;
  try {
    await freeze(model, patterns);
  } catch (error) {
    said = error instanceof Error ? error.message : 'what was thrown is no Error';
  }
  return { said, frozen: [...model.parameters()].filter((p) => !p.requiresGrad).length };
}

/** A step under the trace, and one after its end. */
export function traced({ HookTrace }: Submission, ids: Tensor, targets: Tensor) {
  const model = build();
  const trace = new HookTrace();
  const idle = new HookTrace();
  const layers = layersOf(model);
  for (const [i, layer] of layers.entries()) trace.before(`layer ${i}`, layer);
  shard(model);
  for (const [i, layer] of layers.entries()) trace.after(`layer ${i}`, layer);
  const first = lossOf(model, ids, targets);
  first.backward();
  const entries = trace.entries.map((entry) => entry.map(String));
  trace.remove();
  const second = lossOf(model, ids, targets);
  second.backward();
  return {
    entries,
    later: trace.entries.length - entries.length,
    idle: idle.entries.length,
    same: torch.equal(first.detach(), second.detach()),
  };
}

/** Gradients with the hooks, largest element at the moment they are written, and without them again. */
export async function clipped({ clipByHook }: Submission, value: number, ids: Tensor, targets: Tensor) {
  const model = build();
  model.output.bias!.requiresGrad_(false);
  shard(model);
  const handles = await clipByHook(model, value);
  let largest = 0;
  for (const p of model.parameters()) {
    if (!p.requiresGrad) continue;
    p.registerPostAccumulateGradHook((q) => {
      const local = q.grad instanceof DTensor ? q.grad.toLocal() : q.grad!;
      if (local.numel() > 0) largest = Math.max(largest, Number(local.abs().max().item()));
    });
  }
  lossOf(model, ids, targets).backward();
  const within = largest <= value * (1 + 1e-6);
  const clippedGradients = gradientsOf(model);
  model.zeroGrad();
  lossOf(model, ids, targets).backward();
  const again = gradientsOf(model);
  for (const handle of handles) handle.remove();
  model.zeroGrad();
  lossOf(model, ids, targets).backward();
  return { handles: handles.length > 0, within, clipped: clippedGradients, again, free: gradientsOf(model) };
}

export async function clippedGlobally(
  { clipGlobal }: Submission,
  maxNorm: number,
  ids: Tensor,
  targets: Tensor,
) {
  const model = build();
  model.embedding.weight.requiresGrad_(false);
  shard(model);
  lossOf(model, ids, targets).backward();
  const norm = await clipGlobal(model, maxNorm);
  const gradients = gradientsOf(model);
  const squares = gradients.reduce((sum, g) => sum + (g === null ? 0 : Number(g.pow(2).sum().item())), 0);
  return {
    norm: typeof norm === 'number' ? torch.tensor([norm]) : null,
    gradients,
    after: Math.sqrt(squares),
  };
}

/** When all-gathers begin, between the computing of the layers. */
export async function prefetched({ addPrefetchHooks }: Submission, ids: Tensor) {
  const model = build();
  const log: string[] = [];
  const layers = layersOf(model);
  for (const [i, layer] of layers.entries())
    layer.registerForwardHook(() => {
      log.push(`computed ${i}`);
    });
  shard(model);
  const handles = await addPrefetchHooks(layers);
  const off = onFsdp(({ kind, phase, module }) => {
    if (phase !== 'begin') return;
    if (kind === 'allGather') log.push(`gather ${module || 'the whole'}`);
    if (kind === 'copyOut') log.push(`use ${module || 'the whole'}`);
  });
  const outputs: Tensor[] = [];
  for (let pass = 0; pass < 3; pass++) {
    log.push(`pass ${pass}`);
    if (pass === 2) for (const handle of handles) handle.remove();
    outputs.push(torch.noGrad(() => (model.call(ids) as Tensor).detach()));
  }
  off();
  return { log, outputs };
}

/** Time stands still but for what is said here: a step takes 8 ms, a hook 1 ms. */
export async function cost({ hookOverhead }: Submission, counts: number[], steps: number) {
  const layers = layersOf(build());
  let now = 1000;
  let calls = 0;
  const perStep: number[] = [];
  const x = torch.ones([2, WIDTH]);
  const step = (): void => {
    const before = calls;
    now += 8;
    for (const layer of layers) layer.call(x);
    perStep.push(calls - before);
  };
  let registered = 0;
  for (const layer of layers) {
    const { registerForwardHook: register } = layer;
    Object.defineProperty(layer, 'registerForwardHook', {
      value: (...hook: Parameters<typeof register>) => {
        registered++;
        return register.apply(layer, hook);
      },
    });
  }
  const real = performance.now;
  performance.now = () => now;
  try {
    const hook = (): number => {
      now += 1;
      return ++calls;
    };
    const rows = await hookOverhead(layers, hook as unknown as () => void, counts, step, steps);
    const seen = [...perStep];
    step();
    return {
      rows: rows.map(({ hooks, secondsPerStep }) => ({
        hooks,
        milliseconds: Math.round(secondsPerStep * 1e6) / 1e3,
      })),
      seen,
      left: perStep.at(-1),
      registered,
    };
  } finally {
    performance.now = real;
  }
}
