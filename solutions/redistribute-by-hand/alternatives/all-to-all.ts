import { dist, type Tensor, torch } from 'shardbook';

// One exchange of lists of pieces is all that is used, but for the sum that everybody wants.

function span(size: number, rank: number): [start: number, end: number] {
  const each = Math.ceil(size / dist.getWorldSize());
  return [Math.min(rank * each, size), Math.min((rank + 1) * each, size)];
}

function everyRank<T>(make: (rank: number) => T): T[] {
  return Array.from({ length: dist.getWorldSize() }, (_, rank) => make(rank));
}

function slice(t: Tensor, dim: number, rank: number): Tensor {
  const [start, end] = span(t.shape[dim]!, rank);
  return t.narrow(dim, start, end - start).contiguous();
}

function sized(shape: readonly number[], dim: number, rank: number): number[] {
  const [start, end] = span(shape[dim]!, rank);
  return shape.map((size, d) => (d === dim ? end - start : size));
}

/** Gives each rank a piece and returns what came, of the given shapes. */
function exchange(outgoing: Tensor[], shapes: number[][]): Tensor[] {
  const incoming = shapes.map((shape) => torch.empty(shape, { dtype: outgoing[0]!.dtype }));
  dist.allToAll(incoming, outgoing);
  return incoming;
}

export function replicateToShard(full: Tensor, dim: number): Tensor {
  return slice(full, dim, dist.getRank()).clone();
}

export function shardToReplicate(local: Tensor, dim: number, shape: readonly number[]): Tensor {
  const own = local.contiguous();
  const incoming = exchange(
    everyRank(() => own),
    everyRank((rank) => sized(shape, dim, rank)),
  );
  return torch.cat(incoming, dim);
}

export function partialToReplicate(local: Tensor): Tensor {
  const sum = local.clone();
  dist.allReduce(sum);
  return sum;
}

export function partialToShard(local: Tensor, dim: number): Tensor {
  const incoming = exchange(
    everyRank((rank) => slice(local, dim, rank)),
    everyRank(() => sized(local.shape, dim, dist.getRank())),
  );
  return incoming.slice(1).reduce((sum, t) => sum.add(t), incoming[0]!.clone());
}

export function shardToShard(local: Tensor, from: number, to: number, shape: readonly number[]): Tensor {
  if (from === to) return local.clone();
  const own = sized(shape, to, dist.getRank());
  const incoming = exchange(
    everyRank((rank) => slice(local, to, rank)),
    everyRank((rank) => sized(shape, from, rank).map((size, dim) => (dim === to ? own[to]! : size))),
  );
  return torch.cat(incoming, from);
}
