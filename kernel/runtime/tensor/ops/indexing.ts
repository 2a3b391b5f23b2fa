/** Indexing: `get` and `set` stand for Python's brackets; gather, scatter and masks. */
import { applyInplace, applyOp } from '../dispatch.js';
import { bool, int32, int64, uint8 } from '../dtype.js';
import { opError } from '../errors.js';
import { broadcastShapes, numelOf, wrapDim } from '../shape.js';
import { Tensor } from '../tensor.js';
import { arange, flatValues, type Nested, tensor, zeros } from './creation.js';
import { copy_, whereOp } from './pointwise.js';
import { equal, sort, sum } from './reductions.js';
import { type Operand, plain, type Scalar, wrap } from './scalar.js';
import {
  alias,
  clone,
  expand,
  permute,
  repeat,
  reshape,
  select,
  sliceDim,
  stack,
  sumToSize,
  to,
  transpose,
  unsqueeze,
  view,
} from './views.js';

/** `start:stop:step` between brackets. */
export class Slice {
  constructor(
    readonly start: number | null = null,
    readonly stop: number | null = null,
    readonly step: number | null = null,
  ) {}
}
export function slice(start?: number | null, stop?: number | null, step?: number | null): Slice {
  return stop === undefined ? new Slice(null, start ?? null) : new Slice(start ?? null, stop, step ?? null);
}

/** One entry between brackets: integer, slice, null (new dimension), '...', boolean, index tensor or list. */
export type Index = number | bigint | Slice | null | '...' | boolean | Tensor | readonly Nested[];

const isMask = (k: unknown): boolean => k instanceof Tensor && (k.dtype === bool || k.dtype === uint8);

/** The basic part as a view, and index tensors for the rest with the dimension each stands for. */
function resolve(x: Tensor, given: readonly Index[]): { base: Tensor; dims: number[]; tensors: Tensor[] } {
  const keys = given.map((k) =>
    Array.isArray(k)
      ? tensor(k as readonly Nested[], k.length === 0 ? { dtype: int64 } : {})
      : typeof k === 'bigint'
        ? Number(k)
        : k,
  ) as (number | Slice | null | '...' | boolean | Tensor)[];
  const consumed = keys.reduce<number>(
    (n, k) =>
      n +
      (k === null || k === '...' || typeof k === 'boolean'
        ? 0
        : k instanceof Tensor && isMask(k)
          ? k.shape.length
          : 1),
    0,
  );
  if (consumed > x.shape.length)
    throw opError(
      'get',
      [x],
      `${consumed} indices for ${x.shape.length} dimensions`,
      undefined,
      'SB_INDEX_RANGE',
    );
  if (keys.filter((k) => k === '...').length > 1) throw opError('get', [x], "'...' stands more than once");
  let base = x;
  let d = 0;
  const dims: number[] = [];
  const tensors: Tensor[] = [];
  for (const k of keys) {
    if (k === '...') d += x.shape.length - consumed;
    else if (k === null) base = unsqueeze(base, d++);
    else if (typeof k === 'number') {
      base = select(base, d, k);
    } else if (k instanceof Slice) {
      if (k.start !== null || k.stop !== null || k.step !== null)
        base = sliceDim(base, d, k.start, k.stop, k.step ?? 1);
      d++;
    } else if (typeof k === 'boolean') {
      base = unsqueeze(base, d);
      dims.push(d++);
      tensors.push(k ? zeros([1], { dtype: int64 }) : zeros([0], { dtype: int64 }));
    } else if (isMask(k)) {
      if (k.shape.length === 0) {
        base = unsqueeze(base, d);
        dims.push(d++);
        tensors.push(zeros([flatValues(k)[0] ? 1 : 0], { dtype: int64 }));
        continue;
      }
      k.shape.forEach((n, i) => {
        if (n !== base.shape[d + i])
          throw opError(
            'get',
            [x, k],
            `the mask has size ${n} where the tensor has ${base.shape[d + i]}`,
            undefined,
            'SB_INDEX_RANGE',
          );
      });
      for (const column of nonzeroColumns(k)) {
        dims.push(d++);
        tensors.push(column);
      }
    } else if (k.shape.length === 0 && !k.dtype.isFloatingPoint) {
      base = select(base, d, Number(flatValues(k)[0]));
    } else {
      if (k.dtype.isFloatingPoint)
        throw opError(
          'get',
          [x, k],
          'an index tensor must be of integers or bools',
          undefined,
          'SB_INDEX_DTYPE',
        );
      dims.push(d++);
      tensors.push(k.dtype === int64 ? k : to(k, int64));
    }
  }
  return { base, dims, tensors };
}

