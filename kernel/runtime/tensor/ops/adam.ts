/** The fused step of Adam, for optimizers: one pass over memory where the plain operations make a dozen. */
import type { AdamParams } from '../../backend/backend.js';
import { activeModes } from '../dispatch.js';
import { float32, float64 } from '../dtype.js';
import { memory } from '../memory.js';
import { getBackend } from '../state.js';
import { Tensor } from '../tensor.js';

/**
 * Updates a parameter and its moments in place. Returns false, having done nothing, where the plain operations must run
 * instead: tensor subclasses, meta tensors, other types than float32 and float64, strided memory, active dispatch modes.
 */
export function adamStep_(
  param: Tensor,
  grad: Tensor,
  expAvg: Tensor,
  expAvgSq: Tensor,
  maxExpAvgSq: Tensor | null,
  params: AdamParams,
): boolean {
  const written = maxExpAvgSq ? [param, expAvg, expAvgSq, maxExpAvgSq] : [param, expAvg, expAvgSq];
  if (activeModes().length > 0 || (param.dtype !== float32 && param.dtype !== float64)) return false;
  for (const t of [grad, ...written]) {
    if (t.constructor !== Tensor || t.isMeta || t.dtype !== param.dtype || !t.isContiguous()) return false;
    if (t.numel() !== param.numel()) return false;
  }
  if (param.numel() > 0) {
    getBackend().adam(param.nd(), grad.nd(), expAvg.nd(), expAvgSq.nd(), maxExpAvgSq?.nd() ?? null, params);
  }
  for (const t of written) t.versionCounter.value++;
  memory.listener?.ran('adam', [grad], written, null);
  return true;
}
