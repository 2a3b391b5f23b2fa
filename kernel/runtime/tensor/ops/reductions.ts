/** Reductions, scans, sorting. */
import { applyInplace, applyMulti, applyOp } from '../dispatch.js';
import { bool, type DType, float32, float64, iinfo, int32, int64, uint8 } from '../dtype.js';
import { opError } from '../errors.js';
import { alloc } from '../kernels/common.js';
import { wrapDim, wrapDims } from '../shape.js';
import type { Tensor } from '../tensor.js';
import { Tensor as TensorClass } from '../tensor.js';
import { add, div, eq, isclose, isnan, lerp, logicalNot, ne, sub, whereOp } from './pointwise.js';
import { Float, type Operand, plain, type Scalar } from './scalar.js';
import { reshape, select, sliceDim, squeeze, stack, to, unsqueeze } from './views.js';

export type DimArg = number | readonly number[] | null | undefined;
export interface ReduceOptions {
  dim?: DimArg;
  keepdim?: boolean;
  dtype?: DType;
}
type Arg = DimArg | ReduceOptions;
type Keep = boolean | ReduceOptions;

interface Parsed {
  dim: DimArg;
  keepdim: boolean;
  dtype: DType | null;
}
function parse(dim: Arg, keepdim: Keep | undefined, last: ReduceOptions | undefined): Parsed {
  let o: ReduceOptions = {};
  if (dim !== null && typeof dim === 'object' && !Array.isArray(dim)) o = { ...(dim as ReduceOptions) };
  else if (dim !== undefined && dim !== null) o.dim = dim as DimArg;
  if (typeof keepdim === 'boolean') o.keepdim = keepdim;
  else if (keepdim) o = { ...o, ...keepdim };
  o = { ...o, ...last };
  return { dim: o.dim, keepdim: o.keepdim ?? false, dtype: o.dtype ?? null };
}
/** An empty list of dims means all of them. */
function dimsOf(x: Tensor, p: Parsed, op: string): number[] {
  return wrapDims(Array.isArray(p.dim) && p.dim.length === 0 ? null : p.dim, x.shape.length, op);
}

const summing =
  (name: 'sum' | 'nansum' | 'mean') =>
  (x: Tensor, dim?: Arg, keepdim?: Keep, options?: ReduceOptions): Tensor => {
    const p = parse(dim, keepdim, options);
    return applyOp(name, [x], { dims: dimsOf(x, p, name), keepdim: p.keepdim, dtype: p.dtype });
  };
export const sum = summing('sum');
export const nansum = summing('nansum');
export const mean = summing('mean');
export function nanmean(x: Tensor, dim?: Arg, keepdim?: Keep, options?: ReduceOptions): Tensor {
  if (!x.dtype.isFloatingPoint)
    throw opError('nanmean', [x], `not defined for ${x.dtype.name}`, 'use mean', 'SB_DTYPE');
  const p = parse(dim, keepdim, options);
  return div(nansum(x, dim, keepdim, options), sum(logicalNot(isnan(x)), p.dim, p.keepdim));
}
export function prod(x: Tensor, dim?: Arg, keepdim?: Keep, options?: ReduceOptions): Tensor {
  const p = parse(dim, keepdim, options);
  return applyOp('prod', [x], { dims: dimsOf(x, p, 'prod'), keepdim: p.keepdim, dtype: p.dtype });
}
const plainReduce =
  (name: 'amax' | 'amin' | 'all' | 'any' | 'countNonzero') =>
  (x: Tensor, dim?: Arg, keepdim?: Keep): Tensor => {
    const p = parse(dim, keepdim, undefined);
    return applyOp(name, [x], { dims: dimsOf(x, p, name), keepdim: p.keepdim });
  };
