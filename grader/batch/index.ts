export { BullmqExecutor, type QueueOptions, type QueueWorker, startWorker } from './bullmq.js';
export { type Executor, gradeJob, PoolExecutor } from './executor.js';
export { findJobs, type Job, type JobOptions, shardOf } from './jobs.js';
export { type Change, gradebook, type ManifestEntry, mergeResults, Results } from './results.js';
export { type BatchOutcome, type BatchProgress, runBatch } from './run.js';
