/** Every operation as a method of Tensor: x.sum(1) is sum(x, 1). */

import { type BackwardOptions, backward } from './autograd/engine.js';
import * as creation from './ops/creation.js';
import { logSoftmax, softmax } from './ops/fused.js';
import * as indexing from './ops/indexing.js';
import * as matmul from './ops/matmul.js';
import * as p from './ops/pointwise.js';
import * as random from './ops/random.js';
import * as r from './ops/reductions.js';
import type { Operand } from './ops/scalar.js';
import * as v from './ops/views.js';
import { formatTensor } from './print.js';
import { wrapDim } from './shape.js';
import type { Storage } from './storage.js';
import { Tensor } from './tensor.js';

const { bool: _bool, whereOp, ...pointwise } = p;
const { checkDevice: _c, bfloat, boolCast, ...views } = v;
const { alloc: _a, truth, variance, ...reductions } = r;
const {
  empty: _e,
  zeros: _z,
  ones: _o,
  full: _f,
  tensor: _t,
  arange: _ar,
  linspace: _l,
  eye: _ey,
  meshgrid: _m,
  scalarTensor: _s,
  fromTypedArray: _ft,
  asTensor: _at,
  sizesAndOptions: _so,
  trilIndices: _ti,
  triuIndices: _tu,
  applyInplace: _ai,
  stack: _st,
  flatValues: _fv,
  ...created
} = creation;
const {
  arange: _x1,
  equal: _x2,
  numelOf: _x3,
  permute: _x4,
  repeat: _x5,
  sort: _x6,
  sum: _x7,
  sumToSize: _x8,
  view: _x9,
  slice: _sl,
  Slice: _Sl,
  where: _w,
  ...indexed
} = indexing;
const {
  uniform_,
  normal_,
  exponential_,
  geometric_,
  cauchy_,
  logNormal_,
  random_,
  bernoulli_,
  bernoulli,
  multinomial,
} = random;

/** Adds the gradient of this scalar (or of `gradient . this`) into .grad of the leaves. */
function runBackward(
  x: Tensor,
  gradient?: Tensor | null | BackwardOptions,
  options: BackwardOptions = {},
): void {
  if (gradient && !(gradient instanceof Tensor))
    backward(x, (gradient as BackwardOptions & { gradient?: Tensor }).gradient ?? null, gradient);
  else backward(x, (gradient as Tensor | null | undefined) ?? null, options);
}
function where(x: Tensor, condition: Tensor, other: Parameters<typeof whereOp>[2]): Tensor {
  return whereOp(condition, x, other);
}
function size(x: Tensor, dim?: number): number | number[] {
  return dim === undefined ? [...x.shape] : x.shape[wrapDim(dim, x.shape.length, 'size')]!;
}
function stride(x: Tensor, dim?: number): number | number[] {
  return dim === undefined ? [...x.strides] : x.strides[wrapDim(dim, x.strides.length, 'stride')]!;
}
function requiresGrad_(x: Tensor, on = true): Tensor {
  x.requiresGrad = on;
  return x;
}
function set_(x: Tensor, source: Tensor): Tensor {
  x.setData(source);
  return x;
}

const methods = {
  ...pointwise,
  ...reductions,
  ...views,
  ...created,
  ...indexed,
  uniform_,
  normal_,
  exponential_,
  geometric_,
  cauchy_,
  logNormal_,
  random_,
  bernoulli_,
  bernoulli,
  multinomial,
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
  untypedStorage: (x: Tensor): Storage => x.storage,
  toString: (x: Tensor): string => formatTensor(x),
  typeString: (x: Tensor): string => x.dtype.toString(),
};

type Method<F> = F extends (x: infer _X, ...a: infer A) => infer R ? (...a: A) => R : never;
// Names come from the modules themselves and signatures one by one when asked for: the type of Tensor must not need them all.
type MethodsOf<M, Without extends PropertyKey = never> = { [K in Exclude<keyof M, Without>]: Method<M[K]> };
type OneDim = number | { dim?: number; keepdim?: boolean };
type Keep = boolean | { keepdim?: boolean };

interface OwnMethods {
  softmax: Method<typeof softmax>;
  logSoftmax: Method<typeof logSoftmax>;
  var: Method<typeof r.variance>;
  bfloat16(): Tensor;
  bool(): Tensor;
  where(condition: Tensor, other: Operand): Tensor;
  size(): number[];
  size(dim: number): number;
  stride(): number[];
  stride(dim: number): number;
  requiresGrad_(on?: boolean): this;
  set_(source: Tensor): this;
  /** Adds the gradient of this scalar (or of `gradient . this`) into .grad of the leaves. */
  backward(gradient?: Tensor | null | BackwardOptions, options?: BackwardOptions): void;
  dim(): number;
  nelement(): number;
  elementSize(): number;
  isFloatingPoint(): boolean;
  /** The truth of a single element. */
  isTrue(): boolean;
  untypedStorage(): Storage;
  toString(): string;
  max(): Tensor;
  max(other: Tensor): Tensor;
  max(dim: OneDim, keepdim?: Keep): r.NamedPair;
  min(): Tensor;
  min(other: Tensor): Tensor;
  min(dim: OneDim, keepdim?: Keep): r.NamedPair;
  median(): Tensor;
  median(dim: OneDim, keepdim?: Keep): r.NamedPair;
  nanmedian(): Tensor;
  nanmedian(dim: OneDim, keepdim?: Keep): r.NamedPair;
  nonzero(): Tensor;
  nonzero(o: { asTuple: true }): Tensor[];
  item(): number;
}

interface PointwiseMethods extends MethodsOf<typeof p, 'bool' | 'whereOp'> {}
interface ReductionMethods
  extends MethodsOf<
    typeof r,
    'alloc' | 'truth' | 'variance' | 'max' | 'min' | 'median' | 'nanmedian' | 'pair'
  > {}
interface ViewMethods extends MethodsOf<typeof v, 'checkDevice' | 'bfloat' | 'boolCast'> {}
interface CreationMethods
  extends Pick<
    MethodsOf<typeof creation>,
    | 'newZeros'
    | 'newOnes'
    | 'newEmpty'
    | 'newFull'
    | 'newTensor'
    | 'zerosLike'
    | 'onesLike'
    | 'emptyLike'
    | 'fullLike'
    | 'tolist'
  > {}
interface IndexMethods
  extends MethodsOf<
    typeof indexing,
    | 'arange'
    | 'equal'
    | 'numelOf'
    | 'permute'
    | 'repeat'
    | 'sort'
    | 'sum'
    | 'sumToSize'
    | 'view'
    | 'slice'
    | 'Slice'
    | 'where'
    | 'nonzero'
  > {}
interface RandomMethods
  extends Pick<
    MethodsOf<typeof random>,
    | 'uniform_'
    | 'normal_'
    | 'exponential_'
    | 'geometric_'
    | 'cauchy_'
    | 'logNormal_'
    | 'bernoulli_'
    | 'bernoulli'
    | 'random_'
    | 'multinomial'
  > {}
interface MatmulMethods extends MethodsOf<typeof matmul> {}

export interface TensorMethods
  extends PointwiseMethods,
    ReductionMethods,
    ViewMethods,
    CreationMethods,
    IndexMethods,
    RandomMethods,
    MatmulMethods,
    OwnMethods {}

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
  T: {
    get(this: Tensor): Tensor {
      return v.permute(
        this,
        this.shape.map((_, d) => this.shape.length - 1 - d),
      );
    },
    configurable: true,
  },
  mT: {
    get(this: Tensor): Tensor {
      return v.transpose(this, -2, -1);
    },
    configurable: true,
  },
});
