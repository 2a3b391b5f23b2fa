export { type LaunchPlan, launch } from './launcher.js';
export type { LogPlan, StreamChoice } from './logs.js';
export { runScriptRank, type ScriptRankSetup, type ScriptRequest } from './rank.js';
export { type ScriptFile, transpileScript } from './transpile.js';
