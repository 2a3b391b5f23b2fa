/** The `dist` namespace: torch.distributed in camelCase, with meshes and what stands on them. */
export {
  DTensor,
  distributeModule,
  distributeTensor,
  Partial,
  type Placement,
  Replicate,
  Shard,
  StridedShard,
} from './dtensor/index.js';
export * from './group/dist.js';
export {
  analyseMesh,
  DTensorDebugger,
  designPlacements,
  explainRedistribute,
  inspectDTensor,
  meanGradients,
  recordRedistributes,
  ringBytes,
  ShardingValidator,
  verifyMeshGroups,
  visualizeSharding,
} from './inspect/index.js';
export { currentMesh, DeviceMesh, initDeviceMesh } from './mesh/index.js';
export {
  ColwiseParallel,
  lossParallel,
  ParallelStyle,
  PrepareModuleInput,
  PrepareModuleInputOutput,
  PrepareModuleOutput,
  parallelizeModule,
  RowwiseParallel,
  SequenceParallel,
} from './tensor-parallel/index.js';
