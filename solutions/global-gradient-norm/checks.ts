import type { CheckContext, CheckKit, CheckTable, HostTensor, HostValue } from 'shardbook/grader';

interface Asked {
  readonly world: number;
  /** Elements, or shape, of each shard on rank r; null: frozen. */
  readonly sizes?: (rank: number) => readonly (number | readonly number[] | null)[];
  /** The elements of a shard do not lie one after the other. */
  readonly strided?: boolean;
  readonly scale?: number;
  readonly dtype?: 'float32' | 'float64';
  readonly maxNorm?: number;
}

export default (kit: CheckKit): CheckTable => {
  const ask = async (
    context: CheckContext,
    { world, sizes = () => [4, 3], scale = 1, maxNorm = 1, strided = false, dtype = 'float32' }: Asked,
  ) => {
    const name = `world ${world}, scale ${scale}, at most ${maxNorm}`;
    const shards = Array.from({ length: world }, (_, rank) =>
      sizes(rank).map((size, i) => {
        if (size === null) return null;
        const shape = typeof size === 'number' ? [size] : size;
        const label = `${name}, shard ${i} of rank ${rank}`;
        return { ...kit.randomTensor(context.seed, label, shape, dtype, scale), strided };
      }),
    );
    const work = { inputs: shards.map((own) => [own, maxNorm] as HostValue[]) };
    const { run, fail } = await kit.runSetting(context, { name, work });
    const values = shards.flat().flatMap((shard) => (shard === null ? [] : [...shard.values]));
    const norm = Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));
    const value = (rank: number): { norm: HostValue; grads: HostValue } => {
      const got = run.ranks[rank]!.value as Record<string, HostValue> | null | undefined;
      if (typeof got !== 'object' || got === null)
        throw fail({ message: `Rank ${rank} returned no { norm, grads }` });
      return { norm: got['norm'], grads: got['grads'] };
    };
    return { run, fail, norm, shards, maxNorm, value };
  };
  const checkNorm = async (context: CheckContext, asked: Asked) => {
    const outcome = await ask(context, asked);
    for (let rank = 0; rank < asked.world; rank++) {
      const got = outcome.value(rank).norm;
      // Squares may be summed in float32: a relative error of some roundings.
      if (typeof got === 'number' && Math.abs(got - outcome.norm) <= 1e-5 * outcome.norm + 1e-12) continue;
      if (typeof got !== 'number')
        throw outcome.fail({
          message: `Rank ${rank} returned ${kit.isHostTensor(got) ? `the tensor ${kit.describeTensor(got)}` : 'no number'} as norm, wanted the number ${outcome.norm}`,
          ...(kit.isHostTensor(got) ? { hypothesis: '`item()` takes the number out of a tensor' } : {}),
        });
      const own = (of: number): number =>
        Math.sqrt(
          outcome.shards[of]!.reduce(
            (sum, shard) => sum + (shard?.values ?? new Float64Array(0)).reduce((all, v) => all + v * v, 0),
            0,
          ),
        );
      const ratio = got / outcome.norm;
      throw outcome.fail({
        message: `Rank ${rank} has the norm ${got}, wanted ${outcome.norm}`,
        ...(asked.world > 1 && ratio > 0 && Math.abs(ratio * ratio * asked.world - 1) < 1e-3
          ? { hypothesis: 'is the mean over the ranks taken, where the sum of squares is asked?' }
          : {}),
        ...(asked.world > 1 && Math.abs(got - own(rank)) <= 1e-5 * own(rank)
          ? { hypothesis: "is this rank's own norm returned?" }
          : {}),
      });
    }
    return outcome;
  };
  const checkGrads = async (context: CheckContext, asked: Asked) => {
    const outcome = await checkNorm(context, asked);
    const factor = Math.min(1, outcome.maxNorm / (outcome.norm + 1e-6));
    for (let rank = 0; rank < asked.world; rank++) {
      const want = outcome.shards[rank]!.map((shard): HostTensor | null =>
        shard === null
          ? null
          : // Relative alone: gradients may be small.
            kit.expectClose(
              { ...shard, values: shard.values.map((v) => kit.roundTo(v * factor, shard.dtype)) },
              {
                rtol: 3.9e-6,
                atol: 0,
                terms: 9,
                reason: 'the factor may be a float32, whatever the gradients are',
              },
            ),
      );
      const mismatch = kit.compareValue(outcome.value(rank).grads, want, rank, 'grads');
      if (mismatch !== undefined) throw outcome.fail({ message: kit.explain(mismatch), mismatch });
    }
    return outcome;
  };
  return {
    norm: async (context) => {
      for (const world of context.worlds) await checkNorm(context, { world });
    },
    clipped: async (context) => {
      for (const world of context.worlds)
        for (const maxNorm of [0.5, 1000]) await checkGrads(context, { world, maxNorm });
    },
    uneven: async (context) => {
      await checkGrads(context, { world: 3, sizes: (rank) => [5 - rank, rank === 2 ? 0 : 2, null, 1] });
      await checkGrads(context, { world: 2, sizes: (rank) => (rank === 0 ? [3] : [0]) });
      await checkGrads(context, { world: 2, sizes: () => [null, null] });
      await checkGrads(context, { world: 2, sizes: () => [[2, 3], [], [2, 0, 3]], strided: true });
    },
    'input-unchanged': async (context) => {
      const { run, fail, shards } = await ask(context, { world: 2, maxNorm: 0.1 });
      run.ranks.forEach(({ inputs }, rank) => {
        inputs.forEach((input, i) => {
          const mismatch = kit.compareTensor(input, kit.expectSame(shards[rank]![i]!), rank, `shards[${i}]`);
          if (mismatch !== undefined) throw fail({ message: `Rank ${rank} changed its shards`, mismatch });
        });
      });
      // Where nothing is clipped, the shards themselves would have the right values.
      const unclipped = await ask(context, { world: 2, maxNorm: 1000 });
      const rank = unclipped.run.ranks.findIndex(({ aliased }) => aliased);
      if (rank >= 0)
        throw unclipped.fail({
          message: `Rank ${rank} returned memory of its shards, wanted new tensors`,
          hypothesis: 'also gradients that need no clipping are copied',
        });
    },
    'one-number': async (context) => {
      const { run, fail } = await ask(context, { world: 3, sizes: () => [40, 30, 20] });
      const { instruments, transfers } = run.exchange;
      const collectives = [...run.exchange.collectives, ...instruments];
      if (transfers.length > 0)
        throw fail({
          message: `${transfers.length} messages were sent, wanted one collective of one number`,
        });
      if (collectives.length !== 1)
        throw fail({
          message: `${collectives.length} collectives were run, wanted 1: ${collectives.map(({ op }) => op).join(', ')}`,
        });
      const { op } = collectives[0]!;
      const bytes = Math.max(...collectives[0]!.bytes);
      // An object is written out.
      if (bytes > (op.endsWith('Object') ? 64 : kit.itemBytes.float64))
        throw fail({ message: `A rank handed over ${bytes} bytes, wanted one number` });
    },
    fresh: async (context) => {
      for (const scale of [1e-4, 1e3, 0]) await checkGrads(context, { world: 3, scale, maxNorm: 1e-4 });
      await checkGrads(context, { world: 5, sizes: (rank) => [rank, null, 7 - rank], maxNorm: 0.3 });
      await checkGrads(context, { world: 2, dtype: 'float64', maxNorm: 0.3 });
    },
  };
};
