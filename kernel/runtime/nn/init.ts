import { ShardbookError } from '../base/index.js';
import { type Generator, noGrad, type Tensor, torch } from '../tensor/index.js';
import { named } from './options.js';

interface RandomOptions {
  /** Source of random numbers; the default stream when left out. */
  generator?: Generator | null;
}

/** What follows a layer, for the gain of its initial weights. */
export type Nonlinearity =
  | 'linear'
  | 'conv1d'
  | 'conv2d'
  | 'conv3d'
  | 'conv_transpose1d'
  | 'conv_transpose2d'
  | 'conv_transpose3d'
  | 'sigmoid'
  | 'tanh'
  | 'relu'
  | 'leaky_relu'
  | 'selu';

/** The recommended gain of a nonlinearity; `param` is the slope of leaky_relu. */
export function calculateGain(nonlinearity: Nonlinearity, param?: number): number {
  switch (nonlinearity) {
    case 'tanh':
      return 5 / 3;
    case 'relu':
      return Math.sqrt(2);
    case 'leaky_relu':
      return Math.sqrt(2 / (1 + (param ?? 0.01) ** 2));
    case 'selu':
      return 3 / 4;
    case 'linear':
    case 'conv1d':
    case 'conv2d':
    case 'conv3d':
    case 'sigmoid':
    case 'conv_transpose1d':
    case 'conv_transpose2d':
    case 'conv_transpose3d':
      return 1;
    default:
      throw new ShardbookError({
        code: 'SB_NN_INIT',
        message: `Cannot give the gain of "${String(nonlinearity)}": it is not a known nonlinearity`,
        help: 'known are linear, conv1d to conv3d, their transposed forms, sigmoid, tanh, relu, leaky_relu and selu',
      });
  }
}

/** Number of inputs and outputs of one unit: columns and rows of a matrix, times the receptive field. */
export function calculateFanInAndFanOut(tensor: Tensor): [fanIn: number, fanOut: number] {
  const [rows, columns, ...field] = tensor.shape;
  if (rows === undefined || columns === undefined) {
    throw new ShardbookError({
      code: 'SB_NN_INIT',
      message: `Cannot compute fan in and fan out of a tensor of shape [${tensor.shape.join(', ')}]: wanted at least 2 dimensions`,
    });
  }
  const receptive = field.reduce((a, b) => a * b, 1);
  return [columns * receptive, rows * receptive];
}

interface UniformOptions extends RandomOptions {
  a?: number;
  b?: number;
}

/** Fills with numbers from [a, b), default [0, 1). */
export function uniform_(
  tensor: Tensor,
  a?: number | UniformOptions,
  b?: number | UniformOptions,
  options?: UniformOptions,
): Tensor {
  const o = named<UniformOptions>([a, b, options], ['a', 'b']);
  return noGrad(() => tensor.uniform_(o.a ?? 0, o.b ?? 1, random(o)));
}

interface NormalOptions extends RandomOptions {
  mean?: number;
  std?: number;
}

/** Fills with normal numbers; mean 0 and standard deviation 1 by default. */
export function normal_(
  tensor: Tensor,
  mean?: number | NormalOptions,
  std?: number | NormalOptions,
  options?: NormalOptions,
): Tensor {
  const o = named<NormalOptions>([mean, std, options], ['mean', 'std']);
  return noGrad(() => tensor.normal_(o.mean ?? 0, o.std ?? 1, random(o)));
}

/** Fills with `value`. */
export function constant_(tensor: Tensor, value: number): Tensor {
  return noGrad(() => tensor.fill_(value));
}

/** Fills with 1. */
export function ones_(tensor: Tensor): Tensor {
  return constant_(tensor, 1);
}

/** Fills with 0. */
export function zeros_(tensor: Tensor): Tensor {
  return noGrad(() => tensor.zero_());
}

/** Ones on the diagonal of a matrix, zeros elsewhere. */
export function eye_(tensor: Tensor): Tensor {
  const [rows, columns] = tensor.shape;
  if (tensor.shape.length !== 2) throw wrongDims('eye_', tensor, 'a matrix');
  return noGrad(() =>
    tensor.copy_(torch.eye(rows!, columns!, { dtype: tensor.dtype, device: tensor.device })),
  );
}

