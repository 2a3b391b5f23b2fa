export { DebugAdapter } from './adapter.js';
