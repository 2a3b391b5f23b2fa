export { type Call, Channel, RefusedTogether } from './channel.js';
export { createWorldMemory, type WorldMemory } from './layout.js';
export { Op, type Steps } from './op.js';
export { reduceInto } from './reducer.js';
export { superviseWorld, type WorldMemorySupervisor } from './supervise.js';
export { Transport } from './transport.js';
