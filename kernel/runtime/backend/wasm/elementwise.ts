/** Elementwise operations through scratch, piece by piece; operands that broadcast are spread into scratch on the way. */
import { numelOf } from '../../base/index.js';
import type { Backend, BinaryName, Nd, UnaryName } from '../backend.js';
import { floats, isContiguous } from '../reference/access.js';
import type { Scratch } from './module.js';

/** Elementwise work goes through scratch in pieces that stay in the L2 cache. */
export const PIECE = 1 << 14;
/** Below this size a call costs more than it saves. */
export const ELEMENTS_MIN = 64;
/** Runs of a broadcast operand shorter than this are spread by the reference. */
const RUN_MIN = 16;

export const isF32 = (...operands: (Nd | null | undefined)[]): boolean =>
  operands.every((x) => x === null || x === undefined || x.dtype === 'float32');
export const dense = (x: Nd): Float32Array => floats(x) as Float32Array;
/** The values of a contiguous float32 output, to be written in place; null when it must go through the reference. */
export function place(out: Nd): Float32Array | null {
  if (out.dtype !== 'float32' || !isContiguous(out)) return null;
  return (out.data as Float32Array).subarray(out.offset, out.offset + numelOf(out.shape));
}

type SimdUnary =
  | 'exp'
  | 'log'
  | 'tanh'
  | 'erf'
  | 'sigmoid'
  | 'silu'
  | 'neg'
  | 'abs'
  | 'sqrt'
  | 'rsqrt'
  | 'reciprocal'
  | 'square'
  | 'relu';
const UNARY: ReadonlySet<UnaryName> = new Set<SimdUnary>([
  'exp',
  'log',
  'tanh',
  'erf',
  'sigmoid',
  'silu',
  'neg',
  'abs',
  'sqrt',
  'rsqrt',
  'reciprocal',
  'square',
  'relu',
]);
type SimdBinary = 'add' | 'sub' | 'mul' | 'div' | 'maximum' | 'minimum';
const BINARY: ReadonlySet<BinaryName> = new Set<SimdBinary>([
  'add',
  'sub',
  'mul',
  'div',
  'maximum',
  'minimum',
]);

/** Writes elements i .. i + n of an operand, in the order of the output, to `at`. */
type Source = (at: number, i: number, n: number) => void;

/** How an operand repeats: the same `period` values again and again, or each value `repeat` times; null for neither. */
function pattern(x: Nd): { period: number } | { repeat: number } | null {
  const rank = x.shape.length;
  const still = x.shape.map((n, d) => n === 1 || x.strides[d] === 0);
  let trailing = rank;
  while (trailing > 0 && still[trailing - 1]) trailing--;
  if (
    trailing < rank &&
    isContiguous({ ...x, shape: x.shape.slice(0, trailing), strides: x.strides.slice(0, trailing) })
  )
    return { repeat: numelOf(x.shape.slice(trailing)) };
  let leading = 0;
  while (leading < rank && still[leading]) leading++;
  if (isContiguous({ ...x, shape: x.shape.slice(leading), strides: x.strides.slice(leading) }))
    return { period: numelOf(x.shape.slice(leading)) };
  return null;
}

export function elementwiseKernels(
  reference: Backend,
  scratch: Scratch,
): Pick<Backend, 'unary' | 'binary' | 'axpy' | 'gelu' | 'geluBackward' | 'thresholdBackward'> {
  function source(x: Nd): Source {
    if (!isContiguous(x)) {
      const p = pattern(x);
      const data = x.data as Float32Array;
      if (p && 'repeat' in p && p.repeat >= RUN_MIN) {
        return (at, start, n) => {
          for (let i = start; i < start + n; ) {
            const run = Math.min(p.repeat - (i % p.repeat), start + n - i);
            scratch.fill(at + 4 * (i - start), run, data[x.offset + Math.floor(i / p.repeat)]!);
            i += run;
          }
        };
      }
      if (p && 'period' in p && p.period >= RUN_MIN) {
        return (at, start, n) => {
          for (let i = start; i < start + n; ) {
            const from = i % p.period;
            const run = Math.min(p.period - from, start + n - i);
            scratch.set(at + 4 * (i - start), data.subarray(x.offset + from, x.offset + from + run));
            i += run;
          }
        };
      }
    }
    const values = dense(x);
    return (at, i, n) => scratch.set(at, values.subarray(i, i + n));
  }

  /** Runs `kernel` over the operands in pieces. */
  function pieces(
    inputs: readonly Nd[],
    out: Float32Array,
    kernel: (addresses: readonly number[], out: number, n: number) => void,
  ): void {
    scratch.start((inputs.length + 1) * (PIECE + 8));
    const sources = inputs.map(source);
    const addresses = inputs.map(() => scratch.take(PIECE));
    const target = scratch.take(PIECE);
    for (let i = 0; i < out.length; i += PIECE) {
      const n = Math.min(PIECE, out.length - i);
      for (let q = 0; q < sources.length; q++) sources[q]!(addresses[q]!, i, n);
      kernel(addresses, target, (n + 7) & ~7);
      scratch.read(target, n, out, i);
    }
  }

  /** The output to fill where all is float32 and large enough. */
  function simd(out: Nd, ...inputs: Nd[]): Float32Array | null {
    const o = isF32(...inputs) ? place(out) : null;
    return o && o.length >= ELEMENTS_MIN ? o : null;
  }

  return {
    unary(op, x, out) {
      const o = UNARY.has(op) ? simd(out, x) : null;
      if (!o) return reference.unary(op, x, out);
      pieces([x], o, ([a], to, n) => scratch.kernels[op as SimdUnary](a!, to, n));
    },
    binary(op, a, b, out) {
      const o = BINARY.has(op) ? simd(out, a, b) : null;
      if (!o) return reference.binary(op, a, b, out);
      pieces([a, b], o, ([p, q], to, n) => scratch.kernels[op as SimdBinary](p!, q!, to, n));
    },
    axpy(alpha, a, b, out) {
      // PyTorch rounds a + alpha b once.
      const o = simd(out, a, b);
      if (!o || (alpha !== 1 && alpha !== -1 && !scratch.isFused)) return reference.axpy(alpha, a, b, out);
      pieces([a, b], o, ([p, q], to, n) => scratch.kernels.axpy(Number(alpha), p!, q!, to, n));
    },
    gelu(x, out, approximate) {
      const o = simd(out, x);
      if (!o) return reference.gelu(x, out, approximate);
      const kernel = approximate === 'tanh' ? scratch.kernels.geluTanh : scratch.kernels.gelu;
      pieces([x], o, ([a], to, n) => kernel(a!, to, n));
    },
    geluBackward(grad, x, out, approximate) {
      const o = simd(out, grad, x);
      if (!o) return reference.geluBackward(grad, x, out, approximate);
      const kernel = approximate === 'tanh' ? scratch.kernels.geluTanhBackward : scratch.kernels.geluBackward;
      pieces([grad, x], o, ([g, a], to, n) => kernel(g!, a!, to, n));
    },
    thresholdBackward(grad, y, threshold, out) {
      const o = simd(out, grad, y);
      if (!o) return reference.thresholdBackward(grad, y, threshold, out);
      pieces([grad, y], o, ([g, a], to, n) => scratch.kernels.thresholdBackward(g!, a!, to, n, threshold));
    },
  };
}
