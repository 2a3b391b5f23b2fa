export {
  clearOutput,
  type Displayable,
  DisplayHandle,
  type DisplayOptions,
  display,
  HTML,
  Image,
  input,
  Latex,
  Markdown,
  type PlotTrace,
  plot,
  SVG,
  toMime,
  updateDisplay,
} from './display.js';
export { type RankSetup, runRank } from './executor.js';
export { rank, setPlace, worldSize } from './place.js';
