export { type LaunchPlan, launch } from './launcher.js';
export type { StreamChoice } from './logs.js';
export { transpileScript } from './transpile.js';
