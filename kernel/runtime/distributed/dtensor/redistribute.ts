/** Local tensors from one spec to another. */
import { runThen, ShardbookError } from '../../base/index.js';
import { type Tensor, torch } from '../../tensor/index.js';
import { localShape } from './layout.js';
import { beginStep, type Coming } from './moves.js';
import { samePlacements } from './placements.js';
import { type PlannedStep, planOf } from './plan.js';
import type { DTensorSpec } from './spec.js';

/** One redistribution as it happened, for whoever watches. */
export interface RedistributeEvent {
  readonly from: DTensorSpec;
  readonly to: DTensorSpec;
  readonly steps: readonly PlannedStep[];
  /** Asked for by the user, not by an operation. */
  readonly explicit: boolean;
}

type Watcher = (event: RedistributeEvent) => void;
const watchers = new Set<Watcher>();

/** Tells `watcher` of every redistribution of this rank that moves something, while `body` runs. */
export function watchRedistributes<R>(watcher: Watcher, body: () => R): R {
  return runThen(
    () => {
      watchers.add(watcher);
      return body();
    },
    () => void watchers.delete(watcher),
  );
}

export interface RedistributeLocalOptions {
  /** Begin the last collective only; the result waits for it. */
  asyncOp?: boolean;
  explicit?: boolean;
}

/** Moves this rank's part; what comes back may still be on its way. */
export function beginRedistribute(
  local: Tensor,
  from: DTensorSpec,
  to: DTensorSpec,
  options: RedistributeLocalOptions = {},
): Coming {
  const { mesh } = from;
  if (mesh !== to.mesh && !mesh.equals(to.mesh)) {
    throw new ShardbookError({
      code: 'SB_DTENSOR_MESH',
      message: `Cannot redistribute ${from} to a mesh ${to.mesh.describe()}: it lives on another mesh`,
      help: 'only placements can change; for another mesh go through fullTensor() and distributeTensor()',
    });
  }
  if (!mesh.isMember || samePlacements(from.placements, to.placements)) return () => local;
  const steps = planOf(from, to);
  if (watchers.size > 0) {
    const event = { from, to, steps, explicit: options.explicit ?? false };
    for (const watcher of watchers) watcher(event);
  }
  if (local.isMeta) {
    const shape = localShape(to.shape, mesh, to.placements);
    return () => torch.empty(shape, { dtype: local.dtype, device: 'meta' });
  }
  let coming: Coming = () => local;
  steps.forEach((step, i) => {
    const last = i === steps.length - 1;
    coming = beginStep(coming(), step, mesh, last && (options.asyncOp ?? false));
  });
  return coming;
}

export function redistributeLocal(
  local: Tensor,
  from: DTensorSpec,
  to: DTensorSpec,
  options: RedistributeLocalOptions = {},
): Tensor {
  return beginRedistribute(local, from, to, options)();
}
