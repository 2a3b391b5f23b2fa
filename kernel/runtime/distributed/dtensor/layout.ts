/** Which part of a tensor lies where: sizes and offsets of shards, shapes of the whole from a part. */
import { ShardbookError } from '../../base/index.js';
import type { Tensor } from '../../tensor/index.js';
import type { DeviceMesh } from '../mesh/index.js';
import { chunkExtent, type Extent } from './chunk.js';
import {
  isShardLike,
  type Placement,
  type Placements,
  placementsText,
  Shard,
  ShardPlacement,
  StridedShard,
  StridedShardPlacement,
} from './placements.js';

export { chunkExtent, type Extent };

/** Of `size` rows those that piece `index` of a strided cut holds, in its order. */
export function stridedRows(splitFactor: number, size: number, pieces: number, index: number): number[] {
  const rows: number[] = [];
  for (let part = 0; part < splitFactor; part++) {
    const outer = chunkExtent(size, splitFactor, part);
    const inner = chunkExtent(outer.size, pieces, index);
    for (let i = 0; i < inner.size; i++) rows.push(outer.offset + inner.offset + i);
  }
  return rows;
}

/** Rows of a piece. */
export function pieceSize(
  p: ShardPlacement | StridedShardPlacement,
  size: number,
  pieces: number,
  index: number,
): number {
  return p instanceof StridedShardPlacement
    ? stridedRows(p.splitFactor, size, pieces, index).length
    : chunkExtent(size, pieces, index).size;
}

/** The shape of the part at a coordinate of the mesh. */
export function localShapeAt(
  shape: readonly number[],
  mesh: DeviceMesh,
  placements: Placements,
  coordinate: readonly number[],
): number[] {
  const out = [...shape];
  placements.forEach((p, axis) => {
    if (isShardLike(p)) out[p.dim] = pieceSize(p, out[p.dim]!, mesh.size(axis), coordinate[axis]!);
  });
  return out;
}

/** The shape of this rank's part; `[0]` on ranks outside the mesh. */
export function localShape(shape: readonly number[], mesh: DeviceMesh, placements: Placements): number[] {
  const coordinate = mesh.getCoordinate();
  return coordinate === null ? [0] : localShapeAt(shape, mesh, placements, coordinate);
}

export interface ShapeAndOffset {
  shape: number[];
  /** Where the part begins in the whole, per dimension; the size of the dimension when the part is empty. */
  offset: number[];
}

/** Shape and offset of the part at a coordinate (this rank's by default) of a tensor of this global shape. */
export function computeLocalShapeAndGlobalOffset(
  shape: readonly number[],
  mesh: DeviceMesh,
  placements: Placements,
  coordinate: readonly number[] | null = mesh.getCoordinate(),
): ShapeAndOffset {
  if (coordinate === null) return { shape: [0], offset: [] };
  const normal = checkPlacements('compute the local shape', placements, mesh, shape.length);
  const out = [...shape];
  const rows = new Map<number, number[]>();
  const offset = shape.map(() => 0);
  normal.forEach((p, axis) => {
    if (!isShardLike(p)) return;
    const { dim } = p;
    const [size, pieces, index] = [out[dim]!, mesh.size(axis), coordinate[axis]!];
    const before = rows.get(dim);
    let mine: number[];
    if (p instanceof StridedShardPlacement) mine = stridedRows(p.splitFactor, size, pieces, index);
    else {
      const piece = chunkExtent(size, pieces, index);
      mine = Array.from({ length: piece.size }, (_, i) => piece.offset + i);
    }
    out[dim] = mine.length;
    const global = mine.length === 0 ? [shape[dim]!] : mine.map((row) => before?.[row] ?? row);
    rows.set(dim, global);
    offset[dim] = global[0]!;
  });
  return { shape: out, offset };
}

