// fails: wrong in input-unchanged
import { dist, type Tensor, torch } from 'shardbook';

export interface Clipped {
  /** Of all gradients on all ranks. */
  norm: number;
  grads: (Tensor | null)[];
}

/** Scales the gradients so that their common norm is at most `maxNorm`. `shards` are this rank's parts; a frozen parameter has none. */
export function clipShards(shards: readonly (Tensor | null)[], maxNorm: number): Clipped {
  const squares = torch.zeros([], { dtype: torch.float64 });
  for (const shard of shards) if (shard !== null) squares.add_(shard.double().pow(2).sum());
  dist.allReduce(squares);
  const norm = Math.sqrt(squares.item() as number);
  const factor = Math.min(1, maxNorm / (norm + 1e-6));
  return {
    norm,
    grads: shards.map((shard) => (shard === null ? null : factor === 1 ? shard : shard.mul(factor))),
  };
}
