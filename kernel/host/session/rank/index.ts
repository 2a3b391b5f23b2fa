export { outputGate } from '../credit.js';
export { Comm, type CommPacket, type CommRanks, type CommSendOptions } from './comm.js';
export { captureStreams } from './console.js';
export {
  clearOutput,
  type Displayable,
  DisplayHandle,
  type DisplayOptions,
  display,
  HTML,
  Image,
  input,
  inspectAsString,
  Latex,
  Markdown,
  type PlotTrace,
  plot,
  SVG,
  toMime,
  updateDisplay,
} from './display.js';
export { type RankSetup, runRank, type Watch } from './executor.js';
export type {
  CellPosition,
  Progress,
  RankDisplay,
  RankEvent,
  RankFailure,
  RankRequest,
  RunReply,
} from './messages.js';
export { CellModules } from './modules.js';
export { cluster, rank, setPlace, worldSize } from './place.js';
export { type ProgressOptions, progress } from './progress.js';
export { type Decoded, decode, lookUp } from './source-map.js';
