/** Which gradients travel together. */
import type { Tensor } from '../../tensor/index.js';

export interface BucketSizes {
  /** Bytes of the first bucket: small, so that communication starts early. */
  readonly first: number;
  /** Bytes of the others. */
  readonly rest: number;
}

export const DEFAULT_FIRST_BUCKET_BYTES = 1024 * 1024;
export const DEFAULT_BUCKET_MB = 25;

/**
 * Fills buckets in the given order, those of one dtype together; a bucket is closed once it holds its size or more. Returns indices.
 */
export function assignBuckets(tensors: readonly Tensor[], sizes: BucketSizes): number[][] {
  const closed: number[][] = [];
  const open = new Map<string, { indices: number[]; bytes: number; limit: number }>();
  for (const [i, t] of tensors.entries()) {
    const key = t.dtype.name;
    let bucket = open.get(key);
    if (!bucket) {
      const first = !closed.some((indices) => tensors[indices[0]!]!.dtype.name === key);
      bucket = { indices: [], bytes: 0, limit: first ? sizes.first : sizes.rest };
      open.set(key, bucket);
    }
    bucket.indices.push(i);
    bucket.bytes += t.numel() * t.dtype.itemsize;
    if (bucket.bytes < bucket.limit) continue;
    closed.push(bucket.indices);
    open.delete(key);
  }
  for (const bucket of open.values()) closed.push(bucket.indices);
  // Dtypes fill buckets side by side: put them back into the order of their first members.
  return closed.sort((a, b) => a[0]! - b[0]!);
}
