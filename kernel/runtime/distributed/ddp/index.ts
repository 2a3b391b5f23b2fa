/** Data parallel with whole replicas: the baseline that sharding is compared with. */
export { assignBuckets, type BucketSizes } from './buckets.js';
export { type DDPOptions, DistributedDataParallel } from './ddp.js';
export { allreduceHook, bf16CompressHook, fp16CompressHook } from './hooks.js';
export { type CommHookFn, GradBucket } from './reducer.js';
