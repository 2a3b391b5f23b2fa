/**
 * What an exercise's `checks.ts` is given: `export default (kit: CheckKit): CheckTable => ({ 'check-id': async (context) => { ... } })`.
 */
import * as shardbook from 'shardbook';
import {
  compareTensor,
  type Expectation,
  expectClose,
  expectSame,
  expectSum,
  type HostTensor,
  hypothesis,
  roundTo,
  type Tolerance,
} from '../compare.js';
import type { Schedule } from '../exchange.js';
import { deriveSeed, Random } from '../random.js';
import type { Case, CaseRun, RankResult } from '../rank-world.js';
import { describeValue, type HostValue, isHostTensor } from '../values.js';
import { CheckFailure, type Feedback, type Mismatch } from '../verdict.js';
import { flatCluster, virtualTime } from '../virtual-time.js';
import { describeTensor, elementCount, ITEM_BYTES, type WireDType } from '../wire.js';
import type { CheckContext } from './check.js';

export interface Setting {
  /** Names the case in feedback: "world 3, f32[10]". */
  readonly name: string;
  readonly work: Case;
}

/** A tensor of normal numbers, the same for the same seed and label. */
function randomTensor(
  seed: number,
  label: string,
  shape: readonly number[],
  dtype: WireDType = 'float32',
  scale = 1,
): HostTensor {
  const random = new Random(deriveSeed(seed, label));
  const values = Float64Array.from({ length: elementCount(shape) }, () =>
    roundTo(scale * random.normal(), dtype),
  );
  return { dtype, shape: [...shape], values };
}

/** A tensor of given numbers. */
function tensor(
  values: readonly number[],
  shape: readonly number[] = [values.length],
  dtype: WireDType = 'float32',
): HostTensor {
  return { dtype, shape: [...shape], values: Float64Array.from(values, (v) => roundTo(v, dtype)) };
}

/** Runs a case and puts its name and seed into every failure. */
async function runSetting(
  context: CheckContext,
  { name, work }: Setting,
): Promise<{ run: CaseRun; fail: (feedback: Feedback, credit?: number) => CheckFailure }> {
  const place = { case: name, seed: context.seed };
  const fail = (feedback: Feedback, credit = 0): CheckFailure =>
    new CheckFailure('wrong', { ...feedback, ...place }, credit);
  try {
    return { fail, run: await context.run(work) };
  } catch (error) {
    if (error instanceof CheckFailure)
      throw new CheckFailure(error.verdict, { ...error.feedback, ...place }, error.credit);
    throw error;
  }
}

/** The first place where a value differs from what it must be. Tensors are compared within their tolerance, all else exactly. */
function compareValue(
  got: HostValue,
  want: HostValue | Expectation,
  rank: number,
  name = 'result',
  tolerance?: Tolerance | 'exact',
): Mismatch | undefined {
  const missing = (expected: string): Mismatch => ({
    kind: 'missing',
    rank,
    tensor: name,
    got: shownValue(got),
    expected,
  });
  if (isHostTensor(want as HostValue)) {
    const tensorWanted = want as HostTensor | Expectation;
    if (!isHostTensor(got)) return missing(describeTensor(tensorWanted));
    const expectation =
      'allowed' in tensorWanted
        ? tensorWanted
        : tolerance === 'exact'
          ? expectSame(tensorWanted)
          : expectClose(tensorWanted, tolerance);
    return compareTensor(got, expectation, rank, name);
  }
  if (Array.isArray(want)) {
    if (!Array.isArray(got)) return missing(`a list of ${want.length}`);
    const items = got as readonly HostValue[];
    if (items.length !== want.length)
      return {
        kind: 'shape',
        rank,
        tensor: name,
        got: `${items.length} entries`,
        expected: `${want.length} entries`,
      };
    return first(
      want.map((item: HostValue, i) => () => compareValue(items[i], item, rank, `${name}[${i}]`, tolerance)),
    );
  }
  if (typeof want === 'object' && want !== null && !isHostTensor(want as HostValue)) {
    if (typeof got !== 'object' || got === null || Array.isArray(got) || isHostTensor(got))
      return missing('an object');
    const fields = got as Record<string, HostValue>;
    return first(
      Object.entries(want as Record<string, HostValue>).map(
        ([key, item]) =>
          () =>
            compareValue(
              Object.hasOwn(fields, key) ? fields[key] : undefined,
              item,
              rank,
              `${name}.${key}`,
              tolerance,
            ),
      ),
    );
  }
  // A zero is a zero, whatever its sign, as in tensors.
  if (got === want || Object.is(got, want)) return undefined;
  return {
    kind: 'values',
    rank,
    tensor: name,
    got: shownValue(got),
    expected: shownValue(want as HostValue),
  };
}

function first(compare: readonly (() => Mismatch | undefined)[]): Mismatch | undefined {
  for (const step of compare) {
    const mismatch = step();
    if (mismatch !== undefined) return mismatch;
  }
  return undefined;
}

function shownValue(value: HostValue): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 200));
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return isHostTensor(value) ? describeTensor(value) : describeValue(value);
}

