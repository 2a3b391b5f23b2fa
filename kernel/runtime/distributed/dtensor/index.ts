/** Distributed tensors. */
import './dispatch.js';
import './pickle.js';

export { redistributeCost } from './cost.js';
export { type DistributeOptions, distributeTensor, type FactoryOptions } from './create.js';
export {
  type DispatchEvent,
  implicitReplication,
  setImplicitReplication,
  watchDispatch,
} from './dispatch.js';
export {
  DTensor,
  type FromLocalOptions,
  gradPlacementsOf,
  type RedistributeOptions,
  type ToLocalOptions,
} from './dtensor.js';
export { type ExplainedOp, type ExplainOptions, Explanation, explain } from './explain.js';
export {
  checkPlacements,
  chunkExtent,
  computeLocalShapeAndGlobalOffset,
  globalLayout,
  localShape,
  localShapeAt,
  rowsAt,
  stridedRows,
} from './layout.js';
export { type LocalMapOptions, localMap } from './local-map.js';
export { distributeModule, type InputFn, type OutputFn, type PartitionFn } from './module.js';
export * as dtensor from './namespace.js';
export {
  isShardLike,
  MaskPartial,
  MaskPartialPlacement,
  NormPartial,
  NormPartialPlacement,
  Partial,
  PartialPlacement,
  type Placement,
  type Placements,
  placementsText,
  type ReduceKind,
  Replicate,
  ReplicatePlacement,
  Shard,
  ShardPlacement,
  StridedShard,
  StridedShardPlacement,
  samePlacements,
} from './placements.js';
export { type CollectiveKind, collectiveOf, type PlannedStep, planOf, traceOf } from './plan.js';
export { onRedistribute, type RedistributeEvent, redistributeLocal } from './redistribute.js';
export { type AcceptableSharding, registerSharding } from './register-sharding.js';
export { DTensorSpec, type StridedMeaning, type TensorMeta } from './spec.js';