/** `x.get(i, slice(0, 2), null, '...')` is Python's `x[i, 0:2, None, ...]`. */
export function get(x: Tensor, ...key: Index[]): Tensor {
  const { base, dims, tensors } = resolve(x, key);
  if (tensors.length === 0) return base === x ? alias(x) : base;
  return applyOp('index', [base, ...tensors], { dims });
}
/** `x.set(key, value)` is Python's `x[key] = value`; a key of several indices is an array. */
export function set(x: Tensor, key: Index | readonly Index[], value: Operand): Tensor {
  const { base, dims, tensors } = resolve(x, Array.isArray(key) ? (key as readonly Index[]) : [key as Index]);
  // A subclass may have had to gather what was chosen: that is a copy, and writing it would change nothing.
  if (base !== x && base.versionCounter !== x.versionCounter)
    throw opError(
      'set',
      [x],
      'the chosen part is no view of it, so nothing would be written',
      'redistribute the tensor first, so that the indexed dimension is whole on every rank',
      'SB_DTENSOR_INPLACE',
    );
  const v = wrap(value);
  if (tensors.length === 0) {
    let source = v;
    while (source.shape.length > base.shape.length && source.shape[0] === 1) source = select(source, 0, 0);
    copy_(base, source);
    return x;
  }
  // One value for a mask is a fill, which casts; what is scattered must have the dtype already.
  const keys = Array.isArray(key) ? (key as readonly Index[]) : [key as Index];
  const masks = keys.filter(
    (k) => typeof k === 'boolean' || (k instanceof Tensor && (k.shape.length > 0 || isMask(k))),
  );
  const fills =
    v.numel() === 1 && masks.length === 1 && masks.every((k) => typeof k === 'boolean' || isMask(k));
  if (!v.wrapped && v.dtype !== base.dtype && !fills)
    throw opError(
      'set',
      [x, v],
      `the value is ${v.dtype.name}, the tensor ${base.dtype.name}`,
      `convert it with .to(torch.${base.dtype.name})`,
      'SB_DTYPE',
    );
  applyInplace('indexPut', [base, v.dtype === base.dtype ? v : to(v, base.dtype), ...tensors], {
    dims,
    accumulate: false,
  });
  return x;
}
export function indexPut_(
  x: Tensor,
  indices: readonly Tensor[],
  values: Tensor,
  accumulate: boolean | { accumulate?: boolean } = false,
): Tensor {
  const { base, dims, tensors } = resolve(x, indices);
  return applyInplace('indexPut', [base, values, ...tensors], {
    dims,
    accumulate: typeof accumulate === 'boolean' ? accumulate : (accumulate.accumulate ?? false),
  });
}
export function indexPut(
  x: Tensor,
  indices: readonly Tensor[],
  values: Tensor,
  accumulate: boolean | { accumulate?: boolean } = false,
): Tensor {
  const { base, dims, tensors } = resolve(x, indices);
  return applyOp('indexPut', [base, values, ...tensors], {
    dims,
    accumulate: typeof accumulate === 'boolean' ? accumulate : (accumulate.accumulate ?? false),
  });
}

export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  if (x.shape.length === 0 && index.numel() !== 1)
    throw opError('indexSelect', [x, index], 'a scalar takes one index', undefined, 'SB_INDEX_RANGE');
  return applyOp('indexSelect', [x, index], { dim: wrapDim(dim, x.shape.length, 'indexSelect') });
}
type Alpha = { alpha?: Scalar };
export const indexAdd = (x: Tensor, dim: number, index: Tensor, source: Tensor, o: Alpha = {}): Tensor =>
  applyOp('indexAdd', [x, index, source], {
    dim: wrapDim(dim, x.shape.length, 'indexAdd'),
    alpha: Number(plain(o.alpha ?? 1)),
  });
export const indexAdd_ = (x: Tensor, dim: number, index: Tensor, source: Tensor, o: Alpha = {}): Tensor =>
  applyInplace('indexAdd', [x, index, source], {
    dim: wrapDim(dim, x.shape.length, 'indexAdd'),
    alpha: Number(plain(o.alpha ?? 1)),
  });
