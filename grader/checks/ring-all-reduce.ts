/**
 * Judges a ring all-reduce. S elements on N ranks: 2 (N - 1) steps, in each of which every rank sends one chunk of at most
 * ceil(S / N) elements to its neighbour. Together the ranks send 2 (N - 1) S elements; no all-reduce can do with less.
 */
import { compareTensor, expectSame, expectSum, type HostTensor, hypothesis, roundTo } from '../compare.js';
import type { Schedule } from '../exchange.js';
import { deriveSeed, Random } from '../random.js';
import type { CaseRun, RankResult } from '../rank-world.js';
import { CheckFailure, type Feedback, type Mismatch } from '../verdict.js';
import { describeTensor, elementCount, ITEM_BYTES, type WireDType } from '../wire.js';
import type { CheckContext, CheckTable } from './check.js';

interface Setting {
  readonly world: number;
  readonly shape: readonly number[];
  readonly dtype?: WireDType;
  readonly scale?: number;
  readonly schedule?: Schedule;
  /** Inputs whose elements do not lie one after the other. */
  readonly strided?: boolean;
  /** Replaces single inputs: rank, flat index, value. */
  readonly plant?: readonly (readonly [number, number, number])[];
  /** A run of the same setting that another check has made will do: it is looked at for something else. */
  readonly known?: boolean;
}

interface Outcome {
  readonly inputs: readonly HostTensor[];
  readonly run: CaseRun;
  readonly fail: (feedback: Feedback) => CheckFailure;
}

export const ringAllReduceChecks: CheckTable = {
  'one-rank': async (context) => {
    await checkSum(context, { world: 1, shape: [6] });
    await checkSum(context, { world: 1, shape: [2, 3], dtype: 'float64' });
  },

  sum: async (context) => {
    for (const world of severalRanks(context)) {
      await checkSum(context, { world, shape: [4 * world] });
      await checkSum(context, { world, shape: [2 * world], dtype: 'float64' });
    }
  },

  'any-size': async (context) => {
    for (const world of severalRanks(context)) {
      for (const size of new Set([world + 1, 4 * world - 1, world - 1, 1, 0]))
        await checkSum(context, { world, shape: [size] });
    }
  },

  'shape-and-scale': async (context) => {
    await checkSum(context, { world: 3, shape: [4, 5] });
    await checkSum(context, { world: 5, shape: [2, 3, 2], dtype: 'float64' });
    await checkSum(context, { world: 3, shape: [] });
    await checkSum(context, { world: 2, shape: [2, 1, 3, 2], dtype: 'int64', scale: 100 });
    // More digits than a float32 has.
    await checkSum(context, { world: 2, shape: [3], dtype: 'int64', scale: 1e9 });
    await checkSum(context, { world: 3, shape: [2, 4], strided: true });
    for (const scale of [1e-3, 1e-6, 1e6, 0]) {
      await checkSum(context, { world: 3, shape: [10], scale });
      await checkSum(context, { world: 5, shape: [7], scale, dtype: 'float64' });
    }
    const plant = [
      [0, 1, Number.NaN],
      [1, 4, Number.POSITIVE_INFINITY],
    ] as const;
    await checkSum(context, { world: 3, shape: [7], plant });
  },

  'input-unchanged': async (context) => {
    // The world of one last: there, a shared memory is all that can be seen of a sum formed in place.
    for (const world of [...context.worlds].reverse()) {
      const shape = [world === 1 ? 6 : 4 * world - 1];
      const { inputs, run, fail } = await runSetting(context, { world, shape, known: true });
      for (const [rank, result] of run.ranks.entries()) requireUntouched(result, inputs[rank]!, rank, fail);
    }
    const again = await runSetting(context, { world: 3, shape: [7] });
    const kept = again.run.ranks.findIndex((result) => result.again);
    if (kept >= 0)
      throw again.fail({
        message: `Rank ${kept} returned memory that an earlier call returned: that result has changed`,
        hypothesis: 'is the result kept between calls?',
      });
  },

  'same-bits': async (context) => {
    for (const world of severalRanks(context)) {
      const { run, fail } = await checkSum(context, { world, shape: [3 * world + 1], scale: 1e3 });
      const first = expectSame(run.ranks[0]!.outputs[0]!);
      run.ranks.forEach((result, rank) => {
        const mismatch = compareTensor(result.outputs[0]!, first, rank, 'result');
        if (mismatch === undefined) return;
        throw fail({
          message: `Ranks 0 and ${rank} got different bits for the same sum`,
          mismatch,
          hypothesis:
            'is a chunk summed on more than one rank, in different orders, instead of once and then copied?',
        });
      });
    }
  },

  neighbours: async (context) => {
    for (const world of severalRanks(context).filter((size) => size > 3)) {
      const { run, fail } = await checkSum(context, { world, shape: [4 * world], known: true });
      const stray = run.exchange.transfers.find(
        ({ from, to }) => ![1, world - 1].includes((to - from + world) % world),
      );
      if (stray === undefined) continue;
      const toZero = run.exchange.transfers.filter(({ to }) => to === 0).length;
      throw fail({
        message: `Rank ${stray.from} sent ${stray.bytes} bytes to rank ${stray.to}, which is not its neighbour in the ring`,
        ...(toZero * 3 > run.exchange.transfers.length
          ? { hypothesis: 'does all traffic go through rank 0?' }
          : {}),
      });
    }
  },

  'bytes-per-rank': async (context) => {
    for (const world of severalRanks(context)) {
      await checkBytes(context, { world, shape: [4 * world], known: true });
      await checkBytes(context, { world, shape: [2 * world], dtype: 'float64', known: true });
      await checkBytes(context, { world, shape: [4 * world - 1], known: true });
      await checkBytes(context, { world, shape: [world - 1], known: true });
    }
    const world = Math.max(...context.worlds);
    await checkBytes(context, { world, shape: [16 * world + 1], dtype: 'float64' });
  },

  rendezvous: async (context) => {
    for (const world of severalRanks(context)) {
      const { run, fail } = await checkSum(context, {
        world,
        shape: [3 * world + 2],
        schedule: 'rendezvous',
      });
      for (let rank = 0; rank < world; rank++) {
        const forgotten = run.exchange.forgotten(rank);
        if (forgotten.length === 0) continue;
        const { kind, peer } = forgotten[0]!;
        throw fail({
          message: `Rank ${rank} never waited for ${forgotten.length} of its operations, the first a ${kind} with rank ${peer}`,
          hypothesis: 'what isend or irecv returns must be waited for before its tensor is used again',
        });
      }
    }
  },

  schedules: async (context) => {
    for (const world of severalRanks(context).slice(0, 3)) {
      for (const seed of [1, 2])
        await checkSum(context, {
          world,
          shape: [2 * world + 1],
          schedule: `shuffled-${context.seed + seed}`,
        });
    }
  },

  fresh: async (context) => {
    const random = new Random(deriveSeed(context.seed, 'fresh'));
    for (let i = 0; i < 8; i++) {
      const world = context.worlds[random.integer(0, context.worlds.length - 1)]!;
      const schedule: Schedule = random.uniform() < 0.5 ? 'buffered' : 'rendezvous';
      const dtype: WireDType = random.uniform() < 0.5 ? 'float32' : 'float64';
      const { inputs, run, fail } = await checkSum(context, {
        world,
        shape: [random.integer(0, 40)],
        dtype,
        schedule,
      });
      for (const [rank, result] of run.ranks.entries()) requireUntouched(result, inputs[rank]!, rank, fail);
    }
  },
};

