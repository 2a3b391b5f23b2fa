import type {
  CaseRun,
  CheckContext,
  CheckKit,
  CheckTable,
  HostTensor,
  HostValue,
  WireDType,
} from 'shardbook/grader';

type Place = 'R' | 'S(0)' | 'S(1)' | 'P(sum)';
type Way = 'rows' | 'columns' | 'inner';

const WAYS: readonly Way[] = ['rows', 'columns', 'inner'];
const PAIRS: readonly (readonly [Place, Place])[] = [
  ['S(0)', 'R'],
  ['R', 'S(0)'],
  ['P(sum)', 'R'],
  ['P(sum)', 'S(0)'],
  ['S(0)', 'S(1)'],
];
/** The same with the other dimension. */
const COLUMNS: readonly (readonly [Place, Place])[] = [
  ['S(1)', 'R'],
  ['R', 'S(1)'],
  ['P(sum)', 'S(1)'],
  ['S(1)', 'S(0)'],
];
/** What a mesh on CPUs runs: from Shard to Shard everything is gathered. */
const COLLECTIVE: Record<string, string> = {
  'S(0) to R': 'allGather',
  'R to S(0)': 'none',
  'P(sum) to R': 'allReduce',
  'P(sum) to S(0)': 'reduceScatter',
  'S(0) to S(1)': 'allGather',
};
const LINKS = { latencySeconds: 1e-5, bytesPerSecond: 1e9 };

