/** Modules for the runtime: what is published, and what only those know who shard parameters. */
export { ofKind } from './parameter.js';
export * from './public.js';
