export { runScriptRank, type ScriptOutput, type ScriptRankSetup, type ScriptRequest } from './rank.js';
