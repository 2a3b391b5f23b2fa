/**
 * Optimizers, learning-rate schedulers, gradient clipping and loss scaling, with PyTorch's numbers.
 * State and state dicts are spelled as PyTorch spells them, options of groups in camelCase.
 */

export {
  clipGradNorm_,
  clipGradsWithNorm_,
  clipGradValue_,
  getTotalNorm,
  type NormOptions,
} from '../tensor/index.js';
export { Adam, type AdamOptions, AdamW } from './adam.js';
export { Adagrad, type AdagradOptions, RMSprop, type RMSpropOptions } from './adaptive.js';
export {
  type HookHandle,
  isOptimized,
  Optimizer,
  type OptimizerStateDict,
  type ParamGroup,
  type ParamGroupInit,
  type ParamState,
  type Params,
} from './optimizer.js';
export { GradScaler, type GradScalerOptions } from './scaler.js';
export * as lrScheduler from './schedulers/index.js';
export { SGD, type SGDOptions } from './sgd.js';
