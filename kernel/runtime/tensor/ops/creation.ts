/** New tensors. */

import type { TypedArray } from '../../base/index.js';
import { applyInplace } from '../dispatch.js';
import { bool, type DType, float64, getDefaultDtype, int64 } from '../dtype.js';
import { opError } from '../errors.js';
import { alloc, allocStrided, cast } from '../kernels/common.js';
import { contiguousStrides, denseOrder } from '../shape.js';
import { getBackend, state } from '../state.js';
import { Storage } from '../storage.js';
import { Tensor } from '../tensor.js';
import { type Float, isFloatScalar, isScalar, plain, type Scalar, type TensorOptions } from './scalar.js';
import { broadcastTensors, checkDevice, reshape, stack } from './views.js';

export type Nested = Scalar | Tensor | readonly Nested[] | TypedArray;

function finish(t: Tensor, o: TensorOptions): Tensor {
  if (o.requiresGrad) t.requiresGrad = true;
  return t;
}

/** Splits `zeros(2, 3, { dtype })` and `zeros([2, 3], { dtype })`. */
export function sizesAndOptions(
  args: readonly (number | readonly number[] | TensorOptions)[],
  op: string,
): [number[], TensorOptions] {
  const last = args[args.length - 1];
  const o = typeof last === 'object' && last !== null && !Array.isArray(last) ? (last as TensorOptions) : {};
  const rest = o === last ? args.slice(0, -1) : args;
  const shape = (rest.length === 1 && Array.isArray(rest[0]) ? [...rest[0]] : [...rest]) as number[];
  if (shape.some((n) => typeof n !== 'number' || n < 0 || !Number.isInteger(n)))
    throw opError(op, [], `sizes [${shape.join(', ')}] must be whole numbers, none negative`);
  return [shape, o];
}
type SizeArgs = (number | readonly number[] | TensorOptions)[];

/** A tensor of this shape; here its memory is always zeros. */
export function empty(...args: SizeArgs): Tensor {
  const [shape, o] = sizesAndOptions(args, 'empty');
  return finish(alloc(shape, o.dtype ?? getDefaultDtype(), checkDevice(o.device) ?? state.defaultDevice), o);
}
/** A tensor of zeros: `torch.zeros(2, 3)`, `torch.zeros([2, 3], { dtype: torch.int64 })`. */
export function zeros(...args: SizeArgs): Tensor {
  return empty(...args);
}
/** A tensor of ones: `torch.ones(2, 3)`, `torch.ones([2, 3], { dtype: torch.int64 })`. */
export function ones(...args: SizeArgs): Tensor {
  const [shape, o] = sizesAndOptions(args, 'ones');
  return full(shape, 1, { ...o, dtype: o.dtype ?? getDefaultDtype() });
}
/** A tensor filled with one value; its dtype follows from the value. */
export function full(shape: readonly number[] | number, value: Scalar, o: TensorOptions = {}): Tensor {
  const dtype =
    o.dtype ?? (typeof value === 'boolean' ? bool : isFloatScalar(value) ? getDefaultDtype() : int64);
  const t = alloc(
    typeof shape === 'number' ? [shape] : shape,
    dtype,
    checkDevice(o.device) ?? state.defaultDevice,
  );
  if (!t.isMeta) getBackend().fill(plain(value), t.nd());
  return finish(t, o);
}
export const scalarTensor = (value: Scalar, o: TensorOptions = {}): Tensor =>
  full([], value, { ...o, dtype: o.dtype ?? getDefaultDtype() });

/** A tensor of the shape, dtype and device of `x`. */
export function emptyLike(x: Tensor, o: TensorOptions = {}): Tensor {
  if (x.constructor !== Tensor && (o.device ?? x.device) === x.device) {
    const made = applyOp('fullLike', [x], { value: 0, unset: true });
    return finish(o.dtype ? made.to(o.dtype) : made, o);
  }
  const order = denseOrder(x.shape, x.strides);
  return finish(
    allocStrided(
      x.shape,
      order ? x.strides : contiguousStrides(x.shape),
      o.dtype ?? x.dtype,
      checkDevice(o.device) ?? x.device,
    ),
    o,
  );
}
/** Below autograd subclasses decide what a like-tensor is: fullLike goes through dispatch. */
export function fullLike(x: Tensor, value: Scalar, o: TensorOptions = {}): Tensor {
  if (x.constructor !== Tensor && (o.device ?? x.device) === x.device) {
    const made = dispatchFullLike(x, plain(value));
    return finish(o.dtype ? made.to(o.dtype) : made, o);
  }
  const t = emptyLike(x, { dtype: o.dtype, device: o.device });
  if (!t.isMeta) getBackend().fill(plain(value), t.nd());
  return finish(t, o);
}