export const indexCopy = (x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor =>
  applyOp('indexCopy', [x, index, source], { dim: wrapDim(dim, x.shape.length, 'indexCopy') });
export const indexCopy_ = (x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor =>
  applyInplace('indexCopy', [x, index, source], { dim: wrapDim(dim, x.shape.length, 'indexCopy') });
function fillSource(x: Tensor, dim: number, index: Tensor, value: Operand): [Tensor, Tensor, Tensor] {
  const v = to(wrap(value), x.dtype);
  return [
    x,
    index,
    expand(
      v,
      x.shape.map((n, d) => (d === dim ? index.numel() : n)),
    ),
  ];
}
export const indexFill = (x: Tensor, dim: number, index: Tensor, value: Operand): Tensor => {
  const d = wrapDim(dim, x.shape.length, 'indexFill');
  // Filled in a copy, which lies in memory as x does.
  return applyInplace('indexCopy', fillSource(clone(x), d, wrapNegative(index, x.shape[d] ?? 1), value), {
    dim: d,
  });
};
export const indexFill_ = (x: Tensor, dim: number, index: Tensor, value: Operand): Tensor => {
  const d = wrapDim(dim, x.shape.length, 'indexFill');
  return applyInplace('indexCopy', fillSource(x, d, wrapNegative(index, x.shape[d] ?? 1), value), { dim: d });
};
const wrapNegative = (index: Tensor, n: number): Tensor =>
  whereOp(applyOp('lt', [index, wrap(0)], {}), applyOp('add', [index, wrap(n)], { alpha: 1 }), index);

export const gather = (x: Tensor, dim: number, index: Tensor): Tensor =>
  applyOp('gather', [x, index], { dim: wrapDim(dim, x.shape.length, 'gather') });
export function takeAlongDim(x: Tensor, index: Tensor, dim?: number): Tensor {
  if (dim === undefined) return gather(reshape(x, [-1]), 0, reshape(index, [-1]));
  const d = wrapDim(dim, x.shape.length, 'takeAlongDim');
  const shape = broadcastShapes(
    [x.shape.map((n, i) => (i === d ? 1 : n)), index.shape.map((n, i) => (i === d ? 1 : n))],
    () => `run "takeAlongDim": ${x.describe()} and ${index.describe()}`,
  );
  return gather(
    expand(
      x,
      shape.map((n, i) => (i === d ? x.shape[d]! : n)),
    ),
    d,
    expand(
      index,
      shape.map((n, i) => (i === d ? index.shape[d]! : n)),
    ),
  );
}
export const take = (x: Tensor, index: Tensor): Tensor =>
  applyOp('index', [reshape(x, [-1]), index], { dims: [0] });
const REDUCTIONS: ReadonlySet<string> = new Set(['sum', 'prod', 'mean', 'amax', 'amin', 'add', 'multiply']);
type Reduce = 'add' | 'multiply' | 'sum' | 'prod' | 'mean' | 'amax' | 'amin';
function scatterCall(
  x: Tensor,
  dim: number,
  index: Tensor,
  source: Operand,
  reduce: Reduce | null,
  includeSelf: boolean,
): [
  readonly Tensor[],
  { dim: number; reduce: 'add' | 'mul' | 'prod' | 'mean' | 'amax' | 'amin' | null; includeSelf: boolean },
] {
  const s = source instanceof Tensor ? source : expand(to(wrap(source), x.dtype), index.shape);
  // The same number everywhere: however a subclass cuts the index, there is enough of it.
  if (!(source instanceof Tensor) && x.constructor !== Tensor) s.wrapped = true;
  if (reduce !== null && !REDUCTIONS.has(reduce)) {
    throw opError(
      'scatter',
      [x, index],
      `reduce is "${reduce}", wanted ${[...REDUCTIONS].map((r) => `"${r}"`).join(', ')}`,
    );
  }
  const mode = reduce === 'sum' ? 'add' : reduce === 'multiply' ? 'mul' : reduce;
  return [[x, index, s], { dim: wrapDim(dim, x.shape.length, 'scatter'), reduce: mode, includeSelf }];
}
export const scatter = (
  x: Tensor,
  dim: number,
  index: Tensor,
  source: Operand,
  o: { reduce?: Reduce } = {},
): Tensor => applyOp('scatter', ...scatterCall(x, dim, index, source, o.reduce ?? null, true));
export const scatter_ = (
  x: Tensor,
  dim: number,
  index: Tensor,
  source: Operand,
  o: { reduce?: Reduce } = {},
): Tensor => applyInplace('scatter', ...scatterCall(x, dim, index, source, o.reduce ?? null, true));
export const scatterAdd = (x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor =>
  applyOp('scatterAdd', [x, index, source], { dim: wrapDim(dim, x.shape.length, 'scatterAdd') });
export const scatterAdd_ = (x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor =>
  applyInplace('scatterAdd', [x, index, source], { dim: wrapDim(dim, x.shape.length, 'scatterAdd') });
type Include = { includeSelf?: boolean };
export const scatterReduce = (
  x: Tensor,
  dim: number,
  index: Tensor,
  source: Tensor,
  reduce: Reduce,
  o: Include = {},
): Tensor => applyOp('scatter', ...scatterCall(x, dim, index, source, reduce, o.includeSelf ?? true));
export const scatterReduce_ = (
  x: Tensor,
  dim: number,
  index: Tensor,
  source: Tensor,
  reduce: Reduce,
  o: Include = {},
): Tensor => applyInplace('scatter', ...scatterCall(x, dim, index, source, reduce, o.includeSelf ?? true));

function maskArgs(
  x: Tensor,
  mask: Tensor,
  value: Operand,
): [readonly Tensor[], { value: number | bigint | null }] {
  return value instanceof Tensor ? [[x, mask, value], { value: null }] : [[x, mask], { value: plain(value) }];
}
export const maskedFill = (x: Tensor, mask: Tensor, value: Operand): Tensor =>
  applyOp('maskedFill', ...maskArgs(x, mask, value));
export const maskedFill_ = (x: Tensor, mask: Tensor, value: Operand): Tensor =>
  applyInplace('maskedFill', ...maskArgs(x, mask, value));
export const maskedSelect = (x: Tensor, mask: Tensor): Tensor => applyOp('maskedSelect', [x, mask], {});
export const maskedScatter = (x: Tensor, mask: Tensor, source: Tensor): Tensor =>
  applyOp('maskedScatter', [x, mask, source], {});
export const maskedScatter_ = (x: Tensor, mask: Tensor, source: Tensor): Tensor =>
  applyInplace('maskedScatter', [x, mask, source], {});

function positionsOf(x: Tensor): number[] {
  if (x.isMeta)
    throw opError(
      'nonzero',
      [x],
      'the size of the result depends on data a meta tensor does not have',
      undefined,
      'SB_META',
    );
  const at: number[] = [];
  flatValues(x).forEach((v, i) => {
    if (v !== 0 && v !== false && v !== 0n) at.push(i);
  });
  return at;
}
function nonzeroColumns(x: Tensor): Tensor[] {
  const at = positionsOf(x);
  let inner = x.numel();
  return x.shape.map((n) => {
    inner /= n === 0 ? 1 : n;
    return tensor(
      at.map((p) => Math.floor(p / Math.max(1, inner)) % Math.max(1, n)),
      { dtype: int64 },
    );
  });
}
/** Places of what is not zero: [count, ndim], or a tensor for each dimension with `asTuple`. */
export function nonzero(x: Tensor): Tensor;
export function nonzero(x: Tensor, o: { asTuple?: false }): Tensor;
export function nonzero(x: Tensor, o: { asTuple: true }): Tensor[];
export function nonzero(x: Tensor, o: { asTuple?: boolean } = {}): Tensor | Tensor[] {
  if (o.asTuple) return nonzeroColumns(x.shape.length === 0 ? reshape(x, [1]) : x);
  if (x.shape.length === 0) return zeros([positionsOf(x).length, 0], { dtype: int64 });
  // Lies column by column, as PyTorch's.
  return transpose(stack(nonzeroColumns(x), 0), 0, 1);
}
export const argwhere = (x: Tensor): Tensor => nonzero(x);
export function where(condition: Tensor): Tensor[];
export function where(condition: Tensor, x: Operand, other: Operand): Tensor;
export function where(condition: Tensor, x?: Operand, other?: Operand): Tensor | Tensor[] {
  return x === undefined || other === undefined
    ? nonzero(condition, { asTuple: true })
    : whereOp(condition, x, other);
}

const numbers = (x: Tensor): number[] => flatValues(x).map(Number);
export interface SearchOptions {
  right?: boolean;
  outInt32?: boolean;
  side?: 'left' | 'right';
}
function search(row: readonly number[], v: number, right: boolean): number {
  let [lo, hi] = [0, row.length];
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    const e = row[mid]!;
    if (right ? !(e > v) || Number.isNaN(v) : e < v || (Number.isNaN(v) && !Number.isNaN(e))) lo = mid + 1;
    else hi = mid;
  }
  return lo;
}
export function searchsorted(sorted: Tensor, values: Operand, o: SearchOptions = {}): Tensor {
  const v = wrap(values);
  const right = o.right ?? o.side === 'right';
  const all = numbers(sorted);
  const n = sorted.shape[sorted.shape.length - 1] ?? 1;
  const inner = sorted.shape.length > 1 ? (v.shape[v.shape.length - 1] ?? 1) : Math.max(1, v.numel());
  const out = numbers(v).map((e, i) => {
    const r = sorted.shape.length > 1 ? Math.floor(i / inner) : 0;
    return search(all.slice(r * n, (r + 1) * n), e, right);
  });
  return reshape(tensor(out, { dtype: o.outInt32 ? int32 : int64 }), v.shape);
}
export const bucketize = (values: Operand, boundaries: Tensor, o: SearchOptions = {}): Tensor =>
  searchsorted(boundaries, values, o);
export function bincount(
  x: Tensor,
  weights?: Tensor | null | { weights?: Tensor; minlength?: number },
  minlength: number | { minlength?: number } = 0,
): Tensor {
  const o =
    weights && !(weights instanceof Tensor)
      ? weights
      : {
          weights: weights ?? undefined,
          minlength: typeof minlength === 'number' ? minlength : (minlength.minlength ?? 0),
        };
  const ids = numbers(x);
  if (ids.some((i) => i < 0) || x.dtype.isFloatingPoint || x.shape.length > 1)
    throw opError('bincount', [x], 'needs one dimension of integers, none negative');
  const n = Math.max(
    o.minlength ?? 0,
    ids.reduce((a, b) => Math.max(a, b + 1), 0),
  );
  const out = new Array<number>(n).fill(0);
  const w = o.weights ? numbers(o.weights) : null;
  ids.forEach((id, i) => {
    out[id] = out[id]! + (w ? w[i]! : 1);
  });
  return tensor(out, {
    dtype: o.weights ? (o.weights.dtype.name === 'float32' ? o.weights.dtype : float64) : int64,
  });
}

import { float64 } from '../dtype.js';
export function histc(x: Tensor, bins = 100, min = 0, max = 0): Tensor {
  const v = numbers(x);
  let [lo, hi] = [min, max];
  if (lo === hi) [lo, hi] = [Math.min(...v), Math.max(...v)];
  if (lo === hi) [lo, hi] = [lo - 1, hi + 1];
  const out = new Array<number>(bins).fill(0);
  for (const e of v)
    if (e >= lo && e <= hi) out[Math.min(bins - 1, Math.floor(((e - lo) / (hi - lo)) * bins))]!++;
  return tensor(out, { dtype: x.dtype });
}
export function isin(elements: Operand, test: Operand, o: { invert?: boolean } = {}): Tensor {
  const [e, t] = [wrap(elements), wrap(test)];
  const set = new Set(flatValues(t).map(Number));
  return reshape(
    tensor(
      flatValues(e).map((v) => set.has(Number(v)) !== (o.invert ?? false)),
      { dtype: bool },
    ),
    e.shape,
  );
}
export interface UniqueOptions {
  sorted?: boolean;
  returnInverse?: boolean;
  returnCounts?: boolean;
  dim?: number | null;
}
export function unique(x: Tensor, given: UniqueOptions | boolean = {}): Tensor | Tensor[] {
  const o = typeof given === 'boolean' ? {} : given;
  return groups(x, o, true);
}
export const uniqueConsecutive = (x: Tensor, o: UniqueOptions = {}): Tensor | Tensor[] => groups(x, o, false);
function groups(x: Tensor, o: UniqueOptions, ordered: boolean): Tensor | Tensor[] {
  const flat = o.dim === undefined || o.dim === null;
  const dim = flat ? 0 : wrapDim(o.dim!, x.shape.length, 'unique');
  if (!flat && x.shape.some((n, d) => n === 0 && d !== dim))
    throw opError(
      'unique',
      [x],
      'a dimension that is not looked along has no elements',
      undefined,
      'SB_EMPTY',
    );
  const count = x.shape[dim] ?? 1;
  const rows = flat
    ? reshape(x, [-1, 1])
    : reshape(transpose(x, 0, dim), [count, x.numel() / Math.max(1, count)]);
  const width = rows.shape[1]!;
  const v = flatValues(rows).map((e) => (typeof e === 'boolean' ? Number(e) : e));
  const order = Array.from({ length: rows.shape[0]! }, (_, i) => i);
  const compare = (a: number, b: number): number => {
    for (let j = 0; j < width; j++) {
      const [p, q] = [v[a * width + j]!, v[b * width + j]!];
      // nan differs from everything, itself too, and comes last.
      if (Number.isNaN(p) || Number.isNaN(q)) return Number.isNaN(p) ? (Number.isNaN(q) ? a - b : 1) : -1;
      if (p !== q) return p < q ? -1 : 1;
    }
    return 0;
  };
  if (ordered) order.sort((a, b) => compare(a, b) || a - b);
  const firsts: number[] = [];
  const counts: number[] = [];
  const inverse = new Array<number>(order.length).fill(0);
  for (const [i, r] of order.entries()) {
    if (i === 0 || compare(order[i - 1]!, r) !== 0) {
      firsts.push(r);
      counts.push(0);
    }
    counts[counts.length - 1]!++;
    inverse[r] = firsts.length - 1;
  }
  const pick = indexSelect(flat ? reshape(x, [-1]) : x, flat ? 0 : o.dim!, tensor(firsts, { dtype: int64 }));
  const out = [pick];
  if (o.returnInverse)
    out.push(reshape(tensor(inverse, { dtype: int64 }), flat ? x.shape : [inverse.length]));
  if (o.returnCounts) out.push(tensor(counts, { dtype: int64 }));
  return out.length === 1 ? pick : out;
}
export function repeatInterleave(
  x: Tensor,
  repeats: number | Tensor,
  dim?: number | null | { dim?: number },
): Tensor {
  const at = typeof dim === 'object' && dim !== null ? dim.dim : dim;
  const source = at === undefined || at === null ? reshape(x, [-1]) : x;
  if (source.shape.length === 0 && typeof repeats !== 'number')
    throw opError('repeatInterleave', [x, repeats], 'a 0-dim tensor has no dimension to repeat along');
  const d = wrapDim(at ?? 0, source.shape.length, 'repeatInterleave');
  const n = source.shape[d] ?? 1;
  if (typeof repeats === 'number' && repeats >= 0 && source.shape.length > 0) {
    const wide = expand(unsqueeze(source, d + 1), source.shape.toSpliced(d + 1, 0, repeats));
    return reshape(applyOp('clone', [wide], { contiguous: true }), source.shape.with(d, n * repeats));
  }
  const each =
    typeof repeats === 'number'
      ? new Array<number>(n).fill(repeats)
      : repeats.numel() === 1
        ? new Array<number>(n).fill(numbers(repeats)[0]!)
        : numbers(repeats);
  if (each.length !== n) throw opError('repeatInterleave', [x], `${each.length} repeats for ${n} elements`);
  return indexSelect(
    source,
    d,
    tensor(
      each.flatMap((r, i) => new Array<number>(r).fill(i)),
      { dtype: int64 },
    ),
  );
}
export function oneHot(x: Tensor, numClasses: number | { numClasses?: number } = -1): Tensor {
  const wanted = typeof numClasses === 'number' ? numClasses : (numClasses.numClasses ?? -1);
  const ids = numbers(x);
  const n = wanted === -1 ? ids.reduce((a, b) => Math.max(a, b + 1), 0) : wanted;
  if (x.dtype !== int64)
    throw opError('oneHot', [x], `indices are ${x.dtype.name}, not int64`, undefined, 'SB_INDEX_DTYPE');
  if (ids.length === 0 && wanted <= 0)
    throw opError('oneHot', [x], 'the number of classes of an empty tensor must be given');
  if (ids.some((i) => i < 0 || i >= n))
    throw opError('oneHot', [x], `a class is out of range for ${n} classes`, undefined, 'SB_INDEX_RANGE');
  const out = zeros([...x.shape, n], { dtype: int64 });
  return applyOp('scatter', [out, unsqueeze(x, -1), expand(to(wrap(1), int64), [...x.shape, 1])], {
    dim: x.shape.length,
    reduce: null,
    includeSelf: true,
  });
}
export { arange, equal, numelOf, permute, repeat, sort, sum, sumToSize, view };
