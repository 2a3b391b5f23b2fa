/** Communication hooks that come with DDP. */
import type { DType } from '../../tensor/index.js';
import { type Tensor, torch } from '../../tensor/index.js';
import { dist, type ProcessGroup } from '../group/index.js';
import type { GradBucket } from './reducer.js';

/** The mean, as without a hook. */
export function allreduceHook(group: ProcessGroup | null, bucket: GradBucket): () => Tensor {
  const on = group ?? dist.group.WORLD;
  const buffer = bucket.buffer().div_(on.size());
  const work = dist.allReduce(buffer, { group: on, asyncOp: true });
  return () => {
    work?.wait();
    return buffer;
  };
}

function compressed(dtype: DType) {
  return (group: ProcessGroup | null, bucket: GradBucket): (() => Tensor) => {
    const on = group ?? dist.group.WORLD;
    const small = bucket.buffer().to(dtype).div_(on.size());
    const work = dist.allReduce(small, { group: on, asyncOp: true });
    return () => {
      work?.wait();
      return small.to(bucket.buffer().dtype);
    };
  };
}

/** Sends gradients as float16: half the bytes. */
export const fp16CompressHook = compressed(torch.float16);
/** Sends gradients as bfloat16: half the bytes, the range of float32. */
export const bf16CompressHook = compressed(torch.bfloat16);
