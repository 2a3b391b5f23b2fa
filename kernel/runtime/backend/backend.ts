/**
 * What computes. A backend works on typed arrays with shapes and strides and knows no Tensor: every operand is an `Nd`.
 * Operands of one call have been broadcast to one shape and promoted to one dtype by the tensor layer; outputs are allocated
 * there too. A faster backend overrides single methods for the operands it likes and falls back to the reference.
 */
import type { DTypeName, TypedArray } from '../base/index.js';

/** An n-dimensional operand: raw storage bits of `dtype`, sizes, strides in elements, offset of the first element. */
export interface Nd {
  readonly dtype: DTypeName;
  readonly data: TypedArray;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
}

export type UnaryName =
  | 'abs'
  | 'neg'
  | 'exp'
  | 'exp2'
  | 'expm1'
  | 'log'
  | 'log2'
  | 'log10'
  | 'log1p'
  | 'sqrt'
  | 'rsqrt'
  | 'reciprocal'
  | 'square'
  | 'sin'
  | 'cos'
  | 'tan'
  | 'asin'
  | 'acos'
  | 'atan'
  | 'sinh'
  | 'cosh'
  | 'tanh'
  | 'asinh'
  | 'acosh'
  | 'atanh'
  | 'sigmoid'
  | 'relu'
  | 'sign'
  | 'ceil'
  | 'floor'
  | 'round'
  | 'trunc'
  | 'frac'
  | 'erf'
  | 'erfc'
  | 'erfinv'
  | 'lgamma'
  | 'digamma'
  | 'trigamma'
  | 'silu'
  | 'mish'
  | 'logsigmoid'
  | 'bitwiseNot';

export type PredicateName =
  | 'isnan'
  | 'isinf'
  | 'isfinite'
  | 'signbit'
  | 'logicalNot'
  | 'isposinf'
  | 'isneginf';

export type BinaryName =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'divFloor'
  | 'divTrunc'
  | 'pow'
  | 'atan2'
  | 'maximum'
  | 'minimum'
  | 'fmax'
  | 'fmin'
  | 'remainder'
  | 'fmod'
  | 'copysign'
  | 'hypot'
  | 'logaddexp'
  | 'logaddexp2'
  | 'xlogy'
  | 'gcd'
  | 'lcm'
  | 'bitwiseAnd'
  | 'bitwiseOr'
  | 'bitwiseXor'
  | 'leftShift'
  | 'rightShift'
  | 'nextafter';

export type CompareName = 'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge' | 'logicalAnd' | 'logicalOr' | 'logicalXor';

export type TernaryName = 'addcmul' | 'addcdiv' | 'lerp';

export type ReduceName =
  | 'sum'
  | 'nansum'
  | 'mean'
  | 'prod'
  | 'amax'
  | 'amin'
  | 'all'
  | 'any'
  | 'logsumexp'
  | 'countNonzero';

export type ScanName = 'cumsum' | 'cumprod' | 'logcumsumexp';

export type ScatterMode = 'set' | 'add' | 'mul' | 'prod' | 'amax' | 'amin' | 'mean';

export interface AdamParams {
  lr: number;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  step: number;
  decoupled: boolean;
  maximize: boolean;
  gradScale?: number;
}

export interface AttentionParams {
  scale: number;
  causal: boolean;
}

