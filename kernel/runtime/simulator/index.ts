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
export { type ChromeTrace, chromeTrace, type TraceSpan } from './chrome.js';
export { Cluster, type ClusterSpec, type DeviceSpec, type LinkTier } from './cluster.js';
export { collectiveSeconds, fastestAlgorithm } from './cost.js';
export { type SimulateOptions, simulate } from './engine.js';
export {
  type Bar,
  type Figure,
  type MimeBundle,
  matrixFigure,
  stackedFigure,
  timelineFigure,
  toMime,
} from './figures.js';
export * as formulas from './formulas/index.js';
export { RankProgram } from './program.js';
export { type RankSummary, SimulationResult, type Span, seconds } from './result.js';