export const amax = plainReduce('amax');
export const amin = plainReduce('amin');
/** Of these two an empty list of dimensions reduces nothing. */
const logic =
  (name: 'all' | 'any') =>
  (x: Tensor, dim?: Arg, keepdim?: Keep): Tensor => {
    const given = parse(dim, keepdim, undefined).dim;
    if (!Array.isArray(given) || given.length > 0) return plainReduce(name)(x, dim, keepdim);
    return to(ne(x, 0), x.dtype === uint8 ? uint8 : bool);
  };
export const all = logic('all');
export const any = logic('any');
export const countNonzero = plainReduce('countNonzero');
export function aminmax(x: Tensor, o: { dim?: number; keepdim?: boolean } = {}): NamedPair<'min', 'max'> {
  return pair('min', 'max', amin(x, o), amax(x, o));
}
export function logsumexp(x: Tensor, dim: Arg, keepdim?: Keep): Tensor {
  const p = parse(dim, keepdim, undefined);
  return applyOp('logsumexp', [x], { dims: dimsOf(x, p, 'logsumexp'), keepdim: p.keepdim });
}

/** Two results with names, usable as an array as well. */
export type NamedPair<A extends string = 'values', B extends string = 'indices'> = [Tensor, Tensor] &
  Record<A | B, Tensor>;
export function pair<A extends string, B extends string>(a: A, b: B, x: Tensor, y: Tensor): NamedPair<A, B> {
  const out = [x, y] as unknown as Record<string, Tensor>;
  Object.defineProperty(out, a, { value: x });
  Object.defineProperty(out, b, { value: y });
  return out as unknown as NamedPair<A, B>;
}
const valuesIndices = (r: Tensor[]): NamedPair => pair('values', 'indices', r[0]!, r[1]!);

function extreme(name: 'max' | 'min') {
  function run(x: Tensor): Tensor;
  function run(x: Tensor, other: Tensor): Tensor;
  function run(
    x: Tensor,
    dim: number | { dim: number; keepdim?: boolean },
    keepdim?: boolean | { keepdim?: boolean },
  ): NamedPair;
  function run(
    x: Tensor,
    dim?: number | Tensor | { dim: number; keepdim?: boolean },
    keepdim?: boolean | { keepdim?: boolean },
  ): Tensor | NamedPair {
    if (dim === undefined) {
      if (x.numel() === 0) throw opError(name, [x], 'the tensor has no elements', undefined, 'SB_EMPTY');
      return applyOp(name === 'max' ? 'amax' : 'amin', [x], {
        dims: x.shape.map((_, d) => d),
        keepdim: false,
      });
    }
    if (dim instanceof TensorClass) return applyOp(name === 'max' ? 'maximum' : 'minimum', [x, dim], {});
    const d = typeof dim === 'number' ? dim : dim.dim;
    const keep =
      typeof keepdim === 'boolean'
        ? keepdim
        : (keepdim?.keepdim ?? (typeof dim === 'object' ? dim.keepdim : false) ?? false);
    return valuesIndices(applyMulti(name, [x], { dim: wrapDim(d, x.shape.length, name), keepdim: keep }));
  }
  return run;
}
export const max = extreme('max');
export const min = extreme('min');

const arg =
  (name: 'argmax' | 'argmin') =>
  (x: Tensor, dim?: Arg, keepdim?: Keep): Tensor => {
    const p = parse(dim, keepdim, undefined);
    if (p.dim === undefined || p.dim === null) {
      if (x.numel() === 0) throw opError(name, [x], 'the tensor has no elements', undefined, 'SB_EMPTY');
      return applyOp(name, [x], { dim: null, keepdim: p.keepdim });
    }
    return applyOp(name, [x], { dim: wrapDim(p.dim as number, x.shape.length, name), keepdim: p.keepdim });
  };
export const argmax = arg('argmax');
export const argmin = arg('argmin');

