/** Gather and scatter families. Values move as raw storage bits where nothing is computed. */

import type { TypedArray } from '../../base/index.js';
import { contiguousStrides, numelOf } from '../../base/index.js';
import type { Backend, Nd, ScatterMode } from '../backend.js';
import {
  bigs,
  type Compute,
  encode,
  indices,
  isContiguous,
  kindOf,
  load,
  type Numbers,
  offsetsOf,
  raw,
  scratch,
  store,
} from './access.js';
import { narrow } from './matmul.js';

function spans(shape: readonly number[], dim: number): { outer: number; n: number; inner: number } {
  return {
    outer: numelOf(shape.slice(0, dim)),
    n: shape[dim] ?? 1,
    inner: numelOf(shape.slice(dim + 1)),
  };
}

function like(x: Nd, n: number): TypedArray {
  return new (x.data.constructor as new (n: number) => TypedArray)(n);
}

function write(values: TypedArray, out: Nd): void {
  const data = out.data as Float32Array;
  const from = values as Float32Array;
  if (isContiguous(out)) {
    data.set(from, out.offset);
    return;
  }
  const offsets = offsetsOf(out);
  for (let i = 0; i < offsets.length; i++) data[offsets[i]!] = from[i]!;
}

export const indexSelect: Backend['indexSelect'] = (x, dim, index, out) => {
  const v = raw(x) as Float32Array;
  const ids = indices(index);
  const { outer, n, inner } = spans(x.shape, dim);
  const o = like(x, outer * ids.length * inner) as Float32Array;
  let at = 0;
  for (let a = 0; a < outer; a++) {
    for (let i = 0; i < ids.length; i++) {
      const from = (a * n + ids[i]!) * inner;
      if (inner > 16) o.set(v.subarray(from, from + inner), at);
      else for (let j = 0; j < inner; j++) o[at + j] = v[from + j]!;
      at += inner;
    }
  }
  write(o, out);
};

/** One accumulator cell per element of `out`, in double (int64: exact), written back with one rounding. */
class Cells {
  readonly big: boolean;
  readonly values: Float64Array | BigInt64Array;
  readonly counts: Int32Array | null;
  constructor(
    readonly out: Nd,
    readonly mode: ScatterMode,
    includeSelf: boolean,
  ) {
    this.big = kindOf(out.dtype) === 'i64';
    const now = load(out);
    this.values = this.big ? (now as BigInt64Array).slice() : Float64Array.from(now as Numbers);
    this.counts = mode === 'mean' || !includeSelf ? new Int32Array(now.length) : null;
    if (this.counts && includeSelf) this.counts.fill(1);
  }
  put(at: number, value: number | bigint): void {
    const cells = this.values as Float64Array;
    const x = value as number;
    if (this.mode === 'set') {
      cells[at] = x;
      return;
    }
    if (this.counts) {
      const first = this.counts[at] === 0;
      this.counts[at] = this.counts[at]! + 1;
      if (first) {
        cells[at] = x;
        return;
      }
    }
    const old = cells[at]!;
    if (this.mode === 'add' || this.mode === 'mean') cells[at] = old + x;
    else if (this.mode === 'amax')
      cells[at] = Number.isNaN(old) ? old : Number.isNaN(x) ? x : x > old ? x : old;
    else if (this.mode === 'amin')
      cells[at] = Number.isNaN(old) ? old : Number.isNaN(x) ? x : x < old ? x : old;
    else cells[at] = old * x;
  }
  finish(): void {
    if (this.mode === 'mean' && this.counts) {
      for (let i = 0; i < this.counts.length; i++) {
        const c = Math.max(1, this.counts[i]!);
        if (this.big) this.values[i] = floorDiv(this.values[i] as bigint, BigInt(c));
        else
          this.values[i] =
            kindOf(this.out.dtype) === 'i32'
              ? Math.floor((this.values[i] as number) / c)
              : (this.values[i] as number) / c;
      }
    }
    const final: Compute = this.big ? (this.values as BigInt64Array) : this.floats();
    write(encode(final, this.out.dtype), this.out);
  }
  private floats(): Compute {
    const values = this.values as Float64Array;
    if (kindOf(this.out.dtype) === 'i32') {
      const o = scratch('i32', values.length) as Int32Array;
      for (let i = 0; i < o.length; i++) o[i] = values[i]!;
      return o;
    }
    return narrow(values, this.out);
  }
}

