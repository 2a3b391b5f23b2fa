export { namedMutants } from './named-mutants.js';
export { type SelfCheckOptions, type SelfCheckResult, selfCheck } from './self-check.js';
export { newExercise } from './template.js';