function severalRanks(context: CheckContext): number[] {
  return context.worlds.filter((world) => world > 1);
}

async function runSetting(context: CheckContext, setting: Setting): Promise<Outcome> {
  const { world, shape, dtype = 'float32', scale = 1, schedule = 'buffered', plant = [] } = setting;
  const strided = setting.strided ? { strided: true } : {};
  const name = `world ${world}, ${describeTensor({ dtype, shape })}${setting.strided ? ' in strides' : ''}, scale ${scale}, ${schedule} sends`;
  const inputs = Array.from({ length: world }, (_, rank): HostTensor => {
    const random = new Random(deriveSeed(context.seed, `${name}, rank ${rank}`));
    const draw = (): number => scale * random.normal();
    const values = Float64Array.from({ length: elementCount(shape) }, () =>
      dtype === 'int64' ? Math.trunc(draw()) : roundTo(draw(), dtype),
    );
    for (const [, index, value] of plant.filter(([where]) => where === rank)) values[index] = value;
    return { dtype, shape, values, ...strided };
  });
  const place = { case: name, seed: context.seed };
  const fail = (feedback: Feedback): CheckFailure => new CheckFailure('wrong', { ...feedback, ...place });
  const key = `${name}, seed ${context.seed}`;
  const kept = setting.known === true ? context.kept.get(key) : undefined;
  if (kept !== undefined) return { inputs, fail, run: kept };
  try {
    const run = await context.run({ inputs: inputs.map((tensor) => [tensor]), schedule });
    context.kept.set(key, run);
    return { inputs, fail, run };
  } catch (error) {
    if (error instanceof CheckFailure) throw new CheckFailure(error.verdict, { ...error.feedback, ...place });
    throw error;
  }
}

