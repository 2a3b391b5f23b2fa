export { Cage, type CagedProcess, findProgram, type Isolation, type Recipe } from './cage.js';
export { startDeadline, waitedMs } from './deadline.js';
export { benchCage, requireSandbox, runCaged, sandboxState } from './detect.js';
export { closure, type Kit, makeKit } from './kit.js';
export { type Proof, proveSandbox } from './proofs.js';
