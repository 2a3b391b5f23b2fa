/** Reductions, scans, sorting, order statistics. */
import type { ReduceName } from '../../backend/backend.js';
import { bool, type DType, int64, uint8 } from '../dtype.js';
import { opError } from '../errors.js';
import type { Dims } from '../opnames.js';
import { numelOf } from '../shape.js';
import { getBackend } from '../state.js';
import type { Tensor } from '../tensor.js';
import { alloc, allocOrdered, cast, contiguous, type KernelTable, refuseFloat8, viewOf } from './common.js';

function reducedShape(shape: readonly number[], dims: readonly number[], keepdim: boolean): number[] {
  return keepdim
    ? shape.map((n, d) => (dims.includes(d) ? 1 : n))
    : shape.filter((_, d) => !dims.includes(d));
}

/** The result seen without its kept dimensions, as backends write it. */
function flatResult(out: Tensor, x: Tensor, dims: readonly number[]): Tensor {
  const shape = reducedShape(x.shape, dims, false);
  return out.shape.length === shape.length ? out : viewOf(out, shape, stridesOf(shape));
}

function stridesOf(shape: readonly number[]): number[] {
  let step = 1;
  const out = new Array<number>(shape.length);
  for (let d = shape.length - 1; d >= 0; d--) {
    out[d] = step;
    step *= shape[d]!;
  }
  return out;
}

function reduce(name: ReduceName, x: Tensor, { dims, keepdim }: Dims, dtype: DType): Tensor {
  const out = alloc(reducedShape(x.shape, dims, keepdim), dtype, x.device);
  if (!x.isMeta) getBackend().reduce(name, x.nd(), dims, flatResult(out, x, dims).nd());
  return out;
}

function summed(name: 'sum' | 'prod' | 'nansum', x: Tensor, p: Dims & { dtype: DType | null }): Tensor {
  const dtype = p.dtype ?? (x.dtype.isFloatingPoint ? x.dtype : int64);
  refuseFloat8(name, [x], dtype);
  return reduce(name, cast(x, dtype), p, dtype);
}

function extreme(name: 'amax' | 'amin', x: Tensor, p: Dims): Tensor {
  refuseFloat8(name, [x], x.dtype);
  if (p.dims.some((d) => x.shape[d] === 0))
    throw opError(name, [x], 'the reduced dimension has no elements', undefined, 'SB_EMPTY');
  return reduce(name, x, p, x.dtype);
}

function logic(name: 'all' | 'any', x: Tensor, p: Dims): Tensor {
  return reduce(name, x, p, x.dtype === uint8 ? uint8 : bool);
}

function needsFloat(name: string, x: Tensor): void {
  if (!x.dtype.isFloatingPoint || x.dtype.isFloat8) {
    throw opError(
      name,
      [x],
      `not defined for ${x.dtype.name}`,
      'convert with .to(torch.float32) first',
      'SB_DTYPE',
    );
  }
}

function alongDim(name: string, x: Tensor, dim: number): void {
  refuseFloat8(name, [x], x.dtype);
  if (x.shape.length > 0 && x.shape[dim] === 0)
    throw opError(name, [x], `dimension ${dim} has no elements`, undefined, 'SB_EMPTY');
}

function best(
  name: 'max' | 'min' | 'argmax' | 'argmin',
  x: Tensor,
  dim: number,
  keepdim: boolean,
): [Tensor, Tensor] {
  alongDim(name, x, dim);
  const dims = x.shape.length === 0 ? [] : [dim];
  const shape = reducedShape(x.shape, dims, keepdim);
  const values = alloc(shape, x.dtype, x.device);
  const indices = alloc(shape, int64, x.device);
  if (!x.isMeta && numelOf(shape) > 0) {
    getBackend().argReduce(
      name.endsWith('max'),
      x.nd(),
      dim,
      flatResult(values, x, dims).nd(),
      flatResult(indices, x, dims).nd(),
    );
  }
  return [values, indices];
}

function bestPlace(name: 'argmax' | 'argmin', x: Tensor, dim: number | null, keepdim: boolean): Tensor {
  if (dim !== null) return best(name, x, dim, keepdim)[1];
  const place = best(name, viewOf(contiguous(x), [x.numel()], [1]), 0, false)[1];
  return keepdim
    ? viewOf(
        place,
        x.shape.map(() => 1),
        x.shape.map(() => 1),
      )
    : place;
}

function sorted(x: Tensor, dim: number, descending: boolean): [Tensor, Tensor] {
  refuseFloat8('sort', [x], x.dtype);
  const values = allocOrdered(x, x.dtype);
  const indices = allocOrdered(x, int64);
  if (!x.isMeta && x.numel() > 0) getBackend().sort(x.nd(), dim, descending, values.nd(), indices.nd());
  return [values, indices];
}

