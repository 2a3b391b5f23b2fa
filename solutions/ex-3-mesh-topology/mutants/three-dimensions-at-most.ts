// fails: wrong in fresh
import { type DeviceMesh, dist, initDeviceMesh, type Tensor, torch } from 'shardbook';

export type Sizes = { readonly pp?: number; readonly dp?: number; readonly tp?: number };

export interface Place {
  position: number;
  ranks: number[];
  sum: number;
}

export interface Link {
  readonly latencySeconds: number;
  readonly bytesPerSecond: number;
}

export interface Machine {
  readonly ranksPerNode: number;
  readonly inside: Link;
  readonly across: Link;
}

export interface Dimension {
  readonly name: string;
  readonly size: number;
  readonly bytes: number;
}

const OUTSIDE_TO_INSIDE = ['pp', 'dp', 'tp'] as const;

/** A mesh of all ranks: pp outside, tp inside. */
export function buildMesh(sizes: Sizes): DeviceMesh {
  const names = OUTSIDE_TO_INSIDE.filter((name) => sizes[name] !== undefined);
  const shape = names.map((name) => sizes[name]!);
  const places = shape.reduce((product, size) => product * size, 1);
  const ranks = dist.getWorldSize();
  if (places !== ranks)
    throw new Error(`a mesh of ${shape.join(' x ')} has ${places} places for ${ranks} ranks`);
  return initDeviceMesh('cpu', shape, { meshDimNames: names });
}

/** Where this rank is along every dimension, who is with it, and the sum of their ranks. */
export function report(mesh: DeviceMesh): Record<string, Place> {
  const places: Record<string, Place> = {};
  for (const name of mesh.meshDimNames!) {
    places[name] = {
      position: mesh.getLocalRank(name),
      ranks: dist.getProcessGroupRanks(mesh.getGroup(name)),
      sum: sumAlong(torch.tensor([dist.getRank()]), mesh, name).item() as number,
    };
  }
  return places;
}

/** The sum over the group along a dimension, as a new tensor. */
export function sumAlong(t: Tensor, mesh: DeviceMesh, name: string): Tensor {
  const sum = t.clone();
  dist.allReduce(sum, { group: mesh.getGroup(name) });
  return sum;
}

/** Seconds of ring all-reduces of `bytes` in all groups along a dimension of a mesh. */
export function allReduceSeconds(
  shape: readonly number[],
  dim: number,
  bytes: number,
  machine: Machine,
): number {
  const size = shape[dim]!;
  const stride = shape.slice(dim + 1).reduce((product, each) => product * each, 1);
  const ranks = shape.reduce((product, each) => product * each, 1);
  const nodeOf = (rank: number): number => Math.floor(rank / machine.ranksPerNode);
  // Neighbours in a group are `stride` ranks apart, but for those in the last place of the dimension.
  const crosses = Array.from({ length: ranks }, (_, rank) => rank).some(
    (rank) => Math.floor(rank / stride) % size > 0 && nodeOf(rank - stride) !== nodeOf(rank),
  );
  const { latencySeconds, bytesPerSecond } = crosses ? machine.across : machine.inside;
  return 2 * (size - 1) * (latencySeconds + bytes / size / bytesPerSecond);
}

function orders<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]];
  if (items.length > 3) return [[...items]];
  return items.flatMap((first) =>
    orders(items.filter((item) => item !== first)).map((rest) => [first, ...rest]),
  );
}

/** Names from the outermost to the innermost dimension, in an order that takes the least time in all. */
export function bestOrder(dimensions: readonly Dimension[], machine: Machine): string[] {
  const cost = (order: readonly Dimension[]): number => {
    const shape = order.map(({ size }) => size);
    return order.reduce((sum, { bytes }, dim) => sum + allReduceSeconds(shape, dim, bytes, machine), 0);
  };
  const all = orders(dimensions);
  const best = all.reduce((least, order) => (cost(order) < cost(least) ? order : least));
  return best.map(({ name }) => name);
}