/** One sentence for a mismatch. */
function explain({ kind, rank, tensor: name, index, got, expected }: Mismatch): string {
  if (kind === 'dtype') return `Rank ${rank}: ${name} has dtype ${got}, wanted ${expected}`;
  if (index === undefined) return `Rank ${rank}: ${name} is ${got}, wanted ${expected}`;
  return `Rank ${rank}: ${name} has ${got} at index [${index.join(', ')}], wanted ${expected}`;
}

/** Requires of every rank what the reference answers to the same question. */
async function sameAsReference(
  context: CheckContext,
  setting: Setting,
  options: {
    readonly tolerance?: Tolerance | 'exact';
    readonly hint?: (mismatch: Mismatch, run: CaseRun) => string | undefined;
  } = {},
): Promise<{ run: CaseRun; fail: (feedback: Feedback, credit?: number) => CheckFailure }> {
  const outcome = await runSetting(context, setting);
  const want = await context.reference(setting.work);
  outcome.run.ranks.forEach((result, rank) => {
    const mismatch = compareValue(result.value, want.ranks[rank]!.value, rank, 'result', options.tolerance);
    if (mismatch === undefined) return;
    const guess =
      options.hint?.(mismatch, outcome.run) ??
      guessScale(result.value, want.ranks[rank]!.value, outcome.run.ranks.length, options.tolerance);
    throw outcome.fail({
      message: explain(mismatch),
      mismatch,
      ...(guess === undefined ? {} : { hypothesis: guess }),
    });
  });
  return outcome;
}

type Outcome = Awaited<ReturnType<typeof runSetting>>;

/**
 * Requires that a run takes at most so many virtual seconds. Only what goes over the links takes time there.
 *
 * @param options.cluster default: one node, 10 microseconds and 1 GB/s for each rank
 */
function requireTime(
  { run, fail }: Outcome,
  options: {
    readonly atMost: number;
    readonly cluster?: shardbook.Cluster;
    readonly hypothesis?: string;
  },
): void {
  const { seconds } = virtualTime(run.exchange, options.cluster ?? flatCluster(run.exchange.worldSize));
  // The same run has the same time to the last bit but for sums in another order.
  if (seconds <= options.atMost * (1 + 1e-9)) return;
  throw fail({
    message: `It takes ${microseconds(seconds)} of virtual time, wanted at most ${microseconds(options.atMost)}`,
    ...(options.hypothesis === undefined ? {} : { hypothesis: options.hypothesis }),
  });
}

function microseconds(seconds: number): string {
  return `${Number((seconds * 1e6).toPrecision(6))} µs`;
}

/**
 * Requires that no rank's memory rose by more than `atMost` bytes above its arguments; the case must have been run with `memory`.
 * Allow a few MiB for the process itself and take tensors that are larger. Where no system counts memory, this requires nothing.
 */
function requirePeak(
  { run, fail }: Outcome,
  options: { readonly atMost: number; readonly hypothesis?: string },
): void {
  for (const [rank, { peakBytes }] of run.ranks.entries()) {
    if (peakBytes === undefined || peakBytes <= options.atMost) continue;
    throw fail({
      message: `The memory of rank ${rank} rises by ${megabytes(peakBytes)}, wanted at most ${megabytes(options.atMost)}`,
      ...(options.hypothesis === undefined ? {} : { hypothesis: options.hypothesis }),
    });
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** A guess about the first tensor that differs, wherever it stands in the value. */
function guessScale(
  got: HostValue,
  want: HostValue,
  worldSize: number,
  tolerance?: Tolerance | 'exact',
): string | undefined {
  if (isHostTensor(want))
    return isHostTensor(got) ? hypothesis(got, expectClose(want), worldSize, want) : undefined;
  if (typeof want !== 'object' || want === null || typeof got !== 'object' || got === null) return undefined;
  for (const [key, item] of Object.entries(want as Record<string, HostValue>)) {
    const own = Object.hasOwn(got, key) ? (got as Record<string, HostValue>)[key] : undefined;
    if (compareValue(own, item, 0, key, tolerance) !== undefined)
      return guessScale(own, item, worldSize, tolerance);
  }
  return undefined;
}

export const checkKit = {
  CheckFailure,
  Random,
  deriveSeed,
  randomTensor,
  tensor,
  runSetting,
  sameAsReference,
  compareValue,
  compareTensor,
  explain,
  virtualTime,
  flatCluster,
  requireTime,
  requirePeak,
  expectClose,
  expectSame,
  expectSum,
  hypothesis,
  roundTo,
  isHostTensor,
  describeTensor,
  elementCount,
  itemBytes: ITEM_BYTES,
  /** The runtime, for expectations that one process can compute. */
  shardbook,
} as const;

export type CheckKit = typeof checkKit;
export type {
  Case,
  CaseRun,
  Expectation,
  Feedback,
  HostTensor,
  HostValue,
  Mismatch,
  RankResult,
  Schedule,
  Tolerance,
  WireDType,
};
