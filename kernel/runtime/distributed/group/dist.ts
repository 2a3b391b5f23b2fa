/** The `dist` namespace: torch.distributed in camelCase. */

export {
  FileStore,
  HashStore,
  PrefixStore,
  registerRendezvousHandler,
  rendezvous,
  Store,
  TCPStore,
} from '../store/index.js';
export { allGatherCoalesced, allReduceCoalesced, reduceScatterCoalesced } from './coalesced.js';
export {
  allGather,
  allGatherSingle,
  allGatherSingle as allGatherIntoTensor,
  allReduce,
  allToAll,
  allToAllSingle,
  barrier,
  broadcast,
  gather,
  monitoredBarrier,
  reduce,
  reduceScatter,
  reduceScatterSingle,
  reduceScatterSingle as reduceScatterTensor,
  scatter,
} from './collectives.js';
export {
  Backend,
  DebugLevel,
  getBackendConfig,
  getDebugLevel,
  getDefaultBackendForDevice,
  getNodeLocalRank,
  isAvailable,
  isBackendAvailable,
  isGlooAvailable,
  isMpiAvailable,
  isNcclAvailable,
  isTorchelasticLaunched,
  isUccAvailable,
  isXcclAvailable,
  setDebugLevel,
  setDebugLevelFromEnv,
  supportsComplex,
} from './environment.js';
export { addCommHook, type CommCall, type CommEvent, type CommHook, onComm } from './events.js';
export * as functional from './functional.js';
export {
  getBackend,
  getGlobalRank,
  getGroupRank,
  getProcessGroupRanks,
  getRank,
  getWorldSize,
  newGroup,
  newSubgroups,
  newSubgroupsByEnumeration,
  SHRINK_ABORT,
  SHRINK_DEFAULT,
  shrinkGroup,
  splitGroup,
} from './groups.js';
export * as nn from './nn.js';
export {
  allGatherObject,
  broadcastObjectList,
  gatherObject,
  recvObjectList,
  scatterObjectList,
  sendObjectList,
} from './objects.js';
export { batchIsendIrecv, irecv, isend, P2POp, recv, send } from './p2p.js';
export {
  destroyProcessGroup,
  Future,
  type Group,
  GroupMember,
  getPgCount,
  getStore,
  initProcessGroup,
  isInitialized,
  ProcessGroup,
  Work,
} from './process-group.js';
export { ReduceOp } from './reduce-op.js';

import { GroupMember, type ProcessGroup, worldGroup } from './process-group.js';

export const group = {
  /** The group of all ranks. */
  get WORLD(): ProcessGroup {
    return worldGroup();
  },
  NON_GROUP_MEMBER: GroupMember.NON_GROUP_MEMBER,
};
