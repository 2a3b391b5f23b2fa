/** Fully sharded data parallel: PyTorch's FSDP2. */
export {
  type AllGatherComm,
  DefaultAllGather,
  DefaultReduceScatter,
  type ReduceScatterComm,
} from './comm.js';
export { type DividePlan, dividePlan } from './divide.js';
export {
  type FsdpEvent,
  type FsdpEventKind,
  onFsdp,
  type ParamSnapshot,
  pytorchLabels,
} from './events.js';
export type { FsdpGatherExtension } from './extension.js';
export {
  type FullyShardOptions,
  fullyShard,
  registerFsdpForwardMethod,
  ShardPlacementResult,
  shareCommCtx,
} from './fully-shard.js';
export { type MeshInfo, meshInfoOf } from './mesh-info.js';
export { FSDPModule, UnshardHandle } from './module.js';
export {
  CPUOffloadPolicy,
  DataParallelMeshDims,
  type MixedPrecisionOptions,
  MixedPrecisionPolicy,
  OffloadPolicy,
} from './policy.js';
