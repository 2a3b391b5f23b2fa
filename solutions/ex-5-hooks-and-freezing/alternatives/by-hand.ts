import { DTensor, dist, type FSDPModule, type nn, torch } from 'shardbook';

type Handle = { remove(): void };

/** Norm and clamp on the shards themselves; prefetching as FSDP2 does it. */
export function freeze(model: nn.Module, patterns: readonly string[]): string[] {
  const frozen = new Set<string>();
  const parameters = new Map(model.namedParameters());
  for (const pattern of patterns) {
    const names = [...parameters.keys()].filter((name) => `${name}.`.startsWith(`${pattern}.`));
    if (names.length === 0) throw new Error(`"${pattern}" names nothing`);
    for (const name of names) frozen.add(name);
  }
  for (const name of frozen) parameters.get(name)!.requiresGrad = false;
  return [...parameters.keys()].filter((name) => frozen.has(name));
}

export class HookTrace {
  entries: [string, string, string][] = [];
  on = true;
  note(event: string, name: string, layer: nn.Linear): void {
    if (this.on) this.entries.push([event, name, layer.weight instanceof DTensor ? 'DTensor' : 'full']);
  }
  before(name: string, layer: nn.Linear): void {
    layer.registerForwardPreHook(() => this.note('pre, before', name, layer));
    layer.registerForwardHook(() => this.note('forward, before', name, layer));
  }
  after(name: string, layer: nn.Linear): void {
    layer.registerForwardPreHook(() => this.note('pre, prepended', name, layer), { prepend: true });
    layer.registerForwardPreHook(() => this.note('pre, after', name, layer));
    layer.registerForwardHook(() => this.note('forward, after', name, layer));
    layer.weight.registerPostAccumulateGradHook(() => this.note('gradient', name, layer));
  }
  remove(): void {
    this.on = false;
  }
}

export function clipByHook(model: nn.Module, value: number): Handle[] {
  const handles: Handle[] = [];
  for (const p of model.parameters()) {
    if (!p.requiresGrad) continue;
    const handle = p.registerPostAccumulateGradHook(({ grad }) => {
      const local = grad instanceof DTensor ? grad.localTensor : grad!;
      torch.noGrad(() => local.clamp_(-value, value));
    });
    handles.push(handle);
  }
  return handles;
}

export function clipGlobal(model: nn.Module, maxNorm: number): number {
  const locals = [...model.parameters()].flatMap(({ grad }) =>
    grad === null ? [] : [grad instanceof DTensor ? grad.localTensor : grad],
  );
  const squares = torch.zeros([1], { dtype: torch.float64 });
  for (const local of locals) squares.add_(local.double().pow(2).sum());
  dist.allReduce(squares);
  const norm = Math.sqrt(squares.item() as number);
  const factor = Math.min(1, maxNorm / (norm + 1e-6));
  torch.noGrad(() => {
    for (const local of locals) local.mul_(factor);
  });
  return norm;
}

export function addPrefetchHooks(layers: readonly (nn.Module & FSDPModule)[]): Handle[] {
  for (const [i, layer] of layers.entries()) layer.setModulesToForwardPrefetch(layers.slice(i + 1, i + 2));
  return [{ remove: () => layers.forEach((layer) => void layer.setModulesToForwardPrefetch([])) }];
}

export function hookOverhead(
  layers: readonly nn.Module[],
  hook: () => void,
  counts: readonly number[],
  step: () => void,
  steps: number,
) {
  const rows: { hooks: number; secondsPerStep: number }[] = [];
  for (const hooks of counts) {
    const handles: Handle[] = [];
    for (const layer of layers)
      for (let i = 0; i < hooks; i++) handles.push(layer.registerForwardHook(() => void hook()));
    // Once before it counts.
    step();
    let total = 0;
    for (let i = 0; i < steps; i++) {
      const start = performance.now();
      step();
      total += performance.now() - start;
    }
    rows.push({ hooks, secondsPerStep: total / (1000 * steps) });
    handles.forEach((handle) => void handle.remove());
  }
  return rows;
}
