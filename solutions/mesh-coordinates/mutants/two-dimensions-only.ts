// fails: wrong in coordinates
// fails for anything but two dimensions
export function coordinatesOf(rank: number, shape: readonly number[]): number[] {
  return [Math.floor(rank / shape[1]!), rank % shape[1]!];
}

export function rankAt(coordinates: readonly number[], shape: readonly number[]): number {
  return coordinates[0]! * shape[1]! + coordinates[1]!;
}

export function groupOf(rank: number, shape: readonly number[], dim: number): number[] {
  const [row, column] = coordinatesOf(rank, shape);
  return Array.from({ length: shape[dim]! }, (_, i) =>
    dim === 0 ? rankAt([i, column!], shape) : rankAt([row!, i], shape),
  );
}
