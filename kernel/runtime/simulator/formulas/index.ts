/**
 * Closed forms of memory, traffic and time: separate from the simulator, and checked against it by tests.
 * Bytes, seconds and FLOPs unless a function says otherwise; GB would be 10^9, GiB 2^30, nothing here converts.
 */
export * from './activations.js';
export { Fraction } from './fraction.js';
export * from './overlap.js';
export * from './pipeline.js';
export * from './plans.js';
export * from './state.js';
export * from './times.js';
export * from './traffic.js';
