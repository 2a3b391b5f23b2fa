import type { CheckContext, CheckKit, CheckTable, HostTensor, HostValue, Schedule } from 'shardbook/grader';

interface Asked {
  readonly world: number;
  readonly shapes?: readonly (readonly number[])[];
  /** Which parameter stands at each place of the list; default: each once. */
  readonly order?: readonly number[];
  readonly frozen?: readonly number[];
  /** All values are the same. */
  readonly alike?: boolean;
  /** The elements of a parameter do not lie one after the other. */
  readonly strided?: boolean;
}

export default (kit: CheckKit): CheckTable => {
  const described = ({ world, shapes = [[3, 4], [4]], order, frozen = [], alike }: Asked): string =>
    `world ${world}, parameters ${shapes.map((shape) => `[${shape.join(', ')}]`).join(' ')}${order === undefined ? '' : `, list ${order.join(' ')}`}${frozen.length > 0 ? `, ${frozen.join(' ')} frozen` : ''}${alike === true ? ', all values equal' : ''}`;
  const setting = (
    context: CheckContext,
    call: string,
    asked: Asked,
    more: (rank: number) => HostValue[] = () => [],
  ) => {
    const { world, shapes = [[3, 4], [4]], frozen = [] } = asked;
    const name = described(asked);
    const order = asked.order ?? shapes.map((_, i) => i);
    const tensors = shapes.map((shape, i): HostTensor => {
      const t = kit.randomTensor(context.seed, `${name}, ${i}`, shape);
      const { strided = false } = asked;
      return { ...t, strided, ...(asked.alike === true ? { values: t.values.map(() => 0.5) } : {}) };
    });
    const inputs = Array.from({ length: world }, (_, rank): HostValue[] => [
      tensors,
      [...order],
      [...frozen],
      ...more(rank),
    ]);
    return { name, tensors, order, frozen, world, work: { inputs, harness: true, call } };
  };
  const flatOf = (
    tensors: readonly (HostTensor | null)[],
    like: readonly HostTensor[],
    world: number,
  ): Float64Array => {
    const total = like.reduce((sum, { values }) => sum + values.length, 0);
    const flat = new Float64Array(Math.ceil(total / world) * world);
    let at = 0;
    for (const [i, { values }] of like.entries()) {
      const own = tensors[i];
      if (own !== null && own !== undefined) flat.set(own.values, at);
      at += values.length;
    }
    return flat;
  };
  const partOf = (flat: Float64Array, rank: number, world: number): HostTensor => {
    const size = flat.length / world;
    return kit.tensor([...flat.subarray(rank * size, (rank + 1) * size)], [size]);
  };
  const field = (value: HostValue, key: string): HostValue => (value as Record<string, HostValue>)[key];
  const checkShard = async (context: CheckContext, asked: Asked): Promise<void> => {
    const { name, work, tensors, world } = setting(context, 'laidOut', asked);
    const { run, fail } = await kit.runSetting(context, { name, work });
    const flat = flatOf(tensors, tensors, world);
    for (const [rank, { value }] of run.ranks.entries()) {
      const mismatch = kit.compareValue(
        field(value, 'shard'),
        partOf(flat, rank, world),
        rank,
        'shard',
        'exact',
      );
      if (mismatch !== undefined)
        throw fail({
          message: kit.explain(mismatch),
          mismatch,
          ...(mismatch.kind === 'shape'
            ? {
                hypothesis:
                  'all parameters are one vector, padded to a multiple of the world, and cut in equal parts',
              }
            : {}),
        });
      if (field(value, 'untouched') !== true)
        throw fail({ message: `Rank ${rank}: a parameter that was given changes when the shard does` });
      if (field(value, 'isLeaf') !== true)
        throw fail({ message: `Rank ${rank}: the shard is no leaf, no optimizer would step it` });
      const held = Number(field(value, 'held'));
      // Memory is handed out in steps.
      if (held > 4 * (flat.length / world) + 64)
        throw fail({
          message: `Rank ${rank}: the shard keeps ${held} bytes, wanted ${(4 * flat.length) / world}`,
          hypothesis: 'a view of the whole vector keeps all of it: is the part copied?',
        });
    }
  };
  const checkWhole = async (context: CheckContext, asked: Asked): Promise<void> => {
    const { name, work, tensors, order, frozen } = setting(context, 'gathered', asked);
    const { run, fail } = await kit.runSetting(context, { name, work });
    const wanted = order.map((i) => tensors[i]!);
    const tripled = wanted.map((t) => ({ ...t, values: t.values.map((v) => kit.roundTo(3 * v, 'float32')) }));
    const facts: [string, HostValue, string][] = [
      ['kept', true, 'unshard() returned other tensors while the first ones were there'],
      ['leaves', true, 'a whole parameter is no leaf: it gets no gradient'],
      [
        'requiresGrad',
        order.map((i) => !frozen.includes(i)),
        'a whole parameter requires a gradient where the given one does not, or the other way round',
      ],
      ['tied', order.map((i) => order.indexOf(i)), 'a tied parameter is not one tensor'],
    ];
    for (const [rank, { value }] of run.ranks.entries()) {
      for (const [key, want] of [
        ['before', wanted],
        ['after', tripled],
      ] as const) {
        const mismatch = kit.compareValue(field(value, key), want, rank, key, 'exact');
        if (mismatch !== undefined)
          throw fail({
            message: kit.explain(mismatch),
            mismatch,
            ...(key === 'after'
              ? { hypothesis: 'the shard was changed in place: is it what is gathered?' }
              : {}),
          });
      }
      for (const [key, want, message] of facts)
        if (kit.compareValue(field(value, key), want, rank) !== undefined)
          throw fail({ message: `Rank ${rank}: ${message}` });
    }
  };
  /** `uses(rank, pass)`: for each place of the list, whether the loss has it. */
  const checkGradients = async (
    context: CheckContext,
    asked: Asked,
    {
      passes = 1,
      reshards = 'early',
      uses = () => true,
      schedule = 'buffered',
    }: {
      passes?: number;
      reshards?: 'early' | 'between' | 'late' | 'once';
      uses?: (rank: number, place: number) => boolean;
      schedule?: Schedule;
    } = {},
  ) => {
    const { shapes = [[3, 4], [4]] } = asked;
    const order = asked.order ?? shapes.map((_, i) => i);
    const factor = (rank: number, pass: number, place: number): HostTensor | null =>
      uses(rank, place)
        ? kit.randomTensor(
            context.seed,
            `factor ${rank} ${pass} ${place} ${described(asked)}`,
            shapes[order[place]!]!,
          )
        : null;
    const factors = (rank: number): (HostTensor | null)[][] =>
      Array.from({ length: passes }, (_, pass) => order.map((_, place) => factor(rank, pass, place)));
    const made = setting(context, 'reduced', asked, (rank) => [factors(rank), reshards]);
    const when = reshards === 'between' ? ', resharded before the gradients are reduced' : '';
    const name = `${made.name}, ${passes} backward passes${when}${schedule === 'buffered' ? '' : `, ${schedule}`}`;
    const { run, fail } = await kit.runSetting(context, { name, work: { ...made.work, schedule } });
    const { world, tensors, frozen } = made;
    const sums = tensors.map((t) => new Float64Array(t.values.length));
    for (let rank = 0; rank < world; rank++)
      for (const places of factors(rank))
        for (const [place, own] of places.entries())
          if (own !== null && !frozen.includes(order[place]!))
            for (const [i, v] of own.values.entries()) sums[order[place]!]![i]! += v / world;
    const flat = flatOf(
      tensors.map((t, i) => ({ ...t, values: sums[i]! })),
      tensors,
      world,
    );
    for (const [rank, { value }] of run.ranks.entries()) {
      const want = partOf(flat, rank, world);
      const got = field(value, 'grad');
      const mismatch = kit.compareValue(got, want, rank, 'shard.grad', { terms: 16 });
      if (mismatch === undefined) continue;
      const guess = kit.isHostTensor(got)
        ? kit.hypothesis(
            got,
            kit.expectClose(want, { terms: 16 }),
            world,
            kit.tensor([...want.values.map(() => Number.NaN)], [...want.shape]),
          )
        : undefined;
      throw fail({
        message: kit.explain(mismatch),
        mismatch,
        ...(guess === undefined ? {} : { hypothesis: guess }),
      });
    }
    return { run, fail, flat, world };
  };
  /** Plain gradient descent in one process, on the rows of all ranks. */
  const checkTraining = async (
    context: CheckContext,
    world: number,
    steps: number,
    [inner, hidden, out] = [3, 5, 2],
  ): Promise<void> => {
    const rows = 4;
    const shapes = [[inner!, hidden!], [hidden!], [hidden!, out!], [out!]];
    const name = `world ${world}, ${steps} steps, widths ${inner} ${hidden} ${out}`;
    const random = (label: string, shape: number[]): HostTensor =>
      kit.randomTensor(context.seed, `${name}, ${label}`, shape);
    const tensors = shapes.map((shape, i) => random(`parameter ${i}`, shape));
    const x = Array.from({ length: world }, (_, rank) => random(`x ${rank}`, [rows, inner!]));
    const y = Array.from({ length: world }, (_, rank) => random(`y ${rank}`, [rows, out!]));
    const work = {
      inputs: x.map((own, rank): HostValue[] => [tensors, own, y[rank]!, steps]),
      harness: true,
      call: 'trained',
    };
    const { run, fail } = await kit.runSetting(context, { name, work });
    const { torch } = kit.shardbook;
    const make = (t: HostTensor) =>
      torch.tensor([...t.values], { dtype: torch.float64 }).reshape([...t.shape]);
    const [allX, allY] = [torch.cat(x.map(make)), torch.cat(y.map(make))];
    const plain = tensors.map((t) => make(t).requiresGrad_(true));
    for (let step = 0; step < steps; step++) {
      const h = torch.tanh(allX.matmul(plain[0]!).add(plain[1]!));
      h.matmul(plain[2]!).add(plain[3]!).sub(allY).pow(2).mean().backward();
      torch.noGrad(() => {
        for (const p of plain) {
          p.sub_(p.grad!.mul(0.1));
          p.grad = null;
        }
      });
    }
    const want = plain.map((p) => kit.tensor(p.detach().reshape([-1]).tolist() as number[], [...p.shape]));
    for (const [rank, { value }] of run.ranks.entries()) {
      const mismatch = kit.compareValue(field(value, 'parameters'), want, rank, 'parameters', {
        rtol: 1e-4,
        atol: 1e-5,
        reason: 'float32 against float64 over several steps',
      });
      if (mismatch !== undefined)
        throw fail({
          message: kit.explain(mismatch),
          mismatch,
          hypothesis:
            'gradients of equal batches are averaged over the ranks, and the step is done on the shards',
        });
    }
  };
  const several = (context: CheckContext): number[] =>
    context.worlds.filter((world) => world > 1 && world < 4);
  const tied: Asked = { world: 3, shapes: [[2, 5], [5], [4]], order: [0, 1, 0, 2], frozen: [2] };
  return {
    shard: async (context) => {
      for (const world of [1, 2]) await checkShard(context, { world });
      await checkShard(context, { world: 3, shapes: [[16, 20], [20]] });
      await checkShard(context, { world: 3, shapes: [[3, 4], [4]] });
    },
    unshard: async (context) => {
      for (const world of [1, ...several(context)]) await checkWhole(context, { world });
    },
    gradients: async (context) => {
      for (const world of [1, ...several(context)])
        for (const reshards of ['early', 'between'] as const)
          await checkGradients(context, { world }, { reshards });
    },
    training: async (context) => {
      for (const world of [1, ...several(context)]) await checkTraining(context, world, 4);
    },
    uneven: async (context) => {
      await checkShard(context, tied);
      await checkWhole(context, tied);
      await checkGradients(context, tied, { passes: 2 });
      await checkGradients(
        context,
        { ...tied, frozen: [1] },
        { passes: 2, reshards: 'late', uses: (rank, place) => place !== rank },
      );
      await checkGradients(context, { world: 2 }, { passes: 3, reshards: 'once' });
      await checkGradients(context, { world: 5, shapes: [[2], [1]] });
      await checkShard(context, { world: 5, shapes: [[2], [1]] });
      // A parameter without dimensions, and two of equal values that are not tied.
      await checkWhole(context, { world: 2, shapes: [[], [3]] });
      await checkWhole(context, { world: 2, shapes: [[3], [3], [2]], alike: true });
      await checkGradients(context, { world: 2, shapes: [[3], [3], [2]], alike: true });
      // A rank without any gradient.
      await checkGradients(context, { world: 3 }, { uses: (rank) => rank !== 1 });
    },
    traffic: async (context) => {
      for (const world of several(context)) {
        const { run, fail, flat } = await checkGradients(
          context,
          { world, shapes: [[4, 6], [6]] },
          { passes: 2 },
        );
        const { collectives, instruments, transfers } = run.exchange;
        const others = transfers.length + instruments.length;
        if (others > 0)
          throw fail({ message: `${others} messages were sent beside the collectives, wanted none` });
        const kinds = collectives.map(({ op }) => op.replace(/Single$/, ''));
        const wanted = ['allGather', 'reduceScatter', 'allGather', 'reduceScatter'];
        if (kinds.join() !== wanted.join())
          throw fail({
            message: `The collectives of two steps are ${kinds.join(', ') || 'none'}, wanted ${wanted.join(', ')}`,
          });
        for (const { op, bytes } of collectives) {
          const most = op.startsWith('allGather') ? (4 * flat.length) / world : 4 * flat.length;
          const rank = bytes.findIndex((own) => own > most);
          if (rank >= 0)
            throw fail({ message: `Rank ${rank} handed ${bytes[rank]} bytes to ${op}, wanted ${most}` });
        }
        const again = await kit.runSetting(
          context,
          setting(context, 'gathered', { world, shapes: [[4, 6], [6]] }),
        );
        const gathers = again.run.exchange.collectives.length;
        if (gathers !== 2)
          throw again.fail({
            message: `Two unshards, one more in between that finds the parameters there: ${gathers} all-gathers, wanted 2`,
          });
      }
    },
    schedules: async (context) => {
      for (const seed of [1, 2])
        await checkGradients(
          context,
          { world: 3, shapes: [[5], [2, 2]] },
          { passes: 2, reshards: 'late', schedule: `shuffled-${context.seed + seed}` },
        );
    },
    fresh: async (context) => {
      const random = new kit.Random(kit.deriveSeed(context.seed, 'shapes'));
      for (let i = 0; i < 3; i++) {
        const world = context.worlds[random.integer(0, context.worlds.length - 1)]!;
        const shapes = Array.from({ length: random.integer(1, 4) }, () => [
          random.integer(1, 5),
          random.integer(1, 3),
        ]);
        const asked = { world, shapes, frozen: shapes.length > 2 ? [1] : [] };
        await checkShard(context, asked);
        await checkWhole(context, asked);
        await checkGradients(context, asked, {
          passes: random.integer(1, 3),
          reshards: i % 2 === 0 ? 'late' : 'once',
        });
      }
      await checkGradients(context, { world: 8, shapes: [[3, 5], [4], [2]] }, { passes: 2 });
      await checkShard(context, { world: 2, shapes: [[3, 5], [4]], strided: true });
      await checkWhole(context, { world: 2, shapes: [[3], [2, 0]] });
      await checkTraining(context, 5, 2, [2, 3, 1]);
      await checkTraining(context, 1, 2, [1, 4, 3]);
    },
  };
};
