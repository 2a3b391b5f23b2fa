import { DTensor, type FSDPModule, type nn, optim, torch } from 'shardbook';

type Handle = { remove(): void };
type Look = [string, string, 'full' | 'DTensor'];

export function freeze(model: nn.Module, patterns: readonly string[]): string[] {
  const used = new Set<string>();
  const names: string[] = [];
  const later: (() => void)[] = [];
  for (const [name, parameter] of model.namedParameters()) {
    const parts = name.split('.');
    const heads = parts.map((_, i) => parts.slice(0, i + 1).join('.'));
    const own = patterns.filter((pattern) => heads.includes(pattern));
    for (const pattern of own) used.add(pattern);
    if (own.length === 0) continue;
    names.push(name);
    later.push(() => void parameter.requiresGrad_(false));
  }
  const unused = patterns.filter((pattern) => !used.has(pattern));
  if (unused.length > 0) throw new Error(`nothing is called ${unused.join(', ')}`);
  for (const act of later) act();
  return names;
}

export class HookTrace {
  entries: Look[] = [];
  private off: Handle[] = [];
  private see(event: string, name: string, layer: nn.Linear) {
    return (): void => {
      const { weight } = layer;
      this.entries.push([event, name, 'deviceMesh' in weight ? 'DTensor' : 'full']);
    };
  }
  before(name: string, layer: nn.Linear): void {
    this.off.push(layer.registerForwardHook(this.see('forward, before', name, layer)));
    this.off.push(layer.registerForwardPreHook(this.see('pre, before', name, layer)));
  }
  after(name: string, layer: nn.Linear): void {
    const { weight } = layer;
    this.off.push(weight.registerPostAccumulateGradHook(this.see('gradient', name, layer)));
    this.off.push(layer.registerForwardHook(this.see('forward, after', name, layer)));
    this.off.push(layer.registerForwardPreHook(this.see('pre, prepended', name, layer), { prepend: true }));
    this.off.push(layer.registerForwardPreHook(this.see('pre, after', name, layer)));
  }
  remove(): void {
    this.off.splice(0).forEach((handle) => void handle.remove());
  }
}

export function clipByHook(model: nn.Module, value: number): Handle[] {
  return [...model.parameters()].flatMap((p) =>
    p.requiresGrad ? [p.registerPostAccumulateGradHook((q) => optim.clipGradValue_(q, value))] : [],
  );
}

export function clipGlobal(model: nn.Module, maxNorm: number): number {
  const parameters = [...model.parameters()].filter(({ grad }) => grad !== null);
  const total = optim.getTotalNorm(parameters.map(({ grad }) => grad!));
  optim.clipGradsWithNorm_(parameters, maxNorm, total);
  const norm = total instanceof DTensor ? total.fullTensor() : total;
  return Number(norm.item());
}

export function addPrefetchHooks(layers: readonly (nn.Module & FSDPModule)[]): Handle[] {
  const handles: Handle[] = [];
  layers.forEach((layer, i) => {
    const next = layers[i + 1];
    if (next === undefined) return;
    handles.push(layer.registerForwardPreHook(() => void next.unshard(true)));
  });
  return handles;
}

export function hookOverhead(
  layers: readonly nn.Module[],
  hook: () => void,
  counts: readonly number[],
  step: () => void,
  steps: number,
) {
  return counts.map((hooks) => {
    const off = layers.flatMap((layer) => {
      const own: Handle[] = [];
      while (own.length < hooks) own.push(layer.registerForwardHook(() => torch.noGrad(() => void hook())));
      return own;
    });
    const begin = performance.now();
    let left = steps;
    while (left-- > 0) step();
    const seconds = (performance.now() - begin) / 1e3;
    for (const handle of off) handle.remove();
    return { hooks, secondsPerStep: seconds / steps };
  });
}
