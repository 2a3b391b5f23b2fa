export * from './core.js';
export * from './message.js';
