import type { CheckContext, CheckKit, CheckTable, HostValue } from 'shardbook/grader';

const KINDS = ['forwardPre', 'forward', 'backwardPre', 'backward', 'grad', 'accumulated'] as const;
type Kind = (typeof KINDS)[number];

interface Hook {
  kind: Kind;
  module: number;
  name: string;
  prepend: boolean;
  removed: boolean;
}

interface Program {
  layers: number;
  inputRequiresGrad: boolean;
  hooks: Hook[];
}

export default (kit: CheckKit): CheckTable => {
  const { nn, torch } = kit.shardbook;
  /** The program itself, run. */
  const actual = ({ layers, inputRequiresGrad, hooks }: Program): string[] => {
    const model = new nn.Sequential(
      ...Array.from({ length: layers }, () => new nn.Linear(2, 2, { bias: false })),
    );
    const log: string[] = [];
    for (const { kind, module, name, prepend, removed } of hooks) {
      const on = module < 0 ? model : (model.at(module) as InstanceType<typeof nn.Linear>);
      const say = (): void => {
        log.push(name);
      };
      const { weight } = on as InstanceType<typeof nn.Linear>;
      const handle = {
        forwardPre: () => on.registerForwardPreHook(say, { prepend }),
        forward: () => on.registerForwardHook(say, { prepend }),
        backwardPre: () => on.registerFullBackwardPreHook(say, { prepend }),
        backward: () => on.registerFullBackwardHook(say, { prepend }),
        grad: () => weight.registerHook(say),
        accumulated: () => weight.registerPostAccumulateGradHook(say),
      }[kind]();
      if (removed) handle.remove();
    }
    const x = torch.ones([1, 2]).requiresGrad_(inputRequiresGrad);
    (model.call(x) as ReturnType<typeof torch.ones>).sum().backward();
    return log;
  };
  const check = async (context: CheckContext, name: string, program: Program): Promise<void> => {
    const work = { inputs: [[program as unknown as HostValue]], call: 'predict' };
    const { run, fail } = await kit.runSetting(context, { name, work });
    const want = actual(program);
    const got = run.ranks[0]!.value;
    const mismatch = kit.compareValue(got, want, 0, 'log');
    if (mismatch === undefined) return;
    const sorted = (list: readonly HostValue[]): string => [...list].map(String).sort().join();
    throw fail({
      message: firstEntry(got, want) ?? kit.explain(mismatch),
      mismatch,
      details: [`wanted: ${want.slice(0, 40).join(', ')}`],
      ...(Array.isArray(got) && sorted(got) === sorted(want)
        ? { hypothesis: 'all hooks are there, in another order' }
        : {}),
    });
  };
  /** The first entry of a log that is another one than it must be. */
  const firstEntry = (got: HostValue, want: readonly HostValue[]): string | undefined => {
    if (!Array.isArray(got)) return undefined;
    const entries = got as readonly HostValue[];
    const shown = (entry: HostValue): string => JSON.stringify(entry) ?? 'nothing';
    for (let at = 0; at < Math.max(entries.length, want.length); at++)
      if (entries[at] !== want[at])
        return `Entry ${at} of the log is ${shown(entries[at])}, wanted ${shown(want[at])}`;
    return undefined;
  };
  const hook = (kind: Kind, module: number, more: Partial<Hook> = {}): Hook => ({
    kind,
    module,
    name: `${kind} ${module < 0 ? 'of the whole' : module}`,
    prepend: false,
    removed: false,
    ...more,
  });
  const everywhere = (layers: number, kinds: readonly Kind[]): Hook[] =>
    kinds.flatMap((kind) =>
      Array.from({ length: layers + 1 }, (_, i) => i - 1)
        .filter((module) => module >= 0 || (kind !== 'grad' && kind !== 'accumulated'))
        .map((module) => hook(kind, module)),
    );
  const run = (
    context: CheckContext,
    name: string,
    layers: number,
    inputRequiresGrad: boolean,
    hooks: Hook[],
  ) => check(context, `${name}, ${layers} layers`, { layers, inputRequiresGrad, hooks });
  const watched = async (context: CheckContext, layers: number, requiresGrad: boolean): Promise<void> => {
    const name = `${layers} layers, an input ${requiresGrad ? 'with' : 'without'} gradient`;
    const work = { inputs: [[layers, requiresGrad]], harness: true, call: 'watched' };
    const { run: got, fail } = await kit.runSetting(context, { name, work });
    const value = got.ranks[0]!.value as Record<string, HostValue>;
    const { ranks } = await context.reference(work);
    const want = ranks[0]!.value as Record<string, HostValue>;
    for (const [key, why] of [
      ['outputs', 'a forward hook that returns something replaces the output'],
      ['log', 'is each entry written by the hook that runs at that moment, and by no other?'],
      ['grads', 'a hook of a gradient that returns something replaces the gradient'],
    ] as const) {
      const mismatch = kit.compareValue(value[key], want[key]!, 0, key);
      if (mismatch === undefined) continue;
      const log = key === 'log' && Array.isArray(value['log']) ? (value['log'] as HostValue[]) : [];
      const isLate = log
        .slice(log.indexOf('pass 2') + 1)
        .some((entry) => /^(enter|leave|arrived) /.test(String(entry)));
      const entry = key === 'log' ? firstEntry(value[key], want[key] as HostValue[]) : undefined;
      throw fail({
        message: entry ?? kit.explain(mismatch),
        mismatch,
        hypothesis:
          key === 'log' && isLate ? 'something is written after remove(): is every hook taken off?' : why,
      });
    }
  };
  return {
    forward: async (context) => {
      for (const layers of [1, 3])
        await run(
          context,
          'one hook of each kind',
          layers,
          true,
          everywhere(layers, ['forward', 'forwardPre']),
        );
      await run(context, 'two hooks on one module', 2, true, [
        hook('forward', 0, { name: 'first' }),
        hook('forward', 0, { name: 'second' }),
        hook('forwardPre', -1, { name: 'third' }),
        hook('forwardPre', -1, { name: 'fourth' }),
        hook('forward', 1, { name: 'the same' }),
        hook('forward', 1, { name: 'the same' }),
      ]);
    },
    registration: async (context) => {
      const hooks = ['a', 'b', 'c', 'd'].flatMap((name, i) =>
        [-1, 1].flatMap((module) => [
          hook('forwardPre', module, { name: `${name} before ${module}`, prepend: i % 2 === 1 }),
          hook('forward', module, { name: `${name} after ${module}`, prepend: i > 1, removed: i === 0 }),
        ]),
      );
      await run(context, 'prepended and removed hooks', 2, true, hooks);
    },
    backward: async (context) => {
      for (const layers of [1, 2, 3])
        await run(context, 'one hook of each kind', layers, true, everywhere(layers, [...KINDS].reverse()));
    },
    'no-input-gradient': async (context) => {
      for (const layers of [1, 2, 3])
        await run(context, 'no gradient for the input', layers, false, everywhere(layers, KINDS));
    },
    watch: async (context) => {
      await watched(context, 2, false);
      await watched(context, 5, true);
    },
    fresh: async (context) => {
      const random = new kit.Random(kit.deriveSeed(context.seed, 'programs'));
      for (let i = 0; i < 25; i++) {
        const layers = random.integer(1, i > 20 ? 9 : 4);
        const hooks = Array.from({ length: i === 0 ? 0 : random.integer(1, 24) }, (_, k) => {
          const kind = KINDS[random.integer(0, 5)]!;
          const ofTensor = kind === 'grad' || kind === 'accumulated';
          return hook(kind, random.integer(ofTensor ? 0 : -1, layers - 1), {
            name: `hook ${k}`,
            prepend: !ofTensor && random.uniform() < 0.3,
            removed: random.uniform() < 0.2,
          });
        });
        await check(context, 'drawn', { layers, inputRequiresGrad: random.uniform() < 0.5, hooks });
      }
    },
  };
};
