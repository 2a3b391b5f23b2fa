/** The gradient of an embedding: rows of the table that several positions share are summed in SIMD, the others are copied. */
import type { Backend } from '../backend.js';
import { indices } from '../reference/access.js';
import { dense, isF32, PIECE, place } from './elementwise.js';
import type { Scratch } from './module.js';

/** Below this width a row is not worth a call. */
const WIDTH_MIN = 16;

export function embeddingKernels(reference: Backend, scratch: Scratch): Pick<Backend, 'embeddingBackward'> {
  return {
    embeddingBackward(grad, index, rows, paddingIdx, scaleByFreq, out) {
      const o = isF32(grad) ? place(out) : null;
      const width = out.shape[1]!;
      if (!o || width < WIDTH_MIN)
        return reference.embeddingBackward(grad, index, rows, paddingIdx, scaleByFreq, out);
      const g = dense(grad);
      o.fill(0);
      const positions = new Map<number, number[]>();
      for (const [i, id] of indices(index).entries()) {
        if (id === paddingIdx) continue;
        const list = positions.get(id);
        if (list) list.push(i);
        else positions.set(id, [i]);
      }
      const block = Math.max(1, Math.floor(PIECE / width));
      scratch.start(block * width + 2 * width + 32);
      const from = scratch.take(block * width);
      const sums = scratch.take(2 * width);
      for (const [id, list] of positions) {
        if (list.length === 1) {
          o.set(g.subarray(list[0]! * width, (list[0]! + 1) * width), id * width);
          continue;
        }
        scratch.zero(sums, 2 * width);
        for (let start = 0; start < list.length; start += block) {
          const part = list.slice(start, start + block);
          for (const [r, i] of part.entries())
            scratch.set(from + 4 * r * width, g.subarray(i * width, (i + 1) * width));
          scratch.kernels.columnSums(from, sums, part.length, width);
        }
        const scale = scaleByFreq ? 1 / list.length : 1;
        const totals = scratch.doubles(sums, width);
        for (let j = 0; j < width; j++) o[id * width + j] = scale * totals[j]!;
      }
    },
  };
}
