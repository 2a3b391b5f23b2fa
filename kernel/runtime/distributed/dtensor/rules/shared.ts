/** What several families need. */
import { Partial, Replicate } from '../placements.js';
import type { DTensorSpec } from '../spec.js';
import { type Cut, cut, type Slot, type Way } from './rule.js';

export const R: Slot = Replicate();
export const sum: Slot = Partial('sum');
export const avg: Slot = Partial('avg');
export const max: Slot = Partial('max');
export const min: Slot = Partial('min');
export const product: Slot = Partial('product');

/** The dimension of `shape` that lies under dimension `dim` of the broadcast `whole`; -1 where it is repeated. */
export function dimUnder(shape: readonly number[], whole: readonly number[], dim: number): number {
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
