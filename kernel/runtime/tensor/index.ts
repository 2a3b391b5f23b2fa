/** Tensors, operations on them, autograd, random streams. */
import './methods.js';
import './autograd/slices.js';
import { installRules } from './autograd/record.js';
import { rules } from './autograd/rules/index.js';

installRules(rules);

export { type CheckpointOptions, checkpoint } from './autograd/checkpoint.js';
export { backward, isBackwardRunning, queueCallback } from './autograd/engine.js';
export { registerMultiGradHook } from './autograd/extras.js';
export { AutogradFunction, FunctionContext } from './autograd/function.js';
export { Node } from './autograd/node.js';
export * from './dispatch.js';
export * from './dtype.js';
export { DType as Dtype } from './dtype.js';
export * from './grad-clip.js';
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
export * from './ops/fused.js';
export { Generator } from './ops/generator.js';
export { type Index, Slice, slice } from './ops/indexing.js';
/** For `nn.functional`, which gives them PyTorch's options. */
export * as lossOps from './ops/losses.js';
export { Float, type TensorOptions } from './ops/scalar.js';
export { keepMemory, takeMemory, useRawMemory } from './pool.js';
export { formatTensor } from './print.js';
export * from './random/index.js';
export * from './shape.js';
export { enableGrad, isGradEnabled, noGrad, setBackend } from './state.js';
export { Storage } from './storage.js';
export { type Device, Tensor } from './tensor.js';
export { autograd, torch } from './torch.js';
