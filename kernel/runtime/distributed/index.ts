export * from './ddp/index.js';
export { CommDebugMode } from './debug/index.js';
export * as dist from './dist.js';
export {
  computeLocalShapeAndGlobalOffset,
  DTensor,
  type DTensorSpec,
  distributeModule,
  distributeTensor,
  dtensor,
  type InputFn,
  implicitReplication,
  type OutputFn,
  Partial,
  type PartitionFn,
  type Placement,
  Replicate,
  Shard,
  StridedShard,
} from './dtensor/index.js';
export * from './fsdp/index.js';
export {
  afterInterrupt,
  attachRank,
  beginWork,
  type CommEvent,
  type CommTensor,
  endWork,
  type Group,
  GroupMember,
  onComm,
  ProcessGroup,
  ReduceOp,
  Work,
} from './group/index.js';
export { currentMesh, DeviceMesh, initDeviceMesh, type MeshOptions, type RankTable } from './mesh/index.js';
export {
  ColwiseParallel,
  type Layouts,
  type LinearStyleOptions,
  type LossParallelScope,
  lossParallel,
  type ParallelizeOptions,
  type ParallelizePlan,
  ParallelStyle,
  PrepareModuleInput,
  type PrepareModuleInputOptions,
  PrepareModuleInputOutput,
  type PrepareModuleInputOutputOptions,
  PrepareModuleOutput,
  type PrepareModuleOutputOptions,
  parallelizeModule,
  RowwiseParallel,
  SequenceParallel,
  type SequenceParallelOptions,
} from './tensor-parallel/index.js';
export {
  createWorldMemory,
  superviseWorld,
  type WorldMemory,
  type WorldMemorySupervisor,
} from './transport/index.js';
