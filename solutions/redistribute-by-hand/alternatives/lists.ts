import { dist, type Tensor, torch } from 'shardbook';

/** The pieces of all ranks; `torch.chunk` gives fewer when rows run out. */
function pieces(t: Tensor, dim: number): Tensor[] {
  const parts = t.shape[dim] === 0 ? [] : t.chunk(dist.getWorldSize(), dim);
  const none = t.narrow(dim, 0, 0);
  return Array.from({ length: dist.getWorldSize() }, (_, rank) => parts[rank] ?? none);
}

function lengthOf(size: number, rank: number): number {
  const each = Math.ceil(size / dist.getWorldSize());
  return Math.max(0, Math.min(each, size - rank * each));
}

function withSize(shape: readonly number[], dim: number, size: number): number[] {
  return shape.map((n, d) => (d === dim ? size : n));
}

/** `t` in the corner of zeros that have `size` rows in `dim`. */
function widened(t: Tensor, dim: number, size: number): Tensor {
  const wide = torch.zeros(withSize(t.shape, dim, size), { dtype: t.dtype });
  wide.narrow(dim, 0, t.shape[dim]!).copy_(t);
  return wide;
}

export function replicateToShard(full: Tensor, dim: number): Tensor {
  return pieces(full, dim)[dist.getRank()]!.clone();
}

export function shardToReplicate(local: Tensor, dim: number, shape: readonly number[]): Tensor {
  const each = Math.ceil(shape[dim]! / dist.getWorldSize());
  const own = widened(local, dim, each);
  const all = Array.from({ length: dist.getWorldSize() }, () => torch.emptyLike(own));
  dist.allGather(all, own);
  return torch.cat(
    all.map((t, rank) => t.narrow(dim, 0, lengthOf(shape[dim]!, rank))),
    dim,
  );
}

export function partialToReplicate(local: Tensor): Tensor {
  const sum = torch.zerosLike(local).add_(local);
  dist.allReduce(sum, { op: dist.ReduceOp.SUM });
  return sum;
}

export function partialToShard(local: Tensor, dim: number): Tensor {
  const size = local.shape[dim]!;
  const each = Math.ceil(size / dist.getWorldSize());
  const all = pieces(local, dim).map((piece) => widened(piece, dim, each));
  const own = torch.emptyLike(all[0]!);
  dist.reduceScatter(own, all);
  return own.narrow(dim, 0, lengthOf(size, dist.getRank())).clone();
}

export function shardToShard(local: Tensor, from: number, to: number, shape: readonly number[]): Tensor {
  if (from === to) return local.clone();
  const mine = lengthOf(shape[to]!, dist.getRank());
  const incoming = pieces(local, to).map((_, rank) =>
    torch.empty(withSize(withSize(shape, to, mine), from, lengthOf(shape[from]!, rank)), {
      dtype: local.dtype,
    }),
  );
  dist.allToAll(
    incoming,
    pieces(local, to).map((piece) => piece.contiguous()),
  );
  return torch.cat(incoming, from);
}
