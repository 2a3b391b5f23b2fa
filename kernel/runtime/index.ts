/** The public API, published as `shardbook`. */
import { referenceBackend } from './backend/index.js';
import { createWasmBackend } from './backend/wasm/index.js';
import { enableRelaxedSimd, rawMemory } from './platform/index.js';
import { setBackend, useRawMemory } from './tensor/index.js';

// The one place where a backend is chosen: everything above sees the interface only.
setBackend(createWasmBackend(referenceBackend, enableRelaxedSimd));
useRawMemory(rawMemory);

export * from './base/errors.js';
export * from './base/formats.js';
export { bytesText } from './base/units.js';
export * from './distributed/index.js';
export * as nn from './nn/public.js';
export { functional as F, Module, Parameter } from './nn/public.js';
export * as optim from './optim/index.js';
export * from './planner/index.js';
export {
  Cluster,
  type ClusterOptions,
  type ClusterSpec,
  DEVICES,
  type DeviceSpec,
  type FaultEvent,
  FaultPlan,
  type FaultSpec,
  formulas,
  type LedgerAccount,
  type LedgerEntry,
  type LedgerOptions,
  type LedgerPeak,
  LINKS,
  type LinkTier,
  MemoryLedger,
  RankProgram,
  Simulation,
  type SimulationOptions,
  SimulationResult,
  simulate,
} from './simulator/index.js';
export {
  AutogradFunction,
  autograd,
  claimMemory,
  type Device,
  Dtype,
  Float,
  FunctionContext,
  Generator,
  type Index,
  type MemoryCategory,
  MemoryClaim,
  type MemoryListener,
  noGrad,
  onMemory,
  Slice,
  setBackend,
  slice,
  Tensor,
  type TensorOptions,
  torch,
} from './tensor/index.js';
