export * from './ddp/index.js';
export { CommDebugMode } from './debug/index.js';
export * as dist from './dist.js';
export {
  computeLocalShapeAndGlobalOffset,
  DTensor,
  type DTensorSpec,
  distributeTensor,
  dtensor,
  implicitReplication,
  Partial,
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
  distributeModule,
  type InputFn,
  type Layouts,
  type LinearStyleOptions,
  type LossParallelScope,
  lossParallel,
  type OutputFn,
  type ParallelizeOptions,
  type ParallelizePlan,
  ParallelStyle,
  type PartitionFn,
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
