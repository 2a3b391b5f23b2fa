/**
 * What moving a tensor costs, in microseconds of PyTorch's model: ring collectives between hosts (on CPU every rank is a host).
 * The numbers decide between strategies, so they follow PyTorch's to the letter, oddities included.
 */
import type { DeviceMesh } from '../mesh/index.js';
import { type Placement, samePlacements } from './placements.js';
import { greedySteps } from './planner.js';
import type { DTensorSpec } from './spec.js';

interface Topology {
  readonly bandwidth: readonly number[];
  readonly latency: readonly number[];
}

const topologies = new WeakMap<DeviceMesh, Topology>();
const BASE_LATENCY = 6.6;

function topologyOf(mesh: DeviceMesh): Topology {
  let found = topologies.get(mesh);
  if (!found) {
    const bandwidth = mesh.shape.map(() => 87.7);
    const latency = mesh.shape.map(() => 0.6);
    let total = 1;
    for (let axis = mesh.ndim - 1; axis >= 0; axis--) {
      total *= mesh.size(axis);
      if (total > 1) {
        bandwidth[axis] = 87.7 * 0.22;
        latency[axis] = 2.7;
      }
    }
    found = { bandwidth, latency };
    topologies.set(mesh, found);
  }
  return found;
}

/** Microseconds of a ring collective that passes `hops` times round; `gb` is the size of the whole. */
function ring(gb: number, hops: number, mesh: DeviceMesh, axis: number): number {
  const { bandwidth, latency } = topologyOf(mesh);
  return BASE_LATENCY + hops * latency[axis]! + ((gb * hops) / mesh.size(axis) / bandwidth[axis]!) * 1e6;
}

/** The cost of one step along an axis, and the size of what a rank holds after it. */
export function stepCost(
  from: Placement,
  to: Placement,
  mesh: DeviceMesh,
  axis: number,
  gb: number,
): { cost: number; gb: number } {
  if (from.key === to.key) return { cost: 0, gb };
  const size = mesh.size(axis);
  const hops = size - 1;
  // A strided shard is no shard to the model: its moves are free.
  if (from.isShard() && to.isReplicate()) return { cost: ring(gb * size, hops, mesh, axis), gb: gb * size };
  if (from.isShard() && to.isShard()) return { cost: ring(gb, hops, mesh, axis) + 1, gb };
  if (from.isPartial() && to.isReplicate()) return { cost: ring(gb, 2 * hops, mesh, axis), gb };
  if (from.isPartial() && to.isShard()) return { cost: ring(gb, hops, mesh, axis), gb: gb / size };
  if ((from.isShard() || from.isPartial()) && to.isPartial()) return { cost: Number.POSITIVE_INFINITY, gb };
  if (from.isReplicate() && to.isShard()) return { cost: 0, gb: gb / size };
  return { cost: 0, gb };
}

/** Gigabytes of one rank's part. */
export function partGb(spec: DTensorSpec): number {
  return (spec.shape.reduce((n, size) => n * size, 1) * spec.dtype.itemsize) / spec.shardCount / 1024 ** 3;
}

/** What redistributing costs in all. */
export function redistributeCost(from: DTensorSpec, to: DTensorSpec): number {
  if (from.mesh !== to.mesh && !from.mesh.equals(to.mesh)) return Number.POSITIVE_INFINITY;
  if (from.isReplicated || samePlacements(from.placements, to.placements)) return 0;
  if (!from.mesh.isMember) return 0;
  if (usesOrder(from) || usesOrder(to)) return Number.POSITIVE_INFINITY;
  let gb = partGb(from);
  let total = 0;
  const steps = from.hasStrided || to.hasStrided ? planSteps(from, to) : greedySteps(from, to);
  for (const step of steps) {
    const next = stepCost(step.from, step.to, from.mesh, step.axis, gb);
    if (next.cost === Number.POSITIVE_INFINITY) return next.cost;
    total += next.cost;
    gb = next.gb;
  }
  return total;
}

const usesOrder = (spec: DTensorSpec): boolean => spec.strided === 'order' && spec.hasStrided;

/** Wired by the planner of strided shards, which needs the costs of steps itself. */
let planSteps: typeof greedySteps = greedySteps;
export function installPlanner(plan: typeof greedySteps): void {
  planSteps = plan;
}
