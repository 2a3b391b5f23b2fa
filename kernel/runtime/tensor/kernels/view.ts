/** Views: same storage, other sizes and strides. Joins and moves of elements beside them. */
import { bool, promoteTypes } from '../dtype.js';
import { opError } from '../errors.js';
import { contiguousStrides, denseOrder, numelOf, sameShape, viewStrides } from '../shape.js';
import { getBackend } from '../state.js';
import type { Tensor } from '../tensor.js';
import { Tensor as TensorClass } from '../tensor.js';
import { alloc, allocRaw, allocStrided, contiguous, expanded, type KernelTable, viewOf } from './common.js';

function drop(x: readonly number[], dims: readonly number[]): number[] {
  return x.filter((_, d) => !dims.includes(d));
}

function pick(x: readonly number[], order: readonly number[]): number[] {
  return order.map((d) => x[d]!);
}

export const viewKernels = {
  alias: ([x]) => viewOf(x!, x!.shape, x!.strides),
  detach: ([x]) => viewOf(x!, x!.shape, x!.strides),
  view: ([x], { shape }) => {
    const strides = viewStrides(x!.shape, x!.strides, shape);
    if (!strides) {
      throw opError(
        'view',
        [x!],
        `to [${shape.join(', ')}]: strides [${x!.strides.join(', ')}] do not allow a view`,
        'use reshape, which copies where it must',
        'SB_VIEW',
      );
    }
    return viewOf(x!, shape, strides);
  },
  viewDtype: ([x], { dtype }) => {
    const t = x!;
    const ratio = t.dtype.itemsize / dtype.itemsize;
    const shape = [...t.shape];
    let strides = [...t.strides];
    let offset = t.storageOffset;
    if (ratio !== 1) {
      const last = shape.length - 1;
      if (last < 0)
        throw opError(
          'view',
          [t],
          `a 0-dim tensor cannot be viewed as ${dtype.name}, which has another size`,
          undefined,
          'SB_VIEW',
        );
      if (strides[last] !== 1)
        throw opError(
          'view',
          [t],
          `to ${dtype.name}: the last dimension is not contiguous`,
          'call contiguous() first',
          'SB_VIEW',
        );
      const fits =
        ratio > 1 ||
        (shape[last]! % (1 / ratio) === 0 &&
          offset % (1 / ratio) === 0 &&
          strides.slice(0, -1).every((s) => s % (1 / ratio) === 0));
      if (!fits)
        throw opError(
          'view',
          [t],
          `to ${dtype.name}: sizes and offset are not divisible by ${1 / ratio}`,
          undefined,
          'SB_VIEW',
        );
      shape[last] = shape[last]! * ratio;
      strides = strides.map((s, d) => (d === last ? 1 : s * ratio));
      offset *= ratio;
    }
    const out = new TensorClass({
      storage: t.storage,
      shape,
      strides,
      storageOffset: offset,
      dtype,
      device: t.device,
    });
    out.versionCounter = t.versionCounter;
    return out;
  },
  expand: ([x], { shape }) => {
    const t = x!;
    const shift = shape.length - t.shape.length;
    const fail = (): never => {
      throw opError(
        'expand',
        [t],
        `to [${shape.join(', ')}]: only dimensions of size 1 can be expanded, new ones come first`,
        undefined,
        'SB_BROADCAST',
      );
    };
    if (shift < 0) fail();
    const sizes = shape.map((n, d) => {
      if (d < shift) return n < 0 ? fail() : n;
      const old = t.shape[d - shift]!;
      return n === -1 ? old : n === old || old === 1 ? n : fail();
    });
    return expanded(t, sizes).shape === t.shape
      ? viewOf(t, t.shape, t.strides)
      : expanded(t, sizes) === t
        ? viewOf(t, t.shape, t.strides)
        : expanded(t, sizes);
  },
  repeat: ([x], { repeats }) => {
    const t = contiguous(x!);
    const lead = repeats.length - t.shape.length;
    const shape = repeats.map((_, d) => (d < lead ? 1 : t.shape[d - lead]!));
    const strides = repeats.map((_, d) => (d < lead ? 0 : t.strides[d - lead]!));
    const out = alloc(
      shape.map((n, d) => n * repeats[d]!),
      t.dtype,
      t.device,
    );
    if (t.isMeta || out.numel() === 0) return out;
    // Every dimension as two, how often and how many: the copies are a repeated view of the input.
    const spread = repeats.flatMap((times, d) => [times, shape[d]!]);
    const from = viewOf(
      t,
      spread,
      repeats.flatMap((_, d) => [0, strides[d]!]),
    );
    getBackend().copy(from.nd(), viewOf(out, spread, contiguousStrides(spread)).nd());
    return out;
  },
  permute: ([x], { dims }) => viewOf(x!, pick(x!.shape, dims), pick(x!.strides, dims)),
  select: ([x], { dim, index }) =>
    viewOf(x!, drop(x!.shape, [dim]), drop(x!.strides, [dim]), x!.storageOffset + index * x!.strides[dim]!),
  slice: ([x], { dim, start, end, step }) => {
    const shape = [...x!.shape];
    const strides = [...x!.strides];
    shape[dim] = Math.max(0, Math.ceil((end - start) / step));
    strides[dim] = strides[dim]! * step;
    return viewOf(x!, shape, strides, x!.storageOffset + start * x!.strides[dim]!);
  },
  squeeze: ([x], { dims }) => {
    const gone = dims.filter((d) => x!.shape[d] === 1);
    return viewOf(x!, drop(x!.shape, gone), drop(x!.strides, gone));
  },
  unsqueeze: ([x], { dim }) => {
    const stride = dim < x!.shape.length ? x!.shape[dim]! * x!.strides[dim]! : 1;
    return viewOf(x!, x!.shape.toSpliced(dim, 0, 1), x!.strides.toSpliced(dim, 0, stride));
  },
  diagonal: ([x], { offset, dim1, dim2 }) => {
    const t = x!;
    const rows = t.shape[dim1]!;
    const columns = t.shape[dim2]!;
    const n = Math.max(0, offset >= 0 ? Math.min(rows, columns - offset) : Math.min(rows + offset, columns));
    const shift = n === 0 ? 0 : offset >= 0 ? offset * t.strides[dim2]! : -offset * t.strides[dim1]!;
    return viewOf(
      t,
      [...drop(t.shape, [dim1, dim2]), n],
      [...drop(t.strides, [dim1, dim2]), t.strides[dim1]! + t.strides[dim2]!],
      t.storageOffset + shift,
    );
  },
  unfold: ([x], { dim, size, step }) => {
    const t = x!;
    const shape = t.shape.length === 0 ? [1] : [...t.shape];
    const strides = t.shape.length === 0 ? [1] : [...t.strides];
    const inner = strides[dim]!;
    shape[dim] = Math.floor((shape[dim]! - size) / step) + 1;
    strides[dim] = inner * step;
    if (t.shape.length === 0) return viewOf(t, [size], [1]);
    return viewOf(t, [...shape, size], [...strides, inner]);
  },
  asStrided: ([x], { shape, strides, offset }) => {
    const last =
      numelOf(shape) === 0 ? offset : offset + shape.reduce((s, n, d) => s + (n - 1) * strides[d]!, 1);
    if (last * x!.dtype.itemsize > x!.storage.nbytes) {
      throw opError(
        'asStrided',
        [x!],
        `sizes [${shape.join(', ')}], strides [${strides.join(', ')}], offset ${offset} reach beyond the storage of ${x!.storage.nbytes} bytes`,
      );
    }
    return viewOf(x!, shape, strides, offset);
  },
  split: ([x], { dim, sizes }) => {
    let start = 0;
    return sizes.map((n) => {
      const shape = [...x!.shape];
      shape[dim] = n;
      const part = viewOf(x!, shape, x!.strides, x!.storageOffset + start * x!.strides[dim]!);
      start += n;
      return part;
    });
  },
  unbind: ([x], { dim }) =>
    Array.from({ length: x!.shape[dim]! }, (_, i) =>
      viewOf(x!, drop(x!.shape, [dim]), drop(x!.strides, [dim]), x!.storageOffset + i * x!.strides[dim]!),
    ),
  flip: ([x], { dims }) => {
    let out = x!;
    if (dims.length === 0) out = viewOf(x!, x!.shape, x!.strides);
    for (const d of dims) out = reorder(out, d, (i, n) => n - 1 - i);
    return out === x || dims.length === 0 ? likeIts(copyOf(out), x!) : likeIts(out, x!);
  },
  roll: ([x], { shifts, dims }) => {
    let out = x!;
    shifts.forEach((shift, i) => {
      out = reorder(out, dims[i]!, (at, n) => (((at - shift) % n) + n) % n);
    });
    return out === x ? copyOf(out) : out;
  },
  cat: (inputs, { dim }) => {
    const all = inputs as Tensor[];
    // A legacy of PyTorch: a 1-dim tensor without elements joins anything.
    const parts = all.filter((t) => !(t.shape.length === 1 && t.shape[0] === 0));
    const dtype = all.map((t) => t.dtype).reduce(promoteTypes);
    const model = parts[0] ?? all[0]!;
    if (model.shape.length === 0) throw opError('cat', all, '0-dim tensors cannot be joined', 'use stack');
    let n = 0;
    for (const t of parts) {
      const fits =
        t.shape.length === model.shape.length && t.shape.every((s, d) => d === dim || s === model.shape[d]);
      if (!fits) throw opError('cat', [model, t], `sizes must agree except in dimension ${dim}`);
      n += t.shape[dim]!;
    }
    const shape = [...model.shape];
    shape[dim] = n;
    const out = allocRaw(shape, dtype, model.device);
    let start = 0;
    for (const t of parts) {
      const into = viewOf(out, t.shape, out.strides, start * (out.strides[dim] ?? 1));
      if (!out.isMeta) getBackend().copy(t.nd(), into.nd());
      start += t.shape[dim]!;
    }
    return out;
  },
  stack: (inputs, { dim }) => {
    const all = inputs as Tensor[];
    const model = all[0]!;
    for (const t of all)
      if (!sameShape(t.shape, model.shape)) throw opError('stack', [model, t], 'the shapes differ');
    const dtype = all.map((t) => t.dtype).reduce(promoteTypes);
    const out = alloc(model.shape.toSpliced(dim, 0, all.length), dtype, model.device);
    const strides = out.strides.toSpliced(dim, 1);
    all.forEach((t, i) => {
      if (!out.isMeta) getBackend().copy(t.nd(), viewOf(out, t.shape, strides, i * out.strides[dim]!).nd());
    });
    return out;
  },
  constantPad: ([x], { pad, value }) => {
    const t = x!;
    const shape = [...t.shape];
    const before = new Array<number>(shape.length).fill(0);
    const cut = t.shape.map((n) => [0, n] as [number, number]);
    for (let i = 0; i * 2 < pad.length; i++) {
      const d = shape.length - 1 - i;
      const [lo, hi] = [pad[2 * i]!, pad[2 * i + 1]!];
      shape[d] = shape[d]! + lo + hi;
      before[d] = Math.max(0, lo);
      cut[d] = [Math.max(0, -lo), t.shape[d]! - Math.max(0, -hi)];
      if (shape[d]! < 0) throw opError('pad', [t], `padding [${pad.join(', ')}] leaves a negative size`);
    }
    const out = alloc(shape, t.dtype, t.device);
    if (out.isMeta) return out;
    if (value !== 0) getBackend().fill(value, out.nd());
    const sizes = cut.map(([a, b]) => Math.max(0, b - a));
    const at = (base: Tensor, starts: number[]): number =>
      base.storageOffset + starts.reduce((s, n, d) => s + n * base.strides[d]!, 0);
    getBackend().copy(
      viewOf(
        t,
        sizes,
        t.strides,
        at(
          t,
          cut.map(([a]) => a),
        ),
      ).nd(),
      viewOf(out, sizes, out.strides, at(out, before)).nd(),
    );
    return out;
  },
  tril: ([x], { diagonal }) => triangle('tril', x!, (r, c) => c - r <= diagonal),
  triu: ([x], { diagonal }) => triangle('triu', x!, (r, c) => c - r >= diagonal),
} satisfies Partial<KernelTable>;