import { applyOp } from '../dispatch.js';

const dispatchFullLike = (x: Tensor, value: number | bigint): Tensor => applyOp('fullLike', [x], { value });
/** Zeros of the shape, dtype and device of `x`. */
export const zerosLike = (x: Tensor, o: TensorOptions = {}): Tensor => fullLike(x, 0, o);
/** Ones of the shape, dtype and device of `x`. */
export const onesLike = (x: Tensor, o: TensorOptions = {}): Tensor => fullLike(x, 1, o);
const inherit = (x: Tensor, o: TensorOptions): TensorOptions => ({ dtype: x.dtype, device: x.device, ...o });
export const newZeros = (x: Tensor, ...args: SizeArgs): Tensor => {
  const [shape, o] = sizesAndOptions(args, 'newZeros');
  return zeros(shape, inherit(x, o));
};
export const newOnes = (x: Tensor, ...args: SizeArgs): Tensor => {
  const [shape, o] = sizesAndOptions(args, 'newOnes');
  return ones(shape, inherit(x, o));
};
export const newEmpty = newZeros;
export const newFull = (x: Tensor, shape: readonly number[], value: Scalar, o: TensorOptions = {}): Tensor =>
  full(shape, value, inherit(x, o));
export const newTensor = (x: Tensor, data: Nested, o: TensorOptions = {}): Tensor =>
  tensor(data, inherit(x, o));

/** A tensor of nested arrays. Whole numbers make int64, as in PyTorch; give `dtype` where JavaScript cannot tell 1.0 from 1. */
export function tensor(data: Nested, o: TensorOptions = {}): Tensor {
  if (data instanceof Tensor) return finish(cast(data.detach().clone(), o.dtype ?? data.dtype), o);
  if (ArrayBuffer.isView(data)) {
    const dtype =
      o.dtype ?? (data instanceof Float64Array || data instanceof Float32Array ? getDefaultDtype() : int64);
    const source =
      data instanceof BigInt64Array
        ? fromArray(data.slice(), int64)
        : fromArray(Float64Array.from(data as Float64Array), float64);
    return finish(toDevice(cast(source, dtype), o), o);
  }
  const shape: number[] = [];
  const values: Scalar[] = [];
  collect(data as Scalar | readonly Nested[], 0, shape, values);
  const dtype = o.dtype ?? infer(values);
  const exact = !dtype.isFloatingPoint && values.some((v) => typeof v === 'bigint');
  const array = exact
    ? BigInt64Array.from(values, (v) => BigInt(plain(v)))
    : Float64Array.from(values, (v) => Number(v));
  return finish(toDevice(cast(viewShape(fromArray(array, exact ? int64 : float64), shape), dtype), o), o);
}
const toDevice = (t: Tensor, o: TensorOptions): Tensor =>
  (checkDevice(o.device) ?? state.defaultDevice) === 'meta' ? t.to('meta') : t;
function viewShape(t: Tensor, shape: readonly number[]): Tensor {
  return new Tensor({ storage: t.storage, shape, dtype: t.dtype });
}
function fromArray(array: TypedArray, dtype: DType): Tensor {
  return new Tensor({ storage: Storage.of(array, dtype), shape: [array.length], dtype });
}
function infer(values: readonly Scalar[]): DType {
  if (values.length === 0) return getDefaultDtype();
  let dtype: DType = bool;
  for (const v of values) {
    if (isFloatScalar(v)) return getDefaultDtype();
    if (typeof v !== 'boolean') dtype = int64;
  }
  return dtype;
}
function collect(data: Nested, depth: number, shape: number[], out: Scalar[]): void {
  if (data instanceof Tensor) {
    if (data.numel() === 1 && data.shape.length === 0) out.push(item(data));
    else collect(tolist(data) as Nested, depth, shape, out);
    return;
  }
  if (ArrayBuffer.isView(data) || Array.isArray(data)) {
    const list = data as readonly Nested[];
    if (shape.length === depth) shape.push(list.length);
    else if (shape[depth] !== list.length)
      throw opError(
        'tensor',
        [],
        `nested lists of lengths ${shape[depth]} and ${list.length} at depth ${depth}`,
        'all lists at one depth must be equally long',
      );
    for (const e of list) collect(e, depth + 1, shape, out);
    return;
  }
  if (shape.length > depth) throw opError('tensor', [], 'numbers and lists are mixed at one depth');
  if (!isScalar(data)) {
    const shown = data === null || data === undefined ? String(data) : `a ${typeof data}`;
    throw opError('tensor', [], `the data hold ${shown}, wanted numbers, booleans and lists of them`);
  }
  out.push(data);
}
export const asTensor = (data: Nested, o: TensorOptions = {}): Tensor =>
  data instanceof Tensor ? (o.dtype ? data.to(o.dtype) : data) : tensor(data, o);
