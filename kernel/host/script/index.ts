export { runScriptRank, type ScriptRankSetup, type ScriptRequest } from './rank.js';
export { type ScriptFile, transpileScript } from './transpile.js';
