/** Clusters on paper: virtual time, memory ledgers, fault plans, closed forms. */

export { bytesText } from '../base/index.js';
export {
  ALGORITHMS,
  type Algorithm,
  bytesSent,
  type CollectiveKind,
  canRun,
  type Phase,
  phasesOf,
} from './algorithms.js';
export { messageKind, specOf } from './calls.js';
export { type ChromeTrace, chromeTrace } from './chrome.js';
export {
  Cluster,
  type ClusterOptions,
  type ClusterSpec,
  DEVICES,
  type DeviceSpec,
  LINKS,
  type LinkTier,
} from './cluster.js';
export { collectiveSeconds, fastestAlgorithm } from './cost.js';
export { simulate } from './engine.js';
export { type FaultEvent, FaultPlan, type FaultSpec } from './faults.js';
export {
  type Figure,
  type MimeBundle,
  matrixFigure,
  stackedFigure,
  stackFigure,
  timelineFigure,
  toMime,
} from './figures.js';
export * as formulas from './formulas/index.js';
export { type LedgerOptions, MemoryLedger } from './ledger.js';
export type { LedgerAccount, LedgerEntry, LedgerPeak } from './ledger-book.js';
export { RankProgram } from './program.js';
export { SimulationResult } from './result.js';
export { Simulation, type SimulationOptions } from './session.js';
export { seconds, table } from './units.js';
