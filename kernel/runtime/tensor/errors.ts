/** Errors of operations: name, operands, reason. */
import { ShardbookError } from '../base/index.js';
import type { Tensor } from './tensor.js';

function describeAll(inputs: readonly (Tensor | null)[]): string {
  const parts = inputs.filter((t): t is Tensor => t !== null).map((t) => t.describe());
  return parts.length <= 1
    ? parts.join('')
    : `${parts.slice(0, -1).join(', ')} and ${parts[parts.length - 1]}`;
}

/** Refuses what is not a tensor before anything looks into it. */
export function expectTensor(op: string, x: unknown, what = 'an operand'): asserts x is Tensor {
  if (typeof x === 'object' && x !== null && 'storageOffset' in x) return;
  const shown = x === null || x === undefined ? String(x) : `a ${typeof x}`;
  throw new ShardbookError({
    code: 'SB_OPERAND',
    message: `Cannot run "${op}": ${what} is ${shown}, wanted a tensor`,
    help: 'make one with torch.tensor(...)',
  });
}

/** `Cannot run "matmul": f32[3, 4] and f32[5, 6]: inner sizes 4 and 5 differ`. */
export function opError(
  op: string,
  inputs: readonly (Tensor | null)[],
  why: string,
  help?: string,
  code = 'SB_OP_INPUT',
): ShardbookError {
  const operands = describeAll(inputs);
  return new ShardbookError({
    code,
    message: `Cannot run "${op}": ${operands === '' ? '' : `${operands}: `}${why}`,
    ...(help === undefined ? {} : { help }),
  });
}
