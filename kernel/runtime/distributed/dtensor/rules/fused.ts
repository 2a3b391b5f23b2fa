/** Softmax, normalisations, embeddings, likelihood, attention: ops that PyTorch too runs as one. */
import { applyInplace, type OpResult, type Tensor, torch } from '../../../tensor/index.js';
import { chunkExtent, localShapeAt } from '../layout.js';
import {
  isShardLike,
  MaskPartial,
  MaskPartialPlacement,
  type Placement,
  type Placements,
  Shard,
  shardOn,
} from '../placements.js';
import type { DTensorSpec } from '../spec.js';
import { reduceFrom } from './reduce-from.js';
import {
  type AxisRule,
  type Composition,
  cut,
  type MeshRule,
  type RuleTable,
  type Slot,
  type Way,
} from './rule.js';
import { avg, cannot, cutsEvenly, each, elementwise, follows, R, settled, sum } from './shared.js';

// ---------------------------------------------------------------- softmax

type Soft = 'softmax' | 'logSoftmax';
type SoftBackward = 'softmaxBackward' | 'logSoftmaxBackward';

/** The dimension is made whole; everything else stays. */
const soft = follows<Soft>((call, x) => {
  const placements = settled(x.placements, [call.params.dim]);
  return [placements, placements];
});

/** Gradient and result lie as the one that is cut more (the gradient, if equally), with the dimension whole. */
const softBackward: MeshRule<SoftBackward> = {
  kind: 'mesh',
  strategies: (call) => {
    const [grad, y] = [call.inputs[0]!, call.inputs[1]!];
    const model = grad.shardCount >= y.shardCount ? grad : y;
    const placements = settled(model.placements, [call.params.dim]);
    return [{ out: [placements], in: [placements, placements] }];
  },
};

// ---------------------------------------------------------------- layer norm

/** Dimensions outside the normalised ones may be cut; a weight's gradient is then pending. */
const layerNorm: AxisRule<'layerNorm'> = {
  kind: 'axis',
  ways: (call) => {
    const [x, weight, bias] = call.inputs;
    const outer = x!.ndim - call.params.inner.length;
    return Array.from(
      { length: outer },
      (_, d): Way => ({
        out: [cut(d), cut(d), cut(d)],
        in: [cut(d), weight ? R : null, bias ? R : null],
      }),
    );
  },
};

const layerNormBackward: AxisRule<'layerNormBackward'> = {
  kind: 'axis',
  ways: (call) => {
    const outer = call.inputs[1]!.ndim - call.params.inner.length;
    const { mask } = call.params;
    return Array.from(
      { length: outer },
      (_, d): Way => ({
        // What is not asked for is an empty tensor.
        out: [mask[0] ? cut(d) : R, mask[1] ? sum : R, mask[2] ? sum : R],
        in: [cut(d), cut(d), cut(d), cut(d), call.inputs[4] ? R : null, call.inputs[5] ? R : null],
      }),
    );
  },
};

// ---------------------------------------------------------------- RMS norm

const innerDims = (x: Tensor, inner: readonly number[]): number[] =>
  inner.map((_, i) => x.shape.length - inner.length + i);
const wide = (x: Tensor): Tensor =>
  x.dtype === torch.float16 || x.dtype === torch.bfloat16 ? x.to(torch.float32) : x;

/** On CPU PyTorch makes it of these operations, in this order; adding in place is why a cut last dimension is refused. */
const rmsNorm: Composition<'rmsNorm'> = {
  kind: 'compose',
  run: ([given, weight], { inner, eps }): OpResult => {
    const x = wide(given!);
    const mean = x.pow(2).mean(innerDims(x, inner), true);
    applyInplace('add', [mean, wrapped(eps)], { alpha: 1 });
    const rstd = mean.rsqrt();
    const scaled = x.mul(rstd);
    const out = weight ? scaled.mul(weight) : scaled;
    return [out.to(given!.dtype), rstd];
  },
};