function notBool(op: string, x: Tensor): Tensor {
  if (x.dtype === bool)
    throw opError(op, [x], 'not defined for bool', 'convert to an integer dtype', 'SB_DTYPE');
  return x;
}

function take(x: Tensor, dim: number, start: number, n: number): Tensor {
  if (x.shape.length === 0) return x;
  const shape = [...x.shape];
  shape[dim] = n;
  return contiguous(viewOf(x, shape, x.strides, x.storageOffset + start * x.strides[dim]!));
}

function dropDim(x: Tensor, dim: number, keepdim: boolean): Tensor {
  if (keepdim || x.shape.length === 0) return x;
  return viewOf(x, x.shape.toSpliced(dim, 1), x.strides.toSpliced(dim, 1));
}

function scanned(name: 'cumsum' | 'cumprod' | 'logcumsumexp', x: Tensor, dim: number, dtype: DType): Tensor {
  refuseFloat8(name, [x], dtype);
  const from = cast(x, dtype);
  const out = alloc(x.shape, dtype, x.device);
  if (!x.isMeta && x.numel() > 0) getBackend().scan(name, from.nd(), dim, out.nd());
  return out;
}

function scannedExtreme(largest: boolean, x: Tensor, dim: number): [Tensor, Tensor] {
  refuseFloat8(largest ? 'cummax' : 'cummin', [x], x.dtype);
  const values = alloc(x.shape, x.dtype, x.device);
  const indices = alloc(x.shape, int64, x.device);
  if (!x.isMeta && x.numel() > 0) getBackend().scanExtreme(largest, x.nd(), dim, values.nd(), indices.nd());
  return [values, indices];
}

function deviation(x: Tensor, p: Dims & { correction: number }, root: boolean): Tensor {
  needsFloat(root ? 'std' : 'var', x);
  const out = alloc(reducedShape(x.shape, p.dims, p.keepdim), x.dtype, x.device);
  if (x.isMeta) return out;
  const flat = flatResult(out, x, p.dims);
  // The root is taken before rounding to the dtype.
  const wide = root && x.dtype !== float64 ? alloc(flat.shape, float64, 'cpu') : flat;
  getBackend().variance(x.nd(), p.dims, p.correction, wide.nd(), null);
  if (root) getBackend().unary('sqrt', wide.nd(), wide.nd());
  if (wide !== flat) getBackend().copy(wide.nd(), flat.nd());
  return out;
}

import { float32, float64 } from '../dtype.js';

/** The 16-bit floats are rounded after each of the steps that logsumexp is made of. */
function smallLogsumexp(x: Tensor, p: Dims): Tensor {
  const backend = getBackend();
  const top = reduce('amax', x, { ...p, keepdim: true }, x.dtype);
  const infinite = alloc(top.shape, bool, 'cpu');
  backend.predicate('isinf', top.nd(), infinite.nd());
  const zero = viewOf(
    alloc([], x.dtype, 'cpu'),
    top.shape,
    top.shape.map(() => 0),
  );
  backend.where(infinite.nd(), zero.nd(), top.nd(), top.nd());
  const wide = viewOf(
    top,
    x.shape,
    top.strides.map((s, d) => (p.dims.includes(d) ? 0 : s)),
  );
  const shifted = alloc(x.shape, x.dtype, 'cpu');
  backend.binary('sub', x.nd(), wide.nd(), shifted.nd());
  backend.unary('exp', shifted.nd(), shifted.nd());
  const out = reduce('sum', shifted, p, x.dtype);
  backend.unary('log', out.nd(), out.nd());
  const shape = out.shape;
  backend.binary('add', out.nd(), viewOf(top, shape, stridesOf(shape)).nd(), out.nd());
  return out;
}

