import { torch } from 'shardbook';

/** All coordinates in the order of the ranks. */
function all(shape: readonly number[]): number[][] {
  return shape.reduce<number[][]>(
    (lists, size) => lists.flatMap((list) => Array.from({ length: size }, (_, i) => [...list, i])),
    [[]],
  );
}

export function coordinatesOf(rank: number, shape: readonly number[]): number[] {
  return all(shape)[rank]!;
}

export function rankAt(coordinates: readonly number[], shape: readonly number[]): number {
  const grid = torch.arange(all(shape).length).reshape([...shape]);
  return coordinates.reduce((part, at) => part.select(0, at), grid).item() as number;
}

export function groupOf(rank: number, shape: readonly number[], dim: number): number[] {
  const own = coordinatesOf(rank, shape);
  return all(shape).flatMap((at, other) => (at.every((n, d) => d === dim || n === own[d]) ? [other] : []));
}
