/** Clusters on paper: virtual time, memory ledgers, fault plans, closed forms. */
export {
  ALGORITHMS,
  type Algorithm,
  bytesSent,
  type CollectiveKind,
  type CollectiveSpec,
  canRun,
  type Message,
  type Phase,
  phasesOf,
} from './algorithms.js';
export {
  collectiveBytesOf,
  collectiveKind,
  messageKind,
  specOf,
  type WireCall,
} from './calls.js';
export { type ChromeTrace, chromeTrace, type TraceSpan } from './chrome.js';
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
export { type SimulateOptions, simulate } from './engine.js';
export {
  type FaultEvent,
  type FaultKind,
  FaultPlan,
  type FaultSpec,
  type RandomFaults,
} from './faults.js';
export {
  type Bar,
  type Figure,
  type MimeBundle,
  matrixFigure,
  stackedFigure,
  stackFigure,
  timelineFigure,
  toMime,
} from './figures.js';
export * as formulas from './formulas/index.js';
export {
  type LedgerEntry,
  type LedgerOptions,
  type LedgerPeak,
  type LedgerPoint,
  MemoryLedger,
  type Trackable,
} from './ledger.js';
export { RankProgram } from './program.js';
export { type RankSummary, SimulationResult, type Span } from './result.js';
export { Simulation, type SimulationOptions } from './session.js';
export { bytesText, seconds, table } from './units.js';
