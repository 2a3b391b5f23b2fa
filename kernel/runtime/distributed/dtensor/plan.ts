/** The plan of a redistribution: which planner, consecutive collectives merged over a flattened mesh where one exists. */
import type { DeviceMesh } from '../mesh/index.js';
import { installPlanner } from './cost.js';
import { isShardLike, Partial, type Placement, type Placements, placementsText } from './placements.js';
import { greedySteps, joinsInnermostFirst, type Step, wholeSteps } from './planner.js';
import { graphSteps } from './planner-graph.js';
import type { DTensorSpec } from './spec.js';

/** A step with the mesh that it runs on. */
export interface PlannedStep extends Step {
  /** The mesh whose axis `axis` the collective runs over: a flattened mesh when several steps became one. */
  readonly mesh: DeviceMesh;
  /** The axes of the tensor's mesh that the step covers. */
  readonly axes: readonly number[];
  /** What a merged sum is divided by, for the averages among what it merged. */
  readonly divide: number;
}

/** What moves data in a step; null when it is local. */
export type CollectiveKind = 'all_reduce' | 'reduce_scatter' | 'all_gather' | 'all_to_all';

export function collectiveOf(step: Step): CollectiveKind | null {
  const { from, to } = step;
  if (from.isPartial()) return to.isReplicate() ? 'all_reduce' : isShardLike(to) ? 'reduce_scatter' : null;
  if (isShardLike(from)) return to.isReplicate() ? 'all_gather' : isShardLike(to) ? 'all_to_all' : null;
  return null;
}

const plans = new WeakMap<DeviceMesh, Map<string, readonly Step[]>>();

/** The steps before merging. */
function stepsOf(from: DTensorSpec, to: DTensorSpec): readonly Step[] {
  let known = plans.get(from.mesh);
  if (!known) {
    known = new Map();
    plans.set(from.mesh, known);
  }
  const key = `${from.id}>${to.id}`;
  let steps = known.get(key);
  if (!steps) {
    const strided = from.hasStrided || to.hasStrided;
    steps = (strided ? graphSteps(from, to) : null) ?? firstThatJoins(from, to);
    known.set(key, steps);
  }
  return steps;
}

function firstThatJoins(from: DTensorSpec, to: DTensorSpec): Step[] {
  const steps = greedySteps(from, to);
  return !from.hasStrided || joinsInnermostFirst(from, steps) ? steps : wholeSteps(from, to);
}

installPlanner((from, to) => [...stepsOf(from, to)]);

/** The steps as they run. */
export function planOf(from: DTensorSpec, to: DTensorSpec): PlannedStep[] {
  return merge(stepsOf(from, to), from.mesh);
}

function alone(step: Step, mesh: DeviceMesh): PlannedStep {
  return { ...step, mesh, axes: [step.axis], divide: 1 };
}

/** Merges neighbours; the flattened mesh must have been made by `mesh.flatten`. */
function merge(steps: readonly Step[], mesh: DeviceMesh): PlannedStep[] {
  if (steps.length < 2) return steps.map((step) => alone(step, mesh));
  const out: PlannedStep[] = [];
  for (let i = 0; i < steps.length; ) {
    const first = steps[i]!;
    const kind = collectiveOf(first);
    if (kind === null || kind === 'all_to_all') {
      out.push(alone(first, mesh));
      i++;
      continue;
    }
    let end = i + 1;
    while (end < steps.length && mayMerge(steps[end]!, first)) end++;
    const group = steps.slice(i, end);
    const merged = flattened(group, kind, mesh);
    if (merged) out.push(merged);
    else out.push(...group.map((step) => alone(step, mesh)));
    i = end;
  }
  return out;
}

const isLinear = (p: Placement): boolean => p.key === 'P(sum)' || p.key === 'P(avg)';

function mayMerge(step: Step, first: Step): boolean {
  const kind = collectiveOf(step);
  if (kind === null || kind === 'all_to_all' || step.to.key !== first.to.key) return false;
  return step.from.key === first.from.key || (isLinear(step.from) && isLinear(first.from));
}

function flattened(group: readonly Step[], kind: CollectiveKind, mesh: DeviceMesh): PlannedStep | null {
  if (group.length < 2 || mesh.meshDimNames === null) return null;
  const order = group.map((step) => step.axis);
  const axes = [...order].sort((a, b) => a - b);
  const inOrder = kind === 'all_gather' ? [...axes].reverse() : axes;
  if (kind !== 'all_reduce' && order.some((axis, i) => axis !== inOrder[i])) return null;
  const flat = mesh.flattenedOver(axes);
  if (!flat) return null;
  const { from, to } = group[0]!;
  const cutDim = kind === 'all_gather' && isShardLike(from) ? from.dim : isShardLike(to) ? to.dim : null;
  let outermost = group[0]!;
  if (cutDim !== null) {
    for (const step of group)
      if (step.logicalShape[cutDim]! > outermost.logicalShape[cutDim]!) outermost = step;
  }
  const size = axes.reduce((n, axis) => n * mesh.size(axis), 1);
  if (kind === 'reduce_scatter' && outermost.logicalShape[cutDim!]! % size !== 0) return null;
  const divide = group.reduce((n, step) => n * (step.from.key === 'P(avg)' ? mesh.size(step.axis) : 1), 1);
  return {
    axis: 0,
    from: divide > 1 ? Partial('sum') : from,
    to,
    logicalShape: outermost.logicalShape,
    mesh: flat,
    axes,
    divide,
  };
}

/** The placements after each step, as text: `S(0) -> R -> S(1)`. */
export function traceOf(from: DTensorSpec, steps: readonly PlannedStep[]): string {
  const now: Placement[] = [...from.placements];
  const parts = [placementsText(now as Placements)];
  for (const step of steps) {
    for (const axis of step.axes) now[axis] = step.to;
    parts.push(placementsText(now as Placements));
  }
  return parts.join(' -> ');
}
