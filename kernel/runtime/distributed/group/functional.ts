/**
 * `dist.functional`: collectives that return a new tensor and leave their input alone, and that gradients pass through.
 * Sizes change along a dimension of choice. Results are complete when the call returns, so there is nothing to wait for.
 */
import { type Tensor, torch } from '../../tensor/index.js';
import { badArgument, type GroupOption, named, type Positional, requiredGroup, sameDtype } from './args.js';
import { allReduceCoalesced as reduceAll } from './coalesced.js';
import * as d from './differentiable.js';
import type { Group, ProcessGroup } from './process-group.js';
import { ReduceOp } from './reduce-op.js';
import { checkTensor, describeTensor } from './tensors.js';

/** A reduce op, or its name as PyTorch's functional collectives take it. */
export type ReduceName = ReduceOp | 'sum' | 'avg' | 'product' | 'min' | 'max' | 'band' | 'bor' | 'bxor';

const NAMED: Readonly<Record<string, ReduceOp>> = {
  sum: ReduceOp.SUM,
  avg: ReduceOp.AVG,
  product: ReduceOp.PRODUCT,
  min: ReduceOp.MIN,
  max: ReduceOp.MAX,
  band: ReduceOp.BAND,
  bor: ReduceOp.BOR,
  bxor: ReduceOp.BXOR,
};

export interface GatherDimOption extends GroupOption {
  /** The dimension along which the members' tensors are joined; default 0. */
  gatherDim?: number;
}
export interface ScatterDimOption extends GroupOption {
  /** The dimension that is cut into one piece per member; default 0. */
  scatterDim?: number;
}
export interface SplitOptions extends GroupOption, d.Splits {}

/** The reduction over the group. Backward (of the sum): the sum of the members' gradients. */
export function allReduce(
  t: Tensor,
  op: ReduceName = 'sum',
  ...rest: Positional<[group?: Group], GroupOption>
): Tensor {
  const options = named<GroupOption>('functional.allReduce', ['group'], rest);
  checkTensor(t, 'functional.allReduce');
  return d.allReduceOf(
    t,
    reduceOp('allReduce', op),
    requiredGroup(options.group, 'functional.allReduce'),
    true,
  );
}

/** The source's tensor; `src` is a global rank. Backward: the source gets the sum of the gradients. */
export function broadcast(t: Tensor, src: number, ...rest: Positional<[group?: Group], GroupOption>): Tensor {
  const options = named<GroupOption>('functional.broadcast', ['group'], rest);
  checkTensor(t, 'functional.broadcast');
  return d.broadcastOf(t, src, requiredGroup(options.group, 'functional.broadcast'));
}

/** The members' tensors joined along `gatherDim`. Backward: the gradient's sum, scattered along it. */
export function allGatherSingle(
  t: Tensor,
  ...rest: Positional<[gatherDim?: number, group?: Group], GatherDimOption>
): Tensor {
  const name = 'functional.allGatherSingle';
  const options = named<GatherDimOption>(name, ['gatherDim', 'group'], rest);
  checkTensor(t, name);
  const group = requiredGroup(options.group, name);
  const dim = dimension(name, t, options.gatherDim, 'gatherDim');
  const joined = d.allGatherSingleOf(t, group);
  return dim === 0 ? joined : torch.cat(torch.chunk(joined, group.size(), 0), dim);
}

/** The own piece, along `scatterDim`, of the reduction. Backward (of the sum): the members' gradients joined. */
export function reduceScatterSingle(
  t: Tensor,
  op: ReduceName = 'sum',
  ...rest: Positional<[scatterDim?: number, group?: Group], ScatterDimOption>
): Tensor {
  const name = 'functional.reduceScatterSingle';
  const options = named<ScatterDimOption>(name, ['scatterDim', 'group'], rest);
  checkTensor(t, name);
  const group = requiredGroup(options.group, name);
  const dim = dimension(name, t, options.scatterDim, 'scatterDim');
  const size = group.size();
  if (t.ndim === 0 || t.shape[dim]! % size !== 0) {
    throw badArgument(name, `dim ${dim} of ${describeTensor(t)} cannot be cut into ${size} equal pieces`);
  }
  const rows = dim === 0 ? t : torch.cat(torch.chunk(t, size, dim), 0);
  return d.reduceScatterSingleOf(rows, reduceOp(name, op), group);
}

/** Rows of dim 0 to and from every member, by default as many for each. Backward: the reverse exchange. */
export function allToAllSingle(
  t: Tensor,
  ...rest: Positional<
    [outputSplitSizes?: readonly number[], inputSplitSizes?: readonly number[], group?: Group],
    SplitOptions
  >
): Tensor {
  const name = 'functional.allToAllSingle';
  const options = named<SplitOptions>(name, ['outputSplitSizes', 'inputSplitSizes', 'group'], rest);
  checkTensor(t, name);
  const group = requiredGroup(options.group, name);
  const sizes = options.outputSplitSizes;
  const rows = sizes?.length ? sizes.reduce((a, b) => a + b, 0) : (t.shape[0] ?? 1);
  const out = torch.empty([rows, ...t.shape.slice(1)], { dtype: t.dtype });
  return d.allToAllSingleOf(out, t, options, group);
}

