export { runScriptRank, type ScriptOutput, type ScriptRequest } from './rank.js';
