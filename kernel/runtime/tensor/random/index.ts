/** PyTorch's CPU random numbers, bit for bit, over plain arrays: no tensor is known here. */
export {
  drawMultinomial,
  fillBernoulli,
  fillBernoulliFrom,
  fillCauchy,
  fillExponential,
  fillGeometric,
  fillLogNormal,
} from './choices.js';
export { fillNormal, fillUniform, type Values } from './floats.js';
export { fillIntegers, fillRandom, type IntegerValues, permutation } from './integers.js';
export { fma64, type RandomDtype, type RandomFloat, roundTo } from './round.js';
export { entropySeed, RandomStream, STATE_BYTES } from './stream.js';
