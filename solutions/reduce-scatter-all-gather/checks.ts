import type { CheckContext, CheckKit, CheckTable, HostTensor, Schedule, WireDType } from 'shardbook/grader';

export default (kit: CheckKit): CheckTable => {
  interface More {
    readonly schedule?: Schedule;
    readonly each?: number;
    readonly dtype?: WireDType;
    readonly scale?: number;
  }
  const ask = (
    context: CheckContext,
    call: 'reduceScatter' | 'allGather',
    world: number,
    more: More = {},
  ) => {
    const { schedule = 'buffered', each = 3, dtype = 'float32', scale = 1 } = more;
    const shape = [call === 'allGather' ? each : each * world];
    const name = `${call}, world ${world}, ${kit.describeTensor({ dtype, shape })}, scale ${scale}, ${schedule} sends`;
    const inputs = Array.from({ length: world }, (_, rank) => [
      kit.randomTensor(context.seed, `${name}, rank ${rank}`, shape, dtype, scale),
    ]);
    const terms = call === 'allGather' ? 1 : world;
    // Sums in any order are right; the allowance is the bound of floating point for as many terms.
    return {
      name,
      inputs,
      outcome: judge(context, call, { name, work: { inputs, call, schedule } }, inputs, terms),
    };
  };
  const judge = async (
    context: CheckContext,
    call: string,
    setting: { name: string; work: { inputs: HostTensor[][]; call: string; schedule: Schedule } },
    inputs: readonly HostTensor[][],
    world: number,
  ) => {
    if (call === 'allGather') return kit.sameAsReference(context, setting, { tolerance: 'exact' });
    const outcome = await kit.runSetting(context, setting);
    const sum = kit.expectSum(inputs.map(([t]) => t!));
    const each = sum.values.length / world;
    outcome.run.ranks.forEach((result, rank) => {
      const part = (values: Float64Array): Float64Array => values.slice(rank * each, (rank + 1) * each);
      const want = { dtype: sum.dtype, shape: [each], values: part(sum.values), allowed: part(sum.allowed) };
      const mismatch = kit.compareValue(result.value, want, rank);
      if (mismatch === undefined) return;
      const got = kit.isHostTensor(result.value) ? result.value : undefined;
      const own = { ...want, values: part(inputs[rank]![0]!.values) };
      const guess = got === undefined ? undefined : kit.hypothesis(got, want, world, own);
      throw outcome.fail({
        message: kit.explain(mismatch),
        mismatch,
        ...(guess === undefined ? {} : { hypothesis: guess }),
      });
    });
    return outcome;
  };
  const both = ['reduceScatter', 'allGather'] as const;
  return {
    'all-gather': async (context) => {
      for (const world of context.worlds) await ask(context, 'allGather', world).outcome;
    },
    'reduce-scatter': async (context) => {
      for (const world of context.worlds) await ask(context, 'reduceScatter', world).outcome;
    },
    'input-unchanged': async (context) => {
      for (const call of both) {
        // Alone, a rank has nothing to add: there a view of the input would be returned.
        for (const world of [1, 3]) {
          const { inputs, outcome } = ask(context, call, world);
          const { run, fail } = await outcome;
          for (const [rank, result] of run.ranks.entries()) {
            const mismatch = kit.compareTensor(
              result.inputs[0]!,
              kit.expectSame(inputs[rank]![0]!),
              rank,
              'the input',
            );
            if (mismatch !== undefined)
              throw fail({ message: `Rank ${rank} changed the input of ${call}`, mismatch });
            if (result.aliased)
              throw fail({ message: `Rank ${rank} returned memory of the input of ${call}` });
          }
          const again = await ask(context, call, world).outcome;
          const kept = again.run.ranks.findIndex((result) => result.again);
          if (kept >= 0)
            throw again.fail({
              message: `Rank ${kept} returned memory that an earlier call of ${call} returned: that result has changed`,
            });
        }
      }
    },
    'all-reduce': async (context) => {
      const { inputs, outcome } = ask(context, 'reduceScatter', 5, { each: 4, dtype: 'float64' });
      const chunks = (await outcome).run.ranks.map(({ outputs }) => [outputs[0]!]);
      const { run, fail } = await kit.runSetting(context, {
        name: 'world 5, both after another',
        work: { inputs: chunks, call: 'allGather' },
      });
      const sum = kit.expectSum(inputs.map(([t]) => t!));
      run.ranks.forEach((result, rank) => {
        const mismatch = kit.compareValue(result.value, sum, rank);
        if (mismatch !== undefined) throw fail({ message: kit.explain(mismatch), mismatch });
      });
    },
    traffic: async (context) => {
      for (const call of both) {
        for (const world of context.worlds.filter((size) => size > 1)) {
          const { run, fail } = await ask(context, call, world, { each: 16 }).outcome;
          const most = (world - 1) * 16 * kit.itemBytes.float32;
          const rank = run.exchange.sentBytes().findIndex((bytes) => bytes > most);
          if (rank >= 0)
            throw fail({
              message: `Rank ${rank} sent ${run.exchange.sentBytes()[rank]} bytes in ${call}, wanted at most ${most}`,
            });
          const stray = run.exchange.transfers.find(({ from, to }) => to !== (from + 1) % world);
          if (stray !== undefined)
            throw fail({
              message: `Rank ${stray.from} sent to rank ${stray.to} in ${call}, which is not its right neighbour`,
            });
          const sent = run.exchange.transfers.length + run.exchange.pending;
          if (sent > world * (world - 1))
            throw fail({
              message: `${sent} messages were sent in ${call}, wanted ${world * (world - 1)}: a chunk from each rank in each of ${world - 1} steps`,
            });
        }
      }
    },
    rendezvous: async (context) => {
      for (const call of both) {
        for (const world of context.worlds) {
          const { run, fail } = await ask(context, call, world, { schedule: 'rendezvous' }).outcome;
          const rank = run.ranks.findIndex((_, i) => run.exchange.forgotten(i).length > 0);
          if (rank >= 0) throw fail({ message: `Rank ${rank} never waited for what it began in ${call}` });
        }
      }
    },
    time: async (context) => {
      for (const call of both) {
        for (const world of context.worlds.filter((size) => size > 3)) {
          const each = 250;
          const outcome = await ask(context, call, world, { each, schedule: 'rendezvous' }).outcome;
          // A chunk of 1000 bytes takes 11 µs. Ranks that take turns need two or three times as long for a step.
          kit.requireTime(outcome, {
            atMost: 3 * (world - 1) * (1e-5 + each * kit.itemBytes.float32 * 1e-9),
            hypothesis: 'does each rank wait for the next one before it receives, all around the ring?',
          });
        }
      }
    },
    memory: async (context) => {
      const [world, each] = [5, 1_750_000];
      const inputs = Array.from({ length: world }, () => [each, world]);
      const name = `reduceScatter, world ${world}, f32[${world * each}]`;
      const outcome = await kit.runSetting(context, {
        name,
        work: { inputs, call: 'scattered', harness: true, memory: true },
      });
      const sum = kit.expectSame(kit.tensor([world, world, world, world]));
      for (const [rank, { value }] of outcome.run.ranks.entries()) {
        const mismatch = kit.compareValue(value, sum, rank, 'the first numbers');
        if (mismatch !== undefined) throw outcome.fail({ message: kit.explain(mismatch), mismatch });
      }
      const chunk = each * kit.itemBytes.float32;
      // The input, and four chunks: the sum so far, what comes in (in the pipe and in its tensor), the next sum. The rest is the process's.
      kit.requirePeak(outcome, {
        atMost: (world + 4) * chunk + 27 * 2 ** 20,
        hypothesis: 'is the whole input copied, where a chunk would do?',
      });
    },
    fresh: async (context) => {
      for (const call of both) {
        for (const scale of [1e-6, 1e6, 0]) await ask(context, call, 3, { each: 5, scale }).outcome;
        await ask(context, call, 5, { each: 0 }).outcome;
        await ask(context, call, 8, { each: 1, dtype: 'float64', schedule: `shuffled-${context.seed}` })
          .outcome;
      }
    },
  };
};
