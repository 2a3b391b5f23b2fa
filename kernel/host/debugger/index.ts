export { DebugAdapter, type DebugReply } from './adapter.js';
export { murmur2 } from './murmur2.js';