/** Keeps as many input channels as possible unchanged; for convolution weights of 3 to 5 dimensions. */
export function dirac_(tensor: Tensor, groups = 1): Tensor {
  const [outChannels, inChannels, ...field] = tensor.shape;
  if (tensor.shape.length < 3 || tensor.shape.length > 5)
    throw wrongDims('dirac_', tensor, '3, 4 or 5 dimensions');
  if (outChannels! % groups !== 0) {
    throw new ShardbookError({
      code: 'SB_NN_INIT',
      message: `Cannot run dirac_: ${outChannels} output channels are not divisible by ${groups} groups`,
    });
  }
  const perGroup = outChannels! / groups;
  return noGrad(() => {
    tensor.zero_();
    for (let g = 0; g < groups; g++) {
      for (let d = 0; d < Math.min(perGroup, inChannels!); d++) {
        let entry = tensor.select(0, g * perGroup + d).select(0, d);
        for (const size of field) entry = entry.select(0, Math.floor(size / 2));
        entry.fill_(1);
      }
    }
    return tensor;
  });
}

/** Uniform in +-gain * sqrt(6 / (fan in + fan out)) (Glorot and Bengio, 2010). */
export function xavierUniform_(
  tensor: Tensor,
  gain: number | ({ gain?: number } & RandomOptions) = 1,
  options: RandomOptions = {},
): Tensor {
  const o = typeof gain === 'number' ? { gain, ...options } : gain;
  const [fanIn, fanOut] = calculateFanInAndFanOut(tensor);
  const a = Math.sqrt(3) * ((o.gain ?? 1) * Math.sqrt(2 / (fanIn + fanOut)));
  return uniform_(tensor, -a, a, random(o));
}

/** Normal with standard deviation gain * sqrt(2 / (fan in + fan out)) (Glorot and Bengio, 2010). */
export function xavierNormal_(
  tensor: Tensor,
  gain: number | ({ gain?: number } & RandomOptions) = 1,
  options: RandomOptions = {},
): Tensor {
  const o = typeof gain === 'number' ? { gain, ...options } : gain;
  const [fanIn, fanOut] = calculateFanInAndFanOut(tensor);
  return normal_(tensor, 0, (o.gain ?? 1) * Math.sqrt(2 / (fanIn + fanOut)), random(o));
}

export interface KaimingOptions extends RandomOptions {
  /** Slope of the rectifier that follows (leaky_relu only). */
  a?: number;
  /** Keep the variance in the forward or in the backward pass. */
  mode?: 'fan_in' | 'fan_out';
  nonlinearity?: Nonlinearity;
}

/** Uniform in +-gain * sqrt(3 / fan) (He et al., 2015); the fan is `mode`, the gain follows from the nonlinearity. */
export function kaimingUniform_(
  tensor: Tensor,
  a: number | KaimingOptions = 0,
  options: KaimingOptions = {},
): Tensor {
  if (tensor.shape.includes(0)) return tensor;
  const o = typeof a === 'number' ? { a, ...options } : a;
  const bound = Math.sqrt(3) * kaimingStd(tensor, o);
  return uniform_(tensor, -bound, bound, random(o));
}

/** Normal with standard deviation gain / sqrt(fan) (He et al., 2015); the fan is `mode`, the gain follows from the nonlinearity. */
export function kaimingNormal_(
  tensor: Tensor,
  a: number | KaimingOptions = 0,
  options: KaimingOptions = {},
): Tensor {
  if (tensor.shape.includes(0)) return tensor;
  const o = typeof a === 'number' ? { a, ...options } : a;
  return normal_(tensor, 0, kaimingStd(tensor, o), random(o));
}

function kaimingStd(
  tensor: Tensor,
  { a = 0, mode = 'fan_in', nonlinearity = 'leaky_relu' }: KaimingOptions,
): number {
  const fans = calculateFanInAndFanOut(tensor);
  if (mode !== 'fan_in' && mode !== 'fan_out') {
    throw new ShardbookError({
      code: 'SB_NN_INIT',
      message: `Cannot initialise with mode "${String(mode)}": wanted "fan_in" or "fan_out"`,
    });
  }
  return calculateGain(nonlinearity, a) / Math.sqrt(mode === 'fan_in' ? fans[0] : fans[1]);
}

interface TruncNormalOptions extends NormalOptions {
  a?: number;
  b?: number;
}

/**
 * Fills with values of a normal distribution cut off at `a` and `b`. Where the interval is likely, whole normal tensors
 * are drawn until every element is inside; where it is not, uniform proposals are accepted by the density.
 */
