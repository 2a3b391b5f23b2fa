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
  const [last = 0, middle = 0, first = 0] = [...coordinates].reverse();
  const [columns = 1, rows = 1] = [...shape].reverse();
  return (first * rows + middle) * columns + last;
}

/** The ranks that differ from `rank` in dimension `dim` only, `rank` among them, in the order of that dimension. */
export function groupOf(rank: number, shape: readonly number[], dim: number): number[] {
  const own = coordinatesOf(rank, shape);
  return Array.from({ length: shape[dim]! }, (_, i) =>
    shape.reduce((at, size, d) => at * size + (d === dim ? i : own[d]!), 0),
  );
}
