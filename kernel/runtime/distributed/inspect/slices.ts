/**
 * Which rows of a tensor every rank of a mesh holds, as intervals. It needs the shape, the placements and the mesh, never the
 * data: pictures and validators of a DTensor communicate nothing.
 */

import { isShardLike, type Placements, StridedShardPlacement } from '../dtensor/index.js';
import type { DeviceMesh } from '../mesh/index.js';

/** Rows from `start` to before `end`. */
export interface Interval {
  readonly start: number;
  readonly end: number;
}

/** What one rank holds. */
export interface RankSlice {
  readonly rank: number;
  readonly coordinate: readonly number[];
  /** Per dimension of the tensor, in the order in which the rank holds them. */
  readonly ranges: readonly (readonly Interval[])[];
  readonly shape: readonly number[];
  readonly isEmpty: boolean;
}

export function lengthOf(ranges: readonly Interval[]): number {
  return ranges.reduce((n, { start, end }) => n + end - start, 0);
}

/** The rows `from` to before `to` of the rows that `ranges` lists. */
function take(ranges: readonly Interval[], from: number, to: number): Interval[] {
  const out: Interval[] = [];
  let at = 0;
  for (const { start, end } of ranges) {
    const size = end - start;
    const [a, b] = [Math.max(from, at), Math.min(to, at + size)];
    if (a < b) out.push({ start: start + a - at, end: start + b - at });
    at += size;
  }
  return out;
}

/** Piece `index` of `pieces`, cut as torch.chunk cuts: ceil(n / pieces) rows each, the last short or empty. */
function piece(ranges: readonly Interval[], pieces: number, index: number): Interval[] {
  const total = lengthOf(ranges);
  const size = Math.ceil(total / pieces);
  return take(ranges, Math.min(total, size * index), Math.min(total, size * (index + 1)));
}

function joined(ranges: readonly Interval[]): Interval[] {
  const out: Interval[] = [];
  for (const range of ranges) {
    const last = out[out.length - 1];
    if (last?.end === range.start) out[out.length - 1] = { start: last.start, end: range.end };
    else out.push(range);
  }
  return out;
}

/** The rows, per dimension, of the part at a coordinate; axes cut from left to right. */
export function rangesAt(
  shape: readonly number[],
  meshShape: readonly number[],
  placements: Placements,
  coordinate: readonly number[],
): Interval[][] {
  const ranges = shape.map((n) => (n === 0 ? [] : [{ start: 0, end: n }]));
  placements.forEach((placement, axis) => {
    if (!isShardLike(placement)) return;
    const dim = placement.dim < 0 ? placement.dim + shape.length : placement.dim;
    const before = ranges[dim]!;
    const [pieces, index] = [meshShape[axis]!, coordinate[axis]!];
    ranges[dim] =
      placement instanceof StridedShardPlacement
        ? joined(
            Array.from({ length: placement.splitFactor }, (_, part) =>
              piece(piece(before, placement.splitFactor, part), pieces, index),
            ).flat(),
          )
        : piece(before, pieces, index);
  });
  return ranges;
}

/** What every rank of the mesh holds, in the order of the mesh's table. */
export function slicesOf(
  shape: readonly number[],
  mesh: DeviceMesh,
  placements: Placements,
): readonly RankSlice[] {
  return mesh.ranks.map((rank) => {
    const coordinate = mesh.coordinateOf(rank)!;
    const ranges = rangesAt(shape, mesh.shape, placements, coordinate);
    const local = ranges.map(lengthOf);
    return { rank, coordinate, ranges, shape: local, isEmpty: local.includes(0) };
  });
}

/** `0:4`, `0:2+4:6` of a strided shard, `:` for the whole dimension. */
export function rangeText(ranges: readonly Interval[], size: number): string {
  if (lengthOf(ranges) === size) return ':';
  return ranges.length === 0 ? 'none' : ranges.map(({ start, end }) => `${start}:${end}`).join('+');
}

/** `[0:4, :]`, or `empty`. */
export function sliceText(slice: RankSlice, shape: readonly number[]): string {
  if (slice.isEmpty && shape.every((n) => n > 0)) return 'empty';
  return `[${slice.ranges.map((ranges, dim) => rangeText(ranges, shape[dim]!)).join(', ')}]`;
}

/** Equal for slices of the same rows. */
export function sliceKey(slice: RankSlice): string {
  return slice.ranges.map((ranges) => ranges.map(({ start, end }) => `${start}:${end}`).join('+')).join(',');
}

/** `[2, 3]` as arrays of numbers are written in texts. */
export function list(values: readonly (number | string)[]): string {
  return `[${values.join(', ')}]`;
}

/** `0, 2`; runs of many are written `0-7`. */
export function ranksText(ranks: readonly number[]): string {
  if (ranks.length <= 4) return ranks.join(', ');
  const parts: string[] = [];
  for (let i = 0; i < ranks.length; ) {
    let end = i;
    while (ranks[end + 1] === ranks[end]! + 1) end++;
    if (end - i < 2) parts.push(...ranks.slice(i, end + 1).map(String));
    else parts.push(`${ranks[i]}-${ranks[end]}`);
    i = end + 1;
  }
  return parts.join(', ');
}
