/** Gradient clipping, published as `nn.utils`, where PyTorch has it, and as `optim`, where it is looked for. */
import { ShardbookError } from '../base/index.js';
import { noGrad } from './state.js';
import { Tensor } from './tensor.js';
import { torch } from './torch.js';

export interface NormOptions {
  /** p of the norm; 2 unless told otherwise, Infinity is the largest absolute value. */
  normType?: number;
  /** Throw where the norm is nan or infinite. */
  errorIfNonfinite?: boolean;
  /** Accepted for PyTorch's sake; the numbers are the same. */
  foreach?: boolean | null;
  /**
   * Distributed tensors on several meshes (and plain ones) count together: the norm of each mesh's norm. PyTorch refuses them,
   * and so do we unless told.
   */
  mixedMeshes?: boolean;
}

type NormArgs = [normType?: number | NormOptions, errorIfNonfinite?: boolean | NormOptions];

function normOptions(args: readonly unknown[]): {
  normType: number;
  errorIfNonfinite: boolean;
  mixedMeshes: boolean;
} {
  let normType = 2;
  let errorIfNonfinite = false;
  let mixedMeshes = false;
  for (const arg of args) {
    if (typeof arg === 'number') normType = arg;
    else if (typeof arg === 'boolean') errorIfNonfinite = arg;
    else if (typeof arg === 'object' && arg !== null) {
      const named = arg as NormOptions;
      normType = named.normType ?? normType;
      errorIfNonfinite = named.errorIfNonfinite ?? errorIfNonfinite;
      mixedMeshes = named.mixedMeshes ?? mixedMeshes;
    }
  }
  return { normType, errorIfNonfinite, mixedMeshes };
}

function listOf(tensors: Iterable<Tensor> | Tensor): Tensor[] {
  return tensors instanceof Tensor ? [tensors] : [...tensors];
}

function gradsOf(parameters: Iterable<Tensor> | Tensor): Tensor[] {
  return listOf(parameters).flatMap((p) => (p.grad === null || p.grad === undefined ? [] : [p.grad]));
}

/** The norm of all tensors taken as one vector: the norm of their norms. 0 for no tensors. */
export function getTotalNorm(tensors: Iterable<Tensor> | Tensor, ...args: NormArgs): Tensor {
  const { normType, errorIfNonfinite, mixedMeshes } = normOptions(args);
  return noGrad(() => {
    const list = listOf(tensors);
    if (list.length === 0) return torch.tensor(0, { dtype: torch.float32 });
    const meshes = new Map<string, Tensor[]>();
    for (const tensor of list) meshes.set(tensor.meshKey, [...(meshes.get(tensor.meshKey) ?? []), tensor]);
    if (meshes.size > 1 && !mixedMeshes) throw mixedError([...meshes.values()]);
    const normOf = (some: readonly Tensor[]): Tensor =>
      torch.norm(torch.stack(some.map((tensor) => torch.norm(tensor, normType))), normType);
    const total =
      meshes.size > 1
        ? torch.norm(torch.stack([...meshes.values()].map((some) => normOf(some).wholeTensor())), normType)
        : normOf(list);
    if (errorIfNonfinite && !Number.isFinite(Number(total.item()))) {
      throw new ShardbookError({
        code: 'SB_OPTIM_NONFINITE',
        message: `Cannot clip the gradients: their total norm of order ${normType} is ${Number(total.item())}`,
        help: 'Find the step whose loss overflowed, or pass { errorIfNonfinite: false }',
      });
    }
    return total;
  });
}

function mixedError(meshes: readonly (readonly Tensor[])[]): ShardbookError {
  return new ShardbookError({
    code: 'SB_OPTIM_MESHES',
    message: `Cannot take one norm of gradients on ${meshes.length} meshes: their norms do not stack`,
    notes: meshes.map((some) => `${some.length} such as ${some[0]!.describe()}`),
    help: 'pass { mixedMeshes: true } for the norm over all of them, each part counted once',
  });
}

/** Scales all gradients by min(1, maxNorm / (totalNorm + 1e-6)), in place. */
export function clipGradsWithNorm_(
  parameters: Iterable<Tensor> | Tensor,
  maxNorm: number,
  totalNorm: Tensor,
): void {
  noGrad(() => {
    const grads = gradsOf(parameters);
    if (grads.length === 0) return;
    const coefficient = torch.clamp(torch.div(maxNorm, totalNorm.add(1e-6)), { max: 1 });
    for (const grad of grads) grad.mul_(coefficient);
  });
}

/** Clips the norm of all gradients together, in place; returns the norm from before. */
export function clipGradNorm_(
  parameters: Iterable<Tensor> | Tensor,
  maxNorm: number,
  ...args: NormArgs
): Tensor {
  const list = listOf(parameters);
  const total = getTotalNorm(gradsOf(list), normOptions(args));
  clipGradsWithNorm_(list, maxNorm, total);
  return total;
}

/** Clamps every gradient element to [-clipValue, clipValue], in place. */
export function clipGradValue_(parameters: Iterable<Tensor> | Tensor, clipValue: number): void {
  noGrad(() => {
    for (const grad of gradsOf(parameters)) grad.clamp_({ min: -clipValue, max: clipValue });
  });
}
