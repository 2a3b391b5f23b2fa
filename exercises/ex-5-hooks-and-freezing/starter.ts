import type { FSDPModule, nn } from 'shardbook';

export interface Handle {
  remove(): void;
}

export type Entry = [event: string, name: string, state: 'full' | 'DTensor'];

/** Freezes what the patterns name; returns the names. */
export function freeze(model: nn.Module, patterns: readonly string[]): string[] {
  // TODO: a pattern is a parameter's whole name or the beginning of it up to a dot.
  throw new Error(`not begun: ${[model].length}, ${patterns.length} patterns`);
}

/** What hooks see of a layer's weight, in the order in which they run. */
export class HookTrace {
  readonly entries: Entry[] = [];

  before(name: string, layer: nn.Linear): void {
    throw new Error(`not begun: ${name}, ${[layer].length}`);
  }

  after(name: string, layer: nn.Linear): void {
    throw new Error(`not begun: ${name}, ${[layer].length}`);
  }

  remove(): void {
    throw new Error('not begun');
  }
}

/** Clamps every gradient when it is written. */
export function clipByHook(model: nn.Module, value: number): Handle[] {
  throw new Error(`not begun: ${[model].length}, ${value}`);
}

/** Scales all gradients to a norm of at most `maxNorm`; returns the norm before. */
export function clipGlobal(model: nn.Module, maxNorm: number): number {
  throw new Error(`not begun: ${[model].length}, ${maxNorm}`);
}

/** Each layer gathers the next one. */
export function addPrefetchHooks(layers: readonly (nn.Module & FSDPModule)[]): Handle[] {
  throw new Error(`not begun: ${layers.length} layers`);
}

/** Seconds per step with several numbers of hooks on each layer. */
export function hookOverhead(
  layers: readonly nn.Module[],
  hook: () => void,
  counts: readonly number[],
  step: () => void,
  steps: number,
): { hooks: number; secondsPerStep: number }[] {
  throw new Error(`not begun: ${[layers, hook, counts, step].length}, ${steps} steps`);
}
