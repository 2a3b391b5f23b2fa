/** Gather, scatter, advanced indexing, masks, embedding. Indices are checked here, backends trust them. */
import { bool, type DType, iinfo, int32, int64 } from '../dtype.js';
import { opError } from '../errors.js';
import { contiguousStrides, expandStrides, numelOf, sameShape } from '../shape.js';
import { getBackend } from '../state.js';
import type { Tensor } from '../tensor.js';
import {
  alloc,
  allocRaw,
  allocStrided,
  broadcast,
  cast,
  contiguous,
  expanded,
  iteratorStrides,
  type KernelTable,
  refuseFloat8,
  viewOf,
} from './common.js';
import { cloneRaw } from './elementwise.js';

function checkIndexDtype(op: string, inputs: readonly (Tensor | null)[], index: Tensor): void {
  if (index.dtype !== int64 && index.dtype !== int32) {
    throw opError(
      op,
      inputs,
      `the index is ${index.dtype.name}`,
      'indices are int64 (torch.int64) or int32',
      'SB_INDEX_DTYPE',
    );
  }
}

/** Non-negative int64 positions below `size`; negatives count from the end when allowed. */
function positions(
  op: string,
  inputs: readonly (Tensor | null)[],
  index: Tensor,
  size: number,
  negative: boolean,
): Tensor {
  checkIndexDtype(op, inputs, index);
  if (index.isMeta) return index;
  const out = cloneRaw(cast(index, int64), true);
  const data = out.storage.as(int64) as BigInt64Array;
  const n = BigInt(size);
  for (let i = 0; i < data.length; i++) {
    const v = data[i]!;
    if (v >= n || v < (negative ? -n : 0n)) {
      throw opError(
        op,
        inputs,
        `index ${v} is out of range for a dimension of ${size} elements`,
        undefined,
        'SB_INDEX_RANGE',
      );
    }
    if (v < 0n) data[i] = v + n;
  }
  return out;
}

function sizeAt(x: Tensor, dim: number): number {
  return x.shape.length === 0 ? 1 : x.shape[dim]!;
}

function sameDtype(op: string, self: Tensor, source: Tensor): void {
  if (self.dtype !== source.dtype)
    throw opError(
      op,
      [self, source],
      'the dtypes differ',
      `convert with .to(torch.${self.dtype.name})`,
      'SB_DTYPE',
    );
}

/** Advanced index: which dims of x have index tensors, where the broadcast dims go, flat positions. */
interface Advanced {
  /** x with the indexed dims first. */
  moved: Tensor;
  flat: Tensor;
  /** Shape of x[index] with the broadcast dims first. */
  leadShape: number[];
  shape: number[];
  /** From the lead order to the result's. */
  order: number[];
}

function advanced(op: string, x: Tensor, dims: readonly number[], given: readonly Tensor[]): Advanced {
  const rest = x.shape.map((_, d) => d).filter((d) => !dims.includes(d));
  const order = [...dims, ...rest];
  const moved = viewOf(
    x,
    order.map((d) => x.shape[d]!),
    order.map((d) => x.strides[d]!),
  );
  const shape = broadcast(op, given);
  const flat = alloc(shape, int64, x.isMeta ? 'meta' : 'cpu');
  if (!x.isMeta) {
    const total = flat.storage.as(int64) as BigInt64Array;
    for (let i = 0; i < dims.length; i++) {
      const size = BigInt(x.shape[dims[i]!]!);
      const ids = positions(op, [x, given[i]!], given[i]!, x.shape[dims[i]!]!, true);
      const column = contiguous(expanded(ids, shape)).storage.as(int64) as BigInt64Array;
      for (let j = 0; j < total.length; j++) total[j] = total[j]! * size + column[j]!;
    }
  }
  const leadShape = [...shape, ...rest.map((d) => x.shape[d]!)];
  // Side by side: the broadcast dims replace the indexed ones in place.
  const together = dims.every((d, i) => i === 0 || d === dims[i - 1]! + 1);
  const before = together ? dims[0]! : 0;
  const n = shape.length;
  const result = leadShape.map((_, d) => d);
  const back = [...result.slice(n, n + before), ...result.slice(0, n), ...result.slice(n + before)];
  return { moved, flat, leadShape, shape: back.map((d) => leadShape[d]!), order: back };
}

