/**
 * The SIMD backend: overrides the reference backend where operands are float32 and large enough that a copy into WASM
 * memory pays. Everything else (other dtypes, tiny operands, rare operations) goes to the reference.
 */
import type { Backend } from '../backend.js';
import { adamKernels } from './adam.js';
import { attentionKernels } from './attention.js';
import { elementwiseKernels } from './elementwise.js';
import { embeddingKernels } from './embedding.js';
import { productKernels } from './matmul.js';
import { Scratch } from './module.js';
import { randomKernels } from './random.js';
import { reduceKernels } from './reduce.js';
import { rowKernels } from './rows.js';

/** `enableRelaxed` is the platform's way to switch relaxed SIMD on, called only where the engine does not take it yet. */
export function createWasmBackend(reference: Backend, enableRelaxed?: () => void): Backend {
  const scratch = new Scratch(enableRelaxed);
  return {
    ...reference,
    name: 'wasm',
    ...elementwiseKernels(reference, scratch),
    ...reduceKernels(reference, scratch),
    ...embeddingKernels(reference, scratch),
    ...randomKernels(reference, scratch),
    ...productKernels(reference, scratch),
    ...rowKernels(reference, scratch),
    ...attentionKernels(reference, scratch),
    ...adamKernels(reference, scratch),
  };
}