/** A tensor over the memory of a typed array, shared where the array spans its buffer. */
export const fromTypedArray = (data: TypedArray, shape: readonly number[], dtype: DType): Tensor =>
  new Tensor({ storage: Storage.of(data, dtype), shape: [...shape], dtype });

type Bound = number | bigint | Float;
/** Numbers from `start` (default 0) up to, but without, `end`: `torch.arange(6)`, `torch.arange(0, 10, 2)`. */
export function arange(
  start: Bound,
  end?: Bound | TensorOptions,
  step?: Bound | TensorOptions,
  options?: TensorOptions,
): Tensor {
  const isO = (v: unknown): v is TensorOptions => typeof v === 'object' && !(v instanceof Number);
  const o = [end, step, options].find(isO) ?? {};
  const hasEnd = end !== undefined && !isO(end);
  const [a, b] = hasEnd ? [start, end as Bound] : [0, start];
  const by = step !== undefined && !isO(step) ? step : 1;
  const dtype = o.dtype ?? ([a, b, by].some((v) => isFloatScalar(v)) ? getDefaultDtype() : int64);
  const [x, y, s] = [Number(a), Number(b), Number(by)];
  if (s === 0) throw opError('arange', [], 'step 0');
  if ((y - x) / s < 0) throw opError('arange', [], `from ${x} to ${y} with step ${s} never arrives`);
  const n = Math.ceil((y - x) / s);
  const whole = (v: Bound): boolean => typeof v === 'bigint' || Number.isInteger(v);
  if (dtype === int64 && ![x, y].every(Number.isSafeInteger) && [a, b, by].every(whole))
    return exactRange(
      BigInt(a as number | bigint),
      BigInt(b as number | bigint),
      BigInt(by as number | bigint),
      o,
    );
  const values = new Float64Array(n);
  for (let i = 0; i < n; i++) values[i] = x + i * s;
  return finish(toDevice(cast(fromArray(values, float64), dtype), o), o);
}
/** Whole numbers beyond those that a double tells apart. */
function exactRange(start: bigint, end: bigint, step: bigint, o: TensorOptions): Tensor {
  const rest = end - start - (step > 0n ? 1n : -1n);
  const values = BigInt64Array.from({ length: Number(rest / step) + 1 }, (_, i) => start + BigInt(i) * step);
  return finish(toDevice(fromArray(values, int64), o), o);
}
/** `steps` numbers from `start` to `end`, both included, at equal distances. */
export function linspace(
  start: Bound,
  end: Bound,
  steps: number | ({ steps: number } & TensorOptions),
  options: TensorOptions = {},
): Tensor {
  const o: TensorOptions = typeof steps === 'object' ? steps : options;
  const n = typeof steps === 'object' ? steps.steps : steps;
  if (!(n >= 0)) throw opError('linspace', [], `${n} steps, wanted at least 0`);
  const dtype = o.dtype ?? getDefaultDtype();
  // Bounds take the dtype of the result first.
  const [a, b] = [start, end].map((v) => (dtype.isFloatingPoint ? Number(v) : Math.trunc(Number(v)))) as [
    number,
    number,
  ];
  const by = n > 1 ? (b - a) / (n - 1) : 0;
  const values = Float64Array.from({ length: n }, (_, i) => (i < n / 2 ? a + by * i : b - by * (n - 1 - i)));
  return finish(toDevice(cast(fromArray(values, float64), dtype), o), o);
}
/** The identity matrix of `n` rows, or of `n` rows and `m` columns. */
export function eye(n: number, m?: number | TensorOptions, options: TensorOptions = {}): Tensor {
  const columns = typeof m === 'number' ? m : n;
  const o = typeof m === 'object' ? m : options;
  if (!(n >= 0 && columns >= 0))
    throw opError('eye', [], `${n} rows and ${columns} columns, wanted at least 0`);
  const values = new Float64Array(n * columns);
  for (let i = 0; i < Math.min(n, columns); i++) values[i * columns + i] = 1;
  return finish(
    toDevice(cast(viewShape(fromArray(values, float64), [n, columns]), o.dtype ?? getDefaultDtype()), o),
    o,
  );
}
function triangle(rows: number, columns: number, keep: (r: number, c: number) => boolean): Tensor {
  const at: [number[], number[]] = [[], []];
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++)
      if (keep(r, c)) {
        at[0].push(r);
        at[1].push(c);
      }
  return tensor(at, { dtype: int64 });
}
export const trilIndices = (r: number, c: number, offset: number | { offset?: number } = 0): Tensor =>
  triangle(r, c, (i, j) => j - i <= (typeof offset === 'number' ? offset : (offset.offset ?? 0)));
