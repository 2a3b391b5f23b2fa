/** The reference backend: plain TypeScript, complete, the oracle for every faster one. */
import type { Backend } from '../backend.js';
import { copy, fill } from './access.js';
import {
  axpy,
  binary,
  compare,
  gelu,
  geluBackward,
  predicate,
  ternary,
  thresholdBackward,
  unary,
  where,
} from './elementwise.js';
import { gather, indexReduce, indexSelect, put, scatter, take } from './indexing.js';
import { attention, attentionBackward, matmul } from './matmul.js';
import {
  adam,
  embeddingBackward,
  layerNorm,
  layerNormBackward,
  nllLoss,
  rmsNorm,
  rmsNormBackward,
  softmax,
  softmaxBackward,
} from './norm.js';
import { normalBlocks, uniforms } from './random.js';
import { argReduce, reduce, scan, scanExtreme, sort, variance, vectorNorm } from './reduce.js';

export const referenceBackend: Backend = {
  name: 'reference',
  copy,
  fill,
  unary,
  predicate,
  binary,
  axpy,
  compare,
  where,
  ternary,
  gelu,
  geluBackward,
  thresholdBackward,
  reduce,
  vectorNorm,
  variance,
  argReduce,
  scan,
  scanExtreme,
  sort,
  matmul,
  softmax,
  softmaxBackward,
  layerNorm,
  layerNormBackward,
  rmsNorm,
  rmsNormBackward,
  uniforms,
  normalBlocks,
  indexSelect,
  indexReduce,
  gather,
  scatter,
  take,
  put,
  embeddingBackward,
  nllLoss,
  attention,
  attentionBackward,
  adam,
};
