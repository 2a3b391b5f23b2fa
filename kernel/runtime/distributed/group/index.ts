export * as dist from './dist.js';
export {
  addCommHook,
  type CommAnswer,
  type CommCall,
  type CommEvent,
  type CommHook,
  type CommStream,
  type HostTransfer,
  hostTransfer,
  isUnheard,
  markCompute,
  onComm,
  streamWaitsFor,
  TRANSFER_STREAM,
  withCommStream,
  withoutCommHooks,
} from './events.js';
export { registerTensorKind } from './object-codec.js';
export {
  afterInterrupt,
  attachRank,
  beginWork,
  endWork,
  type Group,
  GroupMember,
  ProcessGroup,
  Work,
} from './process-group.js';
export { ReduceOp, reduceBytes } from './reduce-op.js';
export { byteLength, type CommTensor, describeTensor, destination, readBytes } from './tensors.js';
