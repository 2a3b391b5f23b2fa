/** Tensor parallelism: plans that say how modules are cut over a mesh axis. */
export { ColwiseParallel, type LinearStyleOptions, RowwiseParallel } from './linear-styles.js';
export { type LossParallelScope, lossParallel } from './loss-parallel.js';
export { type ParallelizeOptions, type ParallelizePlan, parallelizeModule } from './parallelize.js';
export {
  type Layouts,
  PrepareModuleInput,
  type PrepareModuleInputOptions,
  PrepareModuleInputOutput,
  type PrepareModuleInputOutputOptions,
  PrepareModuleOutput,
  type PrepareModuleOutputOptions,
} from './prepare.js';
export { SequenceParallel, type SequenceParallelOptions } from './sequence.js';
export { ParallelStyle } from './style.js';
