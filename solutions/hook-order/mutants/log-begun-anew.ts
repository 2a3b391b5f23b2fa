// fails: wrong in watch, "written by the hook"
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
export function predict({ layers, inputRequiresGrad, hooks }: Program): string[] {
  const log: string[] = [];
  const run = (kind: Kind, module: number): void => {
    const names: string[] = [];
    for (const hook of hooks) {
      if (hook.kind !== kind || hook.module !== module || hook.removed) continue;
      if (hook.prepend) names.unshift(hook.name);
      else names.push(hook.name);
    }
    log.push(...names);
  };
  const whole = -1;
  run('forwardPre', whole);
  for (let layer = 0; layer < layers; layer++) {
    run('forwardPre', layer);
    run('forward', layer);
  }
  run('forward', whole);
  run('backwardPre', whole);
  if (!inputRequiresGrad) run('backward', whole);
  for (let layer = layers - 1; layer >= 0; layer--) {
    run('backwardPre', layer);
    const inputGetsOne = layer > 0 || inputRequiresGrad;
    if (!inputGetsOne) run('backward', layer);
    run('grad', layer);
    run('accumulated', layer);
    if (inputGetsOne) run('backward', layer);
  }
  if (inputRequiresGrad) run('backward', whole);
  return log;
}

/** Writes `enter i`, `leave i` and `arrived i` for every layer, until it is removed. */
export function watch(model: nn.Sequential, log: string[]): { remove(): void } {
  log.length = 0;
  const handles = model.children().flatMap((layer, i) => {
    const say = (what: string) => (): void => {
      log.push(`${what} ${i}`);
    };
    return [
      layer.registerForwardPreHook(say('enter')),
      layer.registerForwardHook(say('leave')),
      (layer as nn.Linear).weight.registerPostAccumulateGradHook(say('arrived')),
    ];
  });
  return {
    remove() {
      for (const handle of handles) handle.remove();
    },
  };
}
