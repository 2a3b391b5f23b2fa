// fails: wrong in patterns, "No error for the pattern"
import { DTensor, type FSDPModule, type nn, optim, type Tensor, torch } from 'shardbook';

export interface Handle {
  remove(): void;
}

export type Entry = [event: string, name: string, state: 'full' | 'DTensor'];

/** Freezes what the patterns name; returns the names. */
export function freeze(model: nn.Module, patterns: readonly string[]): string[] {
  const fits = (name: string, pattern: string): boolean =>
    pattern === '' || name === pattern || name.startsWith(`${pattern}.`);
  const all = model.namedParameters();
  for (const pattern of patterns)
    if (!all.some(([name]) => fits(name, pattern))) throw new Error(`no parameter fits "${pattern}"`);
  const chosen = all.filter(([name]) => patterns.some((pattern) => fits(name, pattern)));
  for (const [, parameter] of chosen) parameter.requiresGrad_(false);
  return chosen.map(([name]) => name);
}

/** What hooks see of a layer's weight, in the order in which they run. */
export class HookTrace {
  readonly entries: Entry[] = [];
  readonly #handles: Handle[] = [];

  before(name: string, layer: nn.Linear): void {
    this.#handles.push(
      layer.registerForwardPreHook(this.#look('pre, before', name, layer)),
      layer.registerForwardHook(this.#look('forward, before', name, layer)),
    );
  }

  after(name: string, layer: nn.Linear): void {
    this.#handles.push(
      layer.registerForwardPreHook(this.#look('pre, after', name, layer)),
      layer.registerForwardPreHook(this.#look('pre, prepended', name, layer), { prepend: true }),
      layer.registerForwardHook(this.#look('forward, after', name, layer)),
      layer.weight.registerPostAccumulateGradHook(this.#look('gradient', name, layer)),
    );
  }

  remove(): void {
    for (const handle of this.#handles) handle.remove();
  }

  #look(event: string, name: string, layer: nn.Linear): () => void {
    return () => {
      this.entries.push([event, name, layer.weight instanceof DTensor ? 'DTensor' : 'full']);
    };
  }
}

/** Clamps every gradient when it is written. */
export function clipByHook(model: nn.Module, value: number): Handle[] {
  const clip = (parameter: Tensor): void => {
    torch.noGrad(() => parameter.grad!.clamp_({ min: -value, max: value }));
  };
  return [...model.parameters()]
    .filter((parameter) => parameter.requiresGrad)
    .map((parameter) => parameter.registerPostAccumulateGradHook(clip));
}

/** Scales all gradients to a norm of at most `maxNorm`; returns the norm before. */
export function clipGlobal(model: nn.Module, maxNorm: number): number {
  const norm = optim.clipGradNorm_(model.parameters(), maxNorm);
  return (norm instanceof DTensor ? norm.fullTensor() : norm).item() as number;
}

/** Each layer gathers the next one. */
export function addPrefetchHooks(layers: readonly (nn.Module & FSDPModule)[]): Handle[] {
  return layers.slice(1).map((next, i) =>
    layers[i]!.registerForwardPreHook(() => {
      next.unshard({ asyncOp: true });
    }),
  );
}

/** Seconds per step with several numbers of hooks on each layer. */
export function hookOverhead(
  layers: readonly nn.Module[],
  hook: () => void,
  counts: readonly number[],
  step: () => void,
  steps: number,
): { hooks: number; secondsPerStep: number }[] {
  return counts.map((hooks) => {
    const handles = layers.flatMap((layer) =>
      Array.from({ length: hooks }, () =>
        layer.registerForwardHook(() => {
          hook();
        }),
      ),
    );
    const start = performance.now();
    for (let i = 0; i < steps; i++) step();
    const secondsPerStep = (performance.now() - start) / steps / 1000;
    for (const handle of handles) handle.remove();
    return { hooks, secondsPerStep };
  });
}
