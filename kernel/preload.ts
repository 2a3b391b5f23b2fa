/**
 * The one list of what every cell sees without importing it. Ranks seed their namespaces from these exports and the
 * compiler reads their types from the published declarations, so a name is added here and nowhere else.
 */
export {
  clearOutput,
  display,
  HTML,
  Image,
  input,
  Latex,
  Markdown,
  plot,
  rank,
  SVG,
  toMime,
  updateDisplay,
  worldSize,
} from './host/session/rank/index.js';
export {
  Cluster,
  CommDebugMode,
  CommRecorder,
  dist,
  F,
  FaultPlan,
  FlightRecorder,
  formulas,
  MemoryLedger,
  nn,
  optim,
  RankProgram,
  replayCall,
  replayRank,
  Simulation,
  simulate,
  Tensor,
  torch,
} from './runtime/index.js';
