import { dist, type Tensor } from 'shardbook';

export function clipShards(shards: readonly (Tensor | null)[], maxNorm: number) {
  const own = shards.reduce(
    (sum, shard) => sum + (shard === null ? 0 : (shard.double().norm().item() as number) ** 2),
    0,
  );
  const all: number[] = Array.from({ length: dist.getWorldSize() }, () => 0);
  dist.allGatherObject(all, own);
  const norm = Math.sqrt(all.reduce((sum, part) => sum + part, 0));
  const factor = maxNorm / (norm + 1e-6);
  return { norm, grads: shards.map((shard) => shard && (factor < 1 ? shard.mul(factor) : shard.clone())) };
}
