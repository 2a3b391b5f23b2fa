/** Learning-rate schedulers: `optim.lrScheduler`. */
export { LRScheduler, type ScheduledGroup, type ScheduledOptimizer, type SchedulerState } from './base.js';
export {
  ChainedScheduler,
  ReduceLROnPlateau,
  type ReduceLROnPlateauOptions,
  SequentialLR,
} from './compound.js';
export {
  CosineAnnealingWarmRestarts,
  CyclicLR,
  type CyclicLROptions,
  OneCycleLR,
  type OneCycleLROptions,
} from './cycles.js';
export {
  ConstantLR,
  CosineAnnealingLR,
  ExponentialLR,
  LambdaLR,
  LinearLR,
  type LrLambda,
  MultiplicativeLR,
  MultiStepLR,
  PolynomialLR,
  StepLR,
} from './simple.js';
