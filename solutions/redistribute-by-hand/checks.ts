import type {
  CheckContext,
  CheckKit,
  CheckTable,
  Expectation,
  HostTensor,
  HostValue,
  Mismatch,
  WireDType,
} from 'shardbook/grader';

interface Asked {
  readonly call:
    | 'replicateToShard'
    | 'shardToReplicate'
    | 'partialToReplicate'
    | 'partialToShard'
    | 'shardToShard';
  readonly world: number;
  readonly shape: readonly number[];
  /** The dimension that is sharded before or after. */
  readonly dim?: number;
  /** shardToShard: the dimension afterwards. */
  readonly to?: number;
  readonly dtype?: WireDType;
  /** The elements of what a rank holds do not lie one after the other. */
  readonly strided?: boolean;
}

/** Bytes in a second of virtual time, where messages have no latency. */
const BYTES_PER_SECOND = 1e9;

export default (kit: CheckKit): CheckTable => {
  const piece = (size: number, world: number, rank: number): [start: number, length: number] => {
    const each = Math.ceil(size / world);
    const start = Math.min(rank * each, size);
    return [start, Math.min(start + each, size) - start];
  };
  /** A rank's piece of a tensor, as Shard cuts. */
  const cut = <T extends HostTensor | Expectation>(t: T, dim: number, world: number, rank: number): T => {
    const size = t.shape[dim]!;
    const [start, length] = piece(size, world, rank);
    const inner = kit.elementCount(t.shape.slice(dim + 1));
    const outer = kit.elementCount(t.shape.slice(0, dim));
    const pick = (values: Float64Array): Float64Array => {
      const out = new Float64Array(outer * length * inner);
      for (let o = 0; o < outer; o++)
        out.set(
          values.subarray((o * size + start) * inner, (o * size + start + length) * inner),
          o * length * inner,
        );
      return out;
    };
    const shape = t.shape.map((n, d) => (d === dim ? length : n));
    const more = 'allowed' in t ? { allowed: pick(t.allowed) } : {};
    return { ...t, ...more, shape, values: pick(t.values) };
  };
  const ask = (
    context: CheckContext,
    { call, world, shape, dim = 0, to = 1, dtype = 'float32', strided = false }: Asked,
  ) => {
    const dims =
      call === 'shardToShard'
        ? `, ${dim} to ${to}`
        : call === 'partialToReplicate'
          ? ''
          : `, dimension ${dim}`;
    const name = `${call}, world ${world}, ${kit.describeTensor({ dtype, shape: [...shape] })}${dims}`;
    const random = (label: string): HostTensor => {
      const t = kit.randomTensor(
        context.seed,
        `${name}, ${label}`,
        shape,
        'float64',
        dtype === 'int64' ? 50 : 1,
      );
      return {
        ...t,
        dtype,
        strided,
        values: t.values.map((v) => (dtype === 'int64' ? Math.trunc(v) : kit.roundTo(v, dtype))),
      };
    };
    const ranks = Array.from({ length: world }, (_, rank) => rank);
    const full = random('full');
    const parts = ranks.map((rank) => random(`part of rank ${rank}`));
    const sum = kit.expectSum(parts);
    switch (call) {
      case 'replicateToShard':
        return {
          name,
          inputs: ranks.map((): HostValue[] => [full, dim]),
          want: ranks.map((rank) => kit.expectSame(cut(full, dim, world, rank))),
        };
      case 'shardToReplicate':
        return {
          name,
          inputs: ranks.map((rank): HostValue[] => [cut(full, dim, world, rank), dim, [...shape]]),
          want: ranks.map(() => kit.expectSame(full)),
        };
      case 'partialToReplicate':
        return { name, inputs: parts.map((part): HostValue[] => [part]), want: ranks.map(() => sum) };
      case 'partialToShard':
        return {
          name,
          inputs: parts.map((part): HostValue[] => [part, dim]),
          want: ranks.map((rank) => cut(sum, dim, world, rank)),
        };
      case 'shardToShard':
        return {
          name,
          inputs: ranks.map((rank): HostValue[] => [cut(full, dim, world, rank), dim, to, [...shape]]),
          want: ranks.map((rank) => kit.expectSame(cut(full, to, world, rank))),
        };
    }
  };
  const guess = (
    { kind, got }: Mismatch,
    value: HostValue,
    want: Expectation,
    { call, world }: Asked,
    own: HostTensor,
  ): string | undefined => {
    if (kind === 'shape' && kit.isHostTensor(value)) {
      const [have, wanted] = [value.values.length, want.values.length];
      if (have > wanted && call !== 'replicateToShard' && call !== 'partialToReplicate')
        return 'are rows left in that were only there to make pieces equal, or is the whole returned?';
      return `is ${got} cut as torch.chunk cuts, ceil(size / N) rows for each rank while there are any?`;
    }
    if (!kit.isHostTensor(value) || !call.startsWith('partial')) return undefined;
    return kit.hypothesis(
      value,
      want,
      world,
      own.shape.length === want.shape.length && own.values.length === want.values.length
        ? kit.expectSame(own)
        : want,
    );
  };
  const check = async (context: CheckContext, asked: Asked) => {
    const { name, inputs, want } = ask(context, asked);
    const outcome = await kit.runSetting(context, { name, work: { inputs, call: asked.call } });
    outcome.run.ranks.forEach(({ value }, rank) => {
      const mismatch = kit.compareValue(value, want[rank]!, rank);
      if (mismatch === undefined) return;
      const hypothesis = guess(mismatch, value, want[rank]!, asked, inputs[rank]![0] as HostTensor);
      throw outcome.fail({
        message: kit.explain(mismatch),
        mismatch,
        ...(hypothesis === undefined ? {} : { hypothesis }),
      });
    });
    return { ...outcome, inputs };
  };
  const even = (call: Asked['call']) => async (context: CheckContext) => {
    for (const world of context.worlds) {
      await check(context, { call, world, shape: [2 * world, 3 * world] });
      if (call === 'partialToReplicate') continue;
      await check(context, { call, world, shape: [2 * world, 3 * world], dim: 1, to: 0 });
    }
  };
  const CALLS = ['replicateToShard', 'shardToReplicate', 'partialToShard', 'shardToShard'] as const;
  return {
    slice: even('replicateToShard'),
    gather: even('shardToReplicate'),
    reduce: even('partialToReplicate'),
    scatter: even('partialToShard'),
    turn: even('shardToShard'),
    uneven: async (context) => {
      for (const call of CALLS) {
        // 7 rows on 3 ranks are 3, 3, 1; on 5 ranks 2, 2, 2, 1, 0. 2 columns on 5 ranks leave three empty.
        for (const world of [3, 5]) {
          await check(context, { call, world, shape: [7, 4] });
          await check(context, { call, world, shape: [4, 2], dim: 1, to: 0 });
        }
        await check(context, { call, world: 2, shape: [1, 3] });
        await check(context, { call, world: 2, shape: [0, 3] });
      }
    },
    untouched: async (context) => {
      for (const [call, to] of [
        ['partialToReplicate', 0],
        ...CALLS.map((call) => [call, 1] as const),
        ['shardToShard', 0],
      ] as const) {
        // Alone, a rank has nothing to exchange: there a view of the input would be returned.
        for (const world of [1, 3, 5]) {
          const { run, fail, inputs } = await check(context, { call, world, shape: [4, 3], to });
          const again = await check(context, { call, world, shape: [4, 3], to });
          const kept = again.run.ranks.findIndex((result) => result.again);
          if (kept >= 0)
            throw again.fail({
              message: `Rank ${kept} returned memory that an earlier call of ${call} returned: that result has changed`,
            });
          for (const [rank, result] of run.ranks.entries()) {
            const before = kit.expectSame(inputs[rank]![0] as HostTensor);
            const mismatch = kit.compareTensor(result.inputs[0]!, before, rank, 'the input');
            if (mismatch !== undefined)
              throw fail({ message: `Rank ${rank} changed the input of ${call}`, mismatch });
            if (result.aliased)
              throw fail({ message: `Rank ${rank} returned memory of the input of ${call}` });
          }
        }
      }
    },
    traffic: async (context) => {
      const world = 5;
      // Sizes that do not divide may be filled up to some that do.
      const filledUp = [45, 65];
      const bytes = kit.elementCount(filledUp) * kit.itemBytes.float32;
      // Of all bytes, the share that goes through the port of a rank. The collectives that fit need exactly this.
      const share = {
        replicateToShard: 0,
        shardToReplicate: (world - 1) / world,
        partialToReplicate: (2 * (world - 1)) / world,
        partialToShard: (world - 1) / world,
        shardToShard: (world - 1) / world ** 2,
      };
      const cluster = kit.flatCluster(world, { latencySeconds: 0, bytesPerSecond: BYTES_PER_SECOND });
      for (const shape of [filledUp, [42, 61]])
        for (const call of ['partialToReplicate', ...CALLS] as const) {
          const outcome = await check(context, { call, world, shape });
          const { collectives, instruments, transfers, pending } = outcome.run.exchange;
          const ops = [...collectives, ...instruments].map(({ op }) => op);
          const most = call === 'replicateToShard' ? 0 : 1;
          if (ops.length > most || transfers.length + pending > 0)
            throw outcome.fail({
              message: `${call} runs ${ops.length} collectives (${ops.join(', ')}) and sends ${transfers.length + pending} messages, wanted ${most} collectives and no message`,
              ...(call === 'replicateToShard'
                ? { hypothesis: 'every rank has the whole tensor: is there anything to ask of the others?' }
                : {}),
            });
          kit.requireTime(outcome, {
            atMost: (share[call] * bytes) / BYTES_PER_SECOND,
            cluster,
            hypothesis:
              call === 'shardToShard'
                ? 'does every rank get the whole tensor, where an all-to-all moves a part of a part?'
                : `is ${ops.join(' and ')} the collective that moves no more than is needed?`,
          });
        }
    },
    back: async (context) => {
      for (const world of [2, 3]) {
        const shape = [5, 7];
        const { run, inputs } = await check(context, { call: 'shardToShard', world, shape });
        const name = `shardToShard, world ${world}, f32[5, 7], 0 to 1 and back`;
        const turned = run.ranks.map(({ outputs }): HostValue[] => [outputs[0]!, 1, 0, shape]);
        const again = await kit.runSetting(context, { name, work: { inputs: turned, call: 'shardToShard' } });
        again.run.ranks.forEach(({ value }, rank) => {
          const mismatch = kit.compareValue(value, kit.expectSame(inputs[rank]![0] as HostTensor), rank);
          if (mismatch !== undefined) throw again.fail({ message: kit.explain(mismatch), mismatch });
        });
      }
    },
    fresh: async (context) => {
      for (const call of CALLS) {
        await check(context, { call, world: 3, shape: [2, 4, 5], dim: 1, to: 2, dtype: 'float64' });
        await check(context, { call, world: 2, shape: [3, 0, 2], dim: 2, to: 0 });
        await check(context, { call, world: 5, shape: [3, 2, 6], dim: 2, to: 1, dtype: 'int64' });
        await check(context, { call, world: 3, shape: [4, 4], dim: 1, to: 1 });
        await check(context, { call, world: 2, shape: [3, 4], strided: true });
      }
      await check(context, { call: 'partialToReplicate', world: 5, shape: [3, 2, 2], dtype: 'float64' });
      await check(context, { call: 'shardToReplicate', world: 5, shape: [11] });
    },
  };
};
