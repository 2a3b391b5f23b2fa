// fails: wrong in one-number, "wanted one number"
import { dist, type Tensor, torch } from 'shardbook';

export interface Clipped {
  /** Of all gradients on all ranks. */
  norm: number;
  grads: (Tensor | null)[];
}

/** Scales the gradients so that their common norm is at most `maxNorm`. `shards` are this rank's parts; a frozen parameter has none. */
export function clipShards(shards: readonly (Tensor | null)[], maxNorm: number): Clipped {
  const squares = torch.zeros([shards.length], { dtype: torch.float64 });
  for (const [i, shard] of shards.entries())
    if (shard !== null) squares.get(i).add_(shard.double().pow(2).sum());
  dist.allReduce(squares);
  const norm = Math.sqrt(squares.sum().item() as number);
  const factor = Math.min(1, maxNorm / (norm + 1e-6));
  return { norm, grads: shards.map((shard) => (shard === null ? null : shard.mul(factor))) };
}
