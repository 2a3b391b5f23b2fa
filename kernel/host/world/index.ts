export { distEntry, packageRoot } from './entries.js';
export { connectRank, type RankLink } from './link.js';
export { checkWorldSize, rankEnv, World, type WorldOptions } from './world.js';
