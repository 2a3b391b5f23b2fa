export { attentionGradRows, attentionRows, rowDots, scale } from './attention';
export { addRow, matmul, matmulScratch } from './matmul';
export { adam, erf, exp, gelu, geluBackward, geluTanh, geluTanhBackward, sigmoid, silu, tanh } from './elementwise';
export { norm, normBackward, softmax, softmaxBackward } from './rows';
