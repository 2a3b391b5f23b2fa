/** The moves of one step on this rank's local tensor: collectives of equal pieces, so short ones are padded on the way. */
import { ShardbookError } from '../../base/index.js';
import { type Tensor, torch } from '../../tensor/index.js';
import { dist, type ProcessGroup, ReduceOp, type Work } from '../group/index.js';
import type { DeviceMesh } from '../mesh/index.js';
import { chunkExtent, pieceSize, stridedRows } from './layout.js';
import {
  MaskPartialPlacement,
  NormPartialPlacement,
  type PartialPlacement,
  type Placement,
  ShardPlacement,
  StridedShardPlacement,
} from './placements.js';
import type { PlannedStep } from './plan.js';

/** A result that may still be on its way; calling it waits. */
export type Coming = () => Tensor;

const REDUCE = {
  sum: ReduceOp.SUM,
  avg: ReduceOp.AVG,
  min: ReduceOp.MIN,
  max: ReduceOp.MAX,
  product: ReduceOp.PRODUCT,
  band: ReduceOp.BAND,
  bor: ReduceOp.BOR,
  bxor: ReduceOp.BXOR,
} as const;

const pad = (x: Tensor, dim: number, by: number): Tensor =>
  by <= 0
    ? x
    : torch.cat(
        [
          x,
          torch.zeros(
            x.shape.map((n, d) => (d === dim ? by : n)),
            { dtype: x.dtype },
          ),
        ],
        dim,
      );

const copyOf = (x: Tensor): Tensor => (x.isContiguous() ? x.clone() : x.contiguous());

const cutTo = (x: Tensor, dim: number, size: number): Tensor =>
  x.shape[dim] === size ? x : x.narrow(dim, 0, size).contiguous();

/** Runs a step. With `asyncOp` its collective is only begun. */
export function beginStep(
  local: Tensor,
  step: PlannedStep,
  tensorMesh: DeviceMesh,
  asyncOp: boolean,
): Coming {
  const { from, to, mesh, axis } = step;
  if (mesh.size(axis) === 1) return () => local;
  if (to.isReplicate()) {
    if (from.isPartial()) return divided(reduce(from, local, mesh, axis, asyncOp), step.divide);
    if (from instanceof ShardPlacement)
      return gather(local, from.dim, step.logicalShape, mesh, axis, asyncOp);
    if (from instanceof StridedShardPlacement)
      return gatherStrided(local, from, step.logicalShape, tensorMesh, axis, asyncOp);
  } else if (to instanceof ShardPlacement) {
    if (from.isPartial())
      return divided(reduceScatter(from, local, to.dim, mesh, axis, asyncOp), step.divide);
    if (from.isReplicate()) return ready(pieceOf(local, to, mesh, axis));
    if (from instanceof ShardPlacement) {
      // Groups on CPU exchange nothing directly: everything is gathered and the own piece kept, as gloo does.
      const whole = gather(local, from.dim, step.logicalShape, mesh, axis, asyncOp);
      return () => pieceOf(whole(), to, mesh, axis);
    }
    if (from instanceof StridedShardPlacement) {
      const whole = gatherStrided(local, from, step.logicalShape, tensorMesh, axis, asyncOp);
      return () => pieceOf(whole(), to, mesh, axis);
    }
  } else if (to instanceof StridedShardPlacement) {
    let whole: Coming = () => local;
    if (from.isPartial()) whole = reduce(from, local, mesh, axis, asyncOp);
    else if (from instanceof ShardPlacement)
      whole = gather(local, from.dim, step.logicalShape, mesh, axis, asyncOp);
    else if (from instanceof StridedShardPlacement)
      whole = gatherStrided(local, from, step.logicalShape, tensorMesh, axis, asyncOp);
    return () => pieceOf(whole(), to, mesh, axis);
  } else if (to.isPartial() && from.isReplicate()) return ready(shareOf(local, to, mesh.size(axis)));
  throw impossible(from, to);
}

const ready =
  (x: Tensor): Coming =>
  () =>
    x;

/** Runs `finish` once, when first asked for. */
function after(work: Work | undefined, finish: () => Tensor): Coming {
  let done: Tensor | null = null;
  return () => {
    if (done === null) {
      work?.wait();
      done = finish();
    }
    return done;
  };
}

function divided(result: Coming, by: number): Coming {
  return by === 1 ? result : () => result().div(by);
}

function impossible(from: Placement, to: Placement): ShardbookError {
  return new ShardbookError({
    code: 'SB_REDISTRIBUTE',
    message: `Cannot redistribute from ${from} to ${to}: no collective makes a pending reduction of it`,
    help: 'redistribute to Replicate() or Shard(dim)',
  });
}

const groupOf = (mesh: DeviceMesh, axis: number): ProcessGroup => mesh.getGroup(axis);

// ---------------------------------------------------------------- pending reductions

/** What must be done to a local value before its reduction. */
function beforeReduce(p: PartialPlacement, local: Tensor): Tensor {
  if (p instanceof NormPartialPlacement && Number.isFinite(p.normType)) return local.pow(p.normType);
  return local;
}

function afterReduce(p: PartialPlacement, value: Tensor): Tensor {
  return p instanceof NormPartialPlacement && Number.isFinite(p.normType) ? value.pow(1 / p.normType) : value;
}

