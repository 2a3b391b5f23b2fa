import type { Tensor } from 'shardbook';

/** From Replicate to Shard(dim): the own piece of the whole tensor. */
export function replicateToShard(full: Tensor, dim: number): Tensor {
  // TODO: which rows are this rank's?
  throw new Error(`not begun: [${full.shape.join(', ')}], dimension ${dim}`);
}

/** From Shard(dim) to Replicate: the whole tensor, which has this shape. */
export function shardToReplicate(local: Tensor, dim: number, shape: readonly number[]): Tensor {
  // TODO: everybody's piece, one after the other.
  throw new Error(`not begun: [${local.shape.join(', ')}] of [${shape.join(', ')}], dimension ${dim}`);
}

/** From Partial to Replicate: the sum over the ranks. */
export function partialToReplicate(local: Tensor): Tensor {
  // TODO
  throw new Error(`not begun: [${local.shape.join(', ')}]`);
}

/** From Partial to Shard(dim): the own piece of the sum over the ranks. */
export function partialToShard(local: Tensor, dim: number): Tensor {
  // TODO: not the whole sum.
  throw new Error(`not begun: [${local.shape.join(', ')}], dimension ${dim}`);
}

/** From Shard(from) to Shard(to) of a tensor that has this shape. */
export function shardToShard(local: Tensor, from: number, to: number, shape: readonly number[]): Tensor {
  // TODO: a piece for every rank, a piece from every rank.
  throw new Error(`not begun: [${local.shape.join(', ')}] of [${shape.join(', ')}], ${from} to ${to}`);
}