export interface VarOptions {
  dim?: DimArg;
  correction?: number;
  unbiased?: boolean;
  keepdim?: boolean;
}
function varArgs(
  x: Tensor,
  dim: DimArg | boolean | VarOptions,
  second: boolean | VarOptions | undefined,
  third: boolean | VarOptions | undefined,
): { dims: number[]; correction: number; keepdim: boolean } {
  let o: VarOptions = {};
  if (typeof dim === 'boolean') o.unbiased = dim;
  else if (dim !== null && typeof dim === 'object' && !Array.isArray(dim)) o = { ...(dim as VarOptions) };
  else o.dim = dim as DimArg;
  if (typeof second === 'boolean') o.unbiased = second;
  else o = { ...o, ...second };
  if (typeof third === 'boolean') o.keepdim = third;
  else o = { ...o, ...third };
  const dims = wrapDims(Array.isArray(o.dim) && o.dim.length === 0 ? null : o.dim, x.shape.length, 'var');
  return { dims, correction: o.correction ?? (o.unbiased === false ? 0 : 1), keepdim: o.keepdim ?? false };
}
type VarArgs = [
  dim?: DimArg | boolean | VarOptions,
  unbiased?: boolean | VarOptions,
  keepdim?: boolean | VarOptions,
];
export const variance = (x: Tensor, ...a: VarArgs): Tensor =>
  applyOp('var', [x], varArgs(x, a[0], a[1], a[2]));
export const std = (x: Tensor, ...a: VarArgs): Tensor => applyOp('std', [x], varArgs(x, a[0], a[1], a[2]));
const alsoMean = (x: Tensor, a: VarArgs): Tensor => {
  const p = varArgs(x, a[0], a[1], a[2]);
  return applyOp('mean', [x], { dims: p.dims, keepdim: p.keepdim, dtype: null });
};
export const varMean = (x: Tensor, ...a: VarArgs): [Tensor, Tensor] => [variance(x, ...a), alsoMean(x, a)];
export const stdMean = (x: Tensor, ...a: VarArgs): [Tensor, Tensor] => [std(x, ...a), alsoMean(x, a)];

export interface NormOptions {
  p?: number | string;
  dim?: DimArg;
  keepdim?: boolean;
  dtype?: DType;
}
export function norm(
  x: Tensor,
  p: number | string | null | NormOptions = 2,
  dim?: DimArg | NormOptions,
  keepdim?: boolean | NormOptions,
  last?: NormOptions,
): Tensor {
  let o: NormOptions = {};
  if (p !== null && typeof p === 'object' && !(p instanceof Number)) o = { ...p };
  else if (p !== null) o.p = typeof p === 'string' ? p : Number(p);
  if (dim !== null && typeof dim === 'object' && !Array.isArray(dim)) o = { ...o, ...(dim as NormOptions) };
  else if (dim !== undefined && dim !== null) o.dim = dim as DimArg;
  if (typeof keepdim === 'boolean') o.keepdim = keepdim;
  else o = { ...o, ...keepdim };
  o = { ...o, ...last };
  const given = o.p ?? 2;
  const ord =
    given === 'fro' || given === 'nuc'
      ? 2
      : given === 'inf'
        ? Number.POSITIVE_INFINITY
        : given === '-inf'
          ? Number.NEGATIVE_INFINITY
          : Number(given);
  return applyOp('norm', [x], {
    ord,
    dims: wrapDims(Array.isArray(o.dim) && o.dim.length === 0 ? null : o.dim, x.shape.length, 'norm'),
    keepdim: o.keepdim ?? false,
    dtype: o.dtype ?? null,
  });
}
/** p-norm distances between all rows of x and all rows of other. */
export function cdist(x: Tensor, other: Tensor, options: number | { p?: number } = 2): Tensor {
  for (const t of [x, other]) {
    if (t.dtype !== float32 && t.dtype !== float64)
      throw opError(
        'cdist',
        [x, other],
        `not defined for ${t.dtype.name}`,
        'convert with .to(torch.float32)',
        'SB_DTYPE',
      );
  }
  const p = typeof options === 'number' ? options : (options.p ?? 2);
  return norm(sub(unsqueeze(x, -2), unsqueeze(other, -3)), p, -1);
}
export const dist = (x: Tensor, other: Tensor, p = 2): Tensor => norm(sub(x, other), p);