/** Member m's tensor goes to member `sourceToTarget[m]`; all have one shape. Backward: the way back. */
export function permuteTensor(
  t: Tensor,
  sourceToTarget: readonly number[],
  ...rest: Positional<[group?: Group], GroupOption>
): Tensor {
  const name = 'functional.permuteTensor';
  const options = named<GroupOption>(name, ['group'], rest);
  checkTensor(t, name);
  const group = requiredGroup(options.group, name);
  const [size, me] = [group.size(), group.rank()];
  const sorted = [...sourceToTarget].sort((a, b) => a - b);
  if (sorted.length !== size || sorted.some((target, i) => target !== i)) {
    throw badArgument(
      name,
      `[${sourceToTarget.join(', ')}] is not a permutation of the group's ranks 0 to ${size - 1}`,
    );
  }
  const flat = t.reshape([-1]);
  const outputSplitSizes = sourceToTarget.map((target) => (target === me ? flat.numel() : 0));
  const inputSplitSizes = sourceToTarget.map((_, i) => (i === sourceToTarget[me] ? flat.numel() : 0));
  const out = torch.empty([flat.numel()], { dtype: t.dtype });
  return d.allToAllSingleOf(out, flat, { outputSplitSizes, inputSplitSizes }, group).reshape([...t.shape]);
}

/** `allReduce` of a list in one collective. */
export function allReduceCoalesced(
  tensors: readonly Tensor[],
  op: ReduceName = 'sum',
  options: GroupOption = {},
): Tensor[] {
  const name = 'functional.allReduceCoalesced';
  const group = listOf(name, tensors, options);
  const chosen = reduceOp(name, op);
  if (!tensors.some((t) => t.requiresGrad)) {
    const outs = tensors.map((t) => t.clone());
    reduceAll(outs, { op: chosen, group });
    return outs;
  }
  const flat = torch.cat(tensors.map((t) => t.reshape([-1])));
  return cutLike(d.allReduceOf(flat, chosen, group, true), tensors);
}

/** `allGatherSingle` along dim 0 of a list in one collective; the list has one dtype. */
export function allGatherSingleCoalesced(tensors: readonly Tensor[], options: GroupOption = {}): Tensor[] {
  const name = 'functional.allGatherSingleCoalesced';
  const group = listOf(name, tensors, options);
  const flat = torch.cat(tensors.map((t) => t.reshape([-1])));
  const members = torch
    .chunk(d.allGatherSingleOf(flat, group), group.size(), 0)
    .map((m) => cutLike(m, tensors));
  return tensors.map((t, i) =>
    torch.cat(
      members.map((m) => (t.ndim === 0 ? m[i]!.reshape([1]) : m[i]!)),
      0,
    ),
  );
}

/** `reduceScatterSingle` of a list in one collective; `scatterDims` has a dimension for each, default 0. */
export function reduceScatterSingleCoalesced(
  tensors: readonly Tensor[],
  op: ReduceName = 'sum',
  options: GroupOption & { scatterDims?: readonly number[] } = {},
): Tensor[] {
  const name = 'functional.reduceScatterSingleCoalesced';
  const group = listOf(name, tensors, options);
  const size = group.size();
  if (options.scatterDims !== undefined && options.scatterDims.length !== tensors.length) {
    throw badArgument(
      name,
      `scatterDims has ${options.scatterDims.length} entries, wanted ${tensors.length}`,
    );
  }
  const pieces = tensors.map((t, i) => {
    const dim = dimension(name, t, options.scatterDims?.[i], 'scatterDims');
    if (t.ndim === 0 || t.shape[dim]! % size !== 0) {
      throw badArgument(name, `dim ${dim} of ${describeTensor(t)} cannot be cut into ${size} equal pieces`);
    }
    return torch.chunk(t, size, dim);
  });
  // Member after member, and within a member tensor after tensor.
  const flat = torch.cat(group.ranks.flatMap((_, r) => pieces.map((list) => list[r]!.reshape([-1]))));
  const own = d.reduceScatterSingleOf(flat, reduceOp(name, op), group);
  return cutLike(
    own,
    pieces.map((list) => list[0]!),
  );
}

/** The tensor itself: results are complete when a call returns. For programs that wait, as PyTorch's may. */
export function waitTensor(t: Tensor): Tensor {
  checkTensor(t, 'functional.waitTensor');
  return t;
}

export {
  allGatherSingle as allGatherSingleAutograd,
  allGatherSingle as allGatherTensor,
  allGatherSingle as allGatherTensorAutograd,
  allToAllSingle as allToAllSingleAutograd,
  reduceScatterSingle as reduceScatterSingleAutograd,
  reduceScatterSingle as reduceScatterTensor,
  reduceScatterSingle as reduceScatterTensorAutograd,
};

function reduceOp(name: string, op: ReduceName): ReduceOp {
  const found = typeof op === 'string' ? NAMED[op.toLowerCase()] : op;
  if (found !== undefined) return found;
  throw badArgument(
    name,
    `"${String(op)}" is not a reduce op: wanted one of ${Object.keys(NAMED).join(', ')}`,
  );
}

function dimension(name: string, t: Tensor, given = 0, option = 'dim'): number {
  const limit = Math.max(1, t.ndim);
  if (!Number.isInteger(given) || given < -limit || given >= limit) {
    throw badArgument(
      name,
      `${option} ${given} is not a dimension of ${describeTensor(t)}: wanted ${-limit} to ${limit - 1}`,
    );
  }
  return given < 0 ? given + limit : given;
}

function listOf(name: string, tensors: readonly Tensor[], options: GroupOption): ProcessGroup {
  if (!Array.isArray(tensors) || tensors.length === 0) {
    throw badArgument(name, 'wanted a list of at least one tensor');
  }
  for (const t of tensors) {
    checkTensor(t, name);
    sameDtype(name, t as Tensor, tensors[0]!);
  }
  return requiredGroup(options.group, name);
}

/** Consecutive elements of `flat` in the shapes of `tensors`. */
function cutLike(flat: Tensor, tensors: readonly Tensor[]): Tensor[] {
  let at = 0;
  return tensors.map((t) => {
    const piece = torch.narrow(flat, 0, at, t.numel()).reshape([...t.shape]);
    at += t.numel();
    return piece;
  });
}