function floorDiv(a: bigint, b: bigint): bigint {
  const q = a / b;
  return a % b !== 0n && a < 0n ? q - 1n : q;
}

export const indexReduce: Backend['indexReduce'] = (mode, out, dim, index, src, alpha) => {
  const ids = indices(index);
  const { outer, n, inner } = spans(out.shape, dim);
  const big = kindOf(out.dtype) === 'i64';
  const v = big ? bigs(src) : load(src);
  const cells = new Cells(out, mode, true);
  let at = 0;
  for (let a = 0; a < outer; a++) {
    for (let i = 0; i < ids.length; i++) {
      const to = (a * n + ids[i]!) * inner;
      for (let j = 0; j < inner; j++, at++) {
        const x = v[at]!;
        cells.put(to + j, alpha === 1 ? x : big ? BigInt(alpha) * (x as bigint) : alpha * (x as number));
      }
    }
  }
  cells.finish();
};

/** Flat position in a contiguous array of `shape` where element i of `index` points along dim. */
function targets(shape: readonly number[], dim: number, index: Nd): Int32Array {
  const ids = indices(index);
  if (index.shape.length === 0) return ids;
  const strides = contiguousStrides(shape);
  const step = strides[dim] ?? 1;
  const out = new Int32Array(ids.length);
  const base: Nd = { ...index, strides: strides.map((s, d) => (d === dim ? 0 : s)), offset: 0 };
  const offsets = offsetsOf(base);
  for (let i = 0; i < ids.length; i++) out[i] = offsets[i]! + ids[i]! * step;
  return out;
}

export const gather: Backend['gather'] = (x, dim, index, out) => {
  const v = raw(x) as Float32Array;
  const at = targets(x.shape.length === 0 ? [1] : x.shape, dim, index);
  const o = like(x, at.length) as Float32Array;
  for (let i = 0; i < at.length; i++) o[i] = v[at[i]!]!;
  write(o, out);
};

export const scatter: Backend['scatter'] = (mode, out, dim, index, src, includeSelf) => {
  const at = targets(out.shape.length === 0 ? [1] : out.shape, dim, index);
  // src may be larger than index: only the leading part of every dimension is used.
  const part: Nd = { ...src, shape: index.shape };
  const v = load(part);
  const cells = new Cells(out, mode, includeSelf);
  for (let i = 0; i < at.length; i++) cells.put(at[i]!, v[i]!);
  cells.finish();
};

export const take: Backend['take'] = (x, positions, out) => {
  const v = raw(x) as Float32Array;
  const ids = indices(positions);
  const total = numelOf(out.shape);
  const inner = ids.length === 0 ? 0 : total / ids.length;
  const o = like(x, total) as Float32Array;
  for (let i = 0; i < ids.length; i++) {
    for (let j = 0; j < inner; j++) o[i * inner + j] = v[ids[i]! * inner + j]!;
  }
  write(o, out);
};

export const put: Backend['put'] = (out, positions, src, accumulate) => {
  const ids = indices(positions);
  const total = numelOf(src.shape);
  const inner = ids.length === 0 ? 0 : total / ids.length;
  const v = load(src);
  const cells = new Cells(out, accumulate ? 'add' : 'set', true);
  for (let i = 0; i < ids.length; i++) {
    for (let j = 0; j < inner; j++) cells.put(ids[i]! * inner + j, v[i * inner + j]!);
  }
  cells.finish();
};

export { store };
