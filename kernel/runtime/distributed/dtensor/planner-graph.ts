/**
 * The cheapest steps between placements where strided shards take part. A state is the placements and, per dimension, the axes
 * that cut it in the order of their cuts; only the last cut of a dimension can be undone. Dijkstra's search, with PyTorch's
 * transitions in PyTorch's order, so that ties fall alike.
 */
import { partGb, stepCost } from './cost.js';
import {
  isShardLike,
  Partial,
  type Placement,
  type Placements,
  type ReduceKind,
  Replicate,
  Shard,
  ShardPlacement,
  StridedShardPlacement,
} from './placements.js';
import { logicalShapeIn, type Step } from './planner.js';
import { DTensorSpec } from './spec.js';

type Order = ReadonlyMap<number, readonly number[]>;

interface State {
  readonly placements: Placements;
  readonly order: Order;
  readonly key: string;
}

function stateOf(placements: Placements, order: Map<number, readonly number[]>): State {
  const sorted = new Map([...order].filter(([, axes]) => axes.length > 0).sort(([a], [b]) => a - b));
  const text = [...sorted].map(([dim, axes]) => `${dim}:${axes.join('.')}`).join(' ');
  return { placements, order: sorted, key: `${placements.map((p) => p.key).join(' ')}|${text}` };
}

function defaultOrder(placements: Placements): Map<number, number[]> {
  const order = new Map<number, number[]>();
  placements.forEach((p, axis) => {
    if (isShardLike(p)) order.set(p.dim, [...(order.get(p.dim) ?? []), axis]);
  });
  return order;
}

/** The order of cuts that strided shards stand for; null when no order gives these split factors. */
function decodeOrder(spec: DTensorSpec): Map<number, number[]> | null {
  const order = new Map<number, number[]>();
  for (let axis = spec.placements.length - 1; axis >= 0; axis--) {
    const p = spec.placements[axis]!;
    if (!isShardLike(p)) continue;
    const axes = order.get(p.dim) ?? [];
    const wanted = p instanceof StridedShardPlacement ? p.splitFactor : 1;
    let factor = 1;
    let at = -1;
    for (let i = 0; i <= axes.length; i++) {
      if (factor === wanted) {
        at = i;
        break;
      }
      if (i < axes.length) factor *= spec.mesh.size(axes[i]!);
    }
    if (at < 0) return null;
    axes.splice(at, 0, axis);
    order.set(p.dim, axes);
  }
  return order;
}

function startOf(spec: DTensorSpec): State | null {
  if (spec.strided === 'layout' || !spec.hasStrided)
    return stateOf(spec.placements, defaultOrder(spec.placements));
  const order = decodeOrder(spec);
  if (!order) return null;
  return stateOf(
    spec.placements.map((p) => (p instanceof StridedShardPlacement ? Shard(p.dim) : p)),
    order,
  );
}

/** The steps; null when a strided shard stands for no order of cuts. */
export function graphSteps(from: DTensorSpec, to: DTensorSpec): Step[] | null {
  const start = startOf(from);
  const end = startOf(to);
  if (!start || !end) return null;
  const strided = end.placements.filter((p) => p instanceof StridedShardPlacement);
  const kinds = new Set<ReduceKind>();
  for (const p of [...start.placements, ...end.placements]) if (p.isPartial()) kinds.add(p.reduceOp);
  const path = cheapest(from, start, end, (state) => neighbours(state, from.ndim, unique(strided), kinds));
  if (!path) return null;
  const steps: Step[] = [];
  for (let i = 0; i + 1 < path.length; i++) {
    const [a, b] = [path[i]!, path[i + 1]!];
    const axis = a.placements.findIndex((p, d) => p.key !== b.placements[d]!.key);
    if (axis < 0) continue;
    steps.push({
      axis,
      from: a.placements[axis]!,
      to: b.placements[axis]!,
      logicalShape: logicalShapeIn(from, a.placements, a.order, axis),
    });
  }
  return steps;
}

