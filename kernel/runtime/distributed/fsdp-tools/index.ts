/** Tools that show and check what FSDP does: timelines, hook states, verification, comparison, FSDP by hand. */
export {
  type ComparedRow,
  type ComparedStrategy,
  type CompareOptions,
  compareStrategies,
  StrategyComparison,
} from './compare.js';
export { type GradientSyncOptions, GradientSyncTester } from './gradient-sync.js';
export { HookDebugger, type HookRecord } from './hook-debugger.js';
export { ManualFsdp, ManualFsdpWrapper } from './manual.js';
export { type Check, CheckReport } from './report.js';
export { FsdpTimeline, type FsdpTimelineOptions, type TimedFsdpEvent } from './timeline.js';
export {
  compareGradients,
  stateBytes,
  type VerifyOptions,
  verifyFsdp,
  verifySharding,
  wholeBatch,
} from './verify.js';
