export { attentionGradRows, attentionRows, rowDots, scale } from './attention';
export { addRow, matmul, matmulScratch } from './matmul';
export {
  abs, adam, add, axpy, div, erf, exp, gelu, geluBackward, geluTanh, geluTanhBackward, isFused, log, maximum, minimum, mul,
  neg, reciprocal, relu, rsqrt, sigmoid, silu, sqrt, square, sub, tanh, thresholdBackward,
} from './elementwise';
export { normalBlocks, uniforms } from './random';
export { columnSums, norm, normBackward, softmax, softmaxBackward, squares, sum } from './rows';
