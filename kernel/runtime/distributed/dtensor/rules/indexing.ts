/** Choosing and writing by index. A dimension that is indexed is whole, or its index is cut; all others may be cut. */
import { type OpName, type Tensor, torch } from '../../../tensor/index.js';
import { MaskPartial, Partial, Shard } from '../placements.js';
import { ownIndex } from './fused.js';
import {
  type AxisRule,
  cut,
  type Refusal,
  type RuleCall,
  type RuleTable,
  type Slot,
  type Way,
} from './rule.js';
import { avg, each, R, replicasLast, sum } from './shared.js';

const PLAIN: readonly Slot[] = ['sum', 'avg', 'min', 'max', 'product'].map((op) => Partial(op));

/** Where the indices' own dimensions are in the result: in place of the first indexed one, or in front if they are apart. */
function placeOfIndices(dims: readonly number[]): number {
  return dims.every((d, i) => i === 0 || d === dims[i - 1]! + 1) ? (dims[0] ?? 0) : 0;
}

const indexDims = (call: RuleCall<'index'> | RuleCall<'indexPut'>, first: number): number =>
  Math.max(0, ...call.inputs.slice(first).map((x) => x!.ndim));

const index: AxisRule<'index'> = {
  kind: 'axis',
  ways: (call) => {
    const [x, ...indices] = call.inputs as [NonNullable<(typeof call.inputs)[0]>];
    const list = indices as readonly NonNullable<(typeof call.inputs)[0]>[];
    const { dims } = call.params;
    const wide = indexDims(call, 1);
    const place = placeOfIndices(dims);
    const ways: Way[] = [];
    for (let d = 0; d < x.ndim; d++) {
      if (dims.includes(d)) continue;
      const to = d < place ? d : d + wide - dims.filter((k) => k < d).length;
      ways.push({ out: [cut(to)], in: [cut(d), ...list.map(() => R)] });
    }
    for (let b = 0; b < wide; b++) {
      const own = list.map((i): Slot => {
        const d = b - (wide - i.ndim);
        return d >= 0 && i.shape[d]! > 1 ? cut(d) : R;
      });
      if (own.every((slot) => slot === R)) continue;
      ways.push({ out: [cut(b + place)], in: [R, ...own] });
    }
    for (const pending of [sum, avg]) ways.push({ out: [pending], in: [pending, ...list.map(() => R)] });
    return ways;
  },
};

const indexPut: AxisRule<'indexPut'> = {
  kind: 'axis',
  ways: (call) => {
    const [x, values, ...indices] = call.inputs;
    const { dims } = call.params;
    const rest = x!.shape.map((_, d) => d).filter((d) => !dims.includes(d));
    const wide = indexDims(call, 2);
    const place = placeOfIndices(dims);
    const whole = indices.map(() => R);
    const ways = rest.map((d): Way => {
      const to = d < place ? d : d + wide - dims.filter((k) => k < d).length;
      const own = to - (wide + rest.length - values!.ndim);
      const at = own < 0 || values!.shape[own] === 1 ? R : cut(own);
      return { out: [cut(d)], in: [cut(d), at, ...whole] };
    });
    ways.push({ out: [sum], in: [sum, sum, ...whole] });
    return ways;
  },
};

interface DimParams {
  readonly dim: number;
}
const otherDims = (call: RuleCall<OpName>): number[] => {
  const { dim } = call.params as unknown as DimParams;
  return call.inputs[0]!.shape.map((_, d) => d).filter((d) => d !== dim);
};

const indexSelect: AxisRule<'indexSelect'> = {
  kind: 'axis',
  ways: (call) => [
    ...otherDims(call as unknown as RuleCall<OpName>).map((d): Way => ({ out: [cut(d)], in: [cut(d), R] })),
    { out: [cut(call.params.dim)], in: [R, cut(0)] },
    ...PLAIN.map((pending): Way => ({ out: [pending], in: [pending, R] })),
  ],
};

/** self, index, source: the indexed dimension is whole. */
const writeAlong: AxisRule<'indexAdd' | 'indexCopy'> = {
  kind: 'axis',
  ways: (call) =>
    replicasLast(call as unknown as RuleCall, [
      ...otherDims(call as unknown as RuleCall<OpName>).map(
        (d): Way => ({ out: [cut(d)], in: [cut(d), R, cut(d)] }),
      ),
      { out: [sum], in: [sum, R, sum] },
    ]),
};

const gather: AxisRule<'gather'> = {
  kind: 'axis',
  ways: (call) => {
    const [x, at] = [call.inputs[0]!, call.inputs[1]!];
    const { dim } = call.params;
    const ways: Way[] = [];
    if (at.shape[dim] === 1) {
      const masked = MaskPartial(x.shape, dim);
      ways.push({ out: [masked], in: [Shard(dim), masked] });
    }
    ways.push({ out: [Shard(dim)], in: [R, Shard(dim)] });
    for (let d = 0; d < x.ndim; d++) if (d !== dim) ways.push({ out: [Shard(d)], in: [Shard(d), Shard(d)] });
    return ways;
  },
  runLocal: (call, chosen, local, run) => {
    const [x, at] = local.inputs;
    const own = ownIndex(at!, chosen.inputs[0]!, chosen.outputs[0]!, call.params.dim);
    if (own === null) return run(local.inputs, local.params);
    if (x!.shape[call.params.dim] === 0) return torch.zeros(at!.shape, { dtype: x!.dtype });
    return (run([x!, own.at], local.params) as Tensor).maskedFill(own.outside, 0);
  },
};

/** Dimensions that are not written along and have one size in all operands. */
const scatter: AxisRule<'scatter' | 'scatterAdd'> = {
  kind: 'axis',
  ways: (call) => {
    const [x, at, source] = call.inputs;
    const fits = (d: number): boolean =>
      x!.shape[d] === at!.shape[d] &&
      (call.name === 'scatterAdd' || !source || source.shape[d] === at!.shape[d]);
    return otherDims(call as unknown as RuleCall<OpName>)
      .filter(fits)
      .map((d): Way => ({ out: [Shard(d)], in: [Shard(d), Shard(d), source ? Shard(d) : null] }));
  },
};

const dependsOnData: Refusal = {
  kind: 'refuse',
  why: 'the size of its result depends on the values, which no rank has all of',
  help: 'use where() with the mask, or gather first: x.fullTensor()',
};

export const indexingRules: RuleTable = {
  index,
  indexPut,
  indexSelect,
  ...each(['indexAdd', 'indexCopy'], writeAlong),
  gather,
  ...each(['scatter', 'scatterAdd'], scatter),
  maskedSelect: dependsOnData,
  maskedScatter: {
    kind: 'refuse',
    why: 'which value goes where depends on the mask of all ranks',
    help: 'use where() with values of the same shape, or gather first: x.fullTensor()',
  },
};
