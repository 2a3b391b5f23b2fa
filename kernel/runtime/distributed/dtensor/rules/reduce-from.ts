/** Where the result of a reduction lies, and what a part without elements contributes. */
import { type DType, torch } from '../../../tensor/index.js';
import { isShardLike, type Placement, type Placements, shardOn } from '../placements.js';
import { R, settled } from './shared.js';

/**
 * Where input and result of a reduction lie. `pending` is what a reduced cut leaves; null: the parts cannot be combined, so the
 * reduced dimensions are made whole first. With `through`, what is pending by the same reduction stays so.
 */
export function reduceFrom(
  placements: Placements,
  dims: readonly number[],
  keepdim: boolean,
  pending: Placement | null,
  through = true,
): { readonly input: Placements; readonly output: Placements } {
  // Only what is pending by the same plain reduction goes through; a norm's pending norms do not pass a second norm.
  const same =
    through && pending?.isPartial() && pending.key === `P(${pending.reduceOp})` ? pending.key : null;
  const foreign = placements.some((p) => p.isPartial() && p.key !== same);
  const input = pending === null || foreign ? settled(placements, dims) : placements;
  const output = input.map((p) => {
    if (!isShardLike(p)) return p;
    if (dims.includes(p.dim)) return pending ?? R;
    return keepdim ? p : shardOn(p, p.dim - dims.filter((d) => d < p.dim).length);
  });
  return { input, output };
}

/** The result for a part without elements: what leaves every other value as it is. */
export function neutral(dtype: DType, largest: boolean): number {
  if (dtype.isFloatingPoint) return largest ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  if (dtype === torch.bool) return largest ? 0 : 1;
  return Number(largest ? torch.iinfo(dtype).min : torch.iinfo(dtype).max);
}