export interface Backend {
  readonly name: string;
  /** out = x, cast to out's dtype; any strides. */
  copy(x: Nd, out: Nd): void;
  fill(value: number | bigint, out: Nd): void;
  unary(op: UnaryName, x: Nd, out: Nd): void;
  predicate(op: PredicateName, x: Nd, out: Nd): void;
  binary(op: BinaryName, a: Nd, b: Nd, out: Nd): void;
  /** out = a + alpha * b. */
  axpy(alpha: number | bigint, a: Nd, b: Nd, out: Nd): void;
  compare(op: CompareName, a: Nd, b: Nd, out: Nd): void;
  where(condition: Nd, a: Nd, b: Nd, out: Nd): void;
  /** addcmul and addcdiv: a + value * b (*,/) c; lerp: a + c * (b - a). */
  ternary(op: TernaryName, value: number, a: Nd, b: Nd, c: Nd, out: Nd): void;
  gelu(x: Nd, out: Nd, approximate: 'none' | 'tanh'): void;
  geluBackward(grad: Nd, x: Nd, out: Nd, approximate: 'none' | 'tanh'): void;
  /** grad where y is not at or below the threshold, else 0. */
  thresholdBackward(grad: Nd, y: Nd, threshold: number, out: Nd): void;
  /** Reduces `dims`; out has the remaining sizes, without the reduced dimensions. */
  reduce(op: ReduceName, x: Nd, dims: readonly number[], out: Nd): void;
  vectorNorm(x: Nd, ord: number, dims: readonly number[], out: Nd): void;
  variance(x: Nd, dims: readonly number[], correction: number, out: Nd, mean: Nd | null): void;
  /** Index of the largest (smallest) along the last dimension; ties and nan as PyTorch: first, nan wins. */
  argReduce(largest: boolean, x: Nd, dim: number, values: Nd | null, indices: Nd): void;
  scan(op: ScanName, x: Nd, dim: number, out: Nd): void;
  scanExtreme(largest: boolean, x: Nd, dim: number, values: Nd, indices: Nd): void;
  /** Sorted along dim, nan largest, stable. */
  sort(x: Nd, dim: number, descending: boolean, values: Nd, indices: Nd): void;
  /** a [B, n, k] times b [B, k, m]; with `bias` (broadcast to out): beta * bias + alpha * product, rounded once. */
  matmul(a: Nd, b: Nd, out: Nd, bias?: Nd | null, alpha?: number, beta?: number): void;
  softmax(x: Nd, dim: number, log: boolean, out: Nd): void;
  softmaxBackward(grad: Nd, y: Nd, dim: number, log: boolean, out: Nd): void;
  /** Over the last `inner` elements; mean and rstd have one entry a row. */
  layerNorm(
    x: Nd,
    inner: number,
    weight: Nd | null,
    bias: Nd | null,
    eps: number,
    out: Nd,
    mean: Nd,
    rstd: Nd,
  ): void;
  layerNormBackward(
    grad: Nd,
    x: Nd,
    mean: Nd,
    rstd: Nd,
    inner: number,
    weight: Nd | null,
    dx: Nd | null,
    dw: Nd | null,
    db: Nd | null,
  ): void;
  rmsNorm(x: Nd, inner: number, weight: Nd | null, eps: number, out: Nd, rstd: Nd): void;
  rmsNormBackward(
    grad: Nd,
    x: Nd,
    rstd: Nd,
    inner: number,
    weight: Nd | null,
    dx: Nd | null,
    dw: Nd | null,
  ): void;
  indexSelect(x: Nd, dim: number, index: Nd, out: Nd): void;
  /** out[..., index[i], ...] (mode) alpha * src[..., i, ...] along dim. */
  indexReduce(mode: ScatterMode, out: Nd, dim: number, index: Nd, src: Nd, alpha: number): void;
  gather(x: Nd, dim: number, index: Nd, out: Nd): void;
  scatter(mode: ScatterMode, out: Nd, dim: number, index: Nd, src: Nd, includeSelf: boolean): void;
  /** Advanced index over the leading dimensions: flat positions into x's rows. */
  take(x: Nd, positions: Nd, out: Nd): void;
  put(out: Nd, positions: Nd, src: Nd, accumulate: boolean): void;
  embeddingBackward(
    grad: Nd,
    index: Nd,
    rows: number,
    paddingIdx: number,
    scaleByFreq: boolean,
    out: Nd,
  ): void;
  nllLoss(logp: Nd, target: Nd, weight: Nd | null, ignoreIndex: number, perItem: Nd, itemWeights: Nd): void;
  /** q [B, n, d], k [B, m, d], v [B, m, e], mask added to the scores [B, n, m]; lse [B, n]. */
  attention(q: Nd, k: Nd, v: Nd, mask: Nd | null, p: AttentionParams, out: Nd, lse: Nd): void;
  attentionBackward(
    grad: Nd,
    q: Nd,
    k: Nd,
    v: Nd,
    mask: Nd | null,
    out: Nd,
    lse: Nd,
    gradLse: Nd | null,
    p: AttentionParams,
    dq: Nd,
    dk: Nd,
    dv: Nd,
    dmask: Nd | null,
  ): void;
  /**
   * Uniform numbers in [0, 1), one of each word of a Mersenne Twister, of whose `words` the first `position` are used. Returns how
   * many are used then.
   */
  uniforms(words: Int32Array, position: number, out: Float32Array): number;
  /** Blocks of 16 uniform numbers become normal ones in place; the length is a multiple of 16, mean and std are float32. */
  normalBlocks(values: Float32Array, mean: number, std: number): void;
  /** One step of Adam(W), all arrays contiguous float32 or float64, in place. */
  adam(param: Nd, grad: Nd, expAvg: Nd, expAvgSq: Nd, maxExpAvgSq: Nd | null, p: AdamParams): void;
}
