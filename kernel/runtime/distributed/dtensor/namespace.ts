/** The `dtensor` namespace: torch.distributed.tensor in camelCase. */
export { distributeTensor, empty, full, ones, rand, randn, zeros } from './create.js';
export { implicitReplication } from './dispatch.js';
export { DTensor } from './dtensor.js';
export { computeLocalShapeAndGlobalOffset } from './layout.js';
export { Partial, Replicate, Shard, StridedShard } from './placements.js';
