import {
  CommDebugMode,
  type DeviceMesh,
  DTensor,
  dist,
  Partial,
  type Placement,
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

/** This rank's part of a tensor that all ranks have: nothing is sent. */
function cut(t: Tensor, mesh: DeviceMesh, placement: Placement): DTensor {
  if (!placement.isShard()) return DTensor.fromLocal(t, mesh, [placement]);
  const each = Math.ceil(t.shape[placement.dim]! / dist.getWorldSize());
  const start = Math.min(each * dist.getRank(), t.shape[placement.dim]!);
  const end = Math.min(start + each, t.shape[placement.dim]!);
  const local = t.narrow(placement.dim, start, end - start).contiguous();
  return DTensor.fromLocal(local, mesh, [placement], { shape: t.shape });
}

export function createTensors(
  mesh: DeviceMesh,
  a: Tensor,
  b: Tensor,
  c: Tensor,
): [DTensor, DTensor, DTensor] {
  return [cut(a, mesh, Shard(0)), cut(b, mesh, Replicate()), DTensor.fromLocal(c, mesh, [Partial('sum')])];
}

export function convert(t: DTensor, to: Place): DTensor {
  switch (to) {
    case 'R':
      return t.redistribute(t.deviceMesh, [Replicate()]);
    case 'S(0)':
      return t.redistribute(t.deviceMesh, [Shard(0)]);
    default:
      return t.redistribute({ placements: [Shard(1)] });
  }
}

export function predict(shape: readonly number[], from: Place, to: Place, ranks: number, links: Links): Cost {
  const whole = shape.reduce((bytes, size) => bytes * size, Float32Array.BYTES_PER_ELEMENT);
  const table: Record<string, [collective: Cost['collective'], steps: number, parts: number]> = {
    'S(0) R': ['allGather', ranks - 1, ranks],
    'S(1) R': ['allGather', ranks - 1, ranks],
    'S(0) S(1)': ['allToAll', ranks - 1, ranks * ranks],
    'S(1) S(0)': ['allToAll', ranks - 1, ranks * ranks],
    'P(sum) R': ['allReduce', 2 * ranks - 2, ranks],
    'P(sum) S(0)': ['reduceScatter', ranks - 1, ranks],
    'P(sum) S(1)': ['reduceScatter', ranks - 1, ranks],
  };
  const [collective, steps, parts] = table[`${from} ${to}`] ?? ['none', 0, 1];
  const received = (steps * whole) / parts;
  return { collective, received, seconds: steps * links.latencySeconds + received / links.bytesPerSecond };
}

export function measure(body: () => unknown): Measured {
  const mode = new CommDebugMode().start();
  try {
    body();
  } finally {
    mode.stop();
  }
  let bytes = 0;
  for (const each of Object.values(mode.getCommBytes())) bytes += each;
  return { bytes, counts: mode.getCommCounts() };
}

export function multiply(a: Tensor, b: Tensor, mesh: DeviceMesh, way: Way): DTensor {
  if (way === 'rows') return cut(a, mesh, Shard(0)).matmul(cut(b, mesh, Replicate())) as DTensor;
  if (way === 'columns') return cut(a, mesh, Replicate()).matmul(cut(b, mesh, Shard(1))) as DTensor;
  return cut(a, mesh, Shard(1)).matmul(cut(b, mesh, Shard(0))) as DTensor;
}

export function compare(a: Tensor, b: Tensor, mesh: DeviceMesh): Record<Way, number> {
  const cost = (way: Way): number => {
    const product = multiply(a, b, mesh, way);
    return measure(() => product.fullTensor()).bytes;
  };
  return { rows: cost('rows'), columns: cost('columns'), inner: cost('inner') };
}
