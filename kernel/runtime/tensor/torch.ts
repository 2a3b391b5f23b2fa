/** The `torch` namespace. */

import {
  checkpoint,
  checkpointSequential,
  createSelectiveCheckpointContexts,
} from './autograd/checkpoint.js';
import * as grad from './autograd/engine.js';
import { gradcheck, gradgradcheck, registerMultiGradHook } from './autograd/extras.js';
import { AutogradFunction, onceDifferentiable } from './autograd/function.js';
import * as dt from './dtype.js';
import * as creation from './ops/creation.js';
import * as fusedOps from './ops/fused.js';
import * as generators from './ops/generator.js';
import * as indexing from './ops/indexing.js';
import * as matmulOps from './ops/matmul.js';
import * as p from './ops/pointwise.js';
import * as random from './ops/random.js';
import * as r from './ops/reductions.js';
import { Float, isFloatScalar, type Operand, scalarDtype } from './ops/scalar.js';
import * as v from './ops/views.js';
import { broadcastShapes as joinShapes } from './shape.js';
import {
  enableGrad,
  getDefaultDevice,
  inferenceMode,
  isGradEnabled,
  isInferenceModeEnabled,
  noGrad,
  autocast as runAutocast,
  savedTensorsHooks,
  setDefaultDevice,
  setGradEnabled,
  withDevice,
} from './state.js';
import { type Device, Tensor } from './tensor.js';

const { bool: _b, ...pointwise } = p;
const {
  bfloat: _bf,
  boolCast: _bc,
  double: _d,
  float: _f,
  half: _h,
  long: _l,
  int: _i,
  short: _s,
  char: _c,
  byte: _by,
  checkDevice: _cd,
  type: _t,
  cpu: _cpu,
  ...views
} = v;
const { alloc: _a, variance, ...reductions } = r;
const { applyInplace: _ai, stack: _st, flatValues: _fv, sizesAndOptions: _so, ...created } = creation;
const { sort: _so2, sum: _su, view: _vi, permute: _pe, repeat: _re, ...indexed } = indexing;

const operand = (x: Operand): dt.PromotionOperand =>
  x instanceof Tensor
    ? { dtype: x.dtype, ndim: x.shape.length, wrapped: x.wrapped }
    : { dtype: scalarDtype(x), ndim: 0, wrapped: true };

/** Runs a body with matrix products in a low dtype (bfloat16): `autocast('cpu', { dtype }, () => ...)`. */
function autocast<R>(
  _device: string,
  options: { dtype?: dt.DType; enabled?: boolean } | (() => R),
  body?: () => R,
): R {
  return typeof options === 'function'
    ? runAutocast({}, options, dt.bfloat16)
    : runAutocast(options, body!, dt.bfloat16);
}

/** A name checked; with a body: runs it with that device for tensors that are not told theirs. */
function device(name: Device): Device;
function device<R>(name: Device, body: () => R): R;
function device<R>(name: Device, body?: () => R): Device | R {
  const checked = v.checkDevice(name)!;
  return body === undefined ? checked : withDevice(checked, body);
}

/** torch.autograd: gradients, custom operations, checks. */
export const autograd = {
  backward: grad.backward,
  grad: grad.grad,
  gradcheck,
  gradgradcheck,
  Function: AutogradFunction,
  onceDifferentiable,
  queueCallback: grad.queueCallback,
  graph: { savedTensorsHooks, registerMultiGradHook },
};

type AnyTensor = Tensor;

/** The types by the names that they have in PyTorch, `x: torch.Tensor`. */
export declare namespace torch {
  type Tensor = AnyTensor;
  type dtype = dt.DType;
  type device = Device;
}

/** The `torch` namespace: factories, operations, dtypes, random numbers, grad modes. */
export const torch = {
  ...pointwise,
  ...reductions,
  ...views,
  ...created,
  ...indexed,
  ...matmulOps,
  ...generators,
  ...random,
  ...fusedOps,
  ...dt.dtypes,
  double: dt.float64,
  float: dt.float32,
  half: dt.float16,
  long: dt.int64,
  int: dt.int32,
  short: dt.int16,
  where: indexing.where,
  var: variance,
  Tensor,
  Float,
  finfo: dt.finfo,
  iinfo: dt.iinfo,
  promoteTypes: dt.promoteTypes,
  canCast: dt.canCast,
  resultType: (a: Operand, b: Operand): dt.DType => dt.resultType([operand(a), operand(b)]),
  getDefaultDtype: dt.getDefaultDtype,
  setDefaultDtype: dt.setDefaultDtype,
  broadcastShapes: (...shapes: (readonly number[])[]): number[] =>
    joinShapes(
      shapes,
      () => `run "broadcastShapes": ${shapes.map((s) => `[${s.join(', ')}]`).join(' and ')}`,
    ),
  isTensor: (x: unknown): x is Tensor => x instanceof Tensor,
  isFloatingPoint: (x: Tensor): boolean => x.dtype.isFloatingPoint,
  numel: (x: Tensor): number => x.numel(),
  isGradEnabled,
  isInferenceModeEnabled,
  setGradEnabled,
  noGrad,
  enableGrad,
  inferenceMode,
  autocast,
  device,
  setDefaultDevice: (name: Device): void => setDefaultDevice(v.checkDevice(name)!),
  getDefaultDevice,
  isFloatScalar,
  linalg: {
    vectorNorm: (
      x: Tensor,
      ord: number | r.NormOptions = 2,
      dim?: r.DimArg | r.NormOptions,
      keepdim?: boolean | r.NormOptions,
    ): Tensor => r.norm(x, ord, dim, keepdim),
    norm: r.norm,
  },
  random: {
    forkRng: generators.forkRng,
    manualSeed: generators.manualSeed,
    seed: generators.seed,
    initialSeed: generators.initialSeed,
    getRngState: generators.getRngState,
    setRngState: generators.setRngState,
  },
  autograd,
  utils: { checkpoint: { checkpoint, checkpointSequential, createSelectiveCheckpointContexts } },
};