/** The derivative of those operations. */
const rmsNormBackward: Composition<'rmsNormBackward'> = {
  kind: 'compose',
  run: ([grad, given, rstd, weight], { inner, mask }): OpResult => {
    const x = wide(given!);
    const dims = innerDims(x, inner);
    const outer = x.shape.map((_, d) => d).filter((d) => !dims.includes(d));
    const g = wide(grad!);
    const none = (): Tensor => torch.zeros([0], { dtype: given!.dtype });
    let dWeight: Tensor | null = null;
    if (mask[1]) {
      const each = g.mul(x.mul(rstd!));
      dWeight = (outer.length === 0 ? each : each.sum(outer)).to(weight!.dtype);
    }
    if (!mask[0]) return [none(), dWeight ?? none()];
    const scaled = weight ? g.mul(weight) : g;
    const byRow = scaled.mul(x).sum(dims, true);
    const count = dims.reduce((n, d) => n * x.shape[d]!, 1);
    const dMean = byRow.mul(-0.5).mul(rstd!.pow(3)).expand(x.shape).div(count);
    const dx = scaled.mul(rstd!).add(dMean.mul(x.pow(1).mul(2)));
    return [dx.to(given!.dtype), dWeight ?? none()];
  },
};

function wrapped(value: number): Tensor {
  const t = torch.tensor(value, { dtype: torch.float64 });
  t.wrapped = true;
  return t;
}

// ---------------------------------------------------------------- embedding

/** This rank's rows along `dim` of the table that `axis` cuts: where they begin in what the axes before left, and how many. */
function ownRows(table: DTensorSpec, axis: number, dim: number): { offset: number; size: number } {
  const coordinate = table.mesh.getCoordinate()!;
  const before = table.placements.map((p, a) => (a < axis ? p : R));
  const size = localShapeAt(table.shape, table.mesh, before, coordinate)[dim]!;
  return chunkExtent(size, table.mesh.size(axis), coordinate[axis]!);
}

export interface OwnIndex {
  /** Index into this rank's part; 0 for what is elsewhere. */
  readonly at: Tensor;
  /** True for what is elsewhere. */
  readonly outside: Tensor;
}

/**
 * Index into this rank's part of a table cut along `dim`; null where the whole table is here. Axes that cut the table one after
 * the other narrow the index one after the other. The look-up must write zeros for what is elsewhere: then its result is a plain
 * pending sum, whatever becomes of it before it is reduced.
 */
export function ownIndex(index: Tensor, table: DTensorSpec, out: DTensorSpec, dim: number): OwnIndex | null {
  let found: OwnIndex | null = null;
  out.placements.forEach((p, axis) => {
    if (!(p instanceof MaskPartialPlacement)) return;
    const { offset, size } = ownRows(table, axis, dim);
    const before: Tensor = found?.at ?? index;
    const beyond = before.lt(offset).logicalOr(before.ge(offset + size));
    found = {
      at: before.sub(offset).maskedFill(beyond, 0),
      outside: found ? beyond.logicalOr(found.outside) : beyond,
    };
  });
  return found;
}

const embedding: AxisRule<'embedding'> = {
  kind: 'axis',
  ways: (call) => {
    const [table, index] = [call.inputs[0]!, call.inputs[1]!];
    // The index of rows lies as their sum does: a rank that has a part of the index only cannot look up its rows.
    const masked = MaskPartial(table.shape, 0);
    return [
      { out: [Shard(index.ndim)], in: [Shard(1), R] },
      { out: [masked], in: [Shard(0), masked] },
      ...index.shape.map((_, d): Way => ({ out: [Shard(d)], in: [R, Shard(d)] })),
    ];
  },
  runLocal: (_call, chosen, local, run) => {
    const [table, index] = local.inputs;
    const own = ownIndex(index!, chosen.inputs[0]!, chosen.outputs[0]!, 0);
    if (own === null) return run(local.inputs, local.params);
    if (table!.shape[0] === 0)
      return torch.zeros([...index!.shape, table!.shape[1]!], { dtype: table!.dtype });
    const rows = run([table!, own.at], { ...local.params, paddingIdx: -1 }) as Tensor;
    return rows.maskedFill(own.outside.unsqueeze(-1), 0);
  },
};

const embeddingBackward: AxisRule<'embeddingBackward'> = {
  kind: 'axis',
  ways: (call) => {
    const [grad, index] = [call.inputs[0]!, call.inputs[1]!];
    return [
      { out: [Shard(1)], in: [Shard(grad.ndim - 1), R] },
      ...index.shape.map((_, d): Way => ({ out: [sum], in: [Shard(d), Shard(d)] })),
      { out: [sum], in: [sum, R] },
    ];
  },
};

