import { dist, type Tensor, torch } from 'shardbook';

export function clipShards(shards: readonly (Tensor | null)[], maxNorm: number) {
  const there = shards.filter((shard): shard is Tensor => shard !== null);
  const flat = there.length === 0 ? torch.zeros([0]) : torch.cat(there.map((shard) => shard.reshape([-1])));
  const squares = flat.double().square().sum().reshape([1]);
  dist.allReduce(squares, { op: dist.ReduceOp.SUM });
  const norm = squares.sqrt().item() as number;
  return { norm, grads: shards.map((shard) => shard?.mul(Math.min(1, maxNorm / (norm + 1e-6))) ?? null) };
}
