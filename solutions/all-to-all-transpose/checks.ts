import type { CheckContext, CheckKit, CheckTable, HostTensor, HostValue, Schedule } from 'shardbook/grader';

export default (kit: CheckKit): CheckTable => {
  interface More {
    readonly schedule?: Schedule;
    readonly dtype?: 'float32' | 'float64';
    /** The elements of a rank's rows do not lie one after the other. */
    readonly strided?: boolean;
  }
  const inputsOf = (
    context: CheckContext,
    name: string,
    world: number,
    rows: number,
    columns: number,
    dtype: 'float32' | 'float64',
    strided: boolean,
  ) => {
    const each = Math.ceil(rows / world);
    return Array.from({ length: world }, (_, rank): [HostTensor, number, number] => {
      const height = Math.max(0, Math.min(each, rows - rank * each));
      return [
        { ...kit.randomTensor(context.seed, `${name}, rank ${rank}`, [height, columns], dtype), strided },
        rows,
        columns,
      ];
    });
  };
  const ask = async (
    context: CheckContext,
    world: number,
    rows: number,
    columns: number,
    more: More = {},
  ) => {
    const { schedule = 'buffered', dtype = 'float32', strided = false } = more;
    const name = `world ${world}, ${rows} x ${columns}, ${dtype}, ${schedule} sends`;
    const inputs = inputsOf(context, name, world, rows, columns, dtype, strided);
    const work = { inputs: inputs as readonly (readonly HostValue[])[], schedule };
    const outcome = await kit.sameAsReference(context, { name, work }, { tolerance: 'exact' });
    return { inputs, ...outcome };
  };
  type Asked = Awaited<ReturnType<typeof ask>>;
  const requireUntouched = ({ inputs, run, fail }: Asked): void => {
    for (const [rank, result] of run.ranks.entries()) {
      const mismatch = kit.compareTensor(result.inputs[0]!, kit.expectSame(inputs[rank]![0]), rank, 'local');
      if (mismatch !== undefined) throw fail({ message: `Rank ${rank} changed its input`, mismatch });
    }
  };
  return {
    even: async (context) => {
      for (const world of context.worlds) await ask(context, world, 2 * world, 3 * world);
    },
    uneven: async (context) => {
      for (const world of context.worlds) {
        await ask(context, world, 2 * world + 1, 3 * world - 1);
        await ask(context, world, 1, world + 1);
      }
      await ask(context, 3, 4, 0);
    },
    'input-unchanged': async (context) => {
      for (const world of context.worlds) requireUntouched(await ask(context, world, 2 * world, world + 1));
      const { run, fail } = await ask(context, 2, 4, 3);
      const kept = run.ranks.findIndex((result) => result.again);
      if (kept >= 0)
        throw fail({
          message: `Rank ${kept} returned memory that an earlier call returned: that result has changed`,
        });
    },
    traffic: async (context) => {
      for (const world of context.worlds.filter((size) => size > 1)) {
        for (const [rows, columns] of [
          [2 * world, 2 * world],
          [2 * world + 1, 3 * world - 1],
        ] as const) {
          const { run, fail } = await ask(context, world, rows, columns);
          const { transfers, pending } = run.exchange;
          if (transfers.length + pending > world * (world - 1))
            throw fail({
              message: `${transfers.length + pending} messages were sent, wanted ${world * (world - 1)}: one for each pair`,
            });
          const part = (size: number, rank: number): number => {
            const each = Math.ceil(size / world);
            return Math.max(0, Math.min(each, size - rank * each));
          };
          const needed = (from: number, to: number): number =>
            part(rows, from) * part(columns, to) * kit.itemBytes.float32;
          const large = transfers.find(({ from, to, bytes }) => bytes > needed(from, to));
          if (large === undefined) continue;
          throw fail({
            message: `Rank ${large.from} sent ${large.bytes} bytes to rank ${large.to}, which needs ${needed(large.from, large.to)} of them`,
            hypothesis: 'are whole rows sent, where each rank needs only its columns?',
          });
        }
      }
    },
    rendezvous: async (context) => {
      for (const world of context.worlds) {
        for (const [rows, columns] of [
          [2 * world, world],
          [world + 1, 1],
        ] as const) {
          const { run, fail } = await ask(context, world, rows, columns, { schedule: 'rendezvous' });
          const rank = run.ranks.findIndex((_, i) => run.exchange.forgotten(i).length > 0);
          if (rank >= 0)
            throw fail({ message: `Rank ${rank} never waited for what it began with isend or irecv` });
        }
      }
    },
    fresh: async (context) => {
      const random = new kit.Random(kit.deriveSeed(context.seed, 'fresh'));
      for (let i = 0; i < 4; i++) {
        const world = context.worlds[random.integer(1, context.worlds.length - 1)]!;
        const schedule = `shuffled-${random.integer(0, 1000)}` as const;
        await ask(context, world, random.integer(1, 9), random.integer(1, 9), { dtype: 'float64', schedule });
      }
      // Ranks without rows, and ranks without columns.
      await ask(context, 5, 6, 2, { dtype: 'float64' });
      await ask(context, 5, 2, 6, { dtype: 'float64' });
      await ask(context, 3, 5, 7, { strided: true });
    },
  };
};