export const triuIndices = (r: number, c: number, offset: number | { offset?: number } = 0): Tensor =>
  triangle(r, c, (i, j) => j - i >= (typeof offset === 'number' ? offset : (offset.offset ?? 0)));
export function meshgrid(...args: (Tensor | readonly Tensor[] | { indexing?: 'ij' | 'xy' })[]): Tensor[] {
  const last = args[args.length - 1];
  const o =
    last && !(last instanceof Tensor) && !Array.isArray(last) ? (last as { indexing?: 'ij' | 'xy' }) : {};
  const list = (o === last ? args.slice(0, -1) : args).flat() as Tensor[];
  if (list.length === 0) throw opError('meshgrid', [], 'wanted at least one tensor');
  if (list.some((t) => t.shape.length > 1))
    throw opError('meshgrid', list, 'wanted tensors of one dimension');
  const swap = o.indexing === 'xy' && list.length > 1;
  const axes = swap ? [list[1]!, list[0]!, ...list.slice(2)] : list;
  const grids = broadcastTensors(
    axes.map((t, i) =>
      reshape(
        t,
        axes.map((_, d) => (d === i ? t.numel() : 1)),
      ),
    ),
  );
  const out = swap ? [grids[1]!, grids[0]!, ...grids.slice(2)] : grids;
  return swap ? out.map((g) => g.transpose(0, 1)).map((g) => g.transpose(0, 1)) : out;
}

/** The number in a tensor of one element; int64 beyond 2^53 comes as bigint. */
export function item(x: Tensor): number | bigint | boolean {
  if (x.numel() !== 1)
    throw opError(
      'item',
      [x],
      `only a tensor with one element is a number, this has ${x.numel()}`,
      'index it, reduce it, or use tolist()',
    );
  if (x.isMeta) throw opError('item', [x], 'a meta tensor has no data', undefined, 'SB_META');
  const values = flatValues(x.localPart());
  if (values.length !== 1)
    throw opError('item', [x], 'this rank has no part of it', 'use fullTensor(), or redistribute it first');
  return values[0]!;
}
export function flatValues(x: Tensor): (number | bigint | boolean)[] {
  if (x.isMeta) throw opError('tolist', [x], 'a meta tensor has no data', undefined, 'SB_META');
  if (x.dtype === int64) {
    const data = alloc(x.shape, int64, 'cpu');
    getBackend().copy(x.nd(), data.nd());
    return Array.from(data.storage.as(int64) as BigInt64Array, (v) =>
      v >= -9007199254740991n && v <= 9007199254740991n ? Number(v) : v,
    );
  }
  const data = alloc(x.shape, float64, 'cpu');
  getBackend().copy(x.nd(), data.nd());
  const numbers = Array.from(data.storage.as(float64) as Float64Array);
  return x.dtype === bool ? numbers.map((v) => v !== 0) : numbers;
}
export type NestedList = number | bigint | boolean | NestedList[];
/** The elements as nested lists. */
export function tolist(x: Tensor): NestedList {
  const values = flatValues(x);
  let at = 0;
  const build = (d: number): NestedList => {
    if (d === x.shape.length) return values[at++]!;
    return Array.from({ length: x.shape[d]! }, () => build(d + 1));
  };
  return build(0);
}
export { applyInplace, stack };
