export { runScriptRank, type ScriptRankSetup, type ScriptRequest } from './rank.js';