export const reduceKernels = {
  sum: ([x], p) => summed('sum', x!, p),
  nansum: ([x], p) => summed('nansum', x!, p),
  prod: ([x], p) => summed('prod', x!, p),
  mean: ([x], p) => {
    const dtype = p.dtype ?? x!.dtype;
    if (!dtype.isFloatingPoint || dtype.isFloat8)
      throw opError(
        'mean',
        [x!],
        `not defined for ${dtype.name}`,
        'pass { dtype: torch.float32 } or convert first',
        'SB_DTYPE',
      );
    return reduce('mean', cast(x!, dtype), p, dtype);
  },
  amax: ([x], p) => extreme('amax', x!, p),
  amin: ([x], p) => extreme('amin', x!, p),
  all: ([x], p) => logic('all', x!, p),
  any: ([x], p) => logic('any', x!, p),
  countNonzero: ([x], p) => reduce('countNonzero', x!, p, int64),
  logsumexp: ([x], p) => {
    const t = x!.dtype.isFloatingPoint ? x! : cast(x!, float32);
    refuseFloat8('logsumexp', [t], t.dtype);
    return t.dtype.isReduced && t.numel() > 0 && !t.isMeta
      ? smallLogsumexp(t, p)
      : reduce('logsumexp', t, p, t.dtype);
  },
  norm: ([x], p) => {
    const dtype = p.dtype ?? x!.dtype;
    needsFloat('norm', x!);
    const t = cast(x!, dtype);
    if ((p.ord < 0 || p.ord === Number.POSITIVE_INFINITY) && p.dims.some((d) => t.shape[d] === 0))
      throw opError('norm', [t], `no elements have a norm of order ${p.ord}`, undefined, 'SB_EMPTY');
    const out = alloc(reducedShape(t.shape, p.dims, p.keepdim), dtype, t.device);
    if (!t.isMeta) getBackend().vectorNorm(t.nd(), p.ord, p.dims, flatResult(out, t, p.dims).nd());
    return out;
  },
  var: ([x], p) => deviation(x!, p, false),
  std: ([x], p) => deviation(x!, p, true),
  max: ([x], { dim, keepdim }) => best('max', x!, dim, keepdim),
  min: ([x], { dim, keepdim }) => best('min', x!, dim, keepdim),
  argmax: ([x], { dim, keepdim }) => bestPlace('argmax', notBool('argmax', x!), dim, keepdim),
  argmin: ([x], { dim, keepdim }) => bestPlace('argmin', notBool('argmin', x!), dim, keepdim),
  sort: ([x], { dim, descending }) => sorted(x!, dim, descending),
  topk: ([x], { dim, k, largest }) => {
    const n = x!.shape.length === 0 ? 1 : x!.shape[dim]!;
    notBool('topk', x!);
    if (k < 0 || k > n)
      throw opError('topk', [x!], `k ${k} is out of range: dimension ${dim} has ${n} elements`);
    return sorted(x!, dim, largest).map((t) => take(t, dim, 0, k));
  },
  kthvalue: ([x], { dim, k, keepdim }) => {
    const n = x!.shape.length === 0 ? 1 : x!.shape[dim]!;
    notBool('kthvalue', x!);
    if (k < 1 || k > n)
      throw opError('kthvalue', [x!], `k ${k} is out of range: dimension ${dim} has ${n} elements`);
    return sorted(x!, dim, false).map((t) => dropDim(take(t, dim, k - 1, 1), dim, keepdim));
  },
  median: ([x], { dim, keepdim, ignoreNan }) => {
    const t = x!;
    notBool('median', t);
    alongDim('median', t, dim);
    const [values, indices] = sorted(t, dim, false);
    const n = t.shape.length === 0 ? 1 : t.shape[dim]!;
    const shape = t.shape.map((s, d) => (d === dim ? 1 : s));
    const position = alloc(shape, int64, t.device);
    const outV = alloc(shape, t.dtype, t.device);
    const outI = alloc(shape, int64, t.device);
    if (!t.isMeta && numelOf(shape) > 0) {
      // The lower of the two middle values; nan counts as the largest, and one nan makes the median nan.
      const flags = alloc(t.shape, bool, 'cpu');
      getBackend().predicate('isnan', t.nd(), flags.nd());
      const nans = reduce(
        'countNonzero',
        flags,
        { dims: t.shape.length === 0 ? [] : [dim], keepdim: true },
        int64,
      );
      const counts = nans.storage.as(int64) as BigInt64Array;
      const at = position.storage.as(int64) as BigInt64Array;
      for (let i = 0; i < at.length; i++) {
        const bad = Number(counts[i]);
        const valid = ignoreNan ? n - bad : n;
        at[i] = BigInt(bad > 0 && (!ignoreNan || valid === 0) ? n - bad : Math.floor((valid - 1) / 2));
      }
      getBackend().gather(values!.nd(), dim, position.nd(), outV.nd());
      getBackend().gather(indices!.nd(), dim, position.nd(), outI.nd());
    }
    return [dropDim(outV, dim, keepdim), dropDim(outI, dim, keepdim)];
  },
  cumsum: ([x], { dim, dtype }) =>
    scanned('cumsum', x!, dim, dtype ?? (x!.dtype.isFloatingPoint ? x!.dtype : int64)),
  cumprod: ([x], { dim, dtype }) =>
    scanned('cumprod', x!, dim, dtype ?? (x!.dtype.isFloatingPoint ? x!.dtype : int64)),
  logcumsumexp: ([x], { dim }) => {
    needsFloat('logcumsumexp', x!);
    return scanned('logcumsumexp', x!, dim, x!.dtype);
  },
  cummax: ([x], { dim }) => scannedExtreme(true, x!, dim),
  cummin: ([x], { dim }) => scannedExtreme(false, x!, dim),
} satisfies Partial<KernelTable>;
