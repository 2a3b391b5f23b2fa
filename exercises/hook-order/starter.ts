import type { nn } from 'shardbook';

export type Kind = 'forwardPre' | 'forward' | 'backwardPre' | 'backward' | 'grad' | 'accumulated';

export interface Hook {
  readonly kind: Kind;
  /** -1: the whole; otherwise the layer. */
  readonly module: number;
  readonly name: string;
  readonly prepend: boolean;
  readonly removed: boolean;
}

export interface Program {
  readonly layers: number;
  readonly inputRequiresGrad: boolean;
  /** In the order in which they were registered. */
  readonly hooks: readonly Hook[];
}

/** Names of the hooks in the order in which they run. */
export function predict(program: Program): string[] {
  // TODO: forward from the first layer to the last, backward from the last to the first.
  throw new Error(`not begun: ${program.hooks.length} hooks`);
}

/** Writes `enter i`, `leave i` and `arrived i` for every layer, until it is removed. */
export function watch(model: nn.Sequential, log: string[]): { remove(): void } {
  // TODO: three hooks for each layer, and their handles.
  throw new Error(`not begun: ${model.children().length} layers, ${log.length} entries`);
}
