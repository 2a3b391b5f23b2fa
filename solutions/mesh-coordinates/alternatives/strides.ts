function stridesOf(shape: readonly number[]): number[] {
  return shape.map((_, dim) => shape.slice(dim + 1).reduce((product, size) => product * size, 1));
}

export function coordinatesOf(rank: number, shape: readonly number[]): number[] {
  return stridesOf(shape).map((stride, dim) => Math.floor(rank / stride) % shape[dim]!);
}

export function rankAt(coordinates: readonly number[], shape: readonly number[]): number {
  return stridesOf(shape).reduce((rank, stride, dim) => rank + stride * coordinates[dim]!, 0);
}

export function groupOf(rank: number, shape: readonly number[], dim: number): number[] {
  const stride = stridesOf(shape)[dim]!;
  const first = rank - coordinatesOf(rank, shape)[dim]! * stride;
  return Array.from({ length: shape[dim]! }, (_, i) => first + i * stride);
}
