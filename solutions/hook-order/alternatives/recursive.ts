import type { nn } from 'shardbook';

type Hook = { kind: string; module: number; name: string; prepend: boolean; removed: boolean };
type Program = { layers: number; inputRequiresGrad: boolean; hooks: readonly Hook[] };

export function predict(program: Program): string[] {
  const lists = new Map<string, string[]>();
  for (const { kind, module, name, prepend, removed } of program.hooks) {
    const key = `${kind} ${module}`;
    const list = lists.get(key) ?? [];
    lists.set(key, list);
    if (!removed) list.splice(prepend ? 0 : list.length, 0, name);
  }
  const at = (kind: string, module: number): string[] => lists.get(`${kind} ${module}`) ?? [];
  // A layer is wrapped around those behind it: what comes after it in forward comes before it in backward.
  const from = (layer: number): [string[], string[]] => {
    if (layer === program.layers) return [[], []];
    const [forward, backward] = from(layer + 1);
    const weight = [...at('grad', layer), ...at('accumulated', layer)];
    const input = at('backward', layer);
    const isLate = layer > 0 || program.inputRequiresGrad;
    return [
      [...at('forwardPre', layer), ...at('forward', layer), ...forward],
      [...backward, ...at('backwardPre', layer), ...(isLate ? [...weight, ...input] : [...input, ...weight])],
    ];
  };
  const [forward, backward] = from(0);
  const input = at('backward', -1);
  return [
    ...at('forwardPre', -1),
    ...forward,
    ...at('forward', -1),
    ...at('backwardPre', -1),
    ...(program.inputRequiresGrad ? [...backward, ...input] : [...input, ...backward]),
  ];
}

export function watch(model: nn.Sequential, log: string[]) {
  const handles: { remove(): void }[] = [];
  for (const [name, layer] of model.namedChildren()) {
    const parameter = [...layer.parameters()][0]!;
    handles.push(
      layer.registerForwardPreHook(() => void log.push(`enter ${name}`)),
      layer.registerForwardHook((_module, _args, output) => {
        log.push(`leave ${name}`);
        return output;
      }),
      parameter.registerPostAccumulateGradHook(() => void log.push(`arrived ${name}`)),
    );
  }
  return { remove: () => handles.splice(0).forEach((handle) => void handle.remove()) };
}
