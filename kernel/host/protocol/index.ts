export { KernelCore } from './core.js';
export { installSpec, type SpecPlace, uninstallSpec } from './kernelspec.js';
export * from './message.js';
export { runKernel } from './run.js';
export { WireFormat } from './wire.js';
