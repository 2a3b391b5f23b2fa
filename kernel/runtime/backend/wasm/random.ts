/** Random fills through scratch, piece by piece. */
import type { Backend } from '../backend.js';
import { ELEMENTS_MIN, PIECE } from './elementwise.js';
import type { Scratch } from './module.js';

/** Words of a Mersenne Twister, in whole vectors and one more to read beyond. */
const STATE = 628;

export function randomKernels(
  reference: Backend,
  scratch: Scratch,
): Pick<Backend, 'uniforms' | 'normalBlocks'> {
  return {
    uniforms(words, position, out) {
      if (out.length < ELEMENTS_MIN) return reference.uniforms(words, position, out);
      scratch.start(STATE + PIECE + 16);
      const [state, to] = [scratch.take(STATE), scratch.take(PIECE)];
      const memory = scratch.integers(state, words.length);
      memory.set(words);
      let used = position;
      for (let i = 0; i < out.length; i += PIECE) {
        const n = Math.min(PIECE, out.length - i);
        used = scratch.kernels.uniforms(state, used, to, n);
        scratch.read(to, n, out, i);
      }
      words.set(memory);
      return used;
    },
    normalBlocks(values, mean, std) {
      if (values.length < ELEMENTS_MIN || !scratch.isFused) return reference.normalBlocks(values, mean, std);
      scratch.start(PIECE + 8);
      const at = scratch.take(PIECE);
      for (let i = 0; i < values.length; i += PIECE) {
        const n = Math.min(PIECE, values.length - i);
        scratch.set(at, values.subarray(i, i + n));
        scratch.kernels.normalBlocks(at, n, mean, std);
        scratch.read(at, n, values, i);
      }
    },
  };
}
