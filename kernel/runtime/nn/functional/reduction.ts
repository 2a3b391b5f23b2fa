import { ShardbookError } from '../../base/index.js';
import type { Tensor } from '../../tensor/index.js';

/** What becomes of the losses of single elements. */
export type Reduction = 'none' | 'mean' | 'sum';

export interface ReductionOptions {
  /** How the losses of the items become one: their mean, their sum, or not at all. */
  reduction?: Reduction;
}

/** Reduces a tensor of losses; an unknown name is the user's mistake. */
export function reduce(op: string, loss: Tensor, reduction: Reduction = 'mean'): Tensor {
  checkReduction(op, reduction);
  if (reduction === 'mean') return loss.mean();
  return reduction === 'sum' ? loss.sum() : loss;
}

export function checkReduction(op: string, reduction: string, more: readonly string[] = []): void {
  const known = ['none', 'mean', 'sum', ...more];
  if (known.includes(reduction)) return;
  throw new ShardbookError({
    code: 'SB_NN_REDUCTION',
    message: `Cannot run ${op}: reduction is "${reduction}", wanted ${known.map((k) => `"${k}"`).join(', ')}`,
  });
}

/** "f32[3, 4]" as error messages write tensors. */
function show(tensor: Tensor): string {
  const short = String(tensor.dtype)
    .replace(/^torch\./, '')
    .replace('bfloat', 'bf')
    .replace('float', 'f')
    .replace('uint', 'u')
    .replace('int', 'i');
  return `${short}[${tensor.shape.join(', ')}]`;
}

export function sameShape(a: Tensor, b: Tensor): boolean {
  return a.shape.length === b.shape.length && a.shape.every((n, i) => n === b.shape[i]);
}

/** The coded error of a functional operation that got tensors it can't take. */
export function cannot(op: string, tensors: readonly Tensor[], why: string, help?: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_NN_SHAPE',
    message: `Cannot run ${op}: ${tensors.map(show).join(' and ')}: ${why}`,
    ...(help === undefined ? {} : { help }),
  });
}
