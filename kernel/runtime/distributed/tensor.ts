/** The `dtensor` namespace: torch.distributed.tensor in camelCase, with what shows and checks DTensors. */
export * from './dtensor/namespace.js';
export {
  DTensorDebugger,
  explainRedistribute,
  inspectDTensor,
  recordRedistributes,
  shardingOf,
  visualizeSharding,
} from './inspect/index.js';
