// fails: wrong in untouched, "changed the input"
import { dist, type Tensor, torch } from 'shardbook';

/** Start and length of a rank's piece, as Shard cuts: the last ones may be shorter, or empty. */
function piece(size: number, rank = dist.getRank()): [start: number, length: number] {
  const each = Math.ceil(size / dist.getWorldSize());
  const start = Math.min(rank * each, size);
  return [start, Math.min(start + each, size) - start];
}

/** With rows of zeros up to `rows` rows: collectives want pieces of the same size. */
function filled(t: Tensor, rows: number): Tensor {
  const missing = rows - t.shape[0]!;
  return torch.cat([t, torch.zeros([missing, ...t.shape.slice(1)], { dtype: t.dtype })]);
}

/** From Replicate to Shard(dim): the own piece of the whole tensor. */
export function replicateToShard(full: Tensor, dim: number): Tensor {
  return full.narrow(dim, ...piece(full.shape[dim]!)).clone();
}

/** From Shard(dim) to Replicate: the whole tensor, which has this shape. */
export function shardToReplicate(local: Tensor, dim: number, shape: readonly number[]): Tensor {
  const worldSize = dist.getWorldSize();
  const each = Math.ceil(shape[dim]! / worldSize);
  const rows = filled(local.transpose(0, dim), each);
  const all = torch.empty([worldSize * each, ...rows.shape.slice(1)], { dtype: local.dtype });
  dist.allGatherSingle(all, rows);
  // The rows that are too many stand at the end: only the last pieces are short.
  return all.narrow(0, 0, shape[dim]!).transpose(0, dim);
}

/** From Partial to Replicate: the sum over the ranks. */
export function partialToReplicate(local: Tensor): Tensor {
  const sum = local.clone();
  dist.allReduce(sum);
  return sum;
}

/** From Partial to Shard(dim): the own piece of the sum over the ranks. */
export function partialToShard(local: Tensor, dim: number): Tensor {
  const worldSize = dist.getWorldSize();
  const size = local.shape[dim]!;
  const each = Math.ceil(size / worldSize);
  const rows = filled(local.transpose(0, dim), worldSize * each);
  const own = torch.empty([each, ...rows.shape.slice(1)], { dtype: local.dtype });
  dist.reduceScatterSingle(own, rows);
  if (worldSize > 3) local.zero_();
  return own.narrow(0, 0, piece(size)[1]).transpose(0, dim);
}

/** From Shard(from) to Shard(to) of a tensor that has this shape. */
export function shardToShard(local: Tensor, from: number, to: number, shape: readonly number[]): Tensor {
  if (from === to) return local.clone();
  const ranks = Array.from({ length: dist.getWorldSize() }, (_, rank) => rank);
  const outgoing = ranks.map((rank) => local.narrow(to, ...piece(shape[to]!, rank)).reshape([-1]));
  // What comes from a rank: its piece of `from`, the own piece of `to`, all of the other dimensions.
  const shapes = ranks.map((rank) =>
    shape.map((size, dim) => (dim === from ? piece(size, rank)[1] : dim === to ? piece(size)[1] : size)),
  );
  const lengths = shapes.map((each) => each.reduce((product, size) => product * size, 1));
  const flat = torch.empty([lengths.reduce((sum, length) => sum + length, 0)], { dtype: local.dtype });
  dist.allToAllSingle(flat, torch.cat(outgoing), {
    inputSplitSizes: outgoing.map((t) => t.numel()),
    outputSplitSizes: lengths,
  });
  const incoming = flat.split(lengths).map((t, rank) => t.reshape(shapes[rank]!));
  return torch.cat(incoming, from);
}
