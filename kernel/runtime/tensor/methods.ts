/** Every operation as a method of Tensor: x.sum(1) is sum(x, 1). */
import * as creation from './ops/creation.js';
import * as indexing from './ops/indexing.js';
import * as matmul from './ops/matmul.js';
import * as p from './ops/pointwise.js';
import * as random from './ops/random.js';
import * as r from './ops/reductions.js';
import * as v from './ops/views.js';
import { logSoftmax, softmax } from './ops/fused.js';
import { backward, type BackwardOptions } from './autograd/engine.js';
import { formatTensor } from './print.js';
import { Tensor } from './tensor.js';

const { bool: _bool, whereOp, ...pointwise } = p;
const { checkDevice: _c, bfloat, boolCast, ...views } = v;
const { alloc: _a, truth, variance, ...reductions } = r;
const { empty: _e, zeros: _z, ones: _o, full: _f, tensor: _t, arange: _ar, linspace: _l, eye: _ey, meshgrid: _m, scalarTensor: _s, fromTypedArray: _ft, asTensor: _at, sizesAndOptions: _so, trilIndices: _ti, triuIndices: _tu, applyInplace: _ai, stack: _st, flatValues: _fv, ...created } = creation;
const { arange: _x1, equal: _x2, numelOf: _x3, permute: _x4, repeat: _x5, sort: _x6, sum: _x7, sumToSize: _x8, view: _x9, slice: _sl, Slice: _Sl, where: _w, ...indexed } = indexing;
const { rand: _r1, randn: _r2, randint: _r3, randperm: _r4, Generator: _g, defaultGenerator: _dg, manualSeed: _ms, getRngState: _gr, setRngState: _sr, forkRng: _fr, normal: _n, getBackend: _gb, ...randoms } = random;

/** Adds the gradient of this scalar (or of `gradient . this`) into .grad of the leaves. */
function runBackward(x: Tensor, gradient?: Tensor | null | BackwardOptions, options: BackwardOptions = {}): void {
  if (gradient && !(gradient instanceof Tensor)) backward(x, (gradient as BackwardOptions & { gradient?: Tensor }).gradient ?? null, gradient);
  else backward(x, (gradient as Tensor | null | undefined) ?? null, options);
}
function where(x: Tensor, condition: Tensor, other: Parameters<typeof whereOp>[2]): Tensor {
  return whereOp(condition, x, other);
}
function size(x: Tensor, dim?: number): number | number[] {
  return dim === undefined ? [...x.shape] : x.shape[dim < 0 ? dim + x.shape.length : dim]!;
}
function stride(x: Tensor, dim?: number): number | number[] {
  return dim === undefined ? [...x.strides] : x.strides[dim < 0 ? dim + x.strides.length : dim]!;
}
function requiresGrad_(x: Tensor, on = true): Tensor {
  x.requiresGrad = on;
  return x;
}
function set_(x: Tensor, source: Tensor): Tensor {
  x.setData(source);
  return x;
}

export const methods = {
  ...pointwise,
  ...reductions,
  ...views,
  ...created,
  ...indexed,
  ...randoms,
  ...matmul,
  softmax,
  logSoftmax,
  var: variance,
  bfloat16: bfloat,
  bool: boolCast,
  where,
  size,
  stride,
  requiresGrad_,
  set_,
  backward: runBackward,
  dim: (x: Tensor): number => x.shape.length,
  nelement: (x: Tensor): number => x.numel(),
  elementSize: (x: Tensor): number => x.dtype.itemsize,
  isFloatingPoint: (x: Tensor): boolean => x.dtype.isFloatingPoint,
  isTrue: truth,
  untypedStorage: (x: Tensor): Tensor['storage'] => x.storage,
  toString: (x: Tensor): string => formatTensor(x),
  typeString: (x: Tensor): string => x.dtype.toString(),
};

type Bound<F> = F extends { (x: infer _X): infer R0; (x: infer _Y, ...a: infer A): infer R } ? (((...a: A) => R) & (() => R0)) : F extends (x: infer _X, ...a: infer A) => infer R ? (...a: A) => R : never;
type Simple<F> = F extends (x: infer _X, ...a: infer A) => infer R ? (...a: A) => R : never;
export type TensorMethods = { [K in keyof Omit<typeof methods, 'max' | 'min' | 'median' | 'nanmedian' | 'nonzero'>]: Simple<(typeof methods)[K]> } & {
  max: { (): Tensor; (other: Tensor): Tensor; (dim: number | { dim: number; keepdim?: boolean }, keepdim?: boolean | { keepdim?: boolean }): r.NamedPair };
  min: { (): Tensor; (other: Tensor): Tensor; (dim: number | { dim: number; keepdim?: boolean }, keepdim?: boolean | { keepdim?: boolean }): r.NamedPair };
  median: { (): Tensor; (dim: number | { dim?: number; keepdim?: boolean }, keepdim?: boolean | { keepdim?: boolean }): r.NamedPair };
  nanmedian: { (): Tensor; (dim: number | { dim?: number; keepdim?: boolean }, keepdim?: boolean | { keepdim?: boolean }): r.NamedPair };
  nonzero: { (): Tensor; (o: { asTuple: true }): Tensor[] };
};
export type { Bound };

declare module './tensor.js' {
  interface Tensor extends TensorMethods {
    /** The same memory outside the graph, with versions of its own; assignment points the tensor elsewhere. */
    data: Tensor;
    readonly T: Tensor;
    readonly mT: Tensor;
  }
}

for (const [name, f] of Object.entries(methods)) {
  const call = f as (x: Tensor, ...a: unknown[]) => unknown;
  Object.defineProperty(Tensor.prototype, name, {
    value(this: Tensor, ...args: unknown[]): unknown {
      return call(this, ...args);
    },
    writable: true,
    configurable: true,
  });
}
Object.defineProperties(Tensor.prototype, {
  data: {
    get(this: Tensor): Tensor {
      const out = v.detach(this);
      if (out.constructor === Tensor) out.versionCounter = { value: 0 };
      return out;
    },
    set(this: Tensor, value: Tensor) {
      this.setData(value);
    },
    configurable: true,
  },
  T: { get(this: Tensor): Tensor { return v.permute(this, this.shape.map((_, d) => this.shape.length - 1 - d)); }, configurable: true },
  mT: { get(this: Tensor): Tensor { return v.transpose(this, -2, -1); }, configurable: true },
});
