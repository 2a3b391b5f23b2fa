/** Interpreter of recorded SPMD programs: what they observed on PyTorch must be observed here. */
export { listOperations } from './inventory.js';
export { runAsRank } from './rank.js';
export { failureLine, type ProgramResult, type RankJob } from './report.js';
export { conformFiles, readPrograms } from './runner.js';
export type { ConformRankData } from './world-options.js';
