/** State of distributed models. */
export {
  getModelStateDict,
  getOptimizerStateDict,
  getStateDict,
  type ModelState,
  type OptimizerState,
  type StateDictOptions,
  setModelStateDict,
  setOptimizerStateDict,
  setStateDict,
} from './state-dict.js';
