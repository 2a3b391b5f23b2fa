/** What a redistribution does: how the tensor lies before, each step with its collective, how it lies after. */
import {
  collectiveOf,
  type DTensorSpec,
  isShardLike,
  type Placement,
  type Placements,
  type PlannedStep,
  placementsText,
  planOf,
  Replicate,
  watchRedistributes,
} from '../dtensor/index.js';
import { code, el, figure, line, Markup } from './html.js';
import { axisName, groupsAlong } from './mesh-view.js';
import { placementNotes, shardingText, shardsOnMesh } from './sharding-view.js';
import { lengthOf, list, rangesAt } from './slices.js';
import { bytesText } from './text.js';

/** One step: which axis, from which placement to which, by which collective. */
export interface RedistributionStep {
  /** The collective as it is called, `slice` (each rank keeps a part of what it has) or `local`. */
  readonly kind: 'all_reduce' | 'reduce_scatter' | 'all_gather' | 'slice' | 'local';
  /** From one cut to another: gathered, then sliced. PyTorch does so on CPU groups; on others it is one all-to-all. */
  readonly thenSlice: boolean;
  /** Names of the axes it runs over. */
  readonly axes: readonly string[];
  /** The ranks that take part in one call, for every call. */
  readonly groups: readonly (readonly number[])[];
  readonly from: Placement;
  readonly to: Placement;
  /** All placements after the step. */
  readonly placements: Placements;
  /** Bytes that each rank of the largest part puts in, padding of uneven parts included; 0 when nothing moves. */
  readonly bytesIn: number;
  /** Bytes that leave each rank on a ring. */
  readonly bytesOnWire: number;
  /** Rows of padding that the parts of uneven cuts get, all ranks of a call together. */
  readonly paddedRows: number;
}

const mimeKey: unique symbol = Symbol.for('shardbook.toMime') as never;

/** The plan of a redistribution; `display` draws it. */
export class RedistributionPlan {
  constructor(
    readonly from: DTensorSpec,
    readonly to: DTensorSpec,
    readonly steps: readonly RedistributionStep[],
  ) {}

  /** How often each collective runs: `{ all_gather: 1 }`. */
  get counts(): Record<string, number> {
    const out: Record<string, number> = {};
    for (const { kind } of this.steps)
      if (kind !== 'slice' && kind !== 'local') out[kind] = (out[kind] ?? 0) + 1;
    return out;
  }

  /** Bytes that leave each rank on a ring. */
  get bytesOnWire(): number {
    return this.steps.reduce((n, step) => n + step.bytesOnWire, 0);
  }

  /** `(S(0), P(sum)) -> (S(0), R) -> (R, R)`. */
  get trace(): string {
    return [this.from.placements, ...this.steps.map((step) => step.placements)]
      .map((placements) => placementsText(placements))
      .join(' -> ');
  }

  toString(): string {
    const steps =
      this.steps.length === 0
        ? ['  nothing to do: it lies so already']
        : this.steps.map((step, i) => `  ${i + 1}. ${stepText(step)}`);
    return [
      'before',
      indented(shardingText(this.from)),
      'steps',
      ...steps,
      'after',
      indented(shardingText(this.to)),
    ].join('\n');
  }

  [mimeKey](): Record<string, string> {
    return { 'text/html': planHtml(this), 'text/plain': String(this) };
  }
}

/** What happened while a function ran; `display` draws every redistribution in order. */
export class RedistributionLog<R> {
  constructor(
    /** What the function returned. */
    readonly value: R,
    readonly plans: readonly RedistributionPlan[],
  ) {}

  toString(): string {
    if (this.plans.length === 0) return 'no redistribution';
    return this.plans
      .map((plan, i) => `redistribution ${i + 1}: ${plan.trace}\n${indented(String(plan))}`)
      .join('\n');
  }

  [mimeKey](): Record<string, string> {
    const title = `${this.plans.length} redistributions`;
    const parts = this.plans.map((plan, i) => [
      el('h4', { style: 'margin:6px 0;' }, `redistribution ${i + 1}: ${plan.trace}`),
      new Markup(planHtml(plan)),
    ]);
    return { 'text/html': figure(title, line(title), parts), 'text/plain': String(this) };
  }
}

/**
 * Runs `body` and keeps every redistribution that moves something: those that users ask for, and those that operations make to
 * run where their rules need the inputs.
 */
export function recordRedistributes<R>(body: () => R): RedistributionLog<R> {
  const plans: RedistributionPlan[] = [];
  return watchRedistributes(
    ({ from, to }) => void plans.push(planRedistribution(from, to)),
    () => new RedistributionLog(body(), plans),
  );
}

const indented = (text: string): string =>
  text
    .split('\n')
    .map((one) => `  ${one}`)
    .join('\n');