function reduce(
  p: PartialPlacement,
  local: Tensor,
  mesh: DeviceMesh,
  axis: number,
  asyncOp: boolean,
): Coming {
  const value = beforeReduce(p, local);
  // The collective writes into its tensor, which must not be one that others hold.
  const out = value === local ? copyOf(local) : value.contiguous();
  const work = dist.allReduce(out, { op: REDUCE[p.reduceOp], group: groupOf(mesh, axis), asyncOp });
  return after(work, () => afterReduce(p, out));
}

function reduceScatter(
  p: PartialPlacement,
  local: Tensor,
  dim: number,
  mesh: DeviceMesh,
  axis: number,
  asyncOp: boolean,
): Coming {
  const value = beforeReduce(p, local);
  const pieces = mesh.size(axis);
  const own = chunkExtent(value.shape[dim]!, pieces, mesh.getCoordinate()![axis]!);
  const full = Math.ceil(value.shape[dim]! / pieces);
  const padded = pad(value, dim, full * pieces - value.shape[dim]!);
  const rows = dim === 0 ? padded.contiguous() : torch.cat(torch.chunk(padded, pieces, dim), 0);
  const outShape = [...padded.shape];
  outShape[dim] = full;
  // Pieces along another dimension were stacked along the first, so the result has the piece's own shape.
  const out = torch.empty(outShape, { dtype: value.dtype });
  const work = dist.reduceScatterSingle(out, rows, {
    op: REDUCE[p.reduceOp],
    group: groupOf(mesh, axis),
    asyncOp,
  });
  return after(work, () => afterReduce(p, cutTo(out, dim, own.size)));
}

/** A share of a whole value whose reduction gives the value back. */
function shareOf(local: Tensor, p: PartialPlacement, size: number): Tensor {
  if (p instanceof NormPartialPlacement) {
    return Number.isFinite(p.normType) ? local.div(size ** (1 / p.normType)) : local;
  }
  // The look-up sees to the share of its index itself: it knows which rows are here.
  if (p instanceof MaskPartialPlacement) return local;
  if (p.reduceOp === 'sum') return local.div(size);
  if (p.reduceOp === 'avg' || p.reduceOp === 'min' || p.reduceOp === 'max') return local;
  throw new ShardbookError({
    code: 'SB_REDISTRIBUTE',
    message: `Cannot redistribute from R to ${p}: a value has no shares whose ${p.reduceOp} is the value`,
    help: 'only sum, avg, min and max can be made from a replicated value',
  });
}

/** The share of `local` that this rank holds of a pending reduction over an axis. */
export function partition(local: Tensor, p: PartialPlacement, mesh: DeviceMesh, axis: number): Tensor {
  return shareOf(local, p, mesh.size(axis));
}

// ---------------------------------------------------------------- shards

/** A copy of this rank's piece of a whole tensor. */
function pieceOf(
  whole: Tensor,
  p: ShardPlacement | StridedShardPlacement,
  mesh: DeviceMesh,
  axis: number,
): Tensor {
  return pieceAt(whole, p, mesh.size(axis), mesh.getCoordinate()![axis]!);
}

export function pieceAt(
  whole: Tensor,
  p: ShardPlacement | StridedShardPlacement,
  pieces: number,
  index: number,
): Tensor {
  const size = whole.shape[p.dim]!;
  if (p instanceof StridedShardPlacement) {
    const rows = stridedRows(p.splitFactor, size, pieces, index);
    return whole.indexSelect(p.dim, torch.tensor(rows, { dtype: torch.int64 }));
  }
  const piece = chunkExtent(size, pieces, index);
  return whole.narrow(p.dim, Math.min(piece.offset, size), piece.size).clone().contiguous();
}

/** All pieces side by side on every rank of the axis, each padded to `full` rows. */
function allGather(
  local: Tensor,
  dim: number,
  full: number,
  mesh: DeviceMesh,
  axis: number,
  asyncOp: boolean,
): { work: Work | undefined; joined: () => Tensor } {
  const pieces = mesh.size(axis);
  const mine = pad(local, dim, full - local.shape[dim]!).contiguous();
  const shape = [...mine.shape];
  shape[0] = shape[0]! * pieces;
  const out = torch.empty(shape, { dtype: local.dtype });
  const work = dist.allGatherSingle(out, mine, { group: groupOf(mesh, axis), asyncOp });
  return { work, joined: () => (dim === 0 ? out : torch.cat(torch.chunk(out, pieces, 0), dim)) };
}

function gather(
  local: Tensor,
  dim: number,
  logicalShape: readonly number[],
  mesh: DeviceMesh,
  axis: number,
  asyncOp: boolean,
): Coming {
  const size = logicalShape[dim]!;
  const { work, joined } = allGather(local, dim, Math.ceil(size / mesh.size(axis)), mesh, axis, asyncOp);
  return after(work, () => cutTo(joined(), dim, size));
}

function gatherStrided(
  local: Tensor,
  p: StridedShardPlacement,
  logicalShape: readonly number[],
  mesh: DeviceMesh,
  axis: number,
  asyncOp: boolean,
): Coming {
  const size = logicalShape[p.dim]!;
  const pieces = mesh.size(axis);
  const full = pieceSize(p, size, pieces, 0);
  const { work, joined } = allGather(local, p.dim, full, mesh, axis, asyncOp);
  return after(work, () => {
    const from = new Array<number>(size);
    for (let index = 0; index < pieces; index++) {
      stridedRows(p.splitFactor, size, pieces, index).forEach((row, i) => {
        from[row] = index * full + i;
      });
    }
    return joined().indexSelect(p.dim, torch.tensor(from, { dtype: torch.int64 }));
  });
}
