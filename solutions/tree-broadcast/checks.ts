import type { CheckContext, CheckKit, CheckTable, Schedule } from 'shardbook/grader';

export default (kit: CheckKit): CheckTable => {
  const ask = (
    context: CheckContext,
    world: number,
    root: number,
    more: {
      schedule?: Schedule;
      shape?: readonly number[];
      dtype?: 'float32' | 'float64' | 'int64';
      /** The elements of t do not lie one after the other. */
      strided?: boolean;
    } = {},
  ) => {
    const { schedule = 'buffered', shape = [2, 3], dtype = 'float32', strided = false } = more;
    const name = `world ${world}, root ${root}, ${kit.describeTensor({ dtype, shape: [...shape] })}, ${schedule} sends`;
    const inputs = Array.from({ length: world }, (_, rank) => {
      const t = kit.randomTensor(
        context.seed,
        `${name}, rank ${rank}`,
        shape,
        dtype === 'int64' ? 'float64' : dtype,
        100,
      );
      const values = dtype === 'int64' ? t.values.map(Math.trunc) : t.values;
      return [{ ...t, dtype, values, strided }, root];
    });
    // Data is only moved: every bit must be the same.
    return kit.sameAsReference(context, { name, work: { inputs, schedule } }, { tolerance: 'exact' });
  };
  /** Each world with root 0 and with another one. */
  const rooted = (context: CheckContext): [world: number, root: number][] =>
    context.worlds.flatMap((world) =>
      [...new Set([0, world >> 1])].map((root): [number, number] => [world, root]),
    );
  return {
    'from-zero': async (context) => {
      for (const world of context.worlds) await ask(context, world, 0);
    },
    'any-root': async (context) => {
      for (const world of context.worlds)
        for (const root of new Set([world - 1, world >> 1])) await ask(context, world, root);
    },
    'input-unchanged': async (context) => {
      const inputs = [0, 1, 2].map((rank) => [kit.randomTensor(context.seed, `input ${rank}`, [4]), 0]);
      for (const world of [3, 1]) {
        const { run, fail } = await kit.runSetting(context, {
          name: `world ${world}, root 0, f32[4]`,
          work: { inputs: inputs.slice(0, world) },
        });
        for (const [rank, result] of run.ranks.entries()) {
          const mismatch = kit.compareTensor(
            result.inputs[0]!,
            kit.expectSame(inputs[rank]![0] as never),
            rank,
            't',
          );
          if (mismatch !== undefined)
            throw fail({ message: `Rank ${rank} changed its input, which must stay as it is`, mismatch });
          if (result.aliased)
            throw fail({ message: `Rank ${rank} returned a tensor that shares its memory with the input` });
        }
      }
      const again = await kit.runSetting(context, {
        name: 'world 3, root 0, f32[4], a second time',
        work: { inputs },
      });
      const kept = again.run.ranks.findIndex((result) => result.again);
      if (kept >= 0)
        throw again.fail({
          message: `Rank ${kept} returned memory that an earlier call returned: that result has changed`,
        });
    },
    messages: async (context) => {
      for (const [world, root] of rooted(context)) {
        const { run, fail } = await ask(context, world, root);
        const sent = run.exchange.transfers.length + run.exchange.pending;
        if (sent > world - 1)
          throw fail({
            message: `${sent} messages were sent, wanted at most ${world - 1}: each rank but the root needs one`,
          });
        const large = run.exchange.transfers.find(({ bytes }) => bytes > 6 * kit.itemBytes.float32);
        if (large !== undefined)
          throw fail({
            message: `Rank ${large.from} sent ${large.bytes} bytes to rank ${large.to}, wanted ${6 * kit.itemBytes.float32}: t as it is`,
          });
      }
    },
    rounds: async (context) => {
      for (const [world, root] of rooted(context)) {
        if (world === 1) continue;
        const { run, fail } = await ask(context, world, root, { shape: [5, 7] });
        // The round in which a rank has the data, and the last one in which it sent: one message in a round.
        const busy = new Map([[root, 0]]);
        let rounds = 0;
        // In the order of sending: the scheduler may deliver a rank's second message before its first.
        const sent = [...run.exchange.transfers].sort((a, b) => a.begun - b.begun);
        for (const { from, to } of sent) {
          const round = (busy.get(from) ?? 0) + 1;
          busy.set(from, round);
          busy.set(to, Math.max(busy.get(to) ?? 0, round));
          rounds = Math.max(rounds, round);
        }
        const most = Math.ceil(Math.log2(world));
        if (rounds <= most) continue;
        throw fail({
          message: `It takes ${rounds} rounds with ${world} ranks, wanted ${most}`,
          hypothesis: 'does every rank that has the data pass it on, in each round?',
        });
      }
    },
    rendezvous: async (context) => {
      for (const world of context.worlds) {
        const { run, fail } = await ask(context, world, world - 1, { schedule: 'rendezvous' });
        const rank = run.ranks.findIndex((_, i) => run.exchange.forgotten(i).length > 0);
        if (rank >= 0)
          throw fail({ message: `Rank ${rank} never waited for what it began with isend or irecv` });
      }
    },
    fresh: async (context) => {
      const random = new kit.Random(kit.deriveSeed(context.seed, 'fresh'));
      for (const [shape, dtype, strided] of [
        [[0], 'float32', false],
        [[], 'float64', false],
        [[3, 1, 2], 'int64', false],
        [[7], 'float64', false],
        [[2, 3], 'float32', true],
      ] as const) {
        const world = context.worlds[random.integer(1, context.worlds.length - 1)]!;
        const schedule = `shuffled-${random.integer(0, 1000)}` as const;
        await ask(context, world, random.integer(0, world - 1), { shape, dtype, schedule, strided });
      }
    },
  };
};
