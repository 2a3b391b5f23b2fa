/** Shapes: views, joins, splits, moves. */
import { applyInplace, applyMulti, applyOp } from '../dispatch.js';
import {
  bfloat16,
  bool,
  type DType,
  DType as DTypeClass,
  float16,
  float32,
  float64,
  int8,
  int16,
  int32,
  int64,
  uint8,
} from '../dtype.js';
import { expectTensor, opError } from '../errors.js';
import { none } from '../opnames.js';
import { broadcastShapes, inferShape, numelOf, sameShape, viewStrides, wrapDim, wrapDims } from '../shape.js';
import { type Device, Tensor } from '../tensor.js';

type Sizes = (number | readonly number[])[];
const sizes = (given: Sizes): number[] =>
  given.length === 1 && Array.isArray(given[0]) ? [...(given[0] as number[])] : (given as number[]).slice();

export const alias = (x: Tensor): Tensor => applyOp('alias', [x], none);
/** The same memory outside the graph. */
export function detach(x: Tensor): Tensor {
  return applyOp('detach', [x], none);
}
export function detach_(x: Tensor): Tensor {
  if (x.viewBase)
    throw opError('detach_', [x], 'a view cannot be detached in place', 'use detach()', 'SB_INPLACE');
  x.clearHistory();
  return x;
}
export const clone = (x: Tensor, o: { memoryFormat?: 'contiguous' | 'preserve' } = {}): Tensor =>
  applyOp('clone', [x], { contiguous: o.memoryFormat === 'contiguous' });
export const contiguous = (x: Tensor): Tensor =>
  x.isContiguous() ? x : applyOp('clone', [x], { contiguous: true });

