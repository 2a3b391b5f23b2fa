/** Tensors, operations on them, autograd, random streams. */
import './methods.js';
import './autograd/slices.js';
import { installRules } from './autograd/record.js';
import { rules } from './autograd/rules/index.js';

installRules(rules);

export {
  type CheckpointOptions,
  type CheckpointPolicy,
  type ContextFn,
  checkpoint,
  checkpointSequential,
  createSelectiveCheckpointContexts,
} from './autograd/checkpoint.js';
export {
  type BackwardOptions,
  backward,
  type GradOptions,
  grad,
  isBackwardRunning,
  queueCallback,
} from './autograd/engine.js';
export { type GradcheckOptions, gradcheck, gradgradcheck, registerMultiGradHook } from './autograd/extras.js';
export {
  AutogradFunction,
  AutogradFunction as Function,
  FunctionContext,
  onceDifferentiable,
} from './autograd/function.js';
export { type Edge, type GradHook, type Grads, Node, type RemovableHandle } from './autograd/node.js';
export * from './dispatch.js';
export * from './dtype.js';
export { DType as Dtype } from './dtype.js';
export { describeAll, opError } from './errors.js';
export { viewOf } from './kernels/common.js';
export {
  claimMemory,
  claimOf,
  type MemoryCategory,
  MemoryClaim,
  type MemoryListener,
  onMemory,
  storageOf,
} from './memory.js';
export * from './opnames.js';
export { adamStep_ } from './ops/adam.js';
export type { Nested, NestedList } from './ops/creation.js';
export * from './ops/fused.js';
export { type Index, Slice, slice } from './ops/indexing.js';
export { defaultGenerator, Generator, type GeneratorOption, type RandomOptions } from './ops/random.js';
export type { DimArg, NamedPair } from './ops/reductions.js';
export { Float, type Operand, type Scalar, type TensorOptions } from './ops/scalar.js';
export { keepMemory, takeMemory, useRawMemory } from './pool.js';
export { formatTensor } from './print.js';
export * from './random/index.js';
export * from './shape.js';
export {
  autocast,
  enableGrad,
  getBackend,
  inferenceMode,
  isGradEnabled,
  isInferenceModeEnabled,
  noGrad,
  savedTensorsHooks,
  setBackend,
  setGradEnabled,
  withDevice,
} from './state.js';
export { Storage } from './storage.js';
export { AccumulateGrad, type Device, Tensor, type TensorInit } from './tensor.js';
export { autograd, torch } from './torch.js';
