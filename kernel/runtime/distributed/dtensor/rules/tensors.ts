/** Copies, factories after another tensor, joins, parts, padding and moves of elements. */
import type { OpName } from '../../../tensor/index.js';
import { isShardLike, Partial, type Placement, type Placements } from '../placements.js';
import type { DTensorSpec } from '../spec.js';
import {
  type AxisRule,
  cut,
  type MeshRule,
  type RuleCall,
  type RuleTable,
  type Slot,
  type Strategy,
  type Way,
} from './rule.js';
import { allReplicated, cannot, each, follows, isCut, R, reduced, shifted, uncut } from './shared.js';

/** The result lies as the input does, whatever that is. */
const same = follows<'detach' | 'alias' | 'fill' | 'viewDtype'>((_call, x) => [x.placements, x.placements]);

/** New values in the shape of the input: nothing is pending in them. */
const like = follows<'fullLike'>((call, x) => [
  // Nothing is pending in new values; what has none yet lies as its model does.
  call.params.unset ? x.placements : reduced(x.placements),
  x.placements,
]);

/** Ops that look at the whole matrix. */
const whole = follows<'tril' | 'triu' | 'diagonal'>((_call, x) => [
  allReplicated(x.placements),
  allReplicated(x.placements),
]);

// ---------------------------------------------------------------- casts

const CASTS: readonly Placement[] = ['sum', 'avg', 'min', 'max', 'product'].map((op) => Partial(op));

/** Rounding to integers, and truth, come after a reduction. */
const toCopy: AxisRule<'toCopy'> = {
  kind: 'axis',
  allowUneven: true,
  ways: (call) => {
    const x = call.inputs[0]!;
    const { dtype } = call.params;
    const waits = (p: Placement): boolean => {
      if (dtype.name === x.dtype.name) return false;
      if (dtype.name === 'bool') return true;
      if (p.isPartial('max') || p.isPartial('min')) return false;
      return x.dtype.isFloatingPoint && !dtype.isFloatingPoint;
    };
    return [
      ...x.shape.map((_, d): Way => ({ out: [cut(d)], in: [cut(d)] })),
      ...CASTS.filter((p) => !waits(p)).map((p): Way => ({ out: [p], in: [p] })),
    ];
  },
};

// ---------------------------------------------------------------- parts

const select = follows<'select'>((call, x) => {
  const input = uncut(x.placements, [call.params.dim]);
  return [shifted(input, call.params.dim, -1), input];
});

const split = follows<'split'>((call, x) => {
  const input = uncut(x.placements, [call.params.dim]);
  return [input, input];
});

const unbind = follows<'unbind'>((call, x) => {
  if (isCut(x.placements, call.params.dim)) {
    throw cannot(
      call,
      `dimension ${call.params.dim} is cut, and a part has not all of its slices`,
      `redistribute the tensor first, so that dimension ${call.params.dim} is whole`,
    );
  }
  return [shifted(x.placements, call.params.dim, -1), x.placements];
});

const takesAll = (call: RuleCall<'slice'>, x: DTensorSpec): boolean => {
  const { dim, start, end, step } = call.params;
  return start === 0 && end === x.shape[dim] && step === 1;
};

const slice = follows<'slice'>(
  (call, x) => {
    const input = takesAll(call, x) ? x.placements : uncut(x.placements, [call.params.dim]);
    return [input, input];
  },
  {
    localParams: (call, _chosen, shapes) =>
      takesAll(call, call.inputs[0]!) ? { ...call.params, end: shapes[0]![call.params.dim]! } : call.params,
  },
);

// ---------------------------------------------------------------- joins

type Some = readonly DTensorSpec[];

/** Joined tensors lie alike: as one of them does, with the dimension whole. */
const cat: MeshRule<'cat'> = {
  kind: 'mesh',
  strategies: (call) => {
    const seen = new Map<string, Strategy>();
    for (const x of call.inputs as Some) {
      const placements = uncut(x.placements, [call.params.dim]);
      const key = placements.map((p) => p.key).join();
      if (!seen.has(key)) seen.set(key, { out: [placements], in: call.inputs.map(() => placements) });
    }
    return [...seen.values()];
  },
};

/** What two stacked tensors can both be: shards before pending reductions before replicas. */
function merged(a: Placement, b: Placement): Placement {
  if (a.equals(b)) return a;
  if (a.isPartial()) return isShardLike(b) ? b : b.isPartial() ? R : a;
  if (isShardLike(a)) return isShardLike(b) ? R : a;
  return b;
}

const stack: MeshRule<'stack'> = {
  kind: 'mesh',
  strategies: (call) => {
    const input = (call.inputs as Some)
      .map((x) => x.placements)
      .reduce((all: Placements, own) => all.map((p, axis) => merged(p, own[axis]!)));
    return [{ out: [shifted(input, call.params.dim, 1)], in: call.inputs.map(() => input) }];
  },
};

// ---------------------------------------------------------------- moves of elements

const PASSED: readonly Placement[] = ['sum', 'avg', 'max', 'min'].map((op) => Partial(op));

function others<K extends OpName>(call: RuleCall<K>, active: readonly number[]): Way[] {
  return call.inputs[0]!.shape.map((_, d) => d)
    .filter((d) => !active.includes(d))
    .map((d) => ({ out: [cut(d)], in: [cut(d)] }));
}

const passing = (pending: readonly Slot[]): Way[] => pending.map((p) => ({ out: [p], in: [p] }));

const moved: AxisRule<'flip' | 'roll'> = {
  kind: 'axis',
  ways: (call) => [...others(call, call.params.dims), ...passing(PASSED)],
};

/** A constant that every rank writes survives averages and extremes; zero survives sums too. */
const constantPad: AxisRule<'constantPad'> = {
  kind: 'axis',
  ways: (call) => {
    const { pad, value } = call.params;
    const ndim = call.inputs[0]!.ndim;
    const padded: number[] = [];
    for (let i = 0; i * 2 < pad.length; i++)
      if (pad[i * 2] !== 0 || pad[i * 2 + 1] !== 0) padded.push(ndim - 1 - i);
    return [
      ...others(call, padded),
      ...passing(padded.length === 0 || value === 0 ? PASSED : PASSED.slice(1)),
    ];
  },
};

/** Windows along a dimension that is whole. */
const unfold: AxisRule<'unfold'> = {
  kind: 'axis',
  ways: (call) => [...others(call, [call.params.dim]), ...passing(PASSED)],
};

export const tensorRules: RuleTable = {
  ...each(['detach', 'alias', 'fill', 'viewDtype'], same),
  fullLike: like,
  ...each(['tril', 'triu', 'diagonal'], whole),
  toCopy,
  select,
  slice,
  split,
  unbind,
  cat,
  stack,
  ...each(['flip', 'roll'], moved),
  constantPad,
  unfold,
};
