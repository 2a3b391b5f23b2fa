import type { CheckContext, CheckKit, CheckTable, HostValue } from 'shardbook/grader';

type Sizes = { readonly pp?: number; readonly dp?: number; readonly tp?: number };

interface Link {
  readonly latencySeconds: number;
  readonly bytesPerSecond: number;
}

interface Machine {
  readonly ranksPerNode: number;
  readonly inside: Link;
  readonly across: Link;
}

interface Dimension {
  readonly name: string;
  readonly size: number;
  readonly bytes: number;
}

const NAMES = ['pp', 'dp', 'tp'] as const;
const MIB = 2 ** 20;
const NO_LATENCY: Machine = {
  ranksPerNode: 4,
  inside: { latencySeconds: 0, bytesPerSecond: 400e9 },
  across: { latencySeconds: 0, bytesPerSecond: 50e9 },
};
const MACHINE: Machine = {
  ranksPerNode: 4,
  inside: { latencySeconds: 2e-6, bytesPerSecond: 200e9 },
  across: { latencySeconds: 1e-5, bytesPerSecond: 25e9 },
};

export default (kit: CheckKit): CheckTable => {
  const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);
  /** The global ranks with `rank` along a dimension. */
  const groupOf = (shape: readonly number[], dim: number, rank: number): number[] => {
    const stride = product(shape.slice(dim + 1));
    const position = Math.floor(rank / stride) % shape[dim]!;
    return Array.from({ length: shape[dim]! }, (_, i) => rank + (i - position) * stride);
  };
  const seconds = (shape: readonly number[], dim: number, bytes: number, machine: Machine): number => {
    const nodes = (group: readonly number[]): number =>
      new Set(group.map((rank) => Math.floor(rank / machine.ranksPerNode))).size;
    const ranks = Array.from({ length: product(shape) }, (_, rank) => rank);
    const crosses = ranks.some((rank) => nodes(groupOf(shape, dim, rank)) > 1);
    const { latencySeconds, bytesPerSecond } = crosses ? machine.across : machine.inside;
    const size = shape[dim]!;
    return 2 * (size - 1) * (latencySeconds + bytes / size / bytesPerSecond);
  };
  const plain = ({ ranksPerNode, inside, across }: Machine): HostValue => ({
    ranksPerNode,
    inside: { ...inside },
    across: { ...across },
  });
  const onPaper = async (
    context: CheckContext,
    shape: readonly number[],
    dim: number,
    bytes: number,
    machine: Machine,
  ) => {
    const { inside, across, ranksPerNode } = machine;
    const name = `[${shape.join(', ')}] along dimension ${dim}, ${bytes} bytes, nodes of ${ranksPerNode}, ${inside.bytesPerSecond / 1e9} and ${across.bytesPerSecond / 1e9} GB/s`;
    const inputs: HostValue[][] = [[[...shape], dim, bytes, plain(machine)]];
    const { run, fail } = await kit.runSetting(context, { name, work: { inputs, call: 'allReduceSeconds' } });
    const got = run.ranks[0]!.value;
    const want = seconds(shape, dim, bytes, machine);
    if (typeof got === 'number' && Math.abs(got - want) <= 1e-9 * want) return;
    const isNear = (value: number): boolean =>
      typeof got === 'number' && Math.abs(got - value) <= 1e-9 * value;
    const size = shape[dim]!;
    const free = (link: Link): Link => ({ ...link, latencySeconds: 0 });
    const alone = { ...machine, inside: free(machine.inside), across: free(machine.across) };
    const latency = size > 1 ? (want - seconds(shape, dim, bytes, alone)) / (2 * (size - 1)) : 0;
    const guess = isNear(seconds(shape, dim, bytes, { ...machine, across: inside }))
      ? 'is the group on one node?'
      : isNear(seconds(shape, dim, bytes, { ...machine, inside: across }))
        ? 'does the group leave its node?'
        : isNear(want / 2)
          ? 'an all-reduce goes around the ring twice'
          : isNear(seconds(shape, dim, bytes * size, machine))
            ? 'what goes over a link in a step is a part of the bytes, not all of them'
            : isNear(want - 2 * (size - 2) * latency)
              ? 'each step has the latency of its link'
              : undefined;
    throw fail({
      message: `It says ${String(got)} s, wanted ${want}`,
      ...(guess === undefined ? {} : { hypothesis: guess }),
    });
  };
  const order = async (context: CheckContext, dimensions: readonly Dimension[], machine: Machine) => {
    const name = `${dimensions.map((d) => `${d.name} of ${d.size}, ${d.bytes} bytes`).join('; ')}; nodes of ${machine.ranksPerNode}`;
    const inputs: HostValue[][] = [[dimensions.map((each) => ({ ...each })), plain(machine)]];
    const { run, fail } = await kit.runSetting(context, { name, work: { inputs, call: 'bestOrder' } });
    const got = run.ranks[0]!.value;
    const cost = (of: readonly Dimension[], on = machine): number =>
      of.reduce(
        (sum, { bytes }, dim) =>
          sum +
          seconds(
            of.map(({ size }) => size),
            dim,
            bytes,
            on,
          ),
        0,
      );
    const permutations = (of: readonly Dimension[]): Dimension[][] =>
      of.length < 2
        ? [[...of]]
        : of.flatMap((d) => permutations(of.filter((other) => other !== d)).map((rest) => [d, ...rest]));
    const all = permutations(dimensions);
    const cheapest = all.reduce((least, each) => (cost(each) < cost(least) ? each : least));
    const best = cost(cheapest);
    const chosen = Array.isArray(got)
      ? got.map((each: HostValue) => dimensions.find((d) => d.name === each))
      : [];
    if (
      chosen.length !== dimensions.length ||
      chosen.includes(undefined) ||
      new Set(chosen).size !== chosen.length
    )
      throw fail({
        message: `It returned ${JSON.stringify(got)}, wanted the ${dimensions.length} names, each once`,
      });
    const why = (of: readonly Dimension[]): string => {
      const free = (link: Link): Link => ({ ...link, latencySeconds: 0 });
      const instant = { ...machine, inside: free(machine.inside), across: free(machine.across) };
      if (all.every((each) => cost(of, instant) <= cost(each, instant) * (1 + 1e-9)))
        return 'few bytes in many steps are slow as well: does the latency of each step count?';
      const most = Math.max(...dimensions.map(({ bytes }) => bytes));
      const slowest = (each: readonly Dimension[]): number =>
        seconds(
          each.map(({ size }) => size),
          each.findIndex(({ bytes }) => bytes === most),
          most,
          machine,
        );
      return slowest(of) > slowest(cheapest)
        ? 'is the dimension with the most traffic innermost, where links are fast?'
        : 'which dimensions have room in a node, where links are fast?';
    };
    const took = cost(chosen as Dimension[]);
    if (took <= best * (1 + 1e-9)) return;
    throw fail({
      message: `${(got as string[]).join(' x ')} takes ${took} s, another order ${best} s`,
      hypothesis: why(chosen as Dimension[]),
    });
  };
  const shapeOf = (sizes: Sizes): { names: string[]; shape: number[] } => {
    const names = NAMES.filter((name) => sizes[name] !== undefined);
    return { names, shape: names.map((name) => sizes[name]!) };
  };
  const text = (sizes: Sizes): string =>
    `{ ${Object.entries(sizes)
      .map(([key, size]) => `${key}: ${size}`)
      .join(', ')} }`;
  const check = async (context: CheckContext, sizes: Sizes) => {
    const { names, shape } = shapeOf(sizes);
    const world = product(shape);
    const name = `${text(sizes)}, world ${world}`;
    const inputs = Array.from({ length: world }, (): HostValue[] => [{ ...sizes }]);
    const { run, fail } = await kit.runSetting(context, {
      name,
      work: { inputs, harness: true, call: 'reported' },
    });
    run.ranks.forEach(({ value }, rank) => {
      const got = value as Record<string, HostValue>;
      const order = Array.isArray(got['names']) && got['names'].length === names.length;
      const wanted: [string, HostValue, string | undefined][] = [
        [
          'names',
          names,
          order
            ? 'tp is innermost: its partners are neighbours'
            : 'the dimensions are those that have a size, be it 1',
        ],
        ['shape', shape, undefined],
        ['ranks', Array.from({ length: world }, (_, i) => i), undefined],
      ];
      for (const [key, want, hint] of wanted) {
        const mismatch = kit.compareValue(got[key], want, rank, `the mesh's ${key}`);
        if (mismatch !== undefined)
          throw fail({
            message: kit.explain(mismatch),
            mismatch,
            ...(hint === undefined ? {} : { hypothesis: hint }),
          });
      }
      const places = got['report'] as Record<string, HostValue> | undefined;
      const extra = Object.keys(places ?? {}).find((key) => !names.includes(key as never));
      if (extra !== undefined)
        throw fail({ message: `Rank ${rank} reports "${extra}", which is no dimension` });
      names.forEach((dim, at) => {
        const ranks = groupOf(shape, at, rank);
        const want = {
          position: ranks.indexOf(rank),
          ranks,
          sum: ranks.reduce((sum, each) => sum + each, 0),
        };
        const mismatch = kit.compareValue(places?.[dim], want, rank, dim);
        if (mismatch === undefined) return;
        throw fail({
          message: kit.explain(mismatch),
          mismatch,
          ...(mismatch.tensor === `${dim}.position` && mismatch.got === String(rank)
            ? { hypothesis: 'that is the global rank: where does it stand along this dimension?' }
            : {}),
          ...(mismatch.tensor === `${dim}.sum` && mismatch.got === String((world * (world - 1)) / 2)
            ? { hypothesis: 'is the sum over all ranks, where the group of the dimension is asked?' }
            : {}),
        });
      });
    });
    const reduced = new Set(
      run.exchange.collectives.filter(({ op }) => op === 'allReduce').map(({ ranks }) => ranks.join()),
    );
    names.forEach((dim, at) => {
      const idle = Array.from({ length: world }, (_, rank) => groupOf(shape, at, rank)).find(
        (group) => group.length > 1 && !reduced.has(group.join()),
      );
      if (idle !== undefined)
        throw fail({
          message: `No all-reduce runs among ranks [${idle.join(', ')}], a group along ${dim}: the sum is to be computed by one`,
        });
    });
  };
  const along = async (
    context: CheckContext,
    sizes: Sizes,
    dim: 'pp' | 'dp' | 'tp',
    count: number,
    dtype: 'float32' | 'int64' = 'float32',
  ) => {
    const { names, shape } = shapeOf(sizes);
    const world = product(shape);
    const name = `${text(sizes)}, ${count} numbers along ${dim}${dtype === 'float32' ? '' : `, ${dtype}`}`;
    const inputs = Array.from({ length: world }, (): HostValue[] => [{ ...sizes }, dim, count, dtype]);
    const outcome = await kit.runSetting(context, { name, work: { inputs, harness: true, call: 'summed' } });
    const { run, fail } = outcome;
    const at = names.indexOf(dim);
    run.ranks.forEach(({ value }, rank) => {
      const group = groupOf(shape, at, rank);
      const sum = group.reduce((all, each) => all + each, 0);
      const ends = (each: number) => kit.tensor([each, each], [2], dtype);
      const want = { sum: ends(sum), input: ends(rank), count, isInput: false };
      for (const [key, each] of Object.entries(want)) {
        const got = (value as Record<string, HostValue>)[key];
        const mismatch = kit.compareValue(
          got,
          each,
          rank,
          key === 'input' ? 'the input afterwards' : key,
          'exact',
        );
        if (mismatch === undefined) continue;
        throw fail({
          message:
            key === 'isInput'
              ? `Rank ${rank}: what is returned is the input itself, wanted a new tensor`
              : kit.explain(mismatch),
          mismatch,
        });
      }
    });
    const { collectives, instruments } = run.exchange;
    const calls = [...collectives, ...instruments].filter(({ op }) => op !== 'newGroup' && op !== 'barrier');
    const stray = calls.find(({ ranks }) => ranks.join() !== groupOf(shape, at, ranks[0]!).join());
    if (stray !== undefined)
      throw fail({
        message: `${stray.op} runs among ranks [${stray.ranks.join(', ')}], which is no group along ${dim}`,
      });
    const groups = world / shape[at]!;
    // Who is alone has the sum: whether it is asked for all the same is left to the submission.
    const isAlone = shape[at] === 1 && calls.length === 0;
    if (isAlone) return { ...outcome, shape, at };
    if (calls.length !== groups || calls.some(({ op }) => op !== 'allReduce'))
      throw fail({
        message: `${calls.length} collectives are run (${[...new Set(calls.map(({ op }) => op))].join(', ')}), wanted one all-reduce in each of the ${groups} groups`,
      });
    return { ...outcome, shape, at };
  };
  return {
    seconds: async (context) => {
      // The example of the task first.
      for (const dim of [1, 0]) await onPaper(context, [2, 4], dim, 64 * MIB, NO_LATENCY);
      for (const machine of [NO_LATENCY, MACHINE]) {
        for (const dim of [0, 1, 2]) {
          await onPaper(context, [4, 2, 2], dim, 16 * MIB, machine);
          await onPaper(context, [2, 2, 4], dim, 16 * MIB, machine);
        }
        await onPaper(context, [16], 0, MIB, machine);
        await onPaper(context, [1, 4], 0, MIB, machine);
      }
      // Groups of three on nodes of four: some leave their node, some do not.
      await onPaper(context, [4, 3], 1, 12 * MIB, MACHINE);
      await onPaper(context, [2, 8], 1, 12 * MIB, { ...MACHINE, ranksPerNode: 8 });
    },
    order: async (context) => {
      const tp = { name: 'tp', size: 2, bytes: 256 * MIB };
      const dp = { name: 'dp', size: 2, bytes: 32 * MIB };
      const pp = { name: 'pp', size: 4, bytes: MIB };
      await order(context, [dp, tp, pp], MACHINE);
      await order(context, [tp, pp, dp], MACHINE);
      await order(context, [pp, dp, tp], MACHINE);
      // Here the names are the other way round: only the traffic counts.
      await order(
        context,
        [
          { ...tp, name: 'dp' },
          { ...dp, name: 'tp', size: 4 },
        ],
        NO_LATENCY,
      );
      // What has the most traffic has no room in a node anyway: the one that has takes the fast links.
      await order(
        context,
        [
          { name: 'dp', size: 8, bytes: 65 * MIB },
          { name: 'tp', size: 4, bytes: 64 * MIB },
        ],
        MACHINE,
      );
      // Few bytes in many steps: the latency decides.
      await order(
        context,
        [
          { name: 'tp', size: 2, bytes: 1e5 },
          { name: 'dp', size: 4, bytes: 1e3 },
        ],
        MACHINE,
      );
      await order(context, [tp], MACHINE);
    },
    one: async (context) => {
      for (const world of context.worlds) await check(context, { dp: world });
    },
    fits: async (context) => {
      for (const sizes of [{ dp: 2, tp: 4 }, { dp: 1, tp: 2 }, { dp: 3 }, { dp: 4, tp: 0 }, {}] as Sizes[]) {
        const inputs = Array.from({ length: 4 }, (): HostValue[] => [{ ...sizes }]);
        const { run, fail } = await kit.runSetting(context, {
          name: `${text(sizes)}, world 4`,
          work: { inputs, harness: true, call: 'refused' },
        });
        run.ranks.forEach(({ value }, rank) => {
          if (typeof value === 'string' && value.startsWith('refused')) return;
          throw fail({ message: `Rank ${rank} has ${String(value)} in a world of 4, wanted an error` });
        });
      }
    },
    two: async (context) => {
      await check(context, { dp: 2, tp: 2 });
      await check(context, { tp: 4, dp: 2 });
      await check(context, { dp: 4, tp: 2 });
    },
    three: async (context) => {
      await check(context, { dp: 2, tp: 2, pp: 2 });
      await check(context, { tp: 1, dp: 2, pp: 2 });
    },
    along: async (context) => {
      await along(context, { dp: 2, tp: 4 }, 'tp', 5);
      await along(context, { dp: 2, tp: 4 }, 'dp', 5, 'int64');
      await along(context, { pp: 2, dp: 2, tp: 2 }, 'pp', 3);
      await along(context, { dp: 4, tp: 1 }, 'tp', 3);
    },
    clock: async (context) => {
      const { Cluster } = kit.shardbook;
      const link = (name: string, { latencySeconds, bytesPerSecond }: Link) => ({
        name,
        latencySeconds,
        bytesPerSecond,
      });
      const cluster = Cluster.of({
        nodes: 2,
        ranksPerNode: MACHINE.ranksPerNode,
        inside: link('inside', MACHINE.inside),
        across: link('across', MACHINE.across),
      });
      for (const dim of ['tp', 'dp'] as const) {
        const count = 16_384;
        const { run, fail, shape, at } = await along(context, { dp: 2, tp: 4 }, dim, count);
        const bytes = count * kit.itemBytes.float32;
        await onPaper(context, shape, at, bytes, MACHINE);
        const clock = kit.virtualTime(run.exchange, cluster).seconds;
        const want = seconds(shape, at, bytes, MACHINE);
        if (Math.abs(clock - want) > 1e-9 * want)
          throw fail({ message: `The clock shows ${clock} s along ${dim}, predicted are ${want} s` });
      }
    },
    fresh: async (context) => {
      const random = new kit.Random(kit.deriveSeed(context.seed, 'fresh'));
      const machine = {
        ranksPerNode: random.integer(2, 9),
        inside: { latencySeconds: 1e-6, bytesPerSecond: 1e9 * random.integer(100, 900) },
        across: { latencySeconds: 2e-5, bytesPerSecond: 1e9 * random.integer(1, 20) },
      };
      for (let i = 0; i < 12; i++) {
        const shape = Array.from({ length: random.integer(1, 4) }, () => random.integer(1, 5));
        await onPaper(
          context,
          shape,
          random.integer(0, shape.length - 1),
          1000 * random.integer(1, 999),
          machine,
        );
      }
      const dimensions = ['a', 'b', 'c'].map((name) => ({
        name,
        size: random.integer(2, 5),
        bytes: 1000 * random.integer(1, 999),
      }));
      await order(context, dimensions, machine);
      const four = [9, 1, 4, 2].map((mib, i) => ({ name: `d${i}`, size: 2, bytes: mib * MIB }));
      await order(context, four, MACHINE);
      await check(context, { tp: 3, pp: 2 });
      await along(context, { pp: 3, tp: 2 }, 'pp', 4);
    },
  };
};
