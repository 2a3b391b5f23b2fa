import type { DeviceMesh, Tensor } from 'shardbook';

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

/** A mesh of all ranks: pp outside, tp inside. */
export function buildMesh(sizes: Sizes): DeviceMesh {
  // TODO: names and shape in the right order, and as many places as ranks.
  throw new Error(`not begun: ${JSON.stringify(sizes)}`);
}

/** Where this rank is along every dimension, who is with it, and the sum of their ranks. */
export function report(mesh: DeviceMesh): Record<string, Place> {
  // TODO
  throw new Error(`not begun: ${mesh.describe()}`);
}

/** The sum over the group along a dimension, as a new tensor. */
export function sumAlong(t: Tensor, mesh: DeviceMesh, name: string): Tensor {
  // TODO
  throw new Error(`not begun: ${t.describe()} on ${mesh.describe()} along ${name}`);
}

/** Seconds of ring all-reduces of `bytes` in all groups along a dimension of a mesh. */
export function allReduceSeconds(
  shape: readonly number[],
  dim: number,
  bytes: number,
  machine: Machine,
): number {
  // TODO: how many steps, over which link?
  throw new Error(
    `not begun: [${shape.join(', ')}] along ${dim}, ${bytes} bytes, nodes of ${machine.ranksPerNode}`,
  );
}

/** Names from the outermost to the innermost dimension, in an order that takes the least time in all. */
export function bestOrder(dimensions: readonly Dimension[], machine: Machine): string[] {
  // TODO
  throw new Error(`not begun: ${dimensions.length} dimensions, nodes of ${machine.ranksPerNode}`);
}
