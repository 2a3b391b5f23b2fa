/** The `dtensor` namespace: torch.distributed.tensor in camelCase. */
export { distributeTensor, empty, full, ones, rand, randn, zeros } from './create.js';
export { implicitReplication } from './dispatch.js';
export { DTensor } from './dtensor.js';
export { explain } from './explain.js';
export { computeLocalShapeAndGlobalOffset } from './layout.js';
export { localMap } from './local-map.js';
export { distributeModule } from './module.js';
export { Partial, Replicate, Shard, StridedShard } from './placements.js';
export { registerSharding } from './register-sharding.js';
