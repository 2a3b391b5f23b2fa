/** The closed list of operations below autograd, each with the type of its parameters. Everything else is composed of these. */
import type {
  BinaryName,
  CompareName,
  PredicateName,
  ScanName,
  ScatterMode,
  UnaryName,
} from '../backend/backend.js';
import type { DType } from './dtype.js';
import type { Device } from './tensor.js';

export interface NoParams {
  readonly [none: string]: never;
}

type Plain = UnaryName | PredicateName | CompareName | Exclude<BinaryName, 'add' | 'sub'>;

export interface Dims {
  dims: readonly number[];
  keepdim: boolean;
}
export interface OneDim {
  dim: number;
}

/** What becomes of the losses of the elements. */
export type LossReduction = 'none' | 'mean' | 'sum';

/** Shape of the result: of the input whose gradient it is. */
export interface Sized {
  shape: readonly number[];
}
/** How a tensor lies over its storage. */
export interface Layout {
  shape: readonly number[];
  strides: readonly number[];
  offset: number;
}

interface SpecialParams {
  add: { alpha: number | bigint };
  sub: { alpha: number | bigint };
  clamp: { min: number | bigint | null; max: number | bigint | null };
  addcmul: { value: number };
  addcdiv: { value: number };
  lerp: NoParams;
  where: NoParams;
  gelu: { approximate: 'none' | 'tanh' };
  geluBackward: { approximate: 'none' | 'tanh' };
  thresholdBackward: { threshold: number };
  hardtanh: { min: number; max: number };
  hardtanhBackward: { min: number; max: number };
  sigmoidBackward: NoParams;
  tanhBackward: NoParams;
  siluBackward: NoParams;
  elu: { alpha: number; scale: number; inputScale: number };
  eluBackward: { alpha: number; scale: number; inputScale: number };
  softplus: { beta: number; threshold: number };
  softplusBackward: { beta: number; threshold: number };
  leakyRelu: { negativeSlope: number };
  leakyReluBackward: { negativeSlope: number };
  hardswish: NoParams;
  hardsigmoid: NoParams;
  nanToNum: { nan: number; posinf: number | null; neginf: number | null };
  clone: { contiguous?: boolean };
  toCopy: { dtype: DType; device: Device };
  copy: NoParams;
  fill: { value: number | bigint };
  /** unset: the values mean nothing, only the room for them. */
  fullLike: { value: number | bigint; unset?: boolean };
  newZeros: Sized;
  sum: Dims & { dtype: DType | null };
  nansum: Dims & { dtype: DType | null };
  mean: Dims & { dtype: DType | null };
  prod: Dims & { dtype: DType | null };
  amax: Dims;
  amin: Dims;
  all: Dims;
  any: Dims;
  countNonzero: Dims;
  logsumexp: Dims;
  norm: Dims & { ord: number; dtype: DType | null };
  var: Dims & { correction: number };
  std: Dims & { correction: number };
  max: OneDim & { keepdim: boolean };
  min: OneDim & { keepdim: boolean };
  /** dim null: over all elements, a place in row-major order. */
  argmax: { dim: number | null; keepdim: boolean };
  argmin: { dim: number | null; keepdim: boolean };
  sort: OneDim & { descending: boolean };
  topk: OneDim & { k: number; largest: boolean };
  kthvalue: OneDim & { k: number; keepdim: boolean };
  median: OneDim & { keepdim: boolean; ignoreNan: boolean };
  cumsum: OneDim & { dtype: DType | null };
  cumprod: OneDim & { dtype: DType | null };
  logcumsumexp: OneDim;
  cummax: OneDim;
  cummin: OneDim;
  valueSelectingReductionBackward: Sized & OneDim & { keepdim: boolean };
  alias: NoParams;
  detach: NoParams;
  view: { shape: readonly number[] };
  viewDtype: { dtype: DType };
  expand: { shape: readonly number[] };
  permute: { dims: readonly number[] };
  select: OneDim & { index: number };
  selectBackward: Sized & OneDim & { index: number };
  slice: OneDim & { start: number; end: number; step: number };
  sliceBackward: Sized & OneDim & { start: number; end: number; step: number };
  squeeze: { dims: readonly number[] };
  unsqueeze: OneDim;
  diagonal: { offset: number; dim1: number; dim2: number };
  diagonalBackward: Sized & { offset: number; dim1: number; dim2: number };
  unfold: OneDim & { size: number; step: number };
  unfoldBackward: Sized & OneDim & { size: number; step: number };
  asStrided: Layout;
  /** Adds the gradient of a strided view up into a tensor that lies as `base` says. */
  asStridedBackward: Layout & { base: Layout };
  /** The elements such a view has, of a tensor that lies otherwise than `base`: the other direction. */
  asStridedOf: Layout & { base: Layout };
  repeat: { repeats: readonly number[] };
  split: OneDim & { sizes: readonly number[] };
  unbind: OneDim;
  flip: { dims: readonly number[] };
  roll: { shifts: readonly number[]; dims: readonly number[] };
  cat: OneDim;
  stack: OneDim;
  constantPad: { pad: readonly number[]; value: number };
  tril: { diagonal: number };
  triu: { diagonal: number };
  index: { dims: readonly number[] };
  indexBackward: Sized & { dims: readonly number[] };
  indexPut: { dims: readonly number[]; accumulate: boolean };
  indexSelect: OneDim;
  indexSelectBackward: Sized & OneDim;
  indexAdd: OneDim & { alpha: number };
  indexCopy: OneDim;
  gather: OneDim;
  gatherBackward: Sized & OneDim;
  scatter: OneDim & { reduce: ScatterMode | null; includeSelf: boolean };
  scatterAdd: OneDim;
  maskedFill: { value: number | bigint | null };
  maskedSelect: NoParams;
  maskedSelectBackward: Sized;
  maskedScatter: NoParams;
  embedding: { paddingIdx: number; scaleGradByFreq: boolean };
  embeddingBackward: { rows: number; paddingIdx: number; scaleGradByFreq: boolean };
  mm: NoParams;
  mv: NoParams;
  dot: NoParams;
  bmm: NoParams;
  addmm: { beta: number; alpha: number };
  baddbmm: { beta: number; alpha: number };
  softmax: OneDim & { dtype: DType | null };
  logSoftmax: OneDim & { dtype: DType | null };
  softmaxBackward: OneDim & { dtype: DType };
  logSoftmaxBackward: OneDim & { dtype: DType };
  layerNorm: { inner: readonly number[]; eps: number };
  layerNormBackward: { inner: readonly number[]; mask: readonly [boolean, boolean, boolean] };
  rmsNorm: { inner: readonly number[]; eps: number };
  rmsNormBackward: { inner: readonly number[]; mask: readonly [boolean, boolean] };
  nllLoss: { reduction: LossReduction; ignoreIndex: number };
  nllLossBackward: { reduction: LossReduction; ignoreIndex: number };
  mseLoss: { reduction: LossReduction };
  mseLossBackward: { reduction: LossReduction };
  smoothL1Loss: { reduction: LossReduction; beta: number };
  smoothL1LossBackward: { reduction: LossReduction; beta: number };
  huberLoss: { reduction: LossReduction; delta: number };
  huberLossBackward: { reduction: LossReduction; delta: number };
  binaryCrossEntropy: { reduction: LossReduction };
  binaryCrossEntropyBackward: { reduction: LossReduction };
  binaryCrossEntropyWithLogits: { reduction: LossReduction };
  dropoutMask: { scale: number };
  attention: { scale: number; causal: boolean };
  attentionBackward: { scale: number; causal: boolean; needs: readonly [boolean, boolean, boolean, boolean] };
}

export type OpParams = { [K in Plain]: NoParams } & SpecialParams;
export type OpName = keyof OpParams;
export type { ScanName };

export const none: NoParams = {};
