/** torch.autocast('cpu'): matrix products in the low dtype, sensitive operations in float32, mixed joins widened. */
import type { Recorder } from './autograd/record.js';
import { float32 } from './dtype.js';
import type { OpName } from './opnames.js';
import { state, withState } from './state.js';
import type { Tensor } from './tensor.js';

const lower = new Set<OpName>(['mm', 'mv', 'dot', 'bmm', 'addmm', 'baddbmm', 'attention']);
const widen = new Set<OpName>([
  'prod',
  'cumprod',
  'nllLoss',
  'mseLoss',
  'smoothL1Loss',
  'huberLoss',
  'binaryCrossEntropy',
  'binaryCrossEntropyWithLogits',
  'logcumsumexp',
]);
const widest = new Set<OpName>(['cat', 'stack', 'indexCopy']);

export function autocastInputs(
  name: OpName,
  inputs: readonly (Tensor | null)[],
  recorder: Recorder,
): readonly (Tensor | null)[] {
  const target = state.autocast;
  if (!target) return inputs;
  const eligible = (t: Tensor | null): t is Tensor =>
    t?.dtype.isFloatingPoint === true && t.dtype.name !== 'float64' && !t.dtype.isFloat8;
  const to = lower.has(name)
    ? target
    : widen.has(name)
      ? float32
      : widest.has(name) && inputs.some((t) => eligible(t) && t.dtype === float32)
        ? float32
        : null;
  if (!to) return inputs;
  // The casts are recorded, so that float32 parameters get float32 gradients, and are not cast again.
  return withState({ autocast: null }, () =>
    inputs.map((t) =>
      eligible(t) && t.dtype !== to
        ? (recorder.apply('toCopy', [t], { dtype: to, device: t.device }) as Tensor)
        : t,
    ),
  );
}
