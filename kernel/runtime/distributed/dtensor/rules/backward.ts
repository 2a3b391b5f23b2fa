/**
 * Gradients of views and of picked elements: zeros in the shape of the input, with the gradient written where its elements came
 * from. Zeros may be cut anyhow, so the gradient decides.
 */
import { applyOp, type OpName } from '../../../tensor/index.js';
import { isShardLike, Shard, shardOn } from '../placements.js';
import { type AxisRule, type Composition, cut, type MeshRule, type RuleTable, type Way } from './rule.js';
import { allReplicated, each, follows, shifted, sum, uncut } from './shared.js';

/** The parameters of an op that names the shape of its result: on a rank it makes this rank's part. */
function ownShape<K extends OpName>(): NonNullable<MeshRule<K>['localParams']> {
  return (call, _chosen, shapes) => ({ ...call.params, shape: shapes[0]! });
}

/** Zeros lie as the model if they have its shape; what is pending is not made of zeros. */
const newZeros = follows<'newZeros'>(
  (call, x) => {
    const { shape } = call.params;
    const alike = shape.length === x.ndim && shape.every((n, d) => n === x.shape[d]);
    const cutAtAll = x.placements.some(isShardLike);
    return [alike && cutAtAll ? x.placements : allReplicated(x.placements), x.placements];
  },
  { localParams: ownShape<'newZeros'>() },
);

const selectBackward = follows<'selectBackward'>(
  (call, grad) => [shifted(grad.placements, call.params.dim, 1), grad.placements],
  { localParams: ownShape<'selectBackward'>() },
);

const sliceBackward = follows<'sliceBackward'>(
  (call, grad) => {
    const placements = uncut(grad.placements, [call.params.dim]);
    return [placements, placements];
  },
  { localParams: ownShape<'sliceBackward'>() },
);

/** A diagonal is of the whole matrix. */
const diagonalBackward = follows<'diagonalBackward'>((_call, grad) => [
  allReplicated(grad.placements),
  allReplicated(grad.placements),
]);

const unfoldBackward: AxisRule<'unfoldBackward'> = {
  kind: 'axis',
  ways: (call) => [
    ...call.params.shape
      .map((_, d) => d)
      .filter((d) => d !== call.params.dim)
      .map((d): Way => ({ out: [cut(d)], in: [cut(d)] })),
    { out: [sum], in: [sum] },
  ],
  localParams: ownShape<'unfoldBackward'>(),
};

// ---------------------------------------------------------------- by index

const restDims = (shape: readonly number[], dims: readonly number[]): number[] =>
  shape.map((_, d) => d).filter((d) => !dims.includes(d));

/**
 * As in PyTorch the gradient is written into zeros made beside it, each an op of its own: zeros of the gradient's shape are cut
 * as it is, and move where the indexed dimension must be whole.
 */
const indexSelectBackward: Composition<'indexSelectBackward'> = {
  kind: 'compose',
  run: ([grad, index], { shape, dim }) =>
    applyOp('indexAdd', [applyOp('newZeros', [grad!], { shape }), index!, grad!], { dim, alpha: 1 }),
};

const indexBackward: Composition<'indexBackward'> = {
  kind: 'compose',
  run: ([grad, ...at], { shape, dims }) =>
    applyOp('indexPut', [applyOp('newZeros', [grad!], { shape }), grad!, ...at], { dims, accumulate: true }),
};

const gatherBackward: AxisRule<'gatherBackward'> = {
  kind: 'axis',
  ways: (call) => {
    const index = call.inputs[1]!;
    return restDims(call.params.shape, [call.params.dim])
      .filter((d) => call.params.shape[d] === index.shape[d])
      .map((d): Way => ({ out: [Shard(d)], in: [Shard(d), Shard(d)] }));
  },
  localParams: ownShape<'gatherBackward'>(),
};

/** Gradient and index lack the reduced dimension unless it was kept. */
const valueSelectingReductionBackward: AxisRule<'valueSelectingReductionBackward'> = {
  kind: 'axis',
  ways: (call) => {
    const { shape, dim, keepdim } = call.params;
    return restDims(shape, [dim]).map((d): Way => {
      const from = shardOn(Shard(d), keepdim || d < dim ? d : d - 1);
      return { out: [Shard(d)], in: [from, from] };
    });
  },
  localParams: ownShape<'valueSelectingReductionBackward'>(),
};

const memory = {
  kind: 'refuse',
  why: 'strides name places in the memory of the whole tensor, of which each rank has a part',
  help: 'use view, permute, slice or unfold; or toLocal() for the memory of this rank',
} as const;

export const backwardRules: RuleTable = {
  newZeros,
  selectBackward,
  sliceBackward,
  diagonalBackward,
  unfoldBackward,
  indexSelectBackward,
  indexBackward,
  gatherBackward,
  valueSelectingReductionBackward,
  ...each(['asStrided', 'asStridedBackward', 'asStridedOf'], memory),
  maskedSelectBackward: {
    kind: 'refuse',
    why: 'which value goes where depends on the mask of all ranks',
    help: 'use where() with the mask',
  },
};
