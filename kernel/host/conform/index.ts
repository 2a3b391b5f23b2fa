/** Interpreter of recorded SPMD programs: what they observed on PyTorch must be observed here. */
export { type Difference, firstDifference } from './compare.js';
export { type Program, type ProgramSource, parseProgram, splitFile } from './format.js';
export { listOperations, type OperationUse } from './inventory.js';
export { parseJson } from './json.js';
export { Machine } from './machine.js';
export { runAsRank } from './rank.js';
export { type Failure, failureLine, type ProgramResult, type RankJob } from './report.js';
export { type ConformOptions, conformFiles, readPrograms } from './runner.js';
export type { ConformRankData } from './world-options.js';