/** The result of `index` as PyTorch's iterator lays it out: by the strides of what is taken, then of the indices. */
function inIteratorLayout(
  result: Tensor,
  x: Tensor,
  dims: readonly number[],
  given: readonly Tensor[],
  a: Advanced,
): Tensor {
  const broadcastShape = a.flat.shape;
  const lead = broadcastShape.map(() => 0);
  const rest = x.strides.filter((_, d) => !dims.includes(d));
  const inOrder = (strides: readonly number[]): number[] => a.order.map((d) => strides[d]!);
  const strides = iteratorStrides(result.shape, [
    inOrder([...lead, ...rest]),
    ...given.map((t) =>
      inOrder([...expandStrides(t.shape, t.strides, broadcastShape), ...rest.map(() => 0)]),
    ),
  ]);
  if (result.numel() === 0 || strides.every((s, d) => s === result.strides[d] || result.shape[d] === 1))
    return result;
  const out = allocStrided(result.shape, strides, result.dtype, result.device);
  if (!result.isMeta) getBackend().copy(result.nd(), out.nd());
  return out;
}

function permuted(x: Tensor, order: readonly number[]): Tensor {
  return viewOf(
    x,
    order.map((d) => x.shape[d]!),
    order.map((d) => x.strides[d]!),
  );
}

function inverse(order: readonly number[]): number[] {
  return order.map((_, d) => order.indexOf(d));
}

function asRows(x: Tensor, leading: number): Tensor {
  const c = contiguous(x);
  const rows = numelOf(c.shape.slice(0, leading));
  const inner = numelOf(c.shape.slice(leading));
  return viewOf(c, [rows, inner], contiguousStrides([rows, inner]));
}