function unique<P extends Placement>(list: readonly P[]): P[] {
  return list.filter((p, i) => list.findIndex((other) => other.key === p.key) === i);
}

function neighbours(
  state: State,
  ndim: number,
  strided: readonly StridedShardPlacement[],
  kinds: ReadonlySet<ReduceKind>,
): Map<string, State> {
  const found = new Map<string, State>();
  const go = (axis: number, next: Placement, pop: number | null, push: number | null): void => {
    const order = new Map(state.order);
    if (pop !== null) order.set(pop, order.get(pop)!.slice(0, -1));
    if (push !== null) order.set(push, [...(order.get(push) ?? []), axis]);
    const placements = state.placements.map((p, i) => (i === axis ? next : p));
    const made = stateOf(placements, order);
    found.set(made.key, made);
  };
  const dims = Array.from({ length: ndim }, (_, d) => d);
  const last = [...state.order].map(([dim, axes]) => ({ dim, axis: axes[axes.length - 1]! }));
  const plain = last.filter(({ axis }) => state.placements[axis] instanceof ShardPlacement);
  for (const { dim, axis } of plain) for (const to of dims) if (to !== dim) go(axis, Shard(to), dim, to);
  for (const { dim, axis } of plain) go(axis, Replicate(), dim, null);
  const axesWhere = (test: (p: Placement) => boolean): number[] =>
    state.placements.flatMap((p, axis) => (test(p) ? [axis] : []));
  const pending = axesWhere((p) => p.isPartial());
  const whole = axesWhere((p) => p.isReplicate());
  for (const axis of pending) go(axis, Replicate(), null, null);
  for (const axis of whole) for (const to of dims) go(axis, Shard(to), null, to);
  for (const axis of pending) for (const to of dims) go(axis, Shard(to), null, to);
  for (const axis of whole) {
    for (const kind of kinds) {
      const all = new Set<string>([kind]);
      for (const p of state.placements) if (p.isPartial()) all.add(p.reduceOp);
      if (all.size > 1 && !(all.size === 2 && all.has('sum') && all.has('avg'))) continue;
      go(axis, Partial(kind), null, null);
    }
  }
  for (const { dim, axis } of last) {
    if (state.placements[axis] instanceof StridedShardPlacement) go(axis, Replicate(), dim, null);
  }
  for (const axis of whole) for (const p of strided) go(axis, p, null, p.dim);
  return found;
}

interface Entry {
  readonly cost: number;
  readonly count: number;
  readonly path: readonly State[];
}

function cheapest(
  spec: DTensorSpec,
  start: State,
  end: State,
  next: (state: State) => Map<string, State>,
): readonly State[] | null {
  const visited = new Set<string>();
  let count = 0;
  const open: Entry[] = [{ cost: 0, count, path: [start] }];
  while (open.length > 0) {
    let best = 0;
    for (let i = 1; i < open.length; i++) {
      const [a, b] = [open[i]!, open[best]!];
      if (a.cost < b.cost || (a.cost === b.cost && a.count < b.count)) best = i;
    }
    const { cost, path } = open.splice(best, 1)[0]!;
    const here = path[path.length - 1]!;
    if (here.key === end.key) return path;
    if (visited.has(here.key)) continue;
    visited.add(here.key);
    for (const state of next(here).values()) {
      if (visited.has(state.key)) continue;
      open.push({ cost: cost + oneStep(spec, here, state), count: ++count, path: [...path, state] });
    }
  }
  return null;
}

function oneStep(spec: DTensorSpec, from: State, to: State): number {
  const axis = from.placements.findIndex((p, d) => p.key !== to.placements[d]!.key);
  if (axis < 0) return 0;
  const gb = partGb(DTensorSpec.of(spec.mesh, from.placements, spec));
  return stepCost(from.placements[axis]!, to.placements[axis]!, spec.mesh, axis, gb).cost;
}
