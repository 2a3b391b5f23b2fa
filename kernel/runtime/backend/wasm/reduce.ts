/** Sums of rows, of columns and of whole tensors through scratch. Partial sums meet in double precision. */
import { contiguousStrides, numelOf } from '../../base/index.js';
import type { Backend, Nd } from '../backend.js';
import { isContiguous } from '../reference/access.js';
import { dense, ELEMENTS_MIN, isF32, place } from './elementwise.js';
import type { Scratch } from './module.js';

/** How many numbers are summed at a time: a part of what decides the last bits. */
const PIECE = 1 << 12;

export function reduceKernels(reference: Backend, scratch: Scratch): Pick<Backend, 'reduce' | 'vectorNorm'> {
  /** out[row] = kernel over the row; a long row goes in pieces whose results are added. */
  function rows(
    x: Float32Array,
    out: Float32Array,
    n: number,
    kernel: (at: number, n: number) => number,
    finish: (total: number) => number,
  ): void {
    scratch.start(PIECE + 8);
    const at = scratch.take(PIECE);
    if (n <= PIECE) {
      const block = Math.floor(PIECE / n);
      for (let r = 0; r < out.length; r += block) {
        const count = Math.min(block, out.length - r);
        scratch.set(at, x.subarray(r * n, (r + count) * n));
        for (let i = 0; i < count; i++) out[r + i] = finish(kernel(at + 4 * i * n, n));
      }
      return;
    }
    for (let r = 0; r < out.length; r++) {
      let total = 0;
      for (let i = 0; i < n; i += PIECE) {
        const count = Math.min(PIECE, n - i);
        scratch.set(at, x.subarray(r * n + i, r * n + i + count));
        total += kernel(at, count);
      }
      out[r] = finish(total);
    }
  }

  function columns(x: Float32Array, out: Float32Array, n: number, finish: (total: number) => number): void {
    const count = x.length / n;
    const block = Math.max(1, Math.floor(PIECE / n));
    scratch.start(block * n + 2 * n + 32);
    const at = scratch.take(block * n);
    const sums = scratch.take(2 * n);
    scratch.zero(sums, 2 * n);
    for (let r = 0; r < count; r += block) {
      const m = Math.min(block, count - r);
      scratch.set(at, x.subarray(r * n, (r + m) * n));
      scratch.kernels.columnSums(at, sums, m, n);
    }
    const totals = scratch.doubles(sums, n);
    for (let i = 0; i < n; i++) out[i] = finish(totals[i]!);
  }

  /** Whether the reduced dimensions are the last ones, the first ones, or neither, of those larger than 1. */
  function side(x: Nd, dims: readonly number[]): 'rows' | 'columns' | null {
    const real = x.shape.map((_, d) => d).filter((d) => x.shape[d] !== 1);
    const k = real.filter((d) => dims.includes(d)).length;
    const isReduced = (part: number[]): boolean => part.every((d) => dims.includes(d));
    if (isReduced(real.slice(real.length - k))) return 'rows';
    return isReduced(real.slice(0, k)) ? 'columns' : null;
  }

  /** x with its dimensions in the order of memory, when it lies densely in some order. */
  function ordered(x: Nd, dims: readonly number[]): { x: Nd; dims: number[]; kept: number[] } | null {
    const all = x.shape.map((_, d) => d);
    const order = isContiguous(x) ? all : [...all].sort((p, q) => x.strides[q]! - x.strides[p]! || p - q);
    const moved = { ...x, shape: order.map((d) => x.shape[d]!), strides: order.map((d) => x.strides[d]!) };
    if (!isContiguous(moved)) return null;
    const kept = order.filter((d) => !dims.includes(d));
    return { x: moved, dims: dims.map((d) => order.indexOf(d)), kept };
  }

  /** The operand and what to do with it; null where the reference serves. */
  function plan(x: Nd, dims: readonly number[], out: Nd): (Ordered & { out: Float32Array }) | null {
    const o = isF32(x) ? place(out) : null;
    if (!o || numelOf(x.shape) < ELEMENTS_MIN || o.length === 0) return null;
    const found = ordered(x, dims);
    // Results come in the order of memory: right where that is the order of dimensions.
    if (!found || found.kept.some((d, i) => i > 0 && d < found.kept[i - 1]!)) return null;
    const to = side(found.x, found.dims);
    return to && { values: dense({ ...found.x, strides: contiguousStrides(found.x.shape) }), to, out: o };
  }

  return {
    reduce(op, x, dims, out) {
      const p = op === 'sum' || op === 'mean' ? plan(x, dims, out) : null;
      if (!p) return reference.reduce(op, x, dims, out);
      const n = p.values.length / p.out.length;
      const finish = op === 'mean' ? (total: number) => total / n : (total: number) => total;
      if (p.to === 'rows') rows(p.values, p.out, n, scratch.kernels.sum, finish);
      else columns(p.values, p.out, p.out.length, finish);
    },
    vectorNorm(x, ord, dims, out) {
      const p = ord === 2 ? plan(x, dims, out) : null;
      if (p?.to !== 'rows') return reference.vectorNorm(x, ord, dims, out);
      // Squares of values beyond 1e19 leave f32: their sum is not finite, and the reference squares in double.
      rows(
        p.values,
        p.out,
        p.values.length / p.out.length,
        (at, n) => scratch.kernels.squares(at, n, 0),
        Math.sqrt,
      );
      if (!p.out.every((v) => Number.isFinite(v) && v > 1e-15)) reference.vectorNorm(x, ord, dims, out);
    },
  };
}

interface Ordered {
  values: Float32Array;
  to: 'rows' | 'columns';
}