export default (kit: CheckKit): CheckTable => {
  const piece = (size: number, world: number, rank: number): [start: number, length: number] => {
    const each = Math.ceil(size / world);
    const start = Math.min(rank * each, size);
    return [start, Math.min(start + each, size) - start];
  };
  /** A rank's piece of a tensor, as Shard cuts. */
  const cut = (t: HostTensor, dim: number, world: number, rank: number): HostTensor => {
    const size = t.shape[dim]!;
    const [start, length] = piece(size, world, rank);
    const inner = kit.elementCount(t.shape.slice(dim + 1));
    const outer = kit.elementCount(t.shape.slice(0, dim));
    const values = new Float64Array(outer * length * inner);
    for (let o = 0; o < outer; o++)
      values.set(
        t.values.subarray((o * size + start) * inner, (o * size + start + length) * inner),
        o * length * inner,
      );
    return { ...t, shape: t.shape.map((n, d) => (d === dim ? length : n)), values };
  };
  const lying = (t: HostTensor, place: Place, world: number, rank: number): HostTensor =>
    place === 'S(0)' ? cut(t, 0, world, rank) : place === 'S(1)' ? cut(t, 1, world, rank) : t;
  const names = (run: CaseRun): string[] =>
    [...run.exchange.collectives, ...run.exchange.instruments]
      .map(({ op }) => op.replace(/Single$/, ''))
      .filter((op) => op !== 'newGroup' && op !== 'barrier');
  const requireSame = (
    got: HostValue,
    want: Record<string, HostValue>,
    rank: number,
    name: string,
    fail: Awaited<ReturnType<typeof kit.runSetting>>['fail'],
    hint?: (key: string) => string | undefined,
  ): void => {
    for (const [key, value] of Object.entries(want)) {
      const field = (got as Record<string, HostValue> | undefined)?.[key];
      const mismatch = kit.compareValue(field, value, rank, `${name}.${key}`);
      if (mismatch === undefined) continue;
      const hypothesis = hint?.(key);
      throw fail({
        message: kit.explain(mismatch),
        mismatch,
        ...(hypothesis === undefined ? {} : { hypothesis }),
      });
    }
  };
  const create = async (
    context: CheckContext,
    world: number,
    shapes: readonly [readonly number[], readonly number[], readonly number[]],
    dtype: WireDType = 'float32',
  ) => {
    const name = `world ${world}, ${shapes.map((shape) => kit.describeTensor({ dtype, shape: [...shape] })).join(', ')}`;
    const random = (label: string, i: number): HostTensor =>
      kit.randomTensor(context.seed, `${name}, ${label}`, shapes[i]!, dtype);
    const [a, b] = [random('a', 0), random('b', 1)];
    const addends = Array.from({ length: world }, (_, rank) => random(`c of rank ${rank}`, 2));
    const inputs = addends.map((c): HostValue[] => [a, b, c]);
    const { run, fail } = await kit.runSetting(context, {
      name,
      work: { inputs, harness: true, call: 'created' },
    });
    run.ranks.forEach(({ value }, rank) => {
      const { count, tensors } = value as { count: number; tensors: HostValue[] };
      if (count !== 3) throw fail({ message: `Rank ${rank} returned ${count} tensors, wanted 3` });
      const want = [
        { placements: 'S(0)', shape: [...shapes[0]], local: cut(a, 0, world, rank) },
        { placements: 'R', shape: [...shapes[1]], local: b },
        { placements: 'P(sum)', shape: [...shapes[2]], local: addends[rank]! },
      ];
      want.forEach((each, i) => {
        requireSame(tensors[i], each, rank, ['a', 'b', 'c'][i]!, fail, (key) =>
          i === 2 && key === 'local' && world > 1
            ? 'is c taken for a whole tensor, and shared out, where each rank has an addend of its own?'
            : undefined,
        );
      });
    });
  };
  const conversion = async (
    context: CheckContext,
    call: 'converted' | 'measured',
    [from, to, then]: readonly [Place, Place, Place?],
    world: number,
    shape: readonly number[],
    dtype: WireDType = 'float32',
  ) => {
    const name = `${from} to ${to}${then === undefined ? '' : ` twice, then to ${then}`}, world ${world}, ${kit.describeTensor({ dtype, shape: [...shape] })}`;
    const full = kit.randomTensor(context.seed, `${name}, full`, shape, dtype);
    const parts = Array.from({ length: world }, (_, rank) =>
      from === 'P(sum)'
        ? kit.randomTensor(context.seed, `${name}, part of rank ${rank}`, shape, dtype)
        : lying(full, from, world, rank),
    );
    const inputs = parts.map((part): HostValue[] => [part, [...shape], from, to, then ?? null]);
    const outcome = await kit.runSetting(context, { name, work: { inputs, harness: true, call } });
    const sum = kit.expectSum(parts);
    const wanted = (rank: number): HostValue => {
      if (from !== 'P(sum)') return lying(full, to, world, rank);
      const { values } = lying(sum, to, world, rank);
      const { values: allowed, shape: own } = lying({ ...sum, values: sum.allowed }, to, world, rank);
      return { dtype, shape: own, values, allowed } as HostTensor;
    };
    return { ...outcome, wanted };
  };
  const convert = async (
    context: CheckContext,
    pair: readonly [Place, Place],
    world: number,
    shape: readonly number[],
    dtype: WireDType = 'float32',
  ) => {
    const { run, fail, wanted } = await conversion(context, 'converted', pair, world, shape, dtype);
    run.ranks.forEach(({ value }, rank) => {
      const want = { placements: pair[1], shape: [...shape], local: wanted(rank) };
      requireSame(value, want, rank, 'the result', fail);
    });
    return { run, fail };
  };
  /** What a conversion costs on a ring, by the book. */
  const cost = (
    shape: readonly number[],
    [from, to]: readonly [Place, Place],
    ranks: number,
    links = LINKS,
  ) => {
    const part = (kit.elementCount(shape) * 4) / ranks;
    const of = (collective: string, steps: number, bytes: number) => ({
      collective,
      received: steps * bytes,
      seconds: steps * (links.latencySeconds + bytes / links.bytesPerSecond),
    });
    if (from === to || from === 'R') return of('none', 0, 0);
    if (to === 'R')
      return from === 'P(sum)' ? of('allReduce', 2 * (ranks - 1), part) : of('allGather', ranks - 1, part);
    return from === 'P(sum)' ? of('reduceScatter', ranks - 1, part) : of('allToAll', ranks - 1, part / ranks);
  };
  const predict = async (
    context: CheckContext,
    shape: readonly number[],
    pair: readonly [Place, Place],
    ranks: number,
    links = LINKS,
  ) => {
    const [from, to] = pair;
    const name = `predict [${shape.join(', ')}] from ${from} to ${to}, ${ranks} ranks`;
    const inputs: HostValue[][] = [[[...shape], from, to, ranks, { ...links }]];
    const outcome = await kit.runSetting(context, { name, work: { inputs, call: 'predict' } });
    const got = outcome.run.ranks[0]!.value as Record<string, HostValue>;
    const want = cost(shape, pair, ranks, links);
    requireSame(got, { collective: want.collective }, 0, 'predicted', outcome.fail, () =>
      from === 'R' ? 'what does a rank that has everything need from the others?' : undefined,
    );
    for (const key of ['received', 'seconds'] as const) {
      const value = got?.[key];
      if (typeof value === 'number' && Math.abs(value - want[key]) <= 1e-9 * want[key]) continue;
      const ratio = typeof value === 'number' && want[key] > 0 ? value / want[key] : 0;
      throw outcome.fail({
        message: `predicted.${key} is ${String(value)}, wanted ${want[key]}`,
        ...(ranks > 1 && Math.abs(ratio - ranks / (ranks - 1)) < 1e-9
          ? { hypothesis: 'does a rank receive its own part as well?' }
          : {}),
        ...(Math.abs(ratio - 0.5) < 1e-9 ? { hypothesis: 'an all-reduce goes around the ring twice' } : {}),
      });
    }
    return { ...outcome, want };
  };
  const multiply = async (
    context: CheckContext,
    world: number,
    [m, k, n]: readonly [number, number, number],
    way: Way,
    dtype: WireDType = 'float32',
  ) => {
    const name = `${way}, world ${world}, [${m}, ${k}] by [${k}, ${n}]`;
    const a = kit.randomTensor(context.seed, `${name}, a`, [m, k], dtype);
    const b = kit.randomTensor(context.seed, `${name}, b`, [k, n], dtype);
    const product = (from: number, to: number): HostTensor => {
      const values = new Float64Array(m * n);
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++)
          for (let x = from; x < to; x++) values[i * n + j]! += a.values[i * k + x]! * b.values[x * n + j]!;
      return { dtype, shape: [m, n], values };
    };
    const inputs = Array.from({ length: world }, (): HostValue[] => [a, b, way]);
    const { run, fail } = await kit.runSetting(context, {
      name,
      work: { inputs, harness: true, call: 'multiplied' },
    });
    const placements = { rows: 'S(0)', columns: 'S(1)', inner: 'P(sum)' }[way];
    run.ranks.forEach(({ value }, rank) => {
      const [start, length] = piece(k, world, rank);
      const local =
        way === 'inner'
          ? product(start, start + length)
          : cut(product(0, k), way === 'rows' ? 0 : 1, world, rank);
      requireSame(
        value,
        // Sums of k products, which may cancel.
        { placements, shape: [m, n], local: kit.expectClose(local, { terms: k * k }) as never },
        rank,
        'the product',
        fail,
      );
    });
    const more = names(run).filter((op) => op !== 'scatter' && op !== 'broadcast');
    if (more.length > 0)
      throw fail({
        message: `The product communicates (${more.join(', ')}), wanted nothing but what cuts the factors`,
        hypothesis: 'is a factor or the product redistributed?',
      });
    // What is sent to cut something is a piece of a factor; pieces of the product have another size.
    const cuts = { rows: [a], columns: [b], inner: [a, b] }[way].map(({ values }) => values.length / world);
    const stray = run.exchange.collectives.find(
      ({ op, tensors }) => op === 'scatter' && !cuts.includes(kit.elementCount(tensors[0]?.shape ?? [])),
    );
    if (m % world === 0 && k % world === 0 && n % world === 0 && stray !== undefined)
      throw fail({
        message: `What is scattered, ${kit.describeTensor(stray.tensors[0]!)}, is no piece of a factor`,
        hypothesis: 'is the product computed whole on every rank, and cut afterwards?',
      });
  };
  const compare = async (
    context: CheckContext,
    world: number,
    [m, k, n]: readonly [number, number, number],
    dtype: WireDType = 'float32',
  ) => {
    const name = `compare, world ${world}, [${m}, ${k}] by [${k}, ${n}]${dtype === 'float32' ? '' : `, ${dtype}`}`;
    const a = kit.randomTensor(context.seed, `${name}, a`, [m, k], dtype);
    const b = kit.randomTensor(context.seed, `${name}, b`, [k, n], dtype);
    const inputs = Array.from({ length: world }, (): HostValue[] => [a, b]);
    const { run, fail } = await kit.runSetting(context, {
      name,
      work: { inputs, harness: true, call: 'compared' },
    });
    // An all-gather hands over the own part, as large as the largest; an all-reduce all of it.
    const bytes = kit.itemBytes[dtype];
    const all = m * n * bytes;
    const want = {
      rows: Math.ceil(m / world) * n * bytes,
      columns: m * Math.ceil(n / world) * bytes,
      inner: all,
    };
    run.ranks.forEach(({ value }, rank) => {
      requireSame(value, want, rank, 'bytes', fail, (key) =>
        (value as Record<string, HostValue> | undefined)?.[key] === (world - 1) * (all / world) && world > 2
          ? 'is that what a rank receives, where what it hands over is asked?'
          : 'is more measured than the step from the product to Replicate?',
      );
    });
    const counted = run.exchange.collectives
      .filter(({ op }) => /^all/.test(op))
      .reduce((sum, call) => sum + call.bytes[0]!, 0);
    if (counted < want.rows + want.columns + want.inner)
      throw fail({
        message: `Rank 0 handed over ${counted} bytes in all, fewer than it says it measured`,
      });
  };
  const worldsOf = (context: CheckContext): number[] => context.worlds.filter((world) => world > 1);
  return {
    create: async (context) => {
      for (const world of context.worlds)
        await create(context, world, [
          [2 * world, 3],
          [3, 2],
          [2, 2],
        ]);
    },
    uneven: async (context) => {
      await create(context, 4, [
        [10, 2],
        [5, 2],
        [3, 1],
      ]);
      await create(context, 4, [
        [5, 3],
        [1, 2],
        [2, 3],
      ]);
    },
    convert: async (context) => {
      for (const world of context.worlds)
        for (const pair of PAIRS) await convert(context, pair, world, [2 * world, 3 * world]);
      for (const pair of COLUMNS) await convert(context, pair, 2, [4, 6]);
    },
    collectives: async (context) => {
      for (const pair of PAIRS) {
        const { run, fail } = await convert(context, pair, 4, [8, 12]);
        const ops = names(run);
        const wanted = COLLECTIVE[pair.join(' to ')]!;
        if (ops.join(', ') === (wanted === 'none' ? '' : wanted)) continue;
        throw fail({
          message: `From ${pair[0]} to ${pair[1]} it runs ${ops.join(', ') || 'no collective'}, wanted ${wanted}`,
          ...(ops.length > 1 ? { hypothesis: 'does it go by way of the whole tensor?' } : {}),
        });
      }
    },
    predict: async (context) => {
      // The example of the task first.
      for (const pair of PAIRS)
        for (const ranks of [4, 2, 8, 1]) {
          if (ranks === 1 && pair[0] !== 'R') continue;
          await predict(context, [1024, 1024], pair, ranks);
        }
      await predict(context, [512, 64], ['S(1)', 'S(1)'], 4);
      for (const pair of COLUMNS) await predict(context, [512, 64], pair, 4);
    },
    clock: async (context) => {
      const [world, shape] = [4, [32, 64]];
      for (const pair of PAIRS.slice(0, 4)) {
        const { run } = await conversion(context, 'converted', pair, world, shape);
        const { want, fail } = await predict(context, shape, pair, world);
        const { seconds } = kit.virtualTime(run.exchange, kit.flatCluster(world, LINKS));
        if (Math.abs(seconds - want.seconds) > 1e-9 * want.seconds)
          throw fail({ message: `The clock shows ${seconds} s, predicted were ${want.seconds} s` });
      }
    },
    measure: async (context) => {
      for (const pair of [...PAIRS, ['S(0)', 'R', 'R'], ['P(sum)', 'S(0)', 'R']] as const) {
        const { run, fail } = await conversion(context, 'measured', pair, 4, [8, 4]);
        run.ranks.forEach(({ value }, rank) => {
          const counts: Record<string, number> = {};
          let bytes = 0;
          for (const { op, bytes: each } of run.exchange.collectives) {
            if (op === 'newGroup' || op === 'barrier') continue;
            counts[op] = (counts[op] ?? 0) + 1;
            bytes += each[rank]!;
          }
          const got = value as { counts?: Record<string, HostValue>; bytes?: HostValue } | undefined;
          const text = (of: Record<string, HostValue> | undefined): string =>
            JSON.stringify(Object.entries(of ?? {}).sort());
          if (text(got?.counts) !== text(counts))
            throw fail({
              message: `Rank ${rank} measured ${JSON.stringify(got?.counts)}, the grader counted ${JSON.stringify(counts)}`,
            });
          if (got?.bytes !== bytes)
            throw fail({
              message: `Rank ${rank} measured ${String(got?.bytes)} bytes, the grader counted ${bytes}`,
            });
        });
      }
    },
    multiply: async (context) => {
      for (const world of context.worlds)
        for (const way of WAYS) await multiply(context, world, [2 * world, 3 * world, 4 * world], way);
    },
    compare: async (context) => {
      for (const world of worldsOf(context)) await compare(context, world, [2 * world, 8, 3 * world]);
    },
    fresh: async (context) => {
      const random = new kit.Random(kit.deriveSeed(context.seed, 'fresh'));
      await create(
        context,
        3,
        [
          [4, 2, 3],
          [2, 2],
          [3, 5],
        ],
        'float64',
      );
      for (const pair of PAIRS) {
        await convert(context, pair, 3, [5, 7], 'float64');
        await convert(context, pair, 3, [3, 4, 2]);
        const rows = 12 * random.integer(1, 9);
        await predict(context, [rows, 24, 2], pair, 3, { latencySeconds: 2e-6, bytesPerSecond: 5e10 });
        await predict(context, [rows, 24], pair, 6, { latencySeconds: 0, bytesPerSecond: 1e8 });
      }
      for (const way of WAYS) await multiply(context, 3, [5, 4, 7], way, 'float64');
      await compare(context, 3, [5, 4, 7], 'float64');
    },
  };
};
