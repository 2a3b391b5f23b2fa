/**
 * Cross entropy of scores that are cut along their classes, without gathering them. Forward: the maximum, the sum of
 * exponentials and the score of the target are reduced over the axis that cuts the classes (three all-reduces of one number per
 * sample). Backward: the gradients of log softmax and of the likelihood are computed together, without communication.
 */
import { ShardbookError } from '../../base/index.js';
import {
  contiguousStrides,
  type DispatchMode,
  type DType,
  type OpCall,
  type OpParams,
  type OpResult,
  popMode,
  pushMode,
  type Tensor,
  torch,
  withMode,
} from '../../tensor/index.js';
import {
  chunkExtent,
  DTensor,
  DTensorSpec,
  Partial,
  type Placement,
  type Placements,
  placementsText,
  Replicate,
  Shard,
  samePlacements,
} from '../dtensor/index.js';
import { dist, ReduceOp } from '../group/index.js';

type Nll = OpParams['nllLoss'];

function cannot(what: string, why: string, help?: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_LOSS_PARALLEL',
    message: `Cannot run lossParallel on ${what}: ${why}`,
    ...(help === undefined ? {} : { help }),
  });
}

/** Where the classes of a score tensor are cut, and which of them are here. */
interface ClassCut {
  readonly spec: DTensorSpec;
  readonly dim: number;
  readonly axis: number;
  /** The first class of this rank, and how many. */
  readonly first: number;
  readonly count: number;
}

/** Exactly one axis may cut the classes; the others cut other dimensions or replicate. */
function classCut(scores: DTensor, dim: number): ClassCut {
  const { spec } = scores;
  const axes = spec.placements.flatMap((p, axis) => (p.isShard(dim) ? [axis] : []));
  const axis = axes[0];
  if (axis === undefined || axes.length > 1) {
    throw cannot(
      String(spec),
      `${axes.length} axes cut the classes (dimension ${dim}), wanted exactly one`,
      `redistribute the scores so that one axis is Shard(${dim}), or compute the loss outside lossParallel`,
    );
  }
  const other = spec.placements.find((p, i) => i !== axis && !p.isShard() && !p.isReplicate());
  if (other) throw cannot(String(spec), `an axis is ${other}, wanted Shard or Replicate`);
  const coordinate = spec.mesh.getCoordinate();
  // Ranks outside the mesh hold nothing and take no part.
  const piece =
    coordinate === null
      ? { offset: 0, size: 0 }
      : chunkExtent(spec.shape[dim]!, spec.mesh.size(axis), coordinate[axis]!);
  return { spec, dim, axis, first: piece.offset, count: piece.size };
}

/** A sum or maximum over the axis that cuts the classes; `t` is this rank's own and is overwritten. */
function reduced(t: Tensor, cut: ClassCut, op: ReduceOp): Tensor {
  const own = t.contiguous();
  dist.allReduce(own, { op, group: cut.spec.mesh.getGroup(cut.axis) });
  return own;
}

// ---------------------------------------------------------------- log softmax

function logSoftmax(x: DTensor, { dim: given, dtype }: OpParams['logSoftmax']): DTensor {
  const dim = given < 0 ? given + x.ndim : given;
  const cut = classCut(x, dim);
  const result = dtype ?? x.dtype;
  if (!cut.spec.mesh.isMember) return new DTensor(x.localTensor.to(result), placedAs(cut.spec, result));
  // Small floats are added up in float32.
  const wide = result.itemsize < 4 ? torch.float32 : result;
  const local = x.localTensor.to(wide);
  const top =
    cut.count === 0
      ? torch.full(
          local.shape.map((n, d) => (d === dim ? 1 : n)),
          Number.NEGATIVE_INFINITY,
          { dtype: wide },
        )
      : local.amax(dim, { keepdim: true });
  const shifted = local.sub(reduced(top, cut, ReduceOp.MAX));
  const total = reduced(shifted.exp().sum(dim, { keepdim: true }), cut, ReduceOp.SUM);
  return new DTensor(shifted.sub(total.log()).to(result), placedAs(cut.spec, result));
}

/** The scores' placements of a contiguous tensor of their shape. */
function placedAs(spec: DTensorSpec, dtype: DType): DTensorSpec {
  return new DTensorSpec(spec.mesh, spec.placements, spec.shape, contiguousStrides(spec.shape), dtype);
}

// ---------------------------------------------------------------- negative log likelihood

