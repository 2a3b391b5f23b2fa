/** The fused step of Adam, for optimizers: one pass over memory where the plain operations make a dozen. */
import type { AdamParams } from '../../backend/backend.js';
import { activeModes } from '../dispatch.js';
import { float32, float64 } from '../dtype.js';
import { memory } from '../memory.js';
import { getBackend } from '../state.js';
import { Tensor } from '../tensor.js';

/**
 * Updates a parameter and its moments in place. Returns false, having done nothing, where the plain operations must run
 * instead: tensors that lie differently on a mesh, meta tensors, other types than float32 and float64, strided memory, active
 * dispatch modes.
 */
export function adamStep_(
  param: Tensor,
  grad: Tensor,
  expAvg: Tensor,
  expAvgSq: Tensor,
  maxExpAvgSq: Tensor | null,
  params: AdamParams,
): boolean {
  const given = [param, expAvg, expAvgSq, ...(maxExpAvgSq ? [maxExpAvgSq] : [])];
  if (activeModes().length > 0 || (param.dtype !== float32 && param.dtype !== float64)) return false;
  // What lies alike is updated part by part: each rank has its own.
  if (![grad, ...given].every((t) => t === param || param.liesAs(t))) return false;
  const [p, m, v, most = null] = given.map((t) => t.localPart()) as [Tensor, Tensor, Tensor, Tensor?];
  const g = grad.localPart();
  const written = most ? [p, m, v, most] : [p, m, v];
  for (const t of [g, ...written]) {
    if (t.constructor !== Tensor || t.isMeta || t.dtype !== p.dtype || !t.isContiguous()) return false;
    if (t.numel() !== p.numel()) return false;
  }
  if (p.numel() > 0) getBackend().adam(p.nd(), g.nd(), m.nd(), v.nd(), most?.nd() ?? null, params);
  for (const t of new Set([...given, ...written])) t.versionCounter.value++;
  memory.listener?.ran('adam', [g], written, null);
  return true;
}