/** What would happen if a tensor that lies as `from` were redistributed to `to`. Nothing is communicated. */
export function planRedistribution(from: DTensorSpec, to: DTensorSpec): RedistributionPlan {
  const now: Placement[] = [...from.placements];
  const steps = planOf(from, to).map((step) => {
    const before = [...now];
    for (const axis of step.axes) now[axis] = step.to;
    return describeStep(from, step, before, [...now]);
  });
  return new RedistributionPlan(from, to, steps);
}

function describeStep(
  spec: DTensorSpec,
  step: PlannedStep,
  before: Placements,
  placements: Placements,
): RedistributionStep {
  const size = step.axes.reduce((n, axis) => n * spec.mesh.size(axis), 1);
  const wanted = size === 1 ? null : collectiveOf(step);
  const thenSlice = wanted === 'all_to_all';
  const collective = wanted === 'all_to_all' ? 'all_gather' : wanted;
  const kind = collective ?? (isShardLike(step.to) && step.from.isReplicate() ? 'slice' : 'local');
  const origin = spec.mesh.shape.map(() => 0);
  const local = rangesAt(spec.shape, spec.mesh.shape, before, origin).map(lengthOf);
  let padded = 0;
  const cutDim = isShardLike(step.from) ? step.from.dim : isShardLike(step.to) ? step.to.dim : null;
  if (collective !== null && cutDim !== null) {
    // Of the largest part, not of this rank's: all ranks have to say the same.
    const uncut = before.map((p, axis) => (step.axes.includes(axis) ? Replicate() : p));
    const rows = lengthOf(rangesAt(spec.shape, spec.mesh.shape, uncut, origin)[cutDim]!);
    padded = Math.ceil(rows / size) * size - rows;
    // A reduce-scatter pads what every rank puts in; a gather's largest part is at its full size already.
    if (collective === 'reduce_scatter') local[cutDim] = Math.ceil(local[cutDim]! / size) * size;
  }
  const bytes = local.reduce((n, length) => n * length, spec.dtype.itemsize);
  return {
    kind,
    thenSlice,
    axes: step.axes.map((axis) => axisName(spec.mesh, axis)),
    groups: collective === null ? [] : groupsOver(spec, step.axes),
    from: step.from,
    to: step.to,
    placements,
    bytesIn: collective === null ? 0 : bytes,
    bytesOnWire: collective === null ? 0 : Math.round(bytes * wireShare(collective, size)),
    paddedRows: padded,
  };
}

/** Bytes on a ring per byte that a rank puts in. */
function wireShare(kind: RedistributionStep['kind'], size: number): number {
  if (kind === 'all_reduce') return (2 * (size - 1)) / size;
  if (kind === 'all_gather') return size - 1;
  return (size - 1) / size;
}

/** The ranks that share every coordinate but those along `axes`. */
function groupsOver(spec: DTensorSpec, axes: readonly number[]): number[][] {
  if (axes.length === 1) return groupsAlong(spec.mesh, axes[0]!);
  const groups = new Map<string, number[]>();
  for (const rank of spec.mesh.ranks) {
    const key = spec.mesh
      .coordinateOf(rank)!
      .filter((_, i) => !axes.includes(i))
      .join();
    groups.set(key, [...(groups.get(key) ?? []), rank]);
  }
  return [...groups.values()];
}

/** One line: what, over which ranks, how much. */
function stepText(step: RedistributionStep): string {
  const where = `on ${step.axes.join(' and ')}: ${step.from} -> ${step.to}`;
  const after = `now ${placementsText(step.placements)}`;
  if (step.kind === 'slice') return `local slice ${where}, nothing is sent, ${after}`;
  if (step.kind === 'local') return `local change ${where}, nothing is sent, ${after}`;
  const padding = step.paddedRows > 0 ? `, padded by ${step.paddedRows} rows` : '';
  const groups = step.groups.map((group) => list(group)).join(' ');
  const kind = step.thenSlice ? 'all_gather and slice' : step.kind;
  return `${kind} ${where}, ranks ${groups}, ${bytesText(step.bytesIn)} in, ${bytesText(step.bytesOnWire)} sent per rank${padding}, ${after}`;
}

function planHtml(plan: RedistributionPlan): string {
  const steps =
    plan.steps.length === 0
      ? line('nothing to do: it lies so already')
      : el(
          'ol',
          { style: 'margin:4px 0;padding-left:24px;' },
          plan.steps.map((step) => el('li', {}, stepText(step))),
        );
  const part = (title: string, spec: DTensorSpec) => [
    el('h4', { style: 'margin:6px 0;' }, title),
    line(code(String(spec))),
    shardsOnMesh(spec),
    placementNotes(spec)
      .filter((note) => note.includes('pending'))
      .map((note) => line(note)),
  ];
  return figure(
    `redistribution ${plan.trace}`,
    part('before', plan.from),
    el('h4', { style: 'margin:6px 0;' }, 'steps'),
    steps,
    part('after', plan.to),
  );
}
