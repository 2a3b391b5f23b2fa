export { Cage, type CagedProcess, findProgram, type Isolation, type Recipe } from './cage.js';
export { startDeadline } from './deadline.js';
export { benchCage, requireSandbox, runCaged, type SandboxState, sandboxState } from './detect.js';
export { closure, type Kit, makeKit } from './kit.js';
export { type Proof, proveSandbox } from './proofs.js';
