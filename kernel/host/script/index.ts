export { type LaunchPlan, launch } from './launcher.js';
export type { LogPlan, StreamChoice } from './logs.js';
export type { ScriptRankSetup, ScriptRequest } from './rank/index.js';
export { type ScriptFile, transpileScript } from './transpile.js';
