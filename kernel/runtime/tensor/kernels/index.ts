/** One kernel for every operation: an operation without one does not compile. */
import { activationKernels } from './activations.js';
import { backwardKernels } from './backward.js';
import type { KernelTable } from './common.js';
import { elementwiseKernels } from './elementwise.js';
import { fusedKernels } from './fused.js';
import { indexingKernels } from './indexing.js';
import { lossKernels } from './losses.js';
import { reduceKernels } from './reduce.js';
import { viewKernels } from './view.js';

export const kernels: KernelTable = {
  ...elementwiseKernels,
  ...activationKernels,
  ...viewKernels,
  ...reduceKernels,
  ...indexingKernels,
  ...fusedKernels,
  ...lossKernels,
  ...backwardKernels,
};

export { placesOf } from './backward.js';
