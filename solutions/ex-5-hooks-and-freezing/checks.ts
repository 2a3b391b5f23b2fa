import type { CheckContext, CheckKit, CheckTable, HostTensor, HostValue } from 'shardbook/grader';

const VOCABULARY = 12;
const LENGTH = 5;
type Fields = Record<string, HostValue>;

export default (kit: CheckKit): CheckTable => {
  const tokens = (context: CheckContext, label: string, batch = 2): HostTensor => {
    const random = new kit.Random(kit.deriveSeed(context.seed, label));
    const values = Array.from({ length: batch * LENGTH }, () => random.integer(0, VOCABULARY - 1));
    return kit.tensor(values, [batch, LENGTH], 'int64');
  };
  const ask = async (
    context: CheckContext,
    call: string,
    world: number,
    what: string,
    make: (ids: HostTensor, targets: HostTensor) => HostValue[],
  ) => {
    const name = `world ${world}, ${what}`;
    const inputs = Array.from({ length: world }, (_, rank) =>
      make(tokens(context, `${name}, ids of ${rank}`), tokens(context, `${name}, targets of ${rank}`)),
    );
    const work = { inputs, harness: true, call };
    const { run, fail } = await kit.runSetting(context, { name, work });
    const want = await context.reference(work);
    return {
      fail,
      got: run.ranks.map(({ value }) => value as Fields),
      want: want.ranks.map(({ value }) => value as Fields),
    };
  };
  type Asked = Awaited<ReturnType<typeof ask>>;
  const same = (
    { got, want, fail }: Asked,
    key: string,
    message?: string,
    hypothesis?: string,
    loose = false,
  ): void => {
    for (const [rank, value] of got.entries()) {
      const mismatch = kit.compareValue(
        value[key],
        want[rank]![key]!,
        rank,
        key,
        loose
          ? {
              rtol: 1e-3,
              atol: 1e-4,
              reason: 'rounding grows over the steps of AdamW, which divides by small roots',
            }
          : { terms: 64 },
      );
      if (mismatch === undefined) continue;
      throw fail({
        message: message === undefined ? kit.explain(mismatch) : `Rank ${rank}: ${message}`,
        mismatch,
        ...(hypothesis === undefined ? {} : { hypothesis }),
      });
    }
  };
  const checkFreeze = async (context: CheckContext, world: number, patterns: string[], steps: number) => {
    const outcome = await ask(
      context,
      'frozen',
      world,
      `patterns ${patterns.join(', ') || 'none'}`,
      (ids, targets) => [patterns, ids, targets, steps],
    );
    const { got, want, fail } = outcome;
    same(outcome, 'names');
    for (const [rank, fields] of got.entries()) {
      const { moved, gradients } = fields as Record<string, Record<string, boolean>>;
      const wanted = want[rank]! as Record<string, Record<string, boolean>>;
      for (const [name, wantMoved] of Object.entries(wanted['moved']!)) {
        if (moved![name] !== wantMoved)
          throw fail({
            message: `Rank ${rank}: ${name} ${wantMoved ? 'did not move' : 'moved'} in ${steps} steps, wanted it ${wantMoved ? 'to learn' : 'to stay, bit for bit'}`,
          });
        if (gradients![name] !== wanted['gradients']![name])
          throw fail({ message: `Rank ${rank}: ${name} has ${gradients![name] ? 'a' : 'no'} gradient` });
      }
    }
    same(outcome, 'trainable');
    same(outcome, 'values', undefined, undefined, true);
  };
  const checkClip = async (context: CheckContext, world: number, value: number): Promise<void> => {
    const outcome = await ask(context, 'clipped', world, `values to ${value}`, (ids, targets) => [
      value,
      ids,
      targets,
    ]);
    same(outcome, 'clipped');
    same(outcome, 'again', 'gradients of the second backward pass are not clipped');
    same(
      outcome,
      'within',
      'a gradient was larger than the limit when it had been written',
      'is it clipped by a post-accumulate hook of the parameter?',
    );
    same(outcome, 'free', 'gradients are clipped after the handles were removed');
  };
  const checkGlobal = async (context: CheckContext, world: number, maxNorm: number): Promise<void> => {
    const outcome = await ask(context, 'clippedGlobally', world, `norm to ${maxNorm}`, (ids, targets) => [
      maxNorm,
      ids,
      targets,
    ]);
    const { got, want, fail } = outcome;
    for (const [rank, value] of got.entries()) {
      const [norm, wanted] = [value['norm'], want[rank]!['norm'] as HostTensor];
      if (!kit.isHostTensor(norm))
        throw fail({ message: `Rank ${rank} returned no number; item() makes one of a tensor` });
      const mismatch = kit.compareTensor(norm, kit.expectClose(wanted, { terms: 256 }), rank, 'norm');
      const guess =
        Math.abs(norm.values[0]! - maxNorm) <= 1e-4 * maxNorm
          ? 'is it the norm after clipping, where the one before is asked?'
          : norm.values[0]! > wanted.values[0]!
            ? 'norms do not add, their squares do'
            : `is it the norm of ${world > 1 ? "this rank's shards, of " : ''}one part of the model, or another norm than the root of the squares?`;
      if (mismatch !== undefined)
        throw fail({
          message: `Rank ${rank} has the norm ${norm.values[0]}, wanted ${wanted.values[0]}`,
          mismatch,
          hypothesis: guess,
        });
      if (!(Number(value['after']) <= maxNorm * (1 + 1e-5)))
        throw fail({
          message: `Rank ${rank}: the norm after clipping is ${Number(value['after'])}, wanted at most ${maxNorm}`,
        });
      // Single elements are small against what is allowed to them; all of them together are not.
      const after = Number(want[rank]!['after']);
      if (Number(value['after']) > after * (1 + 1e-5))
        throw fail({
          message: `Rank ${rank}: the norm after clipping is ${Number(value['after'])}, wanted ${after}: what is within the limit stays`,
        });
      if (!(Number(value['after']) >= after * (1 - 1e-5)))
        throw fail({
          message: `Rank ${rank}: the norm after clipping is ${Number(value['after'])}, wanted ${after}: no more than needed is taken away`,
        });
    }
    same(outcome, 'gradients');
  };
  const several = (context: CheckContext): number[] => context.worlds.filter((world) => world === 2);
  return {
    freeze: async (context) => {
      for (const world of [1, 2]) await checkFreeze(context, world, ['embedding'], 10);
    },
    patterns: async (context) => {
      // In another order than the model's, and one of them inside of another.
      await checkFreeze(context, 2, ['output.bias', 'layers.1', 'layers.1.weight'], 2);
      await checkFreeze(context, 2, [], 1);
      for (const patterns of [['layers.1', 'decoder'], ['embed'], ['layers.1.w'], ['out.ut'], ['']]) {
        const name = `patterns ${patterns.join(', ')}`;
        const work = { inputs: [[patterns]], harness: true, call: 'refused' };
        const { run, fail } = await kit.runSetting(context, { name, work });
        const { said, frozen } = run.ranks[0]!.value as { said?: string; frozen: number };
        const wrong = patterns.at(-1)!;
        if (typeof said !== 'string')
          throw fail({ message: `No error for the pattern "${wrong}", which fits no parameter` });
        if (!said.includes(wrong))
          throw fail({ message: `The error does not name "${wrong}": ${said.slice(0, 200)}` });
        if (frozen !== 0)
          throw fail({ message: `${frozen} parameters were frozen before the error, wanted none` });
      }
    },
    trace: async (context) => {
      for (const world of several(context)) {
        const outcome = await ask(context, 'traced', world, 'one step', (ids, targets) => [ids, targets]);
        same(
          outcome,
          'entries',
          undefined,
          'where is each hook registered, and does it read layer.weight when it runs?',
        );
        const { got, fail } = outcome;
        for (const [rank, value] of got.entries()) {
          const later = Number(value['later']);
          if (later === 0) continue;
          throw fail({
            message: `Rank ${rank}: ${later > 0 ? 'the trace goes on after remove()' : 'entries are gone after remove()'}`,
          });
        }
        same(outcome, 'idle', 'a second trace, of no layer, has entries: has each trace its own?');
        same(outcome, 'same', 'the hooks change the loss');
      }
    },
    'clip-by-hook': async (context) => {
      for (const world of several(context)) await checkClip(context, world, 0.01);
      await checkClip(context, 2, 1000);
    },
    'clip-global': async (context) => {
      for (const world of [1, 2]) await checkGlobal(context, world, 0.05);
      await checkGlobal(context, 2, 1000);
    },
    prefetch: async (context) => {
      for (const world of several(context)) {
        const outcome = await ask(
          context,
          'prefetched',
          world,
          'three passes, the last without hooks',
          (ids) => [ids],
        );
        const wanted = outcome.want[0]!['log'] as readonly string[];
        const log = outcome.got[0]!['log'] as readonly string[];
        const first = wanted.findIndex((entry, i) => log[i] !== entry);
        same(
          outcome,
          'log',
          undefined,
          first > wanted.indexOf('pass 2')
            ? 'the last pass runs when all handles are removed: does the prefetching end with them?'
            : 'the gather of layer i + 1 begins before layer i has computed, and after its own gather; the computing does not wait for it',
        );
        same(outcome, 'outputs');
      }
    },
    overhead: async (context) => {
      const [counts, steps] = [[0, 1, 10], 4];
      const name = `${counts.join(', ')} hooks on each of 3 layers, ${steps} steps`;
      const work = { inputs: [[counts, steps]], harness: true, call: 'cost' };
      const { run, fail } = await kit.runSetting(context, { name, work });
      const { rows, seen, left, registered } = run.ranks[0]!.value as {
        rows: { hooks: number; milliseconds: number }[];
        seen: number[];
        left: number;
        registered: number;
      };
      const mismatch = kit.compareValue(
        rows.map(({ hooks }) => hooks),
        counts,
        0,
        'hooks',
      );
      if (mismatch !== undefined) throw fail({ message: kit.explain(mismatch), mismatch });
      for (const [i, hooks] of counts.entries()) {
        const ran = seen.filter((calls) => calls === 3 * hooks).length;
        if (ran < steps)
          throw fail({ message: `${ran} steps ran with ${hooks} hooks on each layer, wanted ${steps}` });
        // The clock is the harness's.
        const wanted = 8 + 3 * hooks;
        const got = rows[i]!.milliseconds;
        if (Math.abs(got - wanted) > 1e-3)
          throw fail({
            message: `A step with ${hooks} hooks is said to take ${got} ms, wanted ${wanted}`,
            ...(Math.abs(got - wanted * steps) < 1e-3 ? { hypothesis: 'is that all steps together?' } : {}),
            ...(Math.abs(got - wanted * 1000) < 1e-3 ? { hypothesis: 'are those milliseconds?' } : {}),
            // Another clock hardly moves.
            ...(got < 2 ? { hypothesis: 'is it measured with performance.now()?' } : {}),
          });
      }
      const stray = seen.find((calls) => !counts.some((hooks) => 3 * hooks === calls));
      if (stray !== undefined)
        throw fail({ message: `A step ran ${stray} hooks, wanted ${counts.map((n) => 3 * n).join(', ')}` });
      const all = 3 * counts.reduce((sum, hooks) => sum + hooks, 0);
      if (registered < all)
        throw fail({ message: `${registered} forward hooks were registered in all, wanted ${all}` });
      if (left !== 0) throw fail({ message: `${left} hooks are left afterwards` });
    },
    fresh: async (context) => {
      await checkFreeze(context, 3, ['layers', 'embedding.weight'], 3);
      await checkFreeze(context, 3, ['layers.2.bias', 'layers.2', 'output'], 2);
      await checkClip(context, 3, 0.003);
      await checkGlobal(context, 3, 0.2);
    },
  };
};
