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

export function buildMesh({ pp, dp, tp }: Sizes): DeviceMesh {
  const all: [string, number | undefined][] = [
    ['pp', pp],
    ['dp', dp],
    ['tp', tp],
  ];
  const dims = all.filter((each): each is [string, number] => each[1] !== undefined);
  let places = 1;
  for (const [, size] of dims) places *= size;
  if (places !== dist.getWorldSize()) throw new RangeError(`${places} places, ${dist.getWorldSize()} ranks`);
  return initDeviceMesh(
    dims.map(([, size]) => size),
    { meshDimNames: dims.map(([name]) => name) },
  );
}

/** From the coordinates of this rank and the table of ranks, without asking a group. */
export function report(mesh: DeviceMesh): Record<string, Place> {
  const here = mesh.getCoordinate()!;
  return Object.fromEntries(
    mesh.meshDimNames!.map((name, dim) => {
      const ranks = Array.from({ length: mesh.size(dim) }, (_, i) => {
        const at = here.map((position, d) => (d === dim ? i : position));
        return mesh.ranks[at.reduce((place, position, d) => place * mesh.size(d) + position, 0)]!;
      });
      const sum = sumAlong(torch.tensor([mesh.getRank()], { dtype: torch.float64 }), mesh, name);
      return [name, { position: here[dim]!, ranks, sum: Number(sum.item()) }];
    }),
  );
}

export function sumAlong(t: Tensor, mesh: DeviceMesh, name: string): Tensor {
  const group = mesh.get(name).getGroup();
  const out = torch.emptyLike(t).copy_(t);
  dist.allReduce(out, { op: dist.ReduceOp.SUM, group });
  return out;
}

export function allReduceSeconds(
  shape: readonly number[],
  dim: number,
  bytes: number,
  machine: Machine,
): number {
  let stride = 1;
  for (let d = dim + 1; d < shape.length; d++) stride *= shape[d]!;
  const size = shape[dim]!;
  const block = stride * size;
  let blocks = 1;
  for (let d = 0; d < dim; d++) blocks *= shape[d]!;
  let link = machine.inside;
  for (let block0 = 0; block0 < blocks; block0++) {
    for (let offset = 0; offset < stride; offset++) {
      const first = block0 * block + offset;
      const last = first + (size - 1) * stride;
      // Ranks rise along a group: when the first and the last share a node, all do.
      if (Math.trunc(first / machine.ranksPerNode) !== Math.trunc(last / machine.ranksPerNode))
        link = machine.across;
    }
  }
  const steps = 2 * (size - 1);
  return steps * link.latencySeconds + (steps * bytes) / (size * link.bytesPerSecond);
}

export function bestOrder(dimensions: readonly Dimension[], machine: Machine): string[] {
  let best: { names: string[]; cost: number } | undefined;
  const visit = (chosen: readonly Dimension[], left: readonly Dimension[]): void => {
    for (const each of left)
      visit(
        [...chosen, each],
        left.filter((other) => other !== each),
      );
    if (left.length > 0) return;
    const shape = chosen.map(({ size }) => size);
    let cost = 0;
    chosen.forEach(({ bytes }, dim) => {
      cost += allReduceSeconds(shape, dim, bytes, machine);
    });
    if (best === undefined || cost < best.cost) best = { names: chosen.map(({ name }) => name), cost };
  };
  visit([], dimensions);
  return best!.names;
}
