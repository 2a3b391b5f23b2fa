/** What kernels of all families share: allocation, casts, promotion, permuted dense layouts. */
import { ShardbookError } from '../../base/index.js';
import { type DType, DType as DTypeClass, getDefaultDtype, resultType } from '../dtype.js';
import { opError } from '../errors.js';
import type { OpName, OpParams } from '../opnames.js';
import { broadcastShapes, denseOrder, expandStrides, numelOf, type Shape, sameShape } from '../shape.js';
import { getBackend } from '../state.js';
import { Storage } from '../storage.js';
import { type Device, Tensor } from '../tensor.js';

export type KernelOf<P> = (
  inputs: readonly (Tensor | null)[],
  params: P,
  out: Tensor | null,
) => Tensor | Tensor[];
export type Kernel<K extends OpName> = KernelOf<OpParams[K]>;

export type KernelTable<K extends OpName = OpName> = { [N in K]: Kernel<N> };

function notADtype(given: unknown): ShardbookError {
  return new ShardbookError({
    code: 'SB_DTYPE',
    message: `Cannot make a tensor: ${typeof given === 'string' ? `"${given}"` : String(given)} is not a dtype`,
    help: 'dtypes are values: torch.float32, torch.int64, ...',
  });
}

/** A new contiguous tensor; zeros, as fresh memory is. */
export function alloc(shape: Shape, dtype: DType, device: Device): Tensor {
  if (!(dtype instanceof DTypeClass)) throw notADtype(dtype);
  const bytes = numelOf(shape) * dtype.itemsize;
  return new Tensor({
    storage: device === 'meta' ? Storage.meta(bytes) : Storage.allocate(bytes),
    shape: [...shape],
    dtype,
    device,
  });
}

/** A new contiguous tensor of which the caller writes every element; until then it has whatever is in the memory. */
export function allocRaw(shape: Shape, dtype: DType, device: Device): Tensor {
  if (!(dtype instanceof DTypeClass)) throw notADtype(dtype);
  const bytes = numelOf(shape) * dtype.itemsize;
  return new Tensor({
    storage: device === 'meta' ? Storage.meta(bytes) : Storage.uninitialized(bytes),
    shape: [...shape],
    dtype,
    device,
  });
}

/** New memory with given strides of a dense layout; with `raw`, the caller writes every element. */
export function allocStrided(
  shape: Shape,
  strides: Shape,
  dtype: DType,
  device: Device,
  raw = false,
): Tensor {
  const bytes = numelOf(shape) * dtype.itemsize;
  return new Tensor({
    storage:
      device === 'meta' ? Storage.meta(bytes) : raw ? Storage.uninitialized(bytes) : Storage.allocate(bytes),
    shape: [...shape],
    strides: [...strides],
    dtype,
    device,
  });
}

/** A tensor of the same storage seen otherwise; shares the version counter. */
export function viewOf(x: Tensor, shape: Shape, strides: Shape, offset = x.storageOffset): Tensor {
  const out = new Tensor({
    storage: x.storage,
    shape: [...shape],
    strides: [...strides],
    storageOffset: offset,
    dtype: x.dtype,
    device: x.device,
  });
  out.versionCounter = x.versionCounter;
  return out;
}

export function deviceOf(op: string, inputs: readonly (Tensor | null)[]): Device {
  let device: Device | null = null;
  for (const t of inputs) {
    if (!t || (t.shape.length === 0 && inputs.length > 1 && t.device === 'cpu')) continue;
    if (device && device !== t.device)
      throw opError(
        op,
        inputs,
        `operands are on ${device} and ${t.device}`,
        'move them to one device',
        'SB_DEVICE',
      );
    device = t.device;
  }
  return device ?? inputs.find((t) => t !== null)?.device ?? 'cpu';
}

export function promote(inputs: readonly (Tensor | null)[]): DType {
  const first = inputs[0]!;
  // The common case: equal dtypes.
  if (inputs.every((t) => t !== null && t.dtype === first.dtype && !t.wrapped)) return first.dtype;
  return resultType(
    inputs
      .filter((t): t is Tensor => t !== null)
      .map((t) => ({ dtype: t.dtype, ndim: t.shape.length, wrapped: t.wrapped })),
  );
}

/** Integers and bools become the default floating dtype. */
export function floating(dtype: DType): DType {
  return dtype.isFloatingPoint ? dtype : getDefaultDtype();
}

/** New dense memory with the dimensions in the order in which x has them. */
export function allocOrdered(x: Tensor, dtype: DType): Tensor {
  return allocStrided(x.shape, iteratorStrides(x.shape, [x.strides]), dtype, x.device);
}

/** In another dtype, laid out in memory in the same order of dimensions. */
export function cast(x: Tensor, dtype: DType): Tensor {
  if (x.dtype === dtype) return x;
  const out = x.isContiguous() ? allocRaw(x.shape, dtype, x.device) : allocOrdered(x, dtype);
  if (!x.isMeta) getBackend().copy(x.nd(), out.nd());
  return out;
}