// ---------------------------------------------------------------- negative log likelihood

/** Targets have no dimension of classes. */
function withoutDim(placements: Placements, dim: number): Placements {
  return placements.map((p) => (isShardLike(p) && p.dim >= dim ? shardOn(p, p.dim - 1) : p));
}

interface NllParams {
  readonly reduction: 'none' | 'mean' | 'sum';
}

const classDim = (logp: DTensorSpec): number => (logp.ndim >= 2 ? 1 : 0);

const nllLoss: MeshRule<'nllLoss'> = {
  kind: 'mesh',
  strategies: (call) => {
    const [logp, target, weight] = [call.inputs[0]!, call.inputs[1]!, call.inputs[2] ?? null];
    const { reduction } = call.params as NllParams;
    const dim = classDim(logp);
    const rows = settled(logp.placements, [dim]);
    const labels = withoutDim(rows, dim);
    let out = [labels, labels.map(() => R as Placement)];
    if (reduction !== 'none') {
      if (reduction === 'mean' && !cutsEvenly(target.shape, labels, call.mesh)) {
        throw cannot(
          call,
          'its parts have different numbers of rows, so that the mean of their means is not the mean',
          "redistribute the scores to Replicate() first, or use reduction 'sum' and divide",
          'SB_DTENSOR_UNEVEN',
        );
      }
      const dims = target.shape.map((_, d) => d);
      out = [
        [...reduceFrom(labels, dims, false, reduction === 'mean' ? avg : sum).output],
        [...reduceFrom(labels, dims, false, sum).output],
      ];
    }
    return [{ out, in: [rows, labels, weight && settled(weight.placements, [0])] }];
  },
};

const nllLossBackward: MeshRule<'nllLossBackward'> = {
  kind: 'mesh',
  strategies: (call) => {
    const [grad, logp, , weight, total] = call.inputs;
    const { reduction } = call.params as NllParams;
    const dim = classDim(logp!);
    const rows = settled(logp!.placements, [dim]);
    const labels = withoutDim(rows, dim);
    const whole = (x: DTensorSpec): Placements => x.placements.map(() => R);
    return [
      {
        out: [rows],
        in: [
          reduction === 'none' ? labels : whole(grad!),
          rows,
          labels,
          weight ? whole(weight) : null,
          total ? (reduction === 'mean' ? whole(total) : total.placements) : null,
        ],
      },
    ];
  },
};

// ---------------------------------------------------------------- attention

/** Batch and heads are one dimension here; cutting either is cutting it. */
const heads = (x: DTensorSpec | null | undefined, batch: number): Slot =>
  x ? (x.shape[0] === batch ? cut(0) : R) : null;

const attention: AxisRule<'attention'> = {
  kind: 'axis',
  ways: (call) => {
    const batch = call.inputs[0]!.shape[0]!;
    return [{ out: [cut(0), cut(0)], in: call.inputs.map((x) => heads(x, batch)) }];
  },
};

const attentionBackward: AxisRule<'attentionBackward'> = {
  kind: 'axis',
  ways: (call) => {
    const batch = call.inputs[2]!.shape[0]!;
    // The gradient of the mask is an empty tensor unless it is asked for.
    const mask = call.params.needs[3] && call.inputs[5] ? cut(0) : R;
    return [{ out: [cut(0), cut(0), cut(0), mask], in: call.inputs.map((x) => heads(x, batch)) }];
  },
};

export const fusedRules: RuleTable = {
  ...each(['softmax', 'logSoftmax'], soft),
  ...each(['softmaxBackward', 'logSoftmaxBackward'], softBackward),
  layerNorm,
  layerNormBackward,
  rmsNorm,
  rmsNormBackward,
  embedding,
  embeddingBackward,
  nllLoss,
  nllLossBackward,
  attention,
  attentionBackward,
  // The mask of a dropout lies as its input does; what is pending is not dropped part by part.
  dropoutMask: {
    kind: 'axis',
    allowUneven: true,
    ways: (call) => elementwise(call.inputs, call.outputs[0]!.shape),
  },
};