export function view(x: Tensor, ...shape: (number | readonly number[] | DType)[]): Tensor {
  if (shape[0] instanceof DTypeClass)
    return shape[0] === x.dtype ? alias(x) : applyOp('viewDtype', [x], { dtype: shape[0] });
  const next = inferShape(sizes(shape as Sizes), x.numel(), 'view', () => x.describe());
  return applyOp('view', [x], { shape: next });
}
export const viewAs = (x: Tensor, other: Tensor): Tensor => view(x, other.shape);
/** A view where the layout allows one, else a copy. */
export function reshape(x: Tensor, ...shape: (number | readonly number[])[]): Tensor {
  const next = inferShape(sizes(shape), x.numel(), 'reshape', () => x.describe());
  if (viewStrides(x.shape, x.strides, next)) return applyOp('view', [x], { shape: next });
  return applyOp('view', [applyOp('clone', [x], { contiguous: true })], { shape: next });
}
export const reshapeAs = (x: Tensor, other: Tensor): Tensor => reshape(x, other.shape);
export function flatten(
  x: Tensor,
  startDim: number | { startDim?: number; endDim?: number } = 0,
  endDim: number | { endDim?: number } = -1,
): Tensor {
  const first = typeof startDim === 'number' ? startDim : (startDim.startDim ?? 0);
  const last =
    typeof startDim === 'object'
      ? (startDim.endDim ?? -1)
      : typeof endDim === 'number'
        ? endDim
        : (endDim.endDim ?? -1);
  const a = wrapDim(first, x.shape.length, 'flatten');
  const b = wrapDim(last, x.shape.length, 'flatten');
  if (a > b) throw opError('flatten', [x], `startDim ${a} comes after endDim ${b}`);
  if (x.shape.length === 0) return reshape(x, [1]);
  if (a === b) return x;
  return reshape(x, [...x.shape.slice(0, a), numelOf(x.shape.slice(a, b + 1)), ...x.shape.slice(b + 1)]);
}
export const ravel = (x: Tensor): Tensor => reshape(contiguous(x), [-1]);
export function unflatten(x: Tensor, dim: number, shape: readonly number[]): Tensor {
  const d = wrapDim(dim, x.shape.length, 'unflatten');
  const parts = inferShape(shape, x.shape[d]!, 'unflatten', () => `dimension ${d} of ${x.describe()}`);
  return view(x, [...x.shape.slice(0, d), ...parts, ...x.shape.slice(d + 1)]);
}
export function expand(x: Tensor, ...shape: (number | readonly number[])[]): Tensor {
  return applyOp('expand', [x], { shape: sizes(shape) });
}
export const expandAs = (x: Tensor, other: Tensor): Tensor => expand(x, other.shape);
export const broadcastTo = (x: Tensor, shape: readonly number[]): Tensor => expand(x, shape);
export function broadcastTensors(...tensors: (Tensor | readonly Tensor[])[]): Tensor[] {
  const list = tensors.flat() as Tensor[];
  const shape = broadcastShapes(
    list.map((t) => t.shape),
    () => `run "broadcastTensors": ${list.map((t) => t.describe()).join(', ')}`,
  );
  return list.map((t) => expand(t, shape));
}
export function permute(x: Tensor, ...dims: (number | readonly number[])[]): Tensor {
  const order = wrapDims(sizes(dims), x.shape.length, 'permute');
  if (order.length !== x.shape.length)
    throw opError('permute', [x], `${order.length} dimensions given for ${x.shape.length}`);
  return applyOp('permute', [x], { dims: order });
}
export function transpose(x: Tensor, dim0: number, dim1: number): Tensor {
  const a = wrapDim(dim0, x.shape.length, 'transpose');
  const b = wrapDim(dim1, x.shape.length, 'transpose');
  const order = x.shape.map((_, d) => (d === a ? b : d === b ? a : d));
  return applyOp('permute', [x], { dims: order });
}
export { transpose as swapaxes, transpose as swapdims };
export function t(x: Tensor): Tensor {
  if (x.shape.length > 2)
    throw opError('t', [x], 'at most 2 dimensions can be transposed with t', 'use transpose(dim0, dim1)');
  return x.shape.length < 2 ? alias(x) : transpose(x, 0, 1);
}
export function movedim(
  x: Tensor,
  source: number | readonly number[],
  destination: number | readonly number[],
): Tensor {
  const from = wrapDims(source, x.shape.length, 'movedim');
  const to = wrapDims(destination, x.shape.length, 'movedim');
  const order = new Array<number>(x.shape.length).fill(-1);
  from.forEach((d, i) => {
    order[to[i]!] = d;
  });
  const rest = x.shape.map((_, d) => d).filter((d) => !from.includes(d));
  return permute(
    x,
    order.map((d) => (d === -1 ? rest.shift()! : d)),
  );
}
export { movedim as moveaxis };
export function select(x: Tensor, dim: number, index: number): Tensor {
  if (x.shape.length === 0)
    throw opError('select', [x], 'a 0-dim tensor has nothing to select from', 'use item()', 'SB_INDEX_RANGE');
  const d = wrapDim(dim, x.shape.length, 'select');
  const n = x.shape[d]!;
  if (!Number.isInteger(index) || index < -n || index >= n)
    throw opError(
      'select',
      [x],
      `index ${index} is out of range for dimension ${d} with size ${n}`,
      undefined,
      'SB_INDEX_RANGE',
    );
  return applyOp('select', [x], { dim: d, index: index < 0 ? index + n : index });
}
export function sliceDim(
  x: Tensor,
  dim: number,
  start: number | null,
  end: number | null,
  step: number,
): Tensor {
  const d = wrapDim(dim, x.shape.length, 'slice');
  const n = x.shape[d]!;
  if (!(step > 0))
    throw opError('slice', [x], `step ${step} must be greater than 0`, 'use flip for the reverse order');
  const clip = (v: number): number => Math.min(n, Math.max(0, v < 0 ? v + n : v));
  const a = clip(start ?? 0);
  return applyOp('slice', [x], { dim: d, start: a, end: Math.max(a, clip(end ?? n)), step });
}
export function narrow(x: Tensor, dim: number, start: number | Tensor, length: number): Tensor {
  const d = wrapDim(dim, x.shape.length, 'narrow');
  const n = x.shape[d] ?? 0;
  let s = typeof start === 'number' ? start : Number(start.storage.as(start.dtype)[start.storageOffset]);
  if (s < 0) s += n;
  if (x.shape.length === 0 || s < 0 || length < 0 || s + length > n)
    throw opError(
      'narrow',
      [x],
      `start ${s} and length ${length} exceed dimension ${d} of size ${n}`,
      undefined,
      'SB_INDEX_RANGE',
    );
  return applyOp('slice', [x], { dim: d, start: s, end: s + length, step: 1 });
}
export function squeeze(x: Tensor, dim?: number | readonly number[]): Tensor {
  return applyOp('squeeze', [x], { dims: wrapDims(dim, x.shape.length, 'squeeze') });
}
export function unsqueeze(x: Tensor, dim: number): Tensor {
  return applyOp('unsqueeze', [x], { dim: wrapDim(dim, x.shape.length + 1, 'unsqueeze') });
}
export function diagonal(
  x: Tensor,
  offset: number | { offset?: number; dim1?: number; dim2?: number } = 0,
  dim1 = 0,
  dim2 = 1,
): Tensor {
  const o = typeof offset === 'number' ? { offset, dim1, dim2 } : { offset: 0, dim1: 0, dim2: 1, ...offset };
  const a = wrapDim(o.dim1, x.shape.length, 'diagonal');
  const b = wrapDim(o.dim2, x.shape.length, 'diagonal');
  if (a === b) throw opError('diagonal', [x], `dim1 and dim2 are both ${a}`);
  return applyOp('diagonal', [x], { offset: o.offset, dim1: a, dim2: b });
}
export function unfold(x: Tensor, dim: number, size: number, step: number): Tensor {
  const d = wrapDim(dim, x.shape.length, 'unfold');
  const n = x.shape.length === 0 ? 1 : x.shape[d]!;
  if (size > n || size < 0 || step <= 0)
    throw opError('unfold', [x], `size ${size} with step ${step} does not fit dimension ${d} of size ${n}`);
  return applyOp('unfold', [x], { dim: d, size, step });
}
export function asStrided(
  x: Tensor,
  size: readonly number[],
  stride: readonly number[],
  storageOffset?: number | { storageOffset?: number },
): Tensor {
  const offset =
    typeof storageOffset === 'number' ? storageOffset : (storageOffset?.storageOffset ?? x.storageOffset);
  return applyOp('asStrided', [x], { shape: [...size], strides: [...stride], offset });
}
function splitSizes(x: Tensor, dim: number, each: number): number[] {
  const n = x.shape[dim]!;
  if (n === 0) return [0];
  const out: number[] = [];
  for (let left = n; left > 0; left -= each) out.push(Math.min(each, left));
  return out;
}
export function split(
  x: Tensor,
  size: number | readonly number[],
  dim: number | { dim?: number } = 0,
): Tensor[] {
  const d = wrapDim(typeof dim === 'number' ? dim : (dim.dim ?? 0), x.shape.length, 'split');
  if (x.shape.length === 0) throw opError('split', [x], 'a 0-dim tensor cannot be split');
  const parts = typeof size === 'number' ? size : [...size];
  if (typeof parts === 'number') {
    if (parts < 0 || (parts === 0 && x.shape[d] !== 0))
      throw opError('split', [x], `size ${parts} must be positive`);
    return applyMulti('split', [x], { dim: d, sizes: parts === 0 ? [0] : splitSizes(x, d, parts) });
  }
  if (parts.some((s) => s < 0) || parts.reduce((a, b) => a + b, 0) !== x.shape[d]) {
    throw opError(
      'split',
      [x],
      `sizes [${parts.join(', ')}] do not add up to ${x.shape[d]}, the size of dimension ${d}`,
    );
  }
  return applyMulti('split', [x], { dim: d, sizes: parts });
}
export { split as splitWithSizes };
export function chunk(x: Tensor, chunks: number, dim: number | { dim?: number } = 0): Tensor[] {
  const d = wrapDim(typeof dim === 'number' ? dim : (dim.dim ?? 0), x.shape.length, 'chunk');
  if (!(chunks > 0) || x.shape.length === 0)
    throw opError('chunk', [x], `cannot be cut into ${chunks} chunks`);
  const n = x.shape[d]!;
  const each = Math.ceil(n / chunks);
  if (each === 0) return applyMulti('split', [x], { dim: d, sizes: new Array<number>(chunks).fill(0) });
  return applyMulti('split', [x], { dim: d, sizes: splitSizes(x, d, each) });
}
export function tensorSplit(
  x: Tensor,
  at: number | readonly number[] | Tensor,
  dim: number | { dim?: number } = 0,
): Tensor[] {
  if (x.shape.length === 0) throw opError('tensorSplit', [x], 'a 0-dim tensor cannot be cut');
  const d = wrapDim(typeof dim === 'number' ? dim : (dim.dim ?? 0), x.shape.length, 'tensorSplit');
  const n = x.shape[d]!;
  let cuts: number[];
  if (typeof at === 'number') {
    if (at <= 0) throw opError('tensorSplit', [x], `cannot be cut into ${at} parts`);
    const base = Math.floor(n / at);
    cuts = Array.from({ length: at - 1 }, (_, i) => (i + 1) * base + Math.min(i + 1, n % at));
  } else
    cuts =
      at instanceof Tensor
        ? Array.from({ length: at.numel() }, (_, i) => Number(at.storage.as(at.dtype)[at.storageOffset + i]))
        : [...at];
  const bounds = [0, ...cuts, n];
  return bounds
    .slice(1)
    .map((end, i) => sliceDim(x, d, bounds[i]!, i + 1 === bounds.length - 1 ? n : end, 1));
}
export function unbind(x: Tensor, dim: number | { dim?: number } = 0): Tensor[] {
  if (x.shape.length === 0) throw opError('unbind', [x], 'a 0-dim tensor cannot be taken apart');
  return applyMulti('unbind', [x], {
    dim: wrapDim(typeof dim === 'number' ? dim : (dim.dim ?? 0), x.shape.length, 'unbind'),
  });
}
export function flip(x: Tensor, ...dims: (number | readonly number[])[]): Tensor {
  return applyOp('flip', [x], { dims: wrapDims(sizes(dims), x.shape.length, 'flip') });
}
export function roll(
  x: Tensor,
  shifts: number | readonly number[],
  dims?: number | readonly number[] | { dims?: number | readonly number[] },
): Tensor {
  const at =
    typeof dims === 'object' && dims !== null && 'dims' in dims
      ? dims.dims
      : (dims as number | readonly number[] | undefined);
  const by = typeof shifts === 'number' ? [shifts] : [...shifts];
  const list = at === undefined ? [] : typeof at === 'number' ? [at] : [...at];
  if (list.length > 0 && x.shape.length === 0)
    throw opError('roll', [x], 'a scalar has no dimensions', 'leave dims out');
  if (list.length === 0) {
    return view(applyOp('roll', [reshape(x, [-1])], { shifts: by, dims: [0] }), x.shape);
  }
  if (list.length !== by.length)
    throw opError('roll', [x], `${by.length} shifts for ${list.length} dimensions`);
  return applyOp('roll', [x], { shifts: by, dims: list.map((d) => wrapDim(d, x.shape.length, 'roll')) });
}
export function rot90(
  x: Tensor,
  k: number | { k?: number; dims?: readonly number[] } = 1,
  dims: readonly number[] = [0, 1],
): Tensor {
  if (x.shape.length < 2) throw opError('rot90', [x], 'needs at least 2 dimensions');
  const times = (((typeof k === 'number' ? k : (k.k ?? 1)) % 4) + 4) % 4;
  const [a, b] = (typeof k === 'object' ? (k.dims ?? dims) : dims) as [number, number];
  if (times === 1) return transpose(flip(x, b), a, b);
  if (times === 2) return flip(x, [a, b]);
  if (times === 3) return transpose(flip(x, a), a, b);
  return clone(x);
}
export function repeat(x: Tensor, ...times: (number | readonly number[])[]): Tensor {
  const reps = sizes(times);
  if (reps.length < x.shape.length)
    throw opError('repeat', [x], `${reps.length} repeats for ${x.shape.length} dimensions`);
  return applyOp('repeat', [x], { repeats: reps });
}
export function tile(x: Tensor, ...dims: (number | readonly number[])[]): Tensor {
  const reps = sizes(dims);
  return repeat(x, [...new Array<number>(Math.max(0, x.shape.length - reps.length)).fill(1), ...reps]);
}