const scanDim = (
  dim: number | { dim?: number; dtype?: DType },
  o: { dtype?: DType } | undefined,
): { dim: number; dtype: DType | null } =>
  typeof dim === 'number'
    ? { dim, dtype: o?.dtype ?? null }
    : { dim: dim.dim ?? 0, dtype: dim.dtype ?? null };
const scan =
  (name: 'cumsum' | 'cumprod') =>
  (x: Tensor, dim: number | { dim?: number; dtype?: DType }, o?: { dtype?: DType }): Tensor => {
    const p = scanDim(dim, o);
    return applyOp(name, [x], { dim: wrapDim(p.dim, x.shape.length, name), dtype: p.dtype });
  };
export const cumsum = scan('cumsum');
export const cumprod = scan('cumprod');
export const cumsum_ = (x: Tensor, dim: number): Tensor =>
  applyInplace('cumsum', [x], { dim: wrapDim(dim, x.shape.length, 'cumsum'), dtype: x.dtype });
export const cumprod_ = (x: Tensor, dim: number): Tensor =>
  applyInplace('cumprod', [x], { dim: wrapDim(dim, x.shape.length, 'cumprod'), dtype: x.dtype });
export const logcumsumexp = (x: Tensor, dim: number): Tensor =>
  applyOp('logcumsumexp', [x], { dim: wrapDim(dim, x.shape.length, 'logcumsumexp') });
export const cummax = (x: Tensor, dim: number): NamedPair =>
  valuesIndices(applyMulti('cummax', [x], { dim: wrapDim(dim, x.shape.length, 'cummax') }));
export const cummin = (x: Tensor, dim: number): NamedPair =>
  valuesIndices(applyMulti('cummin', [x], { dim: wrapDim(dim, x.shape.length, 'cummin') }));
export function diff(x: Tensor, n = 1, dim = -1): Tensor {
  let out = x;
  for (let i = 0; i < n; i++)
    out =
      out.dtype === bool
        ? logicalXorOf(sliceDim(out, dim, 1, null, 1), sliceDim(out, dim, 0, -1, 1))
        : sub(sliceDim(out, dim, 1, null, 1), sliceDim(out, dim, 0, -1, 1));
  return out;
}
const logicalXorOf = (a: Tensor, b: Tensor): Tensor => applyOp('logicalXor', [a, b], {});

