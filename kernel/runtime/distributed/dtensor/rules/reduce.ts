/**
 * Reductions. They run where the input is: a cut dimension that is reduced makes a pending reduction of the same kind. Where
 * the parts' results do not add up (variance, uneven means, pending reductions of another kind) the input is made whole first.
 */
import { type OpName, torch } from '../../../tensor/index.js';
import { NormPartial, type Placement, Shard } from '../placements.js';
import { bestOf } from './best-of.js';
import { neutral, reduceFrom } from './reduce-from.js';
import {
  type AxisRule,
  cut,
  type MeshRule,
  type RuleCall,
  type RuleTable,
  type Slot,
  type Way,
} from './rule.js';
import { avg, cutsEvenly, each, max, min, product, replicasLast, settled, sum } from './shared.js';

interface DimsParams {
  readonly dims: readonly number[];
  readonly keepdim: boolean;
}
type DimsName =
  | 'sum'
  | 'nansum'
  | 'mean'
  | 'prod'
  | 'amax'
  | 'amin'
  | 'all'
  | 'any'
  | 'countNonzero'
  | 'logsumexp'
  | 'norm'
  | 'var'
  | 'std';

function reduction(pending: (call: RuleCall<DimsName>) => Placement | null): MeshRule<DimsName> {
  return {
    kind: 'mesh',
    strategies: (call) => {
      const { dims, keepdim } = call.params as DimsParams;
      // Counting what is not zero needs the values, not their parts.
      const through = call.name !== 'norm' || (call.params as { ord: number }).ord !== 0;
      const { input, output } = reduceFrom(call.inputs[0]!.placements, dims, keepdim, pending(call), through);
      return [{ out: [output], in: [input] }];
    },
  };
}

/** The extremes of parts, of which some may be empty. */
function extreme(largest: boolean): MeshRule<'amax' | 'amin'> {
  return {
    ...(reduction(() => (largest ? max : min)) as MeshRule<'amax' | 'amin'>),
    runLocal: (call, _chosen, local, run) => {
      const part = local.inputs[0]!;
      const { dims, keepdim } = call.params;
      if (!dims.some((d) => part.shape[d] === 0)) return run(local.inputs, local.params);
      const shape = part.shape
        .map((n, d) => (dims.includes(d) ? 1 : n))
        .filter((_, d) => keepdim || !dims.includes(d));
      return torch.full(shape, neutral(part.dtype, largest), { dtype: part.dtype });
    },
  };
}

/** Averages of parts average to the whole's only where the parts are of one size. */
function meanPending(call: RuleCall<DimsName>): Placement | null {
  const x = call.inputs[0]!;
  const { dims } = call.params as DimsParams;
  return dims.every((d) => cutsEvenly(x.shape, x.placements, call.mesh, d)) ? avg : null;
}

function normPending(call: RuleCall<DimsName>): Placement {
  const { ord } = call.params as { ord: number };
  if (ord === Number.POSITIVE_INFINITY) return max;
  if (ord === Number.NEGATIVE_INFINITY) return min;
  return ord === 0 ? sum : NormPartial(ord);
}

/** `count_nonzero` has no rule of its own in PyTorch: it is derived from its parts, which pass nothing that is pending. */
const countRule: AxisRule<'countNonzero'> = {
  kind: 'axis',
  ways: (call) => {
    const { dims, keepdim } = call.params;
    const ways = call.inputs[0]!.shape.map((_, d): Way => {
      if (dims.includes(d)) return { out: [sum], in: [cut(d)] };
      return { out: [cut(keepdim ? d : d - dims.filter((k) => k < d).length)], in: [cut(d)] };
    });
    return replicasLast(call as unknown as RuleCall, ways);
  },
};

// ---------------------------------------------------------------- along one dimension

interface DimParams {
  readonly dim: number;
  readonly keepdim?: boolean;
}

/** Values and indices along a dimension that must be whole; `strided`: whether a StridedShard of another dimension will do. */
function alongDim<K extends OpName>(results: number, strided: boolean): AxisRule<K> {
  return {
    kind: 'axis',
    ways: (call) => {
      const { dim, keepdim } = call.params as unknown as DimParams;
      const x = call.inputs[0]!;
      const at = (d: number): Slot => (strided ? cut(d) : Shard(d));
      const ways: Way[] = [];
      for (let d = 0; d < x.ndim; d++) {
        if (d === dim) continue;
        const outDim = call.outputs[0]!.shape.length === x.ndim || keepdim || d < dim ? d : d - 1;
        ways.push({ out: new Array<Slot>(results).fill(at(outDim)), in: [at(d)] });
      }
      return ways;
    },
  };
}

/** Running along a whole dimension. */
const scan: MeshRule<'cumsum' | 'cumprod' | 'logcumsumexp'> = {
  kind: 'mesh',
  strategies: (call) => {
    const input = settled(call.inputs[0]!.placements, [call.params.dim]);
    return [{ out: [input], in: [input] }];
  },
};

export const reduceRules: RuleTable = {
  ...each(
    ['sum', 'nansum', 'any'],
    reduction(() => sum),
  ),
  ...each(
    ['prod', 'all'],
    reduction(() => product),
  ),
  amax: extreme(true),
  amin: extreme(false),
  mean: reduction(meanPending) as MeshRule<'mean'>,
  norm: reduction(normPending) as MeshRule<'norm'>,
  ...each(
    ['var', 'std', 'logsumexp'],
    reduction(() => null),
  ),
  countNonzero: countRule,
  ...each(['cumsum', 'cumprod', 'logcumsumexp'], scan),
  ...each(['max', 'min', 'median', 'kthvalue'], alongDim(2, true)),
  ...each(['sort', 'topk', 'cummax', 'cummin'], alongDim(2, false)),
  argmax: bestOf('argmax'),
  argmin: bestOf('argmin'),
};
