import type { nn } from 'shardbook';

type Kind = 'forwardPre' | 'forward' | 'backwardPre' | 'backward' | 'grad' | 'accumulated';

interface Program {
  layers: number;
  inputRequiresGrad: boolean;
  hooks: readonly { kind: Kind; module: number; name: string; prepend: boolean; removed: boolean }[];
}

/** First the events of a pass, then who listens to each. */
function events(layers: number, hasInputGradient: boolean): [Kind, number][] {
  if (layers === 0) throw new Error('a model without layers');
  const forward = Array.from({ length: layers }, (_, i): [Kind, number][] => [
    ['forwardPre', i],
    ['forward', i],
  ]).flat();
  const backward = Array.from({ length: layers }, (_, i): [Kind, number][] => {
    const weight: [Kind, number][] = [
      ['grad', i],
      ['accumulated', i],
    ];
    const input: [Kind, number][] = [['backward', i]];
    return [['backwardPre', i], ...(i === 0 && !hasInputGradient ? [input, weight] : [weight, input]).flat()];
  })
    .reverse()
    .flat();
  const end: [Kind, number][] = [['backward', -1]];
  return [
    ['forwardPre', -1],
    ...forward,
    ['forward', -1],
    ['backwardPre', -1],
    ...(hasInputGradient ? [] : end),
    ...backward,
    ...(hasInputGradient ? end : []),
  ];
}

export function predict({ layers, inputRequiresGrad, hooks }: Program): string[] {
  const there = hooks.filter(({ removed }) => !removed);
  return events(layers, inputRequiresGrad).flatMap(([kind, module]) => {
    const mine = there.filter((hook) => hook.kind === kind && hook.module === module);
    const early = mine.filter(({ prepend }) => prepend).reverse();
    return [...early, ...mine.filter(({ prepend }) => !prepend)].map(({ name }) => name);
  });
}

export function watch(model: nn.Sequential, log: string[]) {
  let on = true;
  const write = (text: string): void => {
    if (on) log.push(text);
  };
  for (let i = 0; i < model.children().length; i++) {
    const layer = model.at(i) as nn.Linear;
    layer.registerForwardPreHook(() => write(`enter ${i}`));
    layer.registerForwardHook(() => write(`leave ${i}`));
    layer.weight.registerPostAccumulateGradHook(() => write(`arrived ${i}`));
  }
  return {
    remove: () => {
      on = false;
    },
  };
}