/** Every row of the whole, per dimension, that the part at a coordinate holds. */
export function rowsAt(
  shape: readonly number[],
  mesh: DeviceMesh,
  placements: Placements,
  coordinate: readonly number[],
): number[][] {
  const rows = shape.map((n) => Array.from({ length: n }, (_, i) => i));
  placements.forEach((p, axis) => {
    if (!isShardLike(p)) return;
    const before = rows[p.dim]!;
    const [pieces, index] = [mesh.size(axis), coordinate[axis]!];
    if (p instanceof StridedShardPlacement)
      rows[p.dim] = stridedRows(p.splitFactor, before.length, pieces, index).map((row) => before[row]!);
    else {
      const piece = chunkExtent(before.length, pieces, index);
      rows[p.dim] = before.slice(piece.offset, piece.offset + piece.size);
    }
  });
  return rows;
}

/** Shape and strides of the whole, if every part is as large as this one. */
export function globalLayout(
  local: Tensor,
  mesh: DeviceMesh,
  placements: Placements,
): { shape: number[]; strides: number[] } {
  const shape = [...local.shape];
  const strides = [...local.strides];
  placements.forEach((p, axis) => {
    if (!isShardLike(p)) return;
    const size = mesh.size(axis);
    shape[p.dim] = shape[p.dim]! * size;
    for (let d = 0; d < strides.length; d++)
      if (d !== p.dim && strides[d]! >= strides[p.dim]!) strides[d] = strides[d]! * size;
  });
  return { shape, strides };
}

const meshes = new Map<string, WeakRef<DeviceMesh>>();

/** A mesh that placements were checked against on this rank. */
export function meshWithKey(key: string): DeviceMesh | null {
  return meshes.get(key)?.deref() ?? null;
}

/** Placements as users give them, checked: one per axis, dimensions counted from the front, one kind of pending reduction. */
export function checkPlacements(
  action: string,
  placements: readonly Placement[],
  mesh: DeviceMesh,
  ndim: number,
): Placements {
  if (!meshes.get(mesh.key)?.deref()) meshes.set(mesh.key, new WeakRef(mesh));
  if (placements.length !== mesh.ndim) {
    throw new ShardbookError({
      code: 'SB_PLACEMENT',
      message: `Cannot ${action}: ${placements.length} placements are given, the mesh ${mesh.describe()} has ${mesh.ndim} axes`,
      help: 'pass one placement per axis of the mesh',
    });
  }
  const out = placements.map((p) => {
    if (!isShardLike(p)) return p;
    const dim = p.dim < 0 ? p.dim + ndim : p.dim;
    if (dim < 0 || dim >= ndim) {
      throw new ShardbookError({
        code: 'SB_PLACEMENT',
        message: `Cannot ${action}: ${p} cuts dimension ${p.dim}, the tensor has ${ndim}`,
        help:
          ndim === 0
            ? 'a tensor without dimensions can only be replicated'
            : `pass Shard(${ndim - 1}) at most`,
      });
    }
    if (dim === p.dim) return p;
    return p instanceof ShardPlacement ? Shard(dim) : StridedShard(dim, p.splitFactor);
  });
  checkMixed(action, out);
  return out;
}

/** Sums and averages commute; other kinds of pending reductions cannot stand side by side. */
function checkMixed(action: string, placements: Placements): void {
  if (!isMixed(placements)) return;
  throw new ShardbookError({
    code: 'SB_MIXED_PARTIAL',
    message: `Cannot ${action}: ${placementsText(placements)} has pending reductions of different kinds, whose order would matter`,
    help: 'reduce one of them first, or use one kind (sum and avg may stand together)',
  });
}

/** Whether pending reductions of kinds that do not commute stand side by side. */
export function isMixed(placements: Placements): boolean {
  let kind: string | null = null;
  let linear = true;
  let several = false;
  for (const p of placements) {
    if (!p.isPartial()) continue;
    const own = p.key;
    if (own !== 'P(sum)' && own !== 'P(avg)') linear = false;
    if (kind !== null && kind !== own) several = true;
    kind = own;
  }
  return several && !linear;
}