/** How targets lie that go with the scores: the class dimension is gone, nothing is cut along the classes. */
function targetPlacements({ spec, dim, axis }: ClassCut): Placements {
  return spec.placements.map((p, i): Placement => {
    if (i === axis) return Replicate();
    return p.isShard() && p.dim > dim ? Shard(p.dim - 1) : p;
  });
}

/** The local part of a target or weight, which has to lie as `placements` say. */
function localOf(what: string, t: Tensor, placements: Placements): Tensor {
  if (t instanceof DTensor) {
    if (samePlacements(t.placements, placements)) return t.localTensor;
    throw cannot(t.describe(), `the ${what} has to be ${placementsText(placements)} to go with the scores`);
  }
  if (placements.every((p) => p.isReplicate())) return t;
  throw cannot(
    t.describe(),
    `the ${what} is a plain tensor, but has to be ${placementsText(placements)} to go with the scores`,
    'make it a DTensor with distributeTensor() or DTensor.fromLocal()',
  );
}

const everywhere = (cut: ClassCut): Placements => cut.spec.placements.map(() => Replicate());

/** Of the targets: which count, their class counted from this rank's first, and which are this rank's. */
function lookUp(
  target: Tensor,
  ignoreIndex: number,
  cut: ClassCut,
): { counts: Tensor; safe: Tensor; index: Tensor; here: Tensor } {
  const counts = target.ne(ignoreIndex);
  const safe = target.to(torch.int64).maskedFill(counts.logicalNot(), 0);
  const index = safe.sub(cut.first);
  const here = index.ge(0).logicalAnd(index.lt(cut.count));
  return { counts, safe, index: index.maskedFill(here.logicalNot(), 0), here };
}

function nllLoss(
  scores: DTensor,
  target: Tensor,
  weight: Tensor | null,
  { reduction, ignoreIndex }: Nll,
): [DTensor, Tensor] {
  const cut = classCut(scores, scores.ndim >= 2 ? 1 : 0);
  const { spec, dim, axis } = cut;
  if (reduction === 'mean' && spec.mesh.ndim > 1) {
    throw cannot(
      String(spec),
      "reduction 'mean' needs a mesh of one axis: on others each rank would divide by its own count",
      "use reduction 'sum' or 'none' and divide by the whole count",
    );
  }
  const places = targetPlacements(cut);
  const summed = spec.placements.map((p, i) => (i === axis ? Replicate() : p.isShard() ? Partial() : p));
  if (!spec.mesh.isMember) {
    const nothing = torch.zeros([0], { dtype: scores.dtype });
    if (reduction === 'none') return [placed(nothing, spec, places, cut), nothing];
    return [new DTensor(nothing, new DTensorSpec(spec.mesh, summed, [], [], scores.dtype)), nothing];
  }
  const classes = localOf('target', target, places);
  checkClasses(classes, ignoreIndex, spec.shape[dim]!);
  const weights = weight === null ? null : localOf('weight', weight, everywhere(cut));
  const { counts, safe, index, here } = lookUp(classes, ignoreIndex, cut);
  const ignored = counts.logicalNot();
  let x = scores.localTensor;
  if (weights !== null) {
    const own = weights.narrow(0, cut.first, cut.count);
    x = x.mul(own.reshape(x.shape.map((_, d) => (d === dim ? cut.count : 1))));
  }
  const picked =
    cut.count === 0
      ? torch.zeros([...index.shape], { dtype: x.dtype })
      : x.gather(dim, index.unsqueeze(dim)).squeeze(dim).maskedFill(here.logicalNot(), 0);
  const each = reduced(picked, cut, ReduceOp.SUM).neg().maskedFill(ignored, 0);
  if (reduction === 'none' && spec.ndim > 1)
    return [placed(each, spec, places, cut), torch.zeros([], { dtype: x.dtype })];
  const total =
    weights === null
      ? counts.sum().to(x.dtype)
      : weights
          .gather(0, safe.reshape([-1]))
          .maskedFill(ignored.reshape([-1]), 0)
          .sum();
  if (reduction === 'none') return [placed(each, spec, places, cut), total];
  const sum = each.sum();
  return [
    new DTensor(
      reduction === 'mean' ? sum.div(total) : sum,
      new DTensorSpec(spec.mesh, summed, [], [], x.dtype),
    ),
    total,
  ];
}