export interface SortOptions {
  dim?: number;
  descending?: boolean;
  stable?: boolean;
}
export function sort(
  x: Tensor,
  dim: number | SortOptions = -1,
  descending: boolean | SortOptions = false,
  last: SortOptions = {},
): NamedPair {
  const o: SortOptions = {
    ...(typeof dim === 'number' ? { dim } : dim),
    ...(typeof descending === 'boolean' ? { descending } : descending),
    ...last,
  };
  if (typeof dim === 'object' && dim.descending !== undefined && descending === false)
    o.descending = dim.descending;
  return valuesIndices(
    applyMulti('sort', [x], {
      dim: wrapDim(o.dim ?? -1, x.shape.length, 'sort'),
      descending: o.descending ?? false,
    }),
  );
}
export const argsort = (
  x: Tensor,
  dim: number | SortOptions = -1,
  descending: boolean | SortOptions = false,
  last: SortOptions = {},
): Tensor => sort(x, dim, descending, last)[1];
export const msort = (x: Tensor): Tensor => sort(x, 0)[0];
export interface TopkOptions {
  dim?: number;
  largest?: boolean;
  sorted?: boolean;
}
export function topk(
  x: Tensor,
  k: number,
  dim: number | TopkOptions = -1,
  largest: boolean | TopkOptions = true,
  last: TopkOptions = {},
): NamedPair {
  const o: TopkOptions = {
    ...(typeof dim === 'number' ? { dim } : dim),
    ...(typeof largest === 'boolean' ? {} : largest),
    ...last,
  };
  if (largest === false) o.largest = false;
  return valuesIndices(
    applyMulti('topk', [x], {
      dim: wrapDim(o.dim ?? -1, x.shape.length, 'topk'),
      k,
      largest: o.largest ?? true,
    }),
  );
}
type OneDim = number | { dim?: number; keepdim?: boolean };
const oneDim = (
  dim: OneDim | undefined,
  keepdim: boolean | { keepdim?: boolean } | undefined,
): { dim: number | undefined; keepdim: boolean } => ({
  dim: typeof dim === 'object' ? dim.dim : dim,
  keepdim:
    (typeof keepdim === 'boolean' ? keepdim : keepdim?.keepdim) ??
    (typeof dim === 'object' ? dim.keepdim : undefined) ??
    false,
});
export function kthvalue(
  x: Tensor,
  k: number,
  dim: OneDim = -1,
  keepdim?: boolean | { keepdim?: boolean },
): NamedPair {
  const p = oneDim(dim, keepdim);
  return valuesIndices(
    applyMulti('kthvalue', [x], {
      dim: wrapDim(p.dim ?? -1, x.shape.length, 'kthvalue'),
      k,
      keepdim: p.keepdim,
    }),
  );
}
function middle(ignoreNan: boolean) {
  function run(x: Tensor): Tensor;
  function run(x: Tensor, dim: OneDim, keepdim?: boolean | { keepdim?: boolean }): NamedPair;
  function run(x: Tensor, dim?: OneDim, keepdim?: boolean | { keepdim?: boolean }): Tensor | NamedPair {
    if (dim === undefined && x.numel() === 0) {
      const none = alloc([], x.dtype, x.device);
      // What the processor makes of nan in the dtype.
      const made = x.dtype === bool ? 1 : x.dtype === int64 || x.dtype === int32 ? iinfo(x.dtype).min : 0;
      return none.fill_(x.dtype.isFloatingPoint ? Number.NaN : made);
    }
    if (dim === undefined)
      return applyMulti('median', [reshape(x, [-1])], { dim: 0, keepdim: false, ignoreNan })[0]!;
    const p = oneDim(dim, keepdim);
    return valuesIndices(
      applyMulti('median', [x], {
        dim: wrapDim(p.dim ?? -1, x.shape.length, 'median'),
        keepdim: p.keepdim,
        ignoreNan,
      }),
    );
  }
  return run;
}
export const median = middle(false);
export const nanmedian = middle(true);

const zerosIndex = (): Tensor => alloc([], int64, 'cpu');

/** The smallest of the most frequent values, and the last place where it stands. */
export function mode(x: Tensor, dim: OneDim = -1, keepdim?: boolean | { keepdim?: boolean }): NamedPair {
  const p = oneDim(dim, keepdim);
  const d = wrapDim(p.dim ?? -1, x.shape.length, 'mode');
  if (x.shape.length === 0) return pair('values', 'indices', x.clone(), zerosIndex());
  const [v, i] = sort(x, d);
  const n = x.shape[d] ?? 1;
  // Length of the run of equals that ends at each place.
  const runs: Tensor[] = [];
  for (let k = 0; k < n; k++) {
    const one = to(eq(select(v, d, k), select(v, d, k)), int64);
    runs.push(k === 0 ? one : whereOp(eq(select(v, d, k), select(v, d, k - 1)), add(runs[k - 1]!, 1), one));
  }
  const counts = stack(runs, d);
  const at = argmax(counts, d, true);
  const values = applyOp('gather', [v, at], { dim: d });
  const indices = applyOp('gather', [i, at], { dim: d });
  return p.keepdim
    ? pair('values', 'indices', values, indices)
    : pair('values', 'indices', squeeze(values, d), squeeze(indices, d));
}

