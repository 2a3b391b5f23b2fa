import type { CheckContext, CheckKit, CheckTable, HostTensor, HostValue } from 'shardbook/grader';

const VOCABULARY = 32;
const LENGTH = 6;
/** Rows of the model's position embedding. */
const POSITIONS = 16;

/** Whether a float32 is a bfloat16 as well: its lower half is empty. */
function isOnCoarseGrid(value: number): boolean {
  return (new Uint32Array(new Float32Array([value]).buffer)[0]! & 0xffff) === 0;
}

export default (kit: CheckKit): CheckTable => {
  const tokens = (context: CheckContext, label: string, batch: number, length = LENGTH): HostTensor => {
    const random = new kit.Random(kit.deriveSeed(context.seed, label));
    const values = Array.from({ length: batch * length }, () => random.integer(0, VOCABULARY - 1));
    return kit.tensor(values, [batch, length], 'int64');
  };
  const train = (
    context: CheckContext,
    world: number,
    steps: number,
    batch = 2,
    call: 'trained' | 'continued' = 'trained',
  ) => {
    const name = `world ${world}, batch ${batch}, ${steps} steps${call === 'trained' ? '' : ' twice, with SGD'}`;
    const inputs = Array.from({ length: world }, (_, rank): HostValue[] => [
      tokens(context, `${name}, ids of rank ${rank}`, batch),
      tokens(context, `${name}, targets of rank ${rank}`, batch),
      steps,
    ]);
    return { name, work: { inputs, harness: true, call } };
  };
  // Losses are means over some hundred terms, after sums over ranks in any order, step after step.
  const tolerance = {
    rtol: 1e-3,
    atol: 1e-4,
    reason: 'rounding grows over the steps of AdamW, which divides by small roots',
  };
  const sameLosses = async (context: CheckContext, setting: ReturnType<typeof train>): Promise<void> => {
    const want = await context.reference(setting.work);
    const lossesOf = (ranks: typeof want.ranks): HostTensor[] =>
      ranks.map(({ value }) => (value as unknown as { losses: HostTensor }).losses);
    const own = lossesOf(want.ranks);
    const means = own[0]!.values.map(
      (_, step) => own.reduce((sum, { values }) => sum + values[step]!, 0) / own.length,
    );
    await kit.sameAsReference(context, setting, {
      tolerance,
      hint: (_, { ranks }) =>
        own.length > 1 &&
        lossesOf(ranks).every(
          ({ values }) =>
            values.length === means.length && values.every((l, i) => Math.abs(l - means[i]!) <= 1e-3 * l),
        )
          ? 'every rank returns its own losses: are these the means over the ranks?'
          : undefined,
    });
  };
  return {
    forward: async (context) => {
      // The last: one sequence, as long as there are positions.
      for (const [batch, length] of [
        [2, LENGTH],
        [3, 1],
        [1, POSITIONS],
      ] as const) {
        const name = `logits of ids i64[${batch}, ${length}]`;
        const ids = tokens(context, length === LENGTH ? 'forward' : name, batch, length);
        await kit.sameAsReference(
          context,
          { name, work: { inputs: [[ids]], harness: true, call: 'logits' } },
          { tolerance: { terms: 64 } },
        );
      }
    },
    sharded: async (context) => {
      for (const world of context.worlds.filter((size) => size > 1)) {
        const setting = train(context, world, 1);
        const { run, fail } = await kit.runSetting(context, setting);
        const want = await context.reference(setting.work);
        for (const [rank, { value }] of run.ranks.entries()) {
          const got = value as { sharded: boolean[]; elements: number };
          const plain = got.sharded.filter((sharded) => !sharded).length;
          if (plain > 0)
            throw fail({
              message: `${plain} of ${got.sharded.length} parameters are no DTensors on rank ${rank}`,
            });
          const wanted = (want.ranks[rank]!.value as { elements: number }).elements;
          if (got.elements !== wanted)
            throw fail({ message: `Rank ${rank} holds ${got.elements} elements, wanted ${wanted}` });
        }
      }
    },
    units: async (context) => {
      const setting = train(context, 2, 1);
      const { run, fail } = await kit.runSetting(context, setting);
      const want = await context.reference(setting.work);
      const { losses } = run.ranks[0]!.value as unknown as { losses: HostTensor };
      if (losses.values.length !== 1)
        throw fail({ message: `train returned ${losses.values.length} losses of 1 step` });
      for (const [op, what] of [
        ['allGatherSingle', 'all-gathers'],
        ['reduceScatterSingle', 'reduce-scatters'],
      ] as const) {
        const count = (of: typeof run): number =>
          of.exchange.collectives.filter((call) => call.op === op).length;
        if (count(run) === count(want)) continue;
        throw fail({
          message: `A step has ${count(run)} ${what}, wanted ${count(want)}`,
          ...(count(run) < count(want)
            ? { hypothesis: 'is every layer a unit of its own, and resharded after its forward?' }
            : {
                hypothesis:
                  'is something a unit that is no layer, or the model run or gathered once more than a step needs?',
              }),
        });
      }
    },
    learns: async (context) => {
      const setting = train(context, 2, 25);
      const { run, fail } = await kit.runSetting(context, setting);
      for (const [rank, { value }] of run.ranks.entries()) {
        const { losses } = value as unknown as { losses: HostTensor };
        if (losses.values.length !== 25)
          throw fail({ message: `Rank ${rank} returned ${losses.values.length} losses, wanted 25` });
        const [from, to] = [losses.values[0]!, losses.values[24]!];
        if (!(to < 0.5 * from))
          throw fail({
            message: `The loss of rank ${rank} goes from ${from.toFixed(3)} to ${to.toFixed(3)}, wanted less than half`,
          });
      }
    },
    losses: async (context) => {
      for (const world of context.worlds) await sameLosses(context, train(context, world, 4));
      await sameLosses(context, train(context, 2, 3, 2, 'continued'));
    },
    precision: async (context) => {
      const inputs = [0, 1].map((rank): HostValue[] => [
        tokens(context, `precision, ids of rank ${rank}`, 2),
        tokens(context, `precision, targets of rank ${rank}`, 2),
      ]);
      const work = { inputs, harness: true, call: 'precision' };
      const { run, fail } = await kit.runSetting(context, { name: 'world 2, its own policy, 3 steps', work });
      const want = await context.reference(work);
      for (const [op, what, wanted] of [
        ['allGatherSingle', 'all-gathers', 'bfloat16'],
        ['reduceScatterSingle', 'reduce-scatters', 'float32'],
      ] as const) {
        const calls = run.exchange.collectives.filter((call) => call.op === op);
        const got = calls.map(({ tensors }) => tensors[0]?.dtype).find((dtype) => dtype !== wanted);
        if (got !== undefined || calls.length === 0)
          throw fail({ message: `The ${what} carry ${got ?? 'nothing'}, wanted ${wanted}` });
      }
      for (const [rank, { value }] of run.ranks.entries()) {
        const { stored, losses } = value as unknown as { stored: string[]; losses: HostTensor };
        const other = stored.filter((dtype) => dtype !== 'float32');
        if (other.length > 0)
          throw fail({
            message: `${other.length} of ${stored.length} parameters of rank ${rank} are stored in ${other[0]}, wanted float32`,
            hypothesis: 'was the model cast before it was sharded?',
          });
        if (losses.values.length > 0 && losses.values.every(isOnCoarseGrid))
          throw fail({
            message: `The losses of rank ${rank}, ${losses.values.join(', ')}, have no more digits than bfloat16 holds: wanted logits that are cast before the loss`,
          });
        const wanted = (want.ranks[rank]!.value as unknown as { losses: HostTensor }).losses.values;
        // bfloat16 has 8 bits; which sums are rounded when is the submission's choice.
        const at = wanted.findIndex((loss, i) => !(Math.abs(losses.values[i]! - loss) <= 0.03 * loss));
        if (at >= 0)
          throw fail({
            message: `Loss ${at} of rank ${rank} is ${losses.values[at]}, wanted ${wanted[at]} within 3 percent`,
          });
      }
    },
    fresh: async (context) => {
      await sameLosses(context, train(context, 4, 3, 3));
      await sameLosses(context, train(context, 2, 0, 1));
    },
  };
};
