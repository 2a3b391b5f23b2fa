export { serveCompiler } from './compiler/index.js';
export type { SessionRankData } from './ranks.js';
export { DEFAULT_WORLD_SIZE, Session } from './session.js';
export * from './types.js';
export { mergeVariables } from './variables.js';
export { prepareWorld } from './world-memory.js';
