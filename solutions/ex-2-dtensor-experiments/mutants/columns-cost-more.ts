// fails: wrong in predict
import {
  CommDebugMode,
  type DeviceMesh,
  DTensor,
  distributeTensor,
  Partial,
  Replicate,
  Shard,
  type Tensor,
} from 'shardbook';

export type Place = 'R' | 'S(0)' | 'S(1)' | 'P(sum)';
export type Way = 'rows' | 'columns' | 'inner';

export interface Links {
  readonly latencySeconds: number;
  readonly bytesPerSecond: number;
}

export interface Cost {
  collective: 'allGather' | 'allReduce' | 'reduceScatter' | 'allToAll' | 'none';
  received: number;
  seconds: number;
}

export interface Measured {
  counts: Record<string, number>;
  bytes: number;
}

const WAYS = ['rows', 'columns', 'inner'] as const;

/** `a` sharded along dimension 0, `b` replicated, the pending sum of all ranks' `c`. */
export function createTensors(
  mesh: DeviceMesh,
  a: Tensor,
  b: Tensor,
  c: Tensor,
): [DTensor, DTensor, DTensor] {
  return [
    distributeTensor(a, mesh, [Shard(0)]),
    distributeTensor(b, mesh, [Replicate()]),
    DTensor.fromLocal(c, mesh, [Partial()]),
  ];
}

/** `t` lying as `to` says. */
export function convert(t: DTensor, to: Place): DTensor {
  return t.redistribute([to === 'R' ? Replicate() : Shard(to === 'S(0)' ? 0 : 1)]);
}

/** What a conversion costs, for float32 and sizes that divide. */
export function predict(shape: readonly number[], from: Place, to: Place, ranks: number, links: Links): Cost {
  const part = (4 * shape.reduce((product, size) => product * size, 1)) / ranks;
  const cost = (collective: Cost['collective'], steps: number, bytes: number): Cost => ({
    collective,
    received: steps * bytes,
    seconds: steps * (links.latencySeconds + bytes / links.bytesPerSecond),
  });
  // Who has the whole has every part.
  if (from === to || from === 'R') return cost('none', 0, part);
  if (from === 'P(sum)')
    return to === 'R' ? cost('allReduce', 2 * (ranks - 1), part) : cost('reduceScatter', ranks - 1, part);
  return to === 'R'
    ? cost('allGather', ranks - 1, from === 'S(1)' ? part * shape[0]! : part)
    : cost('allToAll', ranks - 1, part / ranks);
}

/** What `body` communicates on this rank. */
export function measure(body: () => unknown): Measured {
  const mode = new CommDebugMode();
  mode.run(body);
  const bytes = Object.values(mode.getCommBytes()).reduce((sum, each) => sum + each, 0);
  return { counts: mode.getCommCounts(), bytes };
}

/** The product of two whole matrices, cut in one of three ways. */
export function multiply(a: Tensor, b: Tensor, mesh: DeviceMesh, way: Way): DTensor {
  const left = { rows: Shard(0), columns: Replicate(), inner: Shard(1) }[way];
  const right = { rows: Replicate(), columns: Shard(1), inner: Shard(0) }[way];
  return distributeTensor(a, mesh, [left]).matmul(distributeTensor(b, mesh, [right])) as DTensor;
}

/** Bytes that this rank hands over to replicate the product, for each way. */
export function compare(a: Tensor, b: Tensor, mesh: DeviceMesh): Record<Way, number> {
  const bytes = { rows: 0, columns: 0, inner: 0 };
  for (const way of WAYS) {
    const product = multiply(a, b, mesh, way);
    bytes[way] = measure(() => convert(product, 'R')).bytes;
  }
  return bytes;
}