function list(tensors: readonly Tensor[], op: string): readonly Tensor[] {
  if (!Array.isArray(tensors) || tensors.length === 0)
    throw opError(op, [], 'wanted a list of at least one tensor');
  for (const [i, t] of tensors.entries()) expectTensor(op, t, `entry ${i}`);
  return tensors;
}
export function cat(tensors: readonly Tensor[], dim: number | { dim?: number } = 0): Tensor {
  const all = list(tensors, 'cat');
  const model = all.find((x) => !(x.shape.length === 1 && x.shape[0] === 0)) ?? all[0]!;
  const d = wrapDim(typeof dim === 'number' ? dim : (dim.dim ?? 0), model.shape.length, 'cat');
  return applyOp('cat', all, { dim: d });
}
export { cat as concat, cat as concatenate };
export function stack(tensors: readonly Tensor[], dim: number | { dim?: number } = 0): Tensor {
  const all = list(tensors, 'stack');
  return applyOp('stack', all, {
    dim: wrapDim(typeof dim === 'number' ? dim : (dim.dim ?? 0), all[0]!.shape.length + 1, 'stack'),
  });
}
const atLeast = (x: Tensor, n: number): Tensor =>
  x.shape.length >= n
    ? x
    : n === 2
      ? reshape(x, x.shape.length === 0 ? [1, 1] : [1, x.shape[0]!])
      : reshape(x, [1]);
