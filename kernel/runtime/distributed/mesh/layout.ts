/**
 * Where the ranks of a mesh lie in the rank list of its root, as sizes and strides. Slicing, flattening and unflattening a
 * mesh are arithmetic on these; no table of ranks is copied. One axis may need several (size, stride) pairs, when it came
 * from flattening axes that are not adjacent. What this cannot express: ranks in no regular pattern (the root's rank list
 * holds those).
 */
import { ShardbookError } from '../../base/index.js';

export interface Extent {
  readonly size: number;
  readonly stride: number;
}

/** One axis: extents from outer to inner, adjacent ones merged, those of size 1 left out. */
export type AxisLayout = readonly Extent[];
export type MeshLayout = readonly AxisLayout[];

export function rowMajor(shape: readonly number[]): MeshLayout {
  let stride = 1;
  const axes: AxisLayout[] = [];
  for (let i = shape.length - 1; i >= 0; i--) {
    axes.unshift(merge([{ size: shape[i]!, stride }]));
    stride *= shape[i]!;
  }
  return axes;
}

/** The normal form of a list of extents. */
export function merge(extents: readonly Extent[]): AxisLayout {
  const out: Extent[] = [];
  for (const extent of extents) {
    if (extent.size === 1) continue;
    const last = out[out.length - 1];
    if (last && last.stride === extent.size * extent.stride)
      out[out.length - 1] = { size: last.size * extent.size, stride: extent.stride };
    else out.push(extent);
  }
  return out;
}

/** All axes as one. */
export function collapse(layout: MeshLayout): AxisLayout {
  return merge(layout.flat());
}

export function sizeOf(axis: AxisLayout): number {
  return axis.reduce((n, extent) => n * extent.size, 1);
}

/** Positions in the rank list, row by row, of the block that starts at 0. */
function positions(axis: AxisLayout): number[] {
  let out = [0];
  for (const { size, stride } of axis) {
    out = out.flatMap((at) => Array.from({ length: size }, (_, i) => at + i * stride));
  }
  return out;
}

/** The rank list cut into all blocks of this form: one per choice of the coordinates that the axis leaves out. */
export function blocks(axis: AxisLayout, total: number): number[][] {
  const first = positions(axis);
  const seen = new Array<boolean>(total).fill(false);
  const out: number[][] = [];
  for (let start = 0; start < total; start++) {
    if (seen[start]) continue;
    const block = first.map((at) => at + start);
    for (const at of block) seen[at] = true;
    out.push(block);
  }
  return out;
}

/** Whether no two coordinates mean one position. */
export function isOrthogonal(axis: AxisLayout): boolean {
  const sorted = [...axis].sort((a, b) => b.stride - a.stride || b.size - a.size);
  return sorted.every((extent, i) => {
    const next = sorted[i + 1];
    return next === undefined || extent.stride % (next.stride * next.size) === 0;
  });
}

/** Whether outer extents have the larger strides, as in the root. */
export function isSorted(axis: AxisLayout): boolean {
  return axis.every((extent, i) => i === 0 || axis[i - 1]!.stride >= extent.stride);
}

/** Cuts one axis into axes of these sizes, row by row. */
export function cutAxis(axis: AxisLayout, sizes: readonly number[]): MeshLayout {
  const rest = [...axis];
  const out: AxisLayout[] = [];
  for (let i = sizes.length - 1; i >= 0; i--) {
    let want = sizes[i]!;
    const taken: Extent[] = [];
    while (want > 1) {
      const inner = rest.pop();
      if (inner === undefined) throw indivisible(axis, sizes);
      if (inner.size <= want) {
        if (want % inner.size !== 0) throw indivisible(axis, sizes);
        taken.unshift(inner);
        want /= inner.size;
      } else {
        if (inner.size % want !== 0) throw indivisible(axis, sizes);
        taken.unshift({ size: want, stride: inner.stride });
        rest.push({ size: inner.size / want, stride: inner.stride * want });
        want = 1;
      }
    }
    out.unshift(merge(taken));
  }
  return out;
}

function indivisible(axis: AxisLayout, sizes: readonly number[]): ShardbookError {
  const parts = axis.map((extent) => extent.size).join(' x ');
  return new ShardbookError({
    code: 'SB_MESH_SHAPE',
    message: `Cannot unflatten a mesh axis into [${sizes.join(', ')}]: it was made of ${parts} ranks, which these sizes cut across`,
  });
}

export function layoutText(layout: MeshLayout): string {
  return layout.map((axis) => axis.map(({ size, stride }) => `${size}:${stride}`).join(',')).join(';');
}
