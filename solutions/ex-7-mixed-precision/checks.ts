import type { CheckContext, CheckKit, CheckTable, HostTensor, HostValue } from 'shardbook/grader';

type Fields = Record<string, HostValue>;
type Name = 'float32' | 'float64' | 'float16' | 'bfloat16';

/** Computing, reduction, output. */
const POLICIES: Readonly<Record<string, readonly [Name, Name, Name]>> = {
  none: ['float32', 'float32', 'float32'],
  bf16: ['bfloat16', 'float32', 'float32'],
  'bf16-reduced': ['bfloat16', 'bfloat16', 'float32'],
  fp16: ['float16', 'float32', 'float32'],
};

export default (kit: CheckKit): CheckTable => {
  const ask = async (context: CheckContext, name: string, call: string, inputs: HostValue[][]) => {
    const outcome = await kit.runSetting(context, { name, work: { inputs, harness: true, call } });
    return { ...outcome, values: outcome.run.ranks.map(({ value }) => value as Fields) };
  };
  const several = (context: CheckContext): number[] => context.worlds.filter((world) => world === 2);
  const every = <T>(world: number, make: (rank: number) => T): T[] =>
    Array.from({ length: world }, (_, rank) => make(rank));

  const checkSum = async (
    context: CheckContext,
    start: number,
    term: number,
    times: number,
    dtype: Name,
    want: number,
  ) => {
    const name = `${start} plus ${term}, ${times} times, ${dtype}`;
    const { values, fail } = await ask(context, name, 'accumulated', [[start, term, times, dtype]]);
    const got = values[0] as unknown;
    if (got === want) return;
    throw fail({
      message: `The sum is ${String(got)}, wanted ${want}`,
      ...(got === start + term * times
        ? { hypothesis: 'is it added in full precision, and rounded once?' }
        : {}),
    });
  };
  const checkPolicy = async (context: CheckContext, world: number, policy: string): Promise<number> => {
    const [param, reduce, output] = POLICIES[policy]!;
    const name = `world ${world}, policy ${policy}`;
    const { values, fail, run } = await ask(
      context,
      name,
      'oneStep',
      every(world, () => [policy]),
    );
    for (const [rank, value] of values.entries()) {
      for (const [key, want, why] of [
        ['storage', ['float32'], 'the sharded parameters'],
        ['moments', ['float32'], "the optimizer's moments"],
        ['gradients', ['float32'], 'the sharded gradients'],
        ['output', output, 'the output of the model'],
      ] as const) {
        const mismatch = kit.compareValue(value[key], want, rank, key);
        if (mismatch !== undefined)
          throw fail({
            message: `Rank ${rank}: ${why} are ${String(value[key])}, wanted ${String(want)}`,
            mismatch,
          });
      }
    }
    let gathered = 0;
    for (const { op, tensors, bytes } of run.exchange.collectives) {
      const [wanted, what] = op.startsWith('allGather')
        ? [param, 'all-gather']
        : op.startsWith('reduceScatter')
          ? [reduce, 'reduce-scatter']
          : [undefined, ''];
      const got = tensors[0]?.dtype;
      if (wanted === undefined || got === undefined) continue;
      if (op.startsWith('allGather')) gathered += bytes.reduce((sum, n) => sum + n, 0);
      if (got !== wanted) throw fail({ message: `The ${what} carries ${got}, wanted ${wanted}` });
    }
    return gathered;
  };
  const checkRecord = async (
    context: CheckContext,
    world: number,
    [param, reduce, output]: readonly (Name | null)[],
    withState = true,
    sharded = true,
  ): Promise<void> => {
    const name = `world ${world}, ${sharded ? `parameters ${param}, reduction ${reduce}, output ${output}` : 'a model that is not sharded'}, ${withState ? 'AdamW' : 'SGD'}`;
    const inputs = every(world, (): HostValue[] => [param!, reduce!, output!, withState, sharded]);
    const { values, fail } = await ask(context, name, 'recorded', inputs);
    const compute = sharded ? (param ?? 'float32') : 'float32';
    const want: Fields = {
      storage: 'float32',
      compute,
      allGather: sharded ? compute : null,
      reduceScatter: sharded ? (reduce ?? compute) : null,
      output: sharded ? (output ?? compute) : 'float32',
      moments: withState ? 'float32' : null,
    };
    for (const [rank, value] of values.entries()) {
      const mismatch = kit.compareValue(value['dtypes'], want, rank, 'dtypes');
      if (mismatch !== undefined) throw fail({ message: kit.explain(mismatch), mismatch });
      if (value['steps'] !== 1)
        throw fail({ message: `step ran ${String(value['steps'])} times, wanted once` });
      if (value['kept'] !== true)
        throw fail({ message: 'The record changes in a later step: are hooks left?' });
    }
  };
  interface Made {
    losses: number[];
    gradients: HostTensor[];
  }
  const checkCompare = async (
    context: CheckContext,
    names: string[],
    runs: Made[],
    policies: string[],
  ): Promise<void> => {
    const name = `policies ${policies.join(', ')}, ${runs[0]!.losses.length} losses`;
    const { values, fail } = await ask(context, name, 'compared', [
      [names, runs as unknown as HostValue, policies],
    ]);
    const base = runs[names.indexOf('none')]!;
    const largest = (list: number[]): number =>
      Math.max(0, ...list.map((v) => (Number.isNaN(v) ? Number.POSITIVE_INFINITY : v)));
    const norm = (list: Float64Array): number => Math.sqrt(list.reduce((sum, v) => sum + v * v, 0));
    const table = values[0]!['table'] as Record<string, Record<string, number>>;
    for (const policy of policies) {
      const own = runs[names.indexOf(policy)]!;
      const want: Record<string, number> = {
        loss: largest(own.losses.map((l, i) => Math.abs(l - base.losses[i]!) / Math.abs(base.losses[i]!))),
        gradient: largest(
          own.gradients.map((g, t) => {
            const other = base.gradients[t]!.values;
            return norm(g.values.map((v, i) => v - other[i]!)) / norm(other);
          }),
        ),
      };
      for (const [key, wanted] of Object.entries(want)) {
        const got = table?.[policy]?.[key];
        if (
          typeof got === 'number' &&
          (Object.is(got, wanted) || (Number.isFinite(wanted) && Math.abs(got - wanted) <= 1e-10 * wanted))
        )
          continue;
        throw fail({
          message: `${key} of ${policy} is ${String(got)}, wanted ${wanted}`,
          ...(typeof got === 'number' && Math.abs(got - wanted) <= 1e-5 * wanted
            ? { hypothesis: 'is it computed in float64?' }
            : {}),
        });
      }
    }
    if (values[0]!['full'] !== 1)
      throw fail({
        message: `The run in full precision was asked for ${String(values[0]!['full'])} times, wanted once`,
      });
  };
  const noisy = (context: CheckContext, label: string, base: Made | undefined, amount: number): Made => {
    const random = new kit.Random(kit.deriveSeed(context.seed, label));
    const shapes = [[3, 2], [4]];
    return {
      losses: Array.from({ length: 5 }, (_, i) =>
        base === undefined ? 1 + random.uniform() : base.losses[i]! * (1 + amount * (random.uniform() - 0.7)),
      ),
      gradients: shapes.map((shape, i) => {
        const own = kit.randomTensor(context.seed, `${label} ${i}`, shape);
        if (base === undefined) return own;
        const other = base.gradients[i]!.values;
        return { ...own, values: own.values.map((v, k) => kit.roundTo(other[k]! + amount * v, 'float32')) };
      }),
    };
  };
  /** `plan[step][rank]`: the gradients are finite, if with a sum of them scaled that is not, overflow, or are not there. */
  type Gradient = 'fine' | 'large' | 'overflow' | 'nan' | 'none';
  const checkScaler = async (
    context: CheckContext,
    plan: readonly (readonly Gradient[])[],
    options: { scale?: number; growthInterval?: number },
    oneNumber = false,
  ): Promise<void> => {
    const world = plan[0]!.length;
    const steps =
      plan.length > 20
        ? `${plan.length} steps`
        : `${plan.map((ranks) => ranks.map((one) => one[0]).join('')).join(' ')} (f fine, l large, o overflow, n nothing or NaN)`;
    const name = `world ${world}, ${steps}, scale ${options.scale ?? 65536}, interval ${options.growthInterval ?? 2000}`;
    const shapes = [[2], [3]];
    const gradient = (step: number, rank: number, i: number): HostTensor | null => {
      const what = plan[step]![rank]!;
      if (what === 'none') return null;
      const own = kit.randomTensor(context.seed, `gradient ${step} ${rank} ${i}`, shapes[i]!);
      if (what === 'large' && i === 1) own.values.fill(2 ** 117, 1);
      if (what === 'overflow' && i === 1) own.values[2] = Number.NEGATIVE_INFINITY;
      if (what === 'nan' && i === 0) own.values[0] = Number.NaN;
      return own;
    };
    const inputs = every(world, (rank): HostValue[] => [
      options,
      plan.map((_, step) => [0, 1].map((i) => gradient(step, rank, i))),
    ]);
    const { values, fail, run } = await ask(context, name, 'scaled', inputs);
    let scale = options.scale ?? 65536;
    let row = 0;
    const first = 2 * scale;
    const rows = plan.map((ranks) => {
      const stepped = !ranks.some((one) => one === 'overflow' || one === 'nan');
      row = stepped ? row + 1 : 0;
      if (!stepped) scale /= 2;
      if (row === (options.growthInterval ?? 2000)) {
        scale *= 2;
        row = 0;
      }
      return { stepped, scale };
    });
    for (const [rank, value] of values.entries()) {
      if (value['factor'] !== first)
        throw fail({ message: `A loss of 2 is scaled to ${String(value['factor'])}, wanted ${first}` });
      if (value['loss'] !== 2)
        throw fail({ message: `A loss of 2 is ${String(value['loss'])} after scaleLoss, wanted it to stay` });
      const got = value['rows'] as unknown as typeof rows;
      for (const [step, wanted] of rows.entries()) {
        if (got[step]?.stepped !== wanted.stepped)
          throw fail({
            message: `Step ${step} was ${got[step]?.stepped === true ? 'done' : 'skipped'} on rank ${rank}, wanted it ${wanted.stepped ? 'done' : 'skipped'}`,
            ...(world > 1 &&
            !wanted.stepped &&
            plan[step]![rank] !== 'overflow' &&
            plan[step]![rank] !== 'nan'
              ? { hypothesis: 'another rank overflowed: do the ranks agree?' }
              : {}),
            ...(wanted.stepped && plan[step]!.includes('large')
              ? {
                  hypothesis: 'every element is finite, if large: is something computed from them looked at?',
                }
              : {}),
          });
        if (got[step]?.scale !== wanted.scale)
          throw fail({
            message: `After step ${step} the scale is ${String(got[step]?.scale)}, wanted ${wanted.scale}`,
          });
      }
      const sums = shapes.map((shape, i) => {
        const total = new Float64Array(shape[0]!);
        for (const [step, { stepped }] of rows.entries()) {
          const own = gradient(step, rank, i);
          if (stepped && own !== null) for (const [k, v] of own.values.entries()) total[k]! -= v;
        }
        return kit.expectClose(kit.tensor([...total]), { terms: 2 * plan.length });
      });
      const mismatch = kit.compareValue(value['parameters'], sums, rank, 'parameters');
      if (mismatch !== undefined)
        throw fail({
          message: kit.explain(mismatch),
          mismatch,
          hypothesis: 'the gradients are divided by the scale that the loss was multiplied with',
        });
    }
    if (!oneNumber) return;
    const { instruments, transfers } = run.exchange;
    const collectives = [...run.exchange.collectives, ...instruments];
    const bytes = Math.max(0, ...collectives.flatMap((call) => call.bytes));
    if (collectives.length > plan.length || bytes > 64 || transfers.length > 0)
      throw fail({
        message: `${plan.length} steps took ${collectives.length} collectives of up to ${bytes} bytes and ${transfers.length} messages, wanted one number per step`,
      });
  };
  return {
    accumulate: async (context) => {
      await checkSum(context, 0, 1, 1024, 'bfloat16', 256);
      await checkSum(context, 0, 1, 4096, 'float16', 2048);
      await checkSum(context, 0, 1, 300, 'float32', 300);
      await checkSum(context, 1, 1 / 256, 7, 'bfloat16', 1);
      await checkSum(context, 1, 1 / 256, 7, 'float32', 1.02734375);
      await checkSum(
        context,
        0,
        0.1,
        10,
        'float64',
        0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1 + 0.1,
      );
    },
    compare: async (context) => {
      const base = noisy(context, 'full', undefined, 0);
      const names = ['none', 'bf16', 'fp16'];
      const runs = [base, noisy(context, 'bf16', base, 0.02), noisy(context, 'fp16', base, 0.2)];
      await checkCompare(context, names, runs, ['bf16', 'none', 'fp16']);
      const overflow = { ...runs[2]!, losses: [...runs[2]!.losses.slice(0, 4), Number.NaN] };
      await checkCompare(context, names, [base, runs[1]!, overflow], ['bf16', 'fp16']);
      const small = runs.map((run) => ({
        ...run,
        gradients: run.gradients.map((t) => ({ ...t, values: t.values.map((v) => v / 1024) })),
      }));
      await checkCompare(context, names, small, ['bf16', 'fp16']);
      // Losses may be below zero, as those of densities are.
      const below = runs.map((run) => ({ ...run, losses: run.losses.map((loss) => -loss) }));
      await checkCompare(context, names, below, ['bf16', 'fp16']);
    },
    scaler: async (context) => {
      const plan = (['fine', 'fine', 'overflow', 'fine', 'fine', 'fine', 'nan', 'nan', 'fine'] as const).map(
        (one) => [one],
      );
      await checkScaler(context, plan, { scale: 1024, growthInterval: 2 });
      await checkScaler(context, [['fine'], ['overflow']], {});
      await checkScaler(context, [['overflow'], ['fine'], ['nan']], { scale: 1 });
      await checkScaler(context, [['fine'], ['large'], ['fine']], { scale: 1024, growthInterval: 3 });
      // As long as the interval that holds if none is said.
      await checkScaler(
        context,
        Array.from({ length: 2000 }, () => ['fine']),
        { scale: 1 },
      );
    },
    agreement: async (context) => {
      await checkScaler(
        context,
        [
          ['fine', 'fine'],
          ['fine', 'overflow'],
          ['nan', 'fine'],
          ['fine', 'fine'],
        ],
        { scale: 8, growthInterval: 3 },
        true,
      );
      await checkScaler(
        context,
        [
          ['fine', 'none', 'fine'],
          ['overflow', 'none', 'overflow'],
          ['fine', 'fine', 'none'],
        ],
        { scale: 4, growthInterval: 1 },
        true,
      );
    },
    policies: async (context) => {
      for (const world of several(context)) {
        const full = await checkPolicy(context, world, 'none');
        for (const policy of ['bf16', 'bf16-reduced', 'fp16']) {
          const half = await checkPolicy(context, world, policy);
          if (half * 2 !== full)
            throw new kit.CheckFailure('wrong', {
              message: `The all-gathers of ${policy} carry ${half} bytes, wanted half of ${full}`,
              case: `world ${world}`,
            });
        }
      }
    },
    record: async (context) => {
      await checkRecord(context, 2, ['bfloat16', 'float32', 'float32']);
      await checkRecord(context, 2, ['float16', null, null]);
      await checkRecord(context, 1, [null, null, null], false, false);
    },
    accuracy: async (context) => {
      const run = async (policy: string): Promise<number> => {
        const { values } = await ask(
          context,
          `world 2, policy ${policy}, 50 steps`,
          'losses',
          every(2, () => [policy, 50]),
        );
        return Number((values[0] as unknown as number[])[49]);
      };
      const [full, half] = [await run('none'), await run('bf16')];
      if (Math.abs(half - full) <= 0.01 * full) return;
      throw new kit.CheckFailure('wrong', {
        message: `After 50 steps the loss is ${half}, in full precision ${full}: more than 1 % apart`,
        case: 'world 2, 50 steps',
      });
    },
    underflow: async (context) => {
      const name = 'world 2, loss times 1e-6, 12 steps';
      const work = { inputs: every(2, () => [12]), harness: true, call: 'trainedSmall' };
      const { run, fail } = await kit.runSetting(context, { name, work });
      const want = await context.reference(work);
      for (const [rank, { value }] of run.ranks.entries()) {
        const got = value as unknown as { rows: HostValue; losses: number[]; finite: boolean };
        const mismatch = kit.compareValue(
          got.rows,
          (want.ranks[rank]!.value as Fields)['rows']!,
          rank,
          'steps',
        );
        if (mismatch !== undefined) throw fail({ message: kit.explain(mismatch), mismatch });
        if (!got.finite) throw fail({ message: `Rank ${rank}: parameters are not finite any more` });
        const [from, to] = [got.losses[0]!, got.losses.at(-1)!];
        if (!(to < 0.8 * from))
          throw fail({ message: `The loss goes from ${from} to ${to}: it does not learn` });
      }
    },
    fresh: async (context) => {
      await checkPolicy(context, 3, 'bf16-reduced');
      await checkRecord(context, 2, ['float16', 'bfloat16', 'float64']);
      await checkRecord(context, 3, [null, 'bfloat16', null], false);
      await checkRecord(context, 2, ['bfloat16', 'float16', 'float16']);
      const base = noisy(context, 'hidden full', undefined, 0);
      const worst = noisy(context, 'hidden other', base, 3);
      worst.gradients[1]!.values[2] = Number.NaN;
      await checkCompare(
        context,
        ['x', 'none', 'y'],
        [worst, base, noisy(context, 'hidden y', base, 1e-3)],
        ['y', 'x'],
      );
      const random = new kit.Random(kit.deriveSeed(context.seed, 'plan'));
      const kinds = ['fine', 'fine', 'fine', 'overflow', 'nan', 'none'] as const;
      const plan = Array.from({ length: 9 }, () => every(3, () => kinds[random.integer(0, 5)]!));
      await checkScaler(context, plan, { scale: 2 ** 10, growthInterval: 2 });
      await checkScaler(context, plan.slice(0, 4), { scale: 64, growthInterval: 1 });
    },
  };
};