export const hstack = (tensors: readonly Tensor[]): Tensor => {
  if (tensors.length === 0) throw opError('hstack', [], 'wanted at least one tensor');
  const all = tensors.map((x) => atLeast(x, 1));
  return cat(all, all[0]!.shape.length === 1 ? 0 : 1);
};
export const vstack = (tensors: readonly Tensor[]): Tensor =>
  cat(
    tensors.map((x) => atLeast(x, 2)),
    0,
  );
export const pad = (x: Tensor, padding: readonly number[], value = 0): Tensor =>
  applyOp('constantPad', [x], { pad: [...padding], value });
export const tril = (x: Tensor, d: number | { diagonal?: number } = 0): Tensor =>
  applyOp('tril', [x], { diagonal: typeof d === 'number' ? d : (d.diagonal ?? 0) });
export const triu = (x: Tensor, d: number | { diagonal?: number } = 0): Tensor =>
  applyOp('triu', [x], { diagonal: typeof d === 'number' ? d : (d.diagonal ?? 0) });
export const tril_ = (x: Tensor, d: number | { diagonal?: number } = 0): Tensor =>
  applyInplace('tril', [x], { diagonal: typeof d === 'number' ? d : (d.diagonal ?? 0) });
export const triu_ = (x: Tensor, d: number | { diagonal?: number } = 0): Tensor =>
  applyInplace('triu', [x], { diagonal: typeof d === 'number' ? d : (d.diagonal ?? 0) });

