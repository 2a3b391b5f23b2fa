/** Operations of neural networks without state, published as `F`. */
export * from './activation.js';
export * from './attention.js';
export * from './conv.js';
export * from './dropout.js';
export * from './linear.js';
export * from './loss.js';
export * from './norm.js';
export type { Reduction, ReductionOptions } from './reduction.js';