/** Runs a setting and requires the sum on every rank. */
async function checkSum(context: CheckContext, setting: Setting): Promise<Outcome> {
  const outcome = await runSetting(context, setting);
  const { inputs, run, fail } = outcome;
  const want = expectSum(inputs);
  run.ranks.forEach((result, rank) => {
    const got = requireOneTensor(result, rank, describeTensor(want), fail);
    const mismatch = compareTensor(got, want, rank, 'result');
    if (mismatch === undefined) return;
    const guess = mismatch.kind === 'values' ? guessMistake(run, inputs, rank) : undefined;
    throw fail({
      message: explain(mismatch),
      mismatch,
      ...(guess === undefined ? {} : { hypothesis: guess }),
    });
  });
  return outcome;
}

function requireOneTensor(
  result: RankResult,
  rank: number,
  expected: string,
  fail: Outcome['fail'],
): HostTensor {
  if (result.other === undefined && result.outputs.length === 1) return result.outputs[0]!;
  const got = result.other ?? `${result.outputs.length} tensors`;
  const mismatch: Mismatch = { kind: 'missing', rank, tensor: 'result', got, expected };
  throw fail({ message: `Rank ${rank} returned ${got}, wanted ${expected}`, mismatch });
}

function requireUntouched(result: RankResult, input: HostTensor, rank: number, fail: Outcome['fail']): void {
  const change = result.inputs[0] && compareTensor(result.inputs[0], expectSame(input), rank, 't');
  if (change !== undefined) {
    throw fail({
      message: `Rank ${rank} changed its input, which must stay as it is`,
      mismatch: { ...change, kind: 'mutated' },
      hypothesis: 'is the sum formed in t itself, or in a view of it, instead of in a copy?',
    });
  }
  if (result.aliased) {
    throw fail({
      message: `Rank ${rank} returned a tensor that shares its memory with the input`,
      mismatch: {
        kind: 'aliased',
        rank,
        tensor: 'result',
        got: 'a view of t',
        expected: 'memory of its own',
      },
    });
  }
}

/** The mistakes that a ring invites, then the ones that any reduction does. */
function guessMistake(run: CaseRun, inputs: readonly HostTensor[], rank: number): string | undefined {
  const want = expectSum(inputs);
  const got = run.ranks[rank]!.outputs[0]!;
  const general = hypothesis(got, want, inputs.length, inputs[rank]!);
  if (general !== undefined) return general;
  const isRight = (i: number, of: HostTensor): boolean =>
    Math.abs(of.values[i]! - want.values[i]!) <= want.allowed[i]!;
  const right = Array.from(got.values.keys()).filter((i) => isRight(i, got));
  const somewhere = Array.from(got.values.keys()).every((i) =>
    run.ranks.some(({ outputs }) => isRight(i, outputs[0]!)),
  );
  if (somewhere && right.length > 0)
    return 'every element is right on some rank but not on all: is the second half, the all-gather, incomplete?';
  const size = got.values.length;
  if (
    right.length > 0 &&
    right[right.length - 1] === right.length - 1 &&
    size - right.length < inputs.length
  ) {
    return `only the last ${size - right.length} elements are off: what happens to the rest when the size does not divide by the world?`;
  }
  const without = inputs.findIndex((term) =>
    got.values.every(
      (v, i) =>
        isRight(i, got) || Math.abs(v + term.values[i]! - want.values[i]!) <= 4 * want.allowed[i]! + 1e-9,
    ),
  );
  if (without >= 0) return `the share of rank ${without} is missing: is one step left out?`;
  return undefined;
}

async function checkBytes(context: CheckContext, setting: Setting): Promise<void> {
  const { run, fail } = await checkSum(context, setting);
  const { world, shape, dtype = 'float32' } = setting;
  const size = elementCount(shape);
  const item = ITEM_BYTES[dtype];
  const most = 2 * (world - 1) * Math.ceil(size / world) * item;
  const least = 2 * (world - 1) * size * item;
  const sent = run.exchange.sentBytes();
  const rank = sent.findIndex((bytes) => bytes > most);
  if (rank >= 0) {
    const naive = (world - 1) * size * item;
    throw fail({
      message: `Rank ${rank} sent ${sent[rank]} bytes, a ring sends at most ${most}: 2 (N - 1) chunks of ceil(S / N) elements`,
      ...(sent[rank] === naive
        ? { hypothesis: 'that is (N - 1) whole tensors: is the tensor cut into chunks?' }
        : {}),
    });
  }
  const total = sent.reduce((sum, bytes) => sum + bytes, 0);
  if (total < least) {
    throw fail({
      message: `The ranks sent ${total} bytes in all; an all-reduce needs ${least}: data went another way than the links`,
    });
  }
}

function explain(mismatch: Mismatch): string {
  const { kind, rank, index, got, expected } = mismatch;
  if (kind === 'shape') return `Rank ${rank} returned ${got}, wanted ${expected}`;
  if (kind === 'dtype') return `Rank ${rank} returned dtype ${got}, wanted ${expected}`;
  return `Rank ${rank} has ${got} at index [${index?.join(', ')}], wanted ${expected}`;
}