export interface QuantileOptions {
  dim?: number | null;
  keepdim?: boolean;
  interpolation?: 'linear' | 'lower' | 'higher' | 'midpoint' | 'nearest';
}
export function quantile(
  x: Tensor,
  q: Operand,
  dim?: number | null | QuantileOptions,
  keepdim?: boolean | QuantileOptions,
  last: QuantileOptions = {},
): Tensor {
  const o: QuantileOptions = {
    ...(typeof dim === 'object' && dim !== null ? dim : { dim: dim ?? null }),
    ...(typeof keepdim === 'boolean' ? { keepdim } : keepdim),
    ...last,
  };
  if (x.dtype !== float32 && x.dtype !== float64)
    throw opError(
      'quantile',
      [x],
      `not defined for ${x.dtype.name}`,
      'convert with .to(torch.float32)',
      'SB_DTYPE',
    );
  const flat = o.dim === null || o.dim === undefined;
  const source = flat ? reshape(x, [-1]) : x;
  const d = wrapDim(flat ? 0 : o.dim!, source.shape.length, 'quantile');
  const n = source.shape[d] ?? 1;
  if (n === 0 || x.numel() === 0)
    throw opError('quantile', [x], 'the tensor has no elements', undefined, 'SB_EMPTY');
  const list =
    q instanceof TensorClass
      ? Array.from({ length: q.numel() }, (_, i) =>
          Number(to(q, q.dtype).storage.as(q.dtype)[q.storageOffset + i]),
        )
      : [Number(plain(q as Scalar))];
  const sorted = sort(source, d)[0];
  const bad = any(isnan(source), d);
  const one = (fraction: number): Tensor => {
    if (!(fraction >= 0 && fraction <= 1))
      throw opError('quantile', [x], `q ${fraction} is not between 0 and 1`);
    const rank = fraction * (n - 1);
    const mode = o.interpolation ?? 'linear';
    const at =
      mode === 'lower'
        ? Math.floor(rank)
        : mode === 'higher'
          ? Math.ceil(rank)
          : mode === 'nearest'
            ? nearest(rank)
            : rank;
    const low = source.shape.length === 0 ? sorted : select(sorted, d, Math.floor(at));
    const weight = mode === 'midpoint' && rank % 1 !== 0 ? 0.5 : at - Math.floor(at);
    const value = weight === 0 ? low : lerp(low, select(sorted, d, Math.ceil(at)), new Float(weight));
    return maskedNan(value, bad);
  };
  const results = list.map((f) => {
    const r = one(f);
    return o.keepdim
      ? flat
        ? reshape(
            r,
            x.shape.map(() => 1),
          )
        : source.shape.length === 0
          ? r
          : unsqueeze(r, d)
      : r;
  });
  if (!(q instanceof TensorClass) || q.shape.length === 0) return results[0]!;
  if (results.length === 0) return alloc([0, ...one(0).shape], x.dtype, x.device);
  return stack(results, 0);
}
const maskedNan = (x: Tensor, where: Tensor): Tensor =>
  applyOp('maskedFill', [x, where], { value: Number.NaN });
function nearest(x: number): number {
  const r = Math.round(x);
  return Math.abs(x % 1) === 0.5 && r % 2 === 1 ? r - 1 : r;
}

export function allclose(
  x: Tensor,
  other: Tensor,
  o: { rtol?: number; atol?: number; equalNan?: boolean } = {},
): boolean {
  return truth(all(isclose(x, other, o)).wholeTensor());
}
export function equal(x: Tensor, other: Tensor): boolean {
  if (x.shape.length !== other.shape.length || x.shape.some((n, d) => n !== other.shape[d])) return false;
  return truth(all(eq(x, other)).wholeTensor());
}
export function truth(x: Tensor): boolean {
  if (x.numel() !== 1)
    throw opError('bool', [x], 'the truth of several elements is ambiguous', 'reduce with all() or any()');
  const value = to(x.localPart(), bool);
  return Number(value.storage.as(bool)[value.storageOffset]) !== 0;
}
export { alloc };
