/** Distributed tensors. */
import './dispatch.js';
import './inplace.js';
import './pickle.js';

export { distributeTensor } from './create.js';
export { implicitReplication } from './dispatch.js';
export { DTensor } from './dtensor.js';
export { checkPlacements, chunkExtent, computeLocalShapeAndGlobalOffset, localShapeAt } from './layout.js';
export { distributeModule, type InputFn, type OutputFn, type PartitionFn } from './module.js';
export * as dtensor from './namespace.js';
export {
  isShardLike,
  Partial,
  PartialPlacement,
  type Placement,
  type Placements,
  placementsText,
  Replicate,
  ReplicatePlacement,
  Shard,
  ShardPlacement,
  StridedShard,
  StridedShardPlacement,
  samePlacements,
} from './placements.js';
export { collectiveOf, type PlannedStep, planOf } from './plan.js';
export { watchRedistributes } from './redistribute.js';
export { DTensorSpec } from './spec.js';
