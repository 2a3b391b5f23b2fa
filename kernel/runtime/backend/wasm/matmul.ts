/** The matrix product through scratch, one batch entry at a time. */
import { contiguousStrides } from '../../base/index.js';
import type { Backend, Nd } from '../backend.js';
import { dense, isF32, place } from './elementwise.js';
import type { Scratch } from './module.js';

/** Multiplications below which copying costs more than it saves. */
export const PRODUCT_MIN = 4096;

export function productKernels(reference: Backend, scratch: Scratch): Pick<Backend, 'matmul'> {
  const matmul: Backend['matmul'] = (a, b, out, bias = null, alpha = 1, beta = 1) => {
    const o = isF32(a, b, bias) ? place(out) : null;
    const [count, m, k] = a.shape as [number, number, number];
    const n = b.shape[2]!;
    const row = bias && beta !== 0 ? rowOf(bias, n) : null;
    const plain = alpha === 1 && (!bias || beta === 0 || (beta === 1 && row !== null));
    if (!o || !plain || m * n * k < PRODUCT_MIN) return reference.matmul(a, b, out, bias, alpha, beta);
    const x = operand(a);
    const y = operand(b);
    // Kernel scratch is in bytes; one batch entry is in WASM memory at a time.
    scratch.start(x.extent + y.extent + m * n + n + scratch.kernels.matmulScratch(n) / 4 + 64);
    const xa = scratch.take(x.extent);
    const ya = scratch.take(y.extent);
    const c = scratch.take(m * n);
    const r = row ? scratch.put(row) : 0;
    const work = scratch.take(scratch.kernels.matmulScratch(n) >> 2);
    let lastX = -1;
    let lastY = -1;
    for (let s = 0; s < count; s++) {
      const xs = x.offset + s * x.batch;
      const ys = y.offset + s * y.batch;
      // A broadcast operand is copied once.
      if (xs !== lastX) scratch.set(xa, x.data.subarray(xs, xs + x.extent));
      if (ys !== lastY) scratch.set(ya, y.data.subarray(ys, ys + y.extent));
      lastX = xs;
      lastY = ys;
      scratch.kernels.matmul(xa, x.rs, x.cs, ya, y.rs, y.cs, c, m, n, k, false, work);
      if (r) scratch.kernels.addRow(c, r, m, n);
      scratch.read(c, m * n, o, s * m * n);
    }
  };

  return { matmul };
}

/** A bias that is one row for every row of the product, or null. */
function rowOf(bias: Nd, n: number): Float32Array | null {
  const rank = bias.shape.length;
  if (bias.strides.slice(0, rank - 1).some((stride, d) => stride !== 0 && bias.shape[d] !== 1)) return null;
  const row = { ...bias, shape: [n], strides: [bias.strides[rank - 1]!] };
  return dense(row);
}

interface Operand {
  data: Float32Array;
  offset: number;
  batch: number;
  rs: number;
  cs: number;
  /** Floats from the first to the last element of one batch entry. */
  extent: number;
}

/** A batch of matrices whose storage can be copied as it lies; scattered ones are made dense first. */
function operand(x: Nd): Operand {
  const [, rows, columns] = x.shape as [number, number, number];
  const [batch, rs, cs] = x.strides as [number, number, number];
  const extent = (rows - 1) * rs + (columns - 1) * cs + 1;
  if (extent <= 2 * rows * columns)
    return { data: x.data as Float32Array, offset: x.offset, batch, rs, cs, extent };
  const [b, r, c] = contiguousStrides(x.shape) as [number, number, number];
  return { data: dense(x), offset: 0, batch: b, rs: r, cs: c, extent: rows * columns };
}
