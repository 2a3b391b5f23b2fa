// fails: wrong in fresh
/** Where `rank` stands in a mesh of this shape: the last dimension is the one in which neighbours differ by 1. */
export function coordinatesOf(rank: number, shape: readonly number[]): number[] {
  const coordinates: number[] = [];
  let rest = rank;
  for (let dim = shape.length - 1; dim >= 0; dim--) {
    coordinates.unshift(rest % shape[dim]!);
    rest = Math.floor(rest / shape[dim]!);
  }
  return coordinates;
}

/** The rank at these coordinates. */
export function rankAt(coordinates: readonly number[], shape: readonly number[]): number {
  return shape.reduce((rank, size, dim) => rank * size + coordinates[dim]!, 0);
}

/** The ranks that differ from `rank` in dimension `dim` only, `rank` among them, in the order of that dimension. */
export function groupOf(rank: number, shape: readonly number[], dim: number): number[] {
  const own = coordinatesOf(rank, shape);
  const places = Array.from({ length: shape[dim]! }, (_, i) => i).sort();
  return places.map((i) =>
    rankAt(
      own.map((at, d) => (d === dim ? i : at)),
      shape,
    ),
  );
}