// ---------------------------------------------------------------- in-place layout changes
function relayout(x: Tensor, next: Tensor): Tensor {
  if (x.constructor === Tensor) x.setLayout(next.shape, next.strides, next.storageOffset);
  else x.setData(next);
  if (next.gradFn) x.setHistory(next.gradFn, next.outputNr);
  x.versionCounter.value++;
  x.attrVersion = x.version;
  return x;
}
export const t_ = (x: Tensor): Tensor => relayout(x, t(x));
export const transpose_ = (x: Tensor, a: number, b: number): Tensor => relayout(x, transpose(x, a, b));
export const unsqueeze_ = (x: Tensor, dim: number): Tensor => relayout(x, unsqueeze(x, dim));
export const squeeze_ = (x: Tensor, dim?: number | readonly number[]): Tensor => relayout(x, squeeze(x, dim));

// ---------------------------------------------------------------- casts
export interface ToOptions {
  dtype?: DType | undefined;
  device?: string | undefined;
  copy?: boolean | undefined;
}
export function to(
  x: Tensor,
  target: DType | string | Tensor | ToOptions,
  ...rest: (DType | boolean | ToOptions | undefined)[]
): Tensor {
  let o: ToOptions = {};
  for (const a of [target, ...rest]) {
    if (a === undefined || typeof a === 'boolean') continue;
    if (a instanceof DTypeClass) o.dtype = a;
    else if (typeof a === 'string') o.device = a;
    else if (a instanceof Tensor) o = { ...o, dtype: a.dtype, device: a.device };
    else o = { ...o, ...a };
  }
  const dtype = o.dtype ?? x.dtype;
  const device = checkDevice(o.device) ?? x.device;
  if (dtype === x.dtype && device === x.device) return o.copy ? clone(x) : x;
  return applyOp('toCopy', [x], { dtype, device });
}
export function checkDevice(device: string | undefined | null): Device | undefined {
  if (device === undefined || device === null) return undefined;
  if (device === 'cpu' || device === 'meta') return device;
  if (device.startsWith('cpu:')) return 'cpu';
  throw opError('to', [], `there is no device "${device}"`, 'devices are "cpu" and "meta"', 'SB_DEVICE');
}
const caster =
  (dtype: DType) =>
  (x: Tensor): Tensor =>
    to(x, dtype);
export const [double, float, half, bfloat, long, int] = [
  caster(float64),
  caster(float32),
  caster(float16),
  caster(bfloat16),
  caster(int64),
  caster(int32),
];
export const [short, char, byte, boolCast] = [caster(int16), caster(int8), caster(uint8), caster(bool)];
export const typeAs = (x: Tensor, other: Tensor): Tensor => to(x, other.dtype);
export const type = (x: Tensor, dtype?: DType): Tensor | string =>
  dtype ? to(x, dtype) : x.dtype.toString();
export const cpu = (x: Tensor): Tensor => to(x, 'cpu');

/** Sums broadcast dimensions away: the gradient of an operand that was expanded. */
export function sumToSize(x: Tensor, ...shape: (number | readonly number[])[]): Tensor {
  const want = sizes(shape);
  if (sameShape(x.shape, want)) return x;
  const shift = x.shape.length - want.length;
  const dims: number[] = [];
  for (let d = 0; d < x.shape.length; d++)
    if (d < shift || (want[d - shift] === 1 && x.shape[d] !== 1)) dims.push(d);
  const out = dims.length === 0 ? x : applyOp('sum', [x], { dims, keepdim: true, dtype: null });
  return sameShape(out.shape, want) ? out : reshape(out, want);
}
