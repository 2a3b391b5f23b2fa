/** Where `rank` stands in a mesh of this shape: the last dimension is the one in which neighbours differ by 1. */
export function coordinatesOf(rank: number, shape: readonly number[]): number[] {
  // TODO
  throw new Error(`not begun: rank ${rank} of [${shape.join(', ')}]`);
}

/** The rank at these coordinates. */
export function rankAt(coordinates: readonly number[], shape: readonly number[]): number {
  // TODO
  throw new Error(`not begun: [${coordinates.join(', ')}] of [${shape.join(', ')}]`);
}

/** The ranks that differ from `rank` in dimension `dim` only, `rank` among them, in the order of that dimension. */
export function groupOf(rank: number, shape: readonly number[], dim: number): number[] {
  // TODO
  throw new Error(`not begun: rank ${rank} of [${shape.join(', ')}] along ${dim}`);
}