/** Contents laid out in memory as `model` is, where that is dense. */
function likeIts(x: Tensor, model: Tensor): Tensor {
  if (model.isContiguous() || !denseOrder(model.shape, model.strides)) return x;
  const out = allocStrided(x.shape, model.strides, x.dtype, x.device);
  if (!x.isMeta) getBackend().copy(x.nd(), out.nd());
  return out;
}

function copyOf(x: Tensor): Tensor {
  const out = alloc(x.shape, x.dtype, x.device);
  if (!x.isMeta) getBackend().copy(x.nd(), out.nd());
  return out;
}

function reorder(x: Tensor, dim: number, from: (i: number, n: number) => number): Tensor {
  const n = x.shape[dim] ?? 1;
  const out = alloc(x.shape, x.dtype, x.device);
  if (x.isMeta || x.shape.length === 0) return x.isMeta ? out : copyOf(x);
  const index = Int32Array.from({ length: n }, (_, i) => from(i, n));
  getBackend().indexSelect(
    x.nd(),
    dim,
    { dtype: 'int32', data: index, shape: [n], strides: [1], offset: 0 },
    out.nd(),
  );
  return out;
}

function triangle(op: string, x: Tensor, keep: (row: number, column: number) => boolean): Tensor {
  if (x.shape.length < 2) throw opError(op, [x], 'needs at least 2 dimensions');
  const out = alloc(x.shape, x.dtype, x.device);
  if (x.isMeta) return out;
  const [rows, columns] = x.shape.slice(-2) as [number, number];
  const mask = alloc([rows, columns], bool, 'cpu');
  const flags = mask.storage.as(bool) as Uint8Array;
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) flags[r * columns + c] = keep(r, c) ? 1 : 0;
  const zero = alloc([], x.dtype, 'cpu');
  getBackend().where(expanded(mask, x.shape).nd(), x.nd(), expanded(zero, x.shape).nd(), out.nd());
  return out;
}
