export { distEntry, packageRoot } from './entries.js';
export { RankError } from './error-wire.js';
export { connectRank, type RankLink } from './link.js';
export type { RankMemory } from './messages.js';
export type { RankState, RankStatus } from './rank-thread.js';
export {
  checkWorldSize,
  type InterruptedRank,
  type InterruptReport,
  rankEnv,
  WORLD_SIZE_MAX,
  World,
  type WorldOptions,
  type WorldSupervisor,
} from './world.js';