/** The loss of every sample. */
function placed(each: Tensor, spec: DTensorSpec, placements: Placements, cut: ClassCut): DTensor {
  const shape = spec.shape.filter((_, d) => d !== cut.dim);
  return new DTensor(
    each,
    new DTensorSpec(spec.mesh, placements, shape, contiguousStrides(shape), each.dtype),
  );
}

function checkClasses(target: Tensor, ignoreIndex: number, classes: number): void {
  const bad = target.lt(0).logicalOr(target.ge(classes)).logicalAnd(target.ne(ignoreIndex));
  if (Number(bad.sum().item()) === 0) return;
  const values = (target.reshape([-1]).tolist() as (number | bigint)[]).map(Number);
  const found = values.find((c) => c !== ignoreIndex && (c < 0 || c >= classes));
  throw new ShardbookError({
    code: 'SB_INDEX_RANGE',
    message: `Cannot run nllLoss: target ${found} is out of range for ${classes} classes`,
  });
}

/** The gradient of the scores before log softmax: (softmax - one-hot) times the gradient of each sample's loss. */
function nllLossBackward(
  grad: DTensor,
  logp: DTensor,
  target: Tensor,
  weight: Tensor | null,
  total: Tensor,
  { reduction, ignoreIndex }: Nll,
): DTensor {
  const cut = classCut(logp, logp.ndim >= 2 ? 1 : 0);
  const { spec, dim } = cut;
  if (!spec.mesh.isMember) return new DTensor(logp.localTensor, spec);
  const places = targetPlacements(cut);
  const classes = localOf('target', target, places);
  const weights = weight === null ? null : localOf('weight', weight, everywhere(cut));
  const { counts, safe, index, here } = lookUp(classes, ignoreIndex, cut);
  // Autograd may bring the gradient of single losses elsewhere than the loss was.
  const arrived = reduction === 'none' ? grad.redistribute(places) : grad;
  let g = arrived.localTensor;
  if (reduction === 'mean') g = g.div(total);
  const x = logp.localTensor;
  let hot = torch.zeros([...x.shape], { dtype: x.dtype });
  if (cut.count > 0) hot = hot.scatter(dim, index.unsqueeze(dim), here.to(x.dtype).neg().unsqueeze(dim));
  if (g.ndim > 0) g = g.unsqueeze(dim);
  if (weights !== null)
    g = g.mul(
      weights
        .gather(0, safe.reshape([-1]))
        .reshape([...safe.shape])
        .unsqueeze(dim),
    );
  const kept = torch.where(counts.unsqueeze(dim), g, torch.zeros([], { dtype: g.dtype }));
  return new DTensor(hot.add(x.exp()).mul(kept), placedAs(spec, x.dtype));
}

// ---------------------------------------------------------------- the scope

/** Takes the few operations of a cross entropy on DTensors away from the general rules. */
class LossParallelMode implements DispatchMode {
  dispatch(call: OpCall, next: (call: OpCall) => OpResult): OpResult {
    const [a, b, c, d, e] = call.inputs;
    switch (call.name) {
      case 'logSoftmax':
        return a instanceof DTensor ? logSoftmax(a, call.params as OpParams['logSoftmax']) : next(call);
      // All of it was done in the gradient of the likelihood.
      case 'logSoftmaxBackward':
        return a instanceof DTensor
          ? a.to((call.params as OpParams['logSoftmaxBackward']).dtype)
          : next(call);
      case 'nllLoss':
        return a instanceof DTensor ? nllLoss(a, b!, c ?? null, call.params as Nll) : next(call);
      case 'nllLossBackward':
        return a instanceof DTensor && b instanceof DTensor
          ? nllLossBackward(a, b, c!, d ?? null, e!, call.params as Nll)
          : next(call);
      default:
        return next(call);
    }
  }
}

/** Ends the scope that it stands for. */
export interface LossParallelScope extends Disposable {
  end(): void;
}

/**
 * Inside, cross entropy takes scores that are cut along their classes, with three all-reduces of one number per sample; `backward()`
 * belongs inside too. Without a function it returns a scope to be ended: `using scope = lossParallel()`.
 *
 * @example lossParallel(() => { const loss = F.crossEntropy(logits, targets); loss.backward(); return loss; })
 */
export function lossParallel(): LossParallelScope;
export function lossParallel<R>(body: () => R): R;
export function lossParallel<R>(body?: () => R): R | LossParallelScope {
  const mode = new LossParallelMode();
  const end = (): void => popMode(mode);
  if (body !== undefined) return withMode(mode, body);
  pushMode(mode);
  return { end, [Symbol.dispose]: end };
}
