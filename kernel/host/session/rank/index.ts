export { outputGate } from '../credit.js';
export { Comm } from './comm.js';
export { captureStreams } from './console.js';
export {
  clearOutput,
  display,
  HTML,
  Image,
  input,
  Latex,
  Markdown,
  plot,
  SVG,
  toMime,
  updateDisplay,
} from './display.js';
export { runRank } from './executor.js';
export type { Progress, RankDisplay, RankEvent, RankFailure, RankRequest, RunReply } from './messages.js';
export { CellModules } from './modules.js';
export { cluster, rank, setPlace, worldSize } from './place.js';
export { progress } from './progress.js';
export { type Decoded, decode, lookUp } from './source-map.js';
