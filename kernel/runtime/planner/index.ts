/** Plans made before anything runs: memory, technique, strategies. */
export { type Choice, type ChooseInput, chooseTechnique } from './choose.js';
export { MemoryPlan, type MemoryPlanInput, type PlanStrategy, planFigure, planVariants } from './memory.js';
export { type StrategyRow, StrategyTable, type StrategyTableInput } from './strategies.js';
export { type TransformerStep, type TransformerStepPlan, transformerStepPlan } from './transformer-step.js';