export const indexingKernels = {
  index: ([x, ...given], { dims }) => {
    const a = advanced('index', x!, dims, given as Tensor[]);
    const out = alloc(a.leadShape, x!.dtype, x!.device);
    if (!x!.isMeta && out.numel() > 0)
      getBackend().take(asRows(a.moved, dims.length).nd(), a.flat.nd(), out.nd());
    return inIteratorLayout(permuted(out, a.order), x!, dims, given as Tensor[], a);
  },
  indexPut: ([x, values, ...given], { dims, accumulate }) => {
    const out = cloneRaw(x!, true);
    if (x!.dtype !== values!.dtype)
      throw opError(
        'indexPut',
        [x!, values!],
        'the dtypes of tensor and values differ',
        undefined,
        'SB_DTYPE',
      );
    const a = advanced('indexPut', out, dims, given as Tensor[]);
    const source = contiguous(permuted(expandTo('indexPut', values!, a.shape), inverse(a.order)));
    if (x!.isMeta || numelOf(a.shape) === 0) return out;
    const work = contiguous(a.moved);
    const rows = viewOf(work, [numelOf(work.shape)], [1]);
    const leading = numelOf(a.flat.shape);
    getBackend().put(
      rows.nd(),
      a.flat.nd(),
      viewOf(
        source,
        [leading, numelOf(source.shape) / leading],
        contiguousStrides([leading, numelOf(source.shape) / leading]),
      ).nd(),
      accumulate,
    );
    if (work !== a.moved) getBackend().copy(work.nd(), a.moved.nd());
    return out;
  },
  indexSelect: ([x, index], { dim }) => {
    if (index!.shape.length > 1)
      throw opError('indexSelect', [x!, index!], 'the index must have one dimension');
    const ids = positions('indexSelect', [x!, index!], index!, sizeAt(x!, dim), false);
    const shape = [...x!.shape];
    if (shape.length > 0) shape[dim] = index!.numel();
    const out = alloc(shape, x!.dtype, x!.device);
    if (!out.isMeta) getBackend().indexSelect(x!.nd(), dim, ids.nd(), out.nd());
    return out;
  },
  indexAdd: ([x, index, source], { dim, alpha }) =>
    indexWrite('indexAdd', 'add', x!, dim, index!, source!, alpha),
  indexCopy: ([x, index, source], { dim }) => indexWrite('indexCopy', 'set', x!, dim, index!, source!, 1),
  gather: ([x, index], { dim }) => {
    refuseFloat8('gather', [x!, index!], x!.dtype);
    checkGather('gather', x!, index!, dim);
    const out = alloc(index!.shape, x!.dtype, x!.device);
    const ids = positions('gather', [x!, index!], index!, sizeAt(x!, dim), false);
    if (!out.isMeta && out.numel() > 0) getBackend().gather(x!.nd(), dim, ids.nd(), out.nd());
    return out;
  },
  scatter: ([x, index, source], { dim, reduce, includeSelf }) =>
    scattered('scatter', x!, dim, index!, source!, reduce ?? 'set', includeSelf),
  scatterAdd: ([x, index, source], { dim }) => scattered('scatterAdd', x!, dim, index!, source!, 'add', true),
  maskedFill: ([x, mask, value], p) => {
    const t = x!;
    refuseFloat8('maskedFill', [t, mask!], t.dtype);
    checkMask('maskedFill', [t, mask!], mask!);
    const shape = broadcast('maskedFill', [t, mask!]);
    const out = alloc(shape, t.dtype, t.device);
    if (out.isMeta) return out;
    const v = value ? cast(value, t.dtype) : alloc([], t.dtype, 'cpu');
    if (!value) {
      checkFits('maskedFill', t, p.value!);
      getBackend().fill(p.value!, v.nd());
    }
    getBackend().where(
      expanded(mask!, shape).nd(),
      expanded(v, shape).nd(),
      expanded(t, shape).nd(),
      out.nd(),
    );
    return out;
  },
  maskedSelect: ([x, mask]) => {
    checkMask('maskedSelect', [x!, mask!], mask!);
    if (x!.isMeta)
      throw opError(
        'maskedSelect',
        [x!],
        'the size of the result depends on data a meta tensor does not have',
        undefined,
        'SB_META',
      );
    const shape = broadcast('maskedSelect', [x!, mask!]);
    const at = truePositions(expanded(mask!, shape));
    const flat = contiguous(expanded(x!, shape));
    const out = alloc([at.length], x!.dtype, 'cpu');
    getBackend().take(
      viewOf(flat, [numelOf(shape), 1], [1, 1]).nd(),
      { dtype: 'int32', data: at, shape: [at.length], strides: [1], offset: 0 },
      out.nd(),
    );
    return out;
  },
  maskedScatter: ([x, mask, source]) => {
    checkMask('maskedScatter', [x!, mask!], mask!);
    sameDtype('maskedScatter', x!, source!);
    const out = contiguous(cloneRaw(expanded(x!, broadcast('maskedScatter', [x!, mask!])), true));
    if (out.isMeta) return out;
    const at = truePositions(expanded(mask!, out.shape));
    if (at.length > source!.numel())
      throw opError(
        'maskedScatter',
        [x!, mask!, source!],
        `the mask has ${at.length} places and the source only ${source!.numel()} elements`,
      );
    const flat = viewOf(out, [out.numel()], [1]);
    const from = viewOf(contiguous(source!), [at.length, 1], [1, 1]);
    if (at.length > 0)
      getBackend().put(
        flat.nd(),
        { dtype: 'int32', data: at, shape: [at.length], strides: [1], offset: 0 },
        from.nd(),
        false,
      );
    return out;
  },
  embedding: ([weight, index]) => {
    checkIndexDtype('embedding', [weight!, index!], index!);
    if (weight!.shape.length !== 2)
      throw opError('embedding', [weight!, index!], 'the weight must have two dimensions');
    const out = allocRaw([...index!.shape, weight!.shape[1]!], weight!.dtype, weight!.device);
    if (out.isMeta) return out;
    const ids = positions('embedding', [weight!, index!], index!, weight!.shape[0]!, false);
    if (out.numel() > 0) {
      const n = index!.numel();
      const width = weight!.shape[1]!;
      getBackend().indexSelect(
        weight!.nd(),
        0,
        viewOf(ids, [n], [1]).nd(),
        viewOf(out, [n, width], [width, 1]).nd(),
      );
    }
    return out;
  },
  embeddingBackward: ([grad, index], { rows, paddingIdx, scaleGradByFreq }) => {
    const width = grad!.shape[grad!.shape.length - 1]!;
    const out = allocRaw([rows, width], grad!.dtype, grad!.device);
    if (!out.isMeta)
      getBackend().embeddingBackward(grad!.nd(), index!.nd(), rows, paddingIdx, scaleGradByFreq, out.nd());
    return out;
  },
} satisfies Partial<KernelTable>;

function checkMask(op: string, inputs: readonly Tensor[], mask: Tensor): void {
  if (mask.dtype !== bool)
    throw opError(
      op,
      inputs,
      `the mask is ${mask.dtype.name}, not bool`,
      'compare first, or convert with .to(torch.bool)',
      'SB_DTYPE',
    );
}

