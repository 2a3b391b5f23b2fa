import type { Tensor } from 'shardbook';

export interface Clipped {
  /** Of all gradients on all ranks. */
  norm: number;
  grads: (Tensor | null)[];
}

/** Scales the gradients so that their common norm is at most `maxNorm`. `shards` are this rank's parts; a frozen parameter has none. */
export function clipShards(shards: readonly (Tensor | null)[], maxNorm: number): Clipped {
  // TODO: squares of this rank, their sum over the ranks, the root, the factor.
  throw new Error(`not begun: ${shards.length} shards, at most ${maxNorm}`);
}
