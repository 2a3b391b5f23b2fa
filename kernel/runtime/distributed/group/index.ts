export * as dist from './dist.js';
export { type CommEvent, onComm } from './events.js';
export {
  afterInterrupt,
  attachRank,
  beginWork,
  endWork,
  type Group,
  GroupMember,
  NonGroupMember,
  ProcessGroup,
  Work,
  worldGroup,
} from './process-group.js';
export { ReduceOp } from './reduce-op.js';
export type { CommTensor } from './tensors.js';