export function truncNormal_(
  tensor: Tensor,
  meanOrOptions?: number | TruncNormalOptions,
  stdOrOptions?: number | TruncNormalOptions,
  aOrOptions?: number | TruncNormalOptions,
  bOrOptions?: number | TruncNormalOptions,
  options?: TruncNormalOptions,
): Tensor {
  const o = named<TruncNormalOptions>(
    [meanOrOptions, stdOrOptions, aOrOptions, bOrOptions, options],
    ['mean', 'std', 'a', 'b'],
  );
  const { mean = 0, std = 1, a = -2, b = 2 } = o;
  if (tensor.isMeta) return tensor;
  const probability = normalCdf((b - mean) / std) - normalCdf((a - mean) / std);
  const generator = random(o);
  return noGrad(() => {
    if (probability > 0.3) {
      tensor.normal_(mean, std, generator);
      for (;;) {
        const outside = tensor.lt(a).logicalOr(tensor.gt(b));
        if (!outside.any().item()) return tensor;
        tensor.copy_(torch.where(outside, torch.emptyLike(tensor).normal_(mean, std, generator), tensor));
      }
    }
    const mode = Math.min(Math.max(mean, a), b);
    const logPeak = -(((mode - mean) / std) ** 2) / 2;
    const propose = (): [Tensor, Tensor] => {
      const values = torch.emptyLike(tensor).uniform_(a, b, generator);
      const height = torch.emptyLike(tensor).uniform_(0, 1, generator);
      const logDensity = values.sub(mean).div(std).square().mul(-0.5);
      return [values, height.log().gt(logDensity.sub(logPeak))];
    };
    let [values, rejected] = propose();
    while (rejected.any().item()) {
      const [again, againRejected] = propose();
      values = torch.where(rejected, again, values);
      rejected = rejected.logicalAnd(againRejected);
    }
    return tensor.copy_(values);
  });
}

/** A (semi-)orthogonal matrix from the QR decomposition of a normal one. */
export function orthogonal_(tensor: Tensor, gain = 1, options: RandomOptions = {}): Tensor {
  if (tensor.shape.length < 2) throw wrongDims('orthogonal_', tensor, 'at least 2 dimensions');
  const rows = tensor.shape[0]!;
  const columns = tensor.numel() / Math.max(rows, 1);
  if (tensor.numel() === 0) return tensor;
  return noGrad(() => {
    const drawn = torch
      .empty([rows, columns], { dtype: tensor.dtype })
      .normal_(0, 1, random(options))
      .to({ dtype: torch.float64 });
    const q = orthonormalColumns((rows < columns ? drawn.t() : drawn).tolist() as number[][]);
    const result = torch.tensor(q, { dtype: torch.float64 });
    return tensor.copy_((rows < columns ? result.t() : result).reshape(tensor.shape).mul(gain));
  });
}

/** All but a fraction of each column is normal, the rest is zero. */
export function sparse_(tensor: Tensor, sparsity: number, std = 0.01, options: RandomOptions = {}): Tensor {
  const [rows, columns] = tensor.shape;
  if (tensor.shape.length !== 2) throw wrongDims('sparse_', tensor, 'a matrix');
  const zeros = Math.ceil(sparsity * rows!);
  return noGrad(() => {
    tensor.normal_(0, std, random(options));
    for (let c = 0; c < columns!; c++) {
      const order = torch.randperm(rows!).tolist() as (number | bigint)[];
      for (const r of order.slice(0, zeros)) tensor.select(0, Number(r)).select(0, c).zero_();
    }
    return tensor;
  });
}

/** Modified Gram-Schmidt, twice for stability; signs as a QR decomposition with a positive diagonal of R. */
function orthonormalColumns(matrix: number[][]): number[][] {
  const rows = matrix.length;
  const columns = matrix[0]!.length;
  const q = Array.from({ length: columns }, (_, c) => matrix.map((row) => row[c]!));
  for (let c = 0; c < columns; c++) {
    for (let pass = 0; pass < 2; pass++) {
      for (let before = 0; before < c; before++) {
        const overlap = q[c]!.reduce((sum, v, r) => sum + v * q[before]![r]!, 0);
        for (let r = 0; r < rows; r++) q[c]![r]! -= overlap * q[before]![r]!;
      }
    }
    const norm = Math.hypot(...q[c]!);
    for (let r = 0; r < rows; r++) q[c]![r]! /= norm;
  }
  return Array.from({ length: rows }, (_, r) => q.map((column) => column[r]!));
}

function normalCdf(x: number): number {
  return (1 + erf(x / Math.SQRT2)) / 2;
}

/** Only compared with 0.3, so the approximation of Abramowitz and Stegun 7.1.26 (1.5e-7) is enough. */
function erf(x: number): number {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const poly =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - poly * Math.exp(-x * x));
}

function random({ generator }: RandomOptions): { generator?: Generator } {
  return generator === undefined || generator === null ? {} : { generator };
}

function wrongDims(name: string, tensor: Tensor, wanted: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_NN_INIT',
    message: `Cannot run ${name}: given shape [${tensor.shape.join(', ')}], wanted ${wanted}`,
  });
}