function checkFits(op: string, t: Tensor, value: number | bigint): void {
  if (t.dtype.isFloatingPoint || t.dtype === bool) return;
  const { min, max } = iinfo(t.dtype);
  const whole = typeof value === 'bigint' ? value : Number.isFinite(value) ? BigInt(Math.trunc(value)) : null;
  // A negative whole number wraps around in uint8.
  const negative = min === 0n && value < 0 && !(typeof value === 'bigint' || Number.isInteger(value));
  if (whole === null || negative || whole < (min === 0n ? -max : min) || whole > max) {
    throw opError(
      op,
      [t],
      `${value} cannot be held by ${t.dtype.name}`,
      'use a smaller number, or convert the tensor to a wider dtype',
      'SB_DTYPE',
    );
  }
}

function truePositions(mask: Tensor): Int32Array {
  const flags = contiguous(mask);
  const data = flags.storage.as(bool);
  const start = flags.storageOffset;
  const n = flags.numel();
  const at: number[] = [];
  for (let i = 0; i < n; i++) if (data[start + i]) at.push(i);
  return Int32Array.from(at);
}

function expandTo(op: string, x: Tensor, shape: readonly number[]): Tensor {
  // Leading dimensions of size 1 beyond the target's are dropped, as assignment allows.
  let t = x;
  while (t.shape.length > shape.length && t.shape[0] === 1)
    t = viewOf(t, t.shape.slice(1), t.strides.slice(1));
  const shift = shape.length - t.shape.length;
  const fits = shift >= 0 && t.shape.every((n, d) => n === 1 || n === shape[d + shift]);
  if (!fits)
    throw opError(op, [x], `values do not broadcast to [${shape.join(', ')}]`, undefined, 'SB_BROADCAST');
  return expanded(t, shape);
}

function indexWrite(
  op: 'indexAdd' | 'indexCopy',
  mode: 'add' | 'set',
  x: Tensor,
  dim: number,
  index: Tensor,
  source: Tensor,
  alpha: number,
): Tensor {
  sameDtype(op, x, source);
  if (index.shape.length > 1) throw opError(op, [x, index, source], 'the index must have one dimension');
  const n = index.numel();
  const want = x.shape.map((s, d) => (d === dim ? n : s));
  if (x.shape.length > 0 && !sameShape(source.shape, want)) {
    throw opError(op, [x, index, source], `the source must be [${want.join(', ')}]`);
  }
  const ids = positions(op, [x, index, source], index, sizeAt(x, dim), false);
  const out = cloneRaw(x, true);
  if (!out.isMeta && n > 0 && x.numel() > 0)
    getBackend().indexReduce(mode, out.nd(), dim, ids.nd(), source.nd(), alpha);
  return out;
}

function checkGather(op: string, x: Tensor, index: Tensor, dim: number): void {
  if (index.numel() === 0) return;
  const ndim = Math.max(1, x.shape.length);
  if (Math.max(1, index.shape.length) !== ndim)
    throw opError(op, [x, index], 'tensor and index must have the same number of dimensions');
  for (let d = 0; d < index.shape.length; d++) {
    if (d !== dim && index.shape[d]! > (x.shape[d] ?? 1))
      throw opError(op, [x, index], `the index is larger than the tensor in dimension ${d}`);
  }
}

function scattered(
  op: string,
  x: Tensor,
  dim: number,
  index: Tensor,
  source: Tensor,
  mode: 'set' | 'add' | 'mul' | 'prod' | 'amax' | 'amin' | 'mean',
  includeSelf: boolean,
): Tensor {
  checkIndexDtype(op, [x, index], index);
  checkGather(op, x, index, dim);
  sameDtype(op, x, source);
  const out = cloneRaw(x, true);
  if (index.numel() === 0) return out;
  for (let d = 0; d < index.shape.length; d++) {
    if (source.shape.length > 0 && index.shape[d]! > source.shape[d]!)
      throw opError(op, [x, index, source], `the index is larger than the source in dimension ${d}`);
  }
  const ids = positions(op, [x, index], index, sizeAt(x, dim), false);
  const from = source.shape.length === index.shape.length ? source : expanded(source, index.shape);
  if (!out.isMeta) getBackend().scatter(mode, out.nd(), dim, ids.nd(), from.nd(), includeSelf);
  return out;
}

export type { DType };
