/** The steps from one set of placements to another, in PyTorch's greedy order. */
import { chunkExtent, pieceSize } from './layout.js';
import { isShardLike, type Placement, Replicate, ShardPlacement } from './placements.js';
import type { DTensorSpec } from './spec.js';

/** One move along one axis. */
export interface Step {
  readonly axis: number;
  readonly from: Placement;
  readonly to: Placement;
  /** The shape that the tensor has to the ranks of this axis: the axes before it have cut already. */
  readonly logicalShape: readonly number[];
}

/**
 * From the innermost axis outwards first, with everything that is not a cut on top of other cuts (those are replicated), then
 * from outer to inner what remains. Without any cut in the source only the second pass runs.
 */
export function greedySteps(from: DTensorSpec, to: DTensorSpec): Step[] {
  const { mesh } = from;
  const steps: Step[] = [];
  if (mesh.ndim === 1) {
    const [a, b] = [from.placements[0]!, to.placements[0]!];
    if (a.key !== b.key) steps.push({ axis: 0, from: a, to: b, logicalShape: from.shape });
    return steps;
  }
  const shapes = logicalShapes(from);
  const current = [...from.placements];
  const target = to.placements;
  const push = (axis: number, next: Placement): void => {
    if (current[axis]!.key === next.key) return;
    steps.push({ axis, from: current[axis]!, to: next, logicalShape: shapes[axis]! });
    current[axis] = next;
  };
  if (from.shardCount > 1) {
    for (let axis = mesh.ndim - 1; axis >= 0; axis--) {
      const next = target[axis]!;
      push(
        axis,
        next instanceof ShardPlacement && !nestsAlike(current, target, axis, next.dim) ? Replicate() : next,
      );
    }
  }
  for (let axis = 0; axis < mesh.ndim; axis++) push(axis, target[axis]!);
  return steps;
}

/**
 * Whether the steps undo cuts in the reverse order of their making: a cut that other axes have cut further cannot be joined.
 * PyTorch's greedy order may try, where strided shards stand for no order of cuts.
 */
export function joinsInnermostFirst(from: DTensorSpec, steps: readonly Step[]): boolean {
  const now: Placement[] = [...from.placements];
  for (const { axis, from: old, to } of steps) {
    if (isShardLike(old)) {
      const inner = now.slice(axis + 1);
      if (inner.some((p) => isShardLike(p) && p.dim === old.dim)) return false;
    }
    now[axis] = to;
  }
  return true;
}

/** Joins every cut, the innermost first, then makes those of the target. */
export function wholeSteps(from: DTensorSpec, to: DTensorSpec): Step[] {
  const joined = from.placements.map((p) => (isShardLike(p) ? Replicate() : p));
  const order = new Map<number, number[]>();
  from.placements.forEach((p, axis) => {
    if (isShardLike(p)) order.set(p.dim, [...(order.get(p.dim) ?? []), axis]);
  });
  const steps: Step[] = [];
  const now = [...from.placements];
  for (let axis = now.length - 1; axis >= 0; axis--) {
    const p = now[axis]!;
    if (!isShardLike(p)) continue;
    steps.push({ axis, from: p, to: Replicate(), logicalShape: logicalShapeIn(from, now, order, axis) });
    now[axis] = Replicate();
    order.set(
      p.dim,
      order.get(p.dim)!.filter((other) => other !== axis),
    );
  }
  return [...steps, ...greedySteps(from.placed(joined), to)];
}

/** Whether the axes before `axis` that cut `dim` are the same now and in the target. */
function nestsAlike(
  current: readonly Placement[],
  target: readonly Placement[],
  axis: number,
  dim: number,
): boolean {
  for (let i = 0; i < axis; i++) if (current[i]!.isShard(dim) !== target[i]!.isShard(dim)) return false;
  return true;
}

/** The shape that each axis finds. */
function logicalShapes(from: DTensorSpec): (readonly number[])[] {
  const coordinate = from.mesh.getCoordinate();
  const shapes: (readonly number[])[] = [from.shape];
  from.placements.forEach((p, axis) => {
    const shape = shapes[axis]!;
    if (!(p instanceof ShardPlacement)) {
      shapes.push(shape);
      return;
    }
    const next = [...shape];
    next[p.dim] = chunkExtent(shape[p.dim]!, from.mesh.size(axis), coordinate?.[axis] ?? 0).size;
    shapes.push(next);
  });
  return shapes;
}

/** The shape that `axis` finds when `placements` are applied in the order `order` gives for each dimension. */
export function logicalShapeIn(
  spec: DTensorSpec,
  placements: readonly Placement[],
  order: ReadonlyMap<number, readonly number[]>,
  axis: number,
): number[] {
  const coordinate = spec.mesh.getCoordinate();
  const shape = [...spec.shape];
  for (const [dim, axes] of order) {
    for (const other of axes) {
      const p = placements[other]!;
      if (other === axis || !isShardLike(p)) continue;
      shape[dim] = pieceSize(p, shape[dim]!, spec.mesh.size(other), coordinate?.[other] ?? 0);
    }
  }
  return shape;
}
