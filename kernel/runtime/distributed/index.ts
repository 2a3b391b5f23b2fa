export { CommDebugMode } from './debug/index.js';
export {
  afterInterrupt,
  attachRank,
  beginWork,
  type CommEvent,
  type CommTensor,
  dist,
  endWork,
  type Group,
  GroupMember,
  onComm,
  ProcessGroup,
  ReduceOp,
  Work,
} from './group/index.js';
export {
  createWorldMemory,
  superviseWorld,
  type WorldMemory,
  type WorldMemorySupervisor,
} from './transport/index.js';