export function contiguous(x: Tensor): Tensor {
  if (x.isContiguous()) return x;
  const out = allocRaw(x.shape, x.dtype, x.device);
  if (!x.isMeta) getBackend().copy(x.nd(), out.nd());
  return out;
}

export function expanded(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : viewOf(x, shape, expandStrides(x.shape, x.strides, shape));
}

export function broadcast(op: string, inputs: readonly (Tensor | null)[]): number[] {
  const shapes = inputs.filter((t): t is Tensor => t !== null).map((t) => t.shape);
  const first = shapes[0]!;
  if (shapes.every((s) => sameShape(s, first))) return [...first];
  return broadcastShapes(shapes, () => `run "${op}": ${inputs.map((t) => t?.describe()).join(' and ')}`);
}

/** What PyTorch's CPU kernels compute in float8: everything else wants a cast. */
const FLOAT8: ReadonlySet<string> = new Set(['mul', 'abs', 'eq', 'ne', 'mm']);

/** float8 can be stored and cast, hardly ever computed in. */
export function refuseFloat8(op: string, inputs: readonly (Tensor | null)[], dtype: DType): void {
  if (dtype.isFloat8 && !(FLOAT8.has(op) && inputs.every((t) => !t?.wrapped || op === 'eq' || op === 'ne')))
    throw opError(
      op,
      inputs,
      `no arithmetic in ${dtype.name}`,
      'convert with .to(torch.float32) first',
      'SB_DTYPE',
    );
}

/**
 * Order of dimensions, fastest first, in which an elementwise operation walks its operands, as PyTorch's TensorIterator
 * finds it: by their strides, the first operand that can tell two dimensions apart deciding.
 */
function iteratorOrder(shape: Shape, strides: readonly Shape[]): number[] {
  const n = shape.length;
  const order = Array.from({ length: n }, (_, i) => n - 1 - i);
  const compare = (a: number, b: number): number => {
    for (const s of strides) {
      const [p, q] = [shape[a] === 1 ? 0 : s[a]!, shape[b] === 1 ? 0 : s[b]!];
      if (p === 0 || q === 0) continue;
      if (p !== q) return p < q ? -1 : 1;
      if (shape[a]! > shape[b]!) return 1;
    }
    return 0;
  };
  for (let i = 1; i < n; i++) {
    let at = i;
    for (let before = i - 1; before >= 0; before--) {
      const c = compare(order[before]!, order[at]!);
      if (c < 0) break;
      if (c > 0) {
        [order[before], order[at]] = [order[at]!, order[before]!];
        at = before;
      }
    }
  }
  return order;
}

/** Strides of a dense result in the order in which its operands, given by their strides, lie. */
export function iteratorStrides(shape: Shape, operands: readonly Shape[]): number[] {
  const out = new Array<number>(shape.length);
  let step = 1;
  for (const d of iteratorOrder(shape, operands)) {
    out[d] = step;
    step *= Math.max(1, shape[d]!);
  }
  return out;
}

/**
 * Runs an elementwise `body(operands, out)`. The result lies in memory in the order of its operands, as PyTorch's; the body
 * sees operands and result with their dimensions in that order, so that the result is contiguous.
 */
export function elementwise(
  inputs: readonly Tensor[],
  shape: Shape,
  dtype: DType,
  device: Device,
  out: Tensor | null,
  body: (operands: Tensor[], out: Tensor) => void,
): Tensor {
  const into = out && out.dtype === dtype && sameShape(out.shape, shape) ? out : null;
  const operands = inputs.map((t) => expanded(t, shape));
  if (
    into ||
    shape.length < 2 ||
    inputs.every((t) => t.shape.length === 0 || (t.isContiguous() && sameShape(t.shape, shape)))
  ) {
    const result = into ?? allocRaw(shape, dtype, device);
    if (device !== 'meta') body(operands, result);
    return result;
  }
  const full = inputs.find((t) => sameShape(t.shape, shape));
  const alike = full && inputs.every((t) => sameShape(t.shape, shape) && sameStrides(t, full));
  // All alike and dense: the very strides, those of dimensions of size 1 too.
  const dense = alike && denseOrder(full.shape, full.strides);
  const given = inputs.map((t) => expandStrides(t.shape, t.strides, shape));
  const strides = dense ? full.strides : iteratorStrides(shape, given);
  const result = allocStrided(shape, strides, dtype, device, true);
  if (device === 'meta') return result;
  const order = dense || iteratorOrder(shape, given).reverse();
  const turn = (t: Tensor): Tensor =>
    viewOf(
      t,
      order.map((d) => t.shape[d]!),
      order.map((d) => t.strides[d]!),
    );
  body(operands.map(turn), turn(result));
  return result;
}

function sameStrides(a: Tensor, b: Tensor): boolean {
  return a.strides.every((s, d) => s === b.strides[d] || a.shape[d] === 1);
}
