/** The public ways to see how DTensors lie. */
import { ShardbookError } from '../../base/index.js';
import { checkPlacements, type DTensor, type Placement } from '../dtensor/index.js';
import { isFirstOf } from './debugger.js';
import { planRedistribution, type RedistributionPlan } from './redistribution-view.js';
import { pytorchTable, shardingText } from './sharding-view.js';

/**
 * Prints, on the first rank of the mesh, which ranks hold which rows and columns of a DTensor of one or two dimensions, as PyTorch's
 * `torch.distributed.tensor.debug.visualize_sharding` does. `display(tensor)` draws any number of dimensions.
 */
export function visualizeSharding(tensor: DTensor, header = ''): void {
  if (tensor.numel() === 0) return;
  if (tensor.ndim > 2) {
    throw new ShardbookError({
      code: 'SB_VISUALIZE',
      message: `Cannot visualize ${tensor.describe()} as a table: it has ${tensor.ndim} dimensions, wanted 1 or 2`,
      help: 'display(tensor) draws any number of dimensions',
    });
  }
  if (!isFirstOf(tensor.deviceMesh)) return;
  const table = pytorchTable(tensor.spec);
  console.log(header === '' ? table : `${header}\n${table}`);
}

/** Which rank holds which slice, as text: the same on every rank. */
export function shardingOf(tensor: DTensor): string {
  return shardingText(tensor.spec);
}

/**
 * What `tensor.redistribute(placements)` would do: before, each step with its collective and bytes, after. Nothing is communicated;
 * `display` draws it.
 */
export function explainRedistribute(tensor: DTensor, placements: readonly Placement[]): RedistributionPlan {
  const { spec } = tensor;
  const target = checkPlacements(`redistribute ${tensor.describe()}`, placements, spec.mesh, tensor.ndim);
  return planRedistribution(spec, spec.placed(target));
}
