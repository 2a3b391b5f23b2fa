export { BullmqExecutor, startWorker } from './bullmq.js';
export { type Executor, PoolExecutor } from './executor.js';
export { findJobs, type Job, type JobOptions, shardOf } from './jobs.js';
export { type Change, gradebook, mergeResults, Results } from './results.js';
export { type BatchProgress, runBatch } from './run.js';
