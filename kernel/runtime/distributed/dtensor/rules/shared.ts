/** What several families need. */
import { ShardbookError } from '../../../base/index.js';
import type { OpName } from '../../../tensor/index.js';
import type { DeviceMesh } from '../../mesh/index.js';
import {
  isShardLike,
  Partial,
  type Placement,
  type Placements,
  Replicate,
  StridedShardPlacement,
  shardOn,
} from '../placements.js';
import type { DTensorSpec } from '../spec.js';
import {
  Cut,
  cut,
  type MeshRule,
  type Rule,
  type RuleCall,
  type RuleTable,
  type Slot,
  type Way,
} from './rule.js';

export const R: Placement = Replicate();
export const sum: Placement = Partial('sum');
export const avg: Placement = Partial('avg');
export const max: Placement = Partial('max');
export const min: Placement = Partial('min');
export const product: Placement = Partial('product');

/** The dimension of `shape` that lies under dimension `dim` of the broadcast `whole`; -1 where it is repeated. */
function dimUnder(shape: readonly number[], whole: readonly number[], dim: number): number {
  const own = dim - (whole.length - shape.length);
  return own >= 0 && shape[own] === whole[dim] ? own : -1;
}

/** Where an input lies when the broadcast result is cut along `dim`. */
export function cutUnder(shape: readonly number[], whole: readonly number[], dim: number): Slot {
  const own = dimUnder(shape, whole, dim);
  return own < 0 ? R : cut(own);
}

/** The ways of elementwise ops: every dimension of the result may be cut. */
export function elementwise(
  inputs: readonly (DTensorSpec | null)[],
  shape: readonly number[],
  results = 1,
): Way[] {
  return shape.map((_, dim) => ({
    out: new Array<Cut>(results).fill(cut(dim)),
    in: inputs.map((input) => (input === null ? null : cutUnder(input.shape, shape, dim))),
  }));
}

/** The same slot for every input that is there. */
function everywhere(inputs: readonly (DTensorSpec | null)[], slot: Slot): Slot[] {
  return inputs.map((input) => (input === null ? null : slot));
}

/**
 * Ops that PyTorch has no rule for but takes apart list "everything replicated" last, and so prefer a free cut to it.
 * Otherwise that way is added by itself, first.
 */
export function replicasLast(call: RuleCall, ways: readonly Way[]): Way[] {
  return [...ways, { out: call.outputs.map(() => R), in: everywhere(call.inputs, R) }];
}

/**
 * Of the ways of an op that PyTorch takes apart, those whose pending reductions some input has: it tries no others.
 */
export function pendingAmong(call: RuleCall, ways: readonly Way[]): Way[] {
  const known = new Set(call.inputs.flatMap((input) => (input?.placements ?? []).map(({ key }) => key)));
  const isKnown = (slot: Slot): boolean =>
    slot === null || slot instanceof Cut || !slot.isPartial() || known.has(slot.key);
  return ways.filter((way) => way.in.every(isKnown));
}

/** Nothing pending and nothing cut along `dims`. */
export function settled(placements: Placements, dims: readonly number[]): Placements {
  return placements.map((p) => (p.isPartial() || (isShardLike(p) && dims.includes(p.dim)) ? R : p));
}

/** Nothing cut along `dims`; what is pending stays. */
export function uncut(placements: Placements, dims: readonly number[]): Placements {
  return placements.map((p) => (isShardLike(p) && dims.includes(p.dim) ? R : p));
}

/** Nothing pending. */
export function reduced(placements: Placements): Placements {
  return placements.map((p) => (p.isPartial() ? R : p));
}

/** Cuts along dimensions after (or, with `inserted`, from) `dim` move by one: the dimension is gone (or new). */
export function shifted(placements: Placements, dim: number, by: 1 | -1): Placements {
  return placements.map((p) =>
    isShardLike(p) && (by === 1 ? p.dim >= dim : p.dim > dim) ? shardOn(p, p.dim + by) : p,
  );
}

export function isCut(placements: Placements, dim: number): boolean {
  return placements.some((p) => isShardLike(p) && p.dim === dim);
}

export function allReplicated(placements: Placements): Placements {
  return placements.map(() => R);
}

/** Whether all parts along `dim` (along every dimension if none is given) are of one size. */
export function cutsEvenly(
  shape: readonly number[],
  placements: Placements,
  mesh: DeviceMesh,
  only?: number,
): boolean {
  const pieces = shape.map(() => 1);
  for (const [axis, p] of placements.entries()) {
    if (!isShardLike(p) || (only !== undefined && p.dim !== only)) continue;
    const count = pieces[p.dim]! * mesh.size(axis);
    pieces[p.dim] = count;
    const unit = p instanceof StridedShardPlacement ? p.splitFactor * count : count;
    if (shape[p.dim]! % unit !== 0) return false;
  }
  return true;
}

/** A rule whose one strategy follows from where the first input lies. */
export function follows<K extends OpName>(
  strategy: (call: RuleCall<K>, first: DTensorSpec) => readonly [out: Placements, input: Placements],
  more: Omit<MeshRule<K>, 'kind' | 'strategies'> = {},
): MeshRule<K> {
  return {
    kind: 'mesh',
    strategies: (call) => {
      const [out, input] = strategy(call, call.inputs[0]!);
      return [{ out: call.outputs.map(() => out), in: [input] }];
    },
    ...more,
  };
}

/** One rule for several ops. */
export function each<N extends OpName>(names: readonly N[], rule: Rule<never> | Rule<N>): RuleTable {
  return Object.fromEntries(names.map((name) => [name, rule])) as RuleTable;
}

/** The op cannot be run on inputs that lie so. */
export function cannot(
  call: { readonly name: OpName; readonly inputs: readonly (DTensorSpec | null)[] },
  why: string,
  help: string,
  code = 'SB_DTENSOR_OP',
): ShardbookError {
  const shown = call.inputs.filter((input) => input !== null).map(String);
  return new ShardbookError({
    code,
    message: `Cannot run "${call.name}" on ${shown.join(' and ')}: ${why}`,
    help,
  });
}
