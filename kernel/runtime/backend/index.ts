export type * from './backend.js';
export { referenceBackend } from './reference/index.js';
