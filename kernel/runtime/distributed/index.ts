export * from './checkpoint/index.js';
export * from './ddp/index.js';
export * from './debug/index.js';
export * as dist from './dist.js';
export {
  computeLocalShapeAndGlobalOffset,
  DTensor,
  type DTensorSpec,
  distributeModule,
  distributeTensor,
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
export * from './fsdp-tools/index.js';
export {
  addCommHook,
  afterInterrupt,
  attachRank,
  beginWork,
  type CommCall,
  type CommEvent,
  type CommHook,
  type CommStream,
  type CommTensor,
  endWork,
  type Group,
  GroupMember,
  isUnheard,
  markCompute,
  onComm,
  ProcessGroup,
  ReduceOp,
  reduceBytes,
  streamWaitsFor,
  Work,
  withCommStream,
} from './group/index.js';
export * from './inspect/index.js';
export { currentMesh, DeviceMesh, initDeviceMesh, type MeshOptions, type RankTable } from './mesh/index.js';
export * as dtensor from './tensor.js';
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
