export { serveCompiler } from './compiler/index.js';
export { DEFAULT_WORLD_SIZE, Session, type SessionRankData } from './session.js';
export * from './types.js';
export { prepareWorld } from './world-memory.js';
