import { ShardbookError } from '../../base/index.js';
import { type DType, type Tensor, torch } from '../../tensor/index.js';
import { named } from '../options.js';

interface Inplace {
  inplace?: boolean;
}

/** Writes the result over the input when the caller asked for it. */
function into(input: Tensor, result: Tensor, inplace: boolean | undefined): Tensor {
  return inplace ? input.copy_(result) : result;
}

/** max(0, x), elementwise. */
export function relu(input: Tensor, inplace?: boolean | Inplace): Tensor {
  return into(input, input.relu(), named<Inplace>([inplace], ['inplace']).inplace);
}

/** 1 / (1 + exp(-x)), elementwise. */
export function sigmoid(input: Tensor): Tensor {
  return input.sigmoid();
}

/** Hyperbolic tangent, elementwise. */
export function tanh(input: Tensor): Tensor {
  return input.tanh();
}

/** x * sigmoid(x), elementwise (also called swish). */
export function silu(input: Tensor, inplace?: boolean | Inplace): Tensor {
  return into(input, torch.silu(input), named<Inplace>([inplace], ['inplace']).inplace);
}

/** x * tanh(softplus(x)), elementwise. */
export function mish(input: Tensor, inplace?: boolean | Inplace): Tensor {
  return into(input, torch.mish(input), named<Inplace>([inplace], ['inplace']).inplace);
}

/** log(sigmoid(x)), elementwise, without overflow. */
export function logsigmoid(input: Tensor): Tensor {
  return torch.logsigmoid(input);
}

/** GELU, exact or by the tanh approximation. */
export function gelu(
  input: Tensor,
  options: 'none' | 'tanh' | { approximate?: 'none' | 'tanh' } = {},
): Tensor {
  const approximate = typeof options === 'string' ? options : (options.approximate ?? 'none');
  if (approximate !== 'none' && approximate !== 'tanh') {
    throw new ShardbookError({
      code: 'SB_NN_ARGUMENT',
      message: `Cannot run gelu: approximate is "${String(approximate)}", wanted "none" or "tanh"`,
    });
  }
  return torch.gelu(input, { approximate });
}

interface HardtanhOptions extends Inplace {
  minVal?: number;
  maxVal?: number;
}

/** The input cut off at both ends; at and beyond the ends the gradient is 0. */
export function hardtanh(
  input: Tensor,
  minVal?: number | HardtanhOptions,
  maxVal?: number | HardtanhOptions,
  inplace?: boolean | HardtanhOptions,
): Tensor {
  const o = named<HardtanhOptions>([minVal, maxVal, inplace], ['minVal', 'maxVal', 'inplace']);
  let { minVal: low = -1, maxVal: high = 1 } = o;
  if (!input.dtype.isFloatingPoint) {
    // Whole numbers meet whole bounds.
    [low, high] = [Math.trunc(low), Math.trunc(high)];
    if (input.dtype === torch.bool || (input.dtype === torch.uint8 && low < 0)) {
      throw new ShardbookError({
        code: 'SB_DTYPE',
        message: `Cannot run hardtanh: not defined for ${input.dtype.name} from ${low}`,
        help: 'convert the input first',
      });
    }
  }
  if (low > high) {
    throw new ShardbookError({
      code: 'SB_NN_ARGUMENT',
      message: `Cannot run hardtanh: minVal ${low} is above maxVal ${high}`,
    });
  }
  return into(input, torch.hardtanh(input, low, high), o.inplace);
}

/** min(max(0, x), 6), elementwise. */
export function relu6(input: Tensor, inplace?: boolean | Inplace): Tensor {
  return hardtanh(input, {
    minVal: 0,
    maxVal: 6,
    inplace: named<Inplace>([inplace], ['inplace']).inplace ?? false,
  });
}

interface EluOptions extends Inplace {
  alpha?: number;
}

/** x where positive, else alpha * (exp(x) - 1); `alpha` defaults to 1. */
export function elu(input: Tensor, alpha?: number | EluOptions, inplace?: boolean | EluOptions): Tensor {
  const o = named<EluOptions>([alpha, inplace], ['alpha', 'inplace']);
  return into(input, torch.elu(input, o.alpha ?? 1), o.inplace);
}

/** Scaled ELU, with the two constants that keep mean 0 and variance 1 (Klambauer et al., 2017). */
export function selu(input: Tensor, inplace?: boolean | Inplace): Tensor {
  return into(input, torch.selu(input), named<Inplace>([inplace], ['inplace']).inplace);
}

/** max(0, x) + min(0, alpha * (exp(x / alpha) - 1)); `alpha` defaults to 1 and must not be 0. */
export function celu(input: Tensor, alpha?: number | EluOptions, inplace?: boolean | EluOptions): Tensor {
  const o = named<EluOptions>([alpha, inplace], ['alpha', 'inplace']);
  const a = o.alpha ?? 1;
  if (a === 0)
    throw new ShardbookError({
      code: 'SB_NN_ARGUMENT',
      message: 'Cannot run celu: alpha is 0, wanted another number',
    });
  return into(input, torch.celu(input, a), o.inplace);
}

interface LeakyReluOptions extends Inplace {
  negativeSlope?: number;
}

/** x where positive, else `negativeSlope` * x (default 0.01). */
export function leakyRelu(
  input: Tensor,
  negativeSlope?: number | LeakyReluOptions,
  inplace?: boolean | LeakyReluOptions,
): Tensor {
  const o = named<LeakyReluOptions>([negativeSlope, inplace], ['negativeSlope', 'inplace']);
  return into(input, torch.leakyRelu(input, o.negativeSlope ?? 0.01), o.inplace);
}

/** Leaky ReLU with learned slopes: one for all, or one for each channel (dimension 1). */
export function prelu(input: Tensor, weight: Tensor): Tensor {
  if (weight.dtype !== input.dtype) {
    throw new ShardbookError({
      code: 'SB_DTYPE',
      message: `Cannot run prelu: the input is ${input.dtype.name} and the slopes are ${weight.dtype.name}`,
      help: 'convert one of them',
    });
  }
  let slope = weight;
  if (weight.numel() !== 1) {
    const channels = input.shape.length >= 2 ? input.shape[1] : 1;
    if (weight.numel() !== channels) {
      throw new ShardbookError({
        code: 'SB_NN_SHAPE',
        message: `Cannot run prelu: ${weight.numel()} slopes for ${channels} channels`,
      });
    }
    slope = weight.reshape([-1, ...input.shape.slice(2).map(() => 1)]);
  } else slope = weight.reshape([]);
  return torch.where(input.gt(0), input, input.mul(slope));
}

interface SoftplusOptions {
  beta?: number;
  threshold?: number;
}

/** log(1 + exp(beta x)) / beta; above the threshold the input itself. */
export function softplus(
  input: Tensor,
  beta?: number | SoftplusOptions,
  threshold?: number | SoftplusOptions,
): Tensor {
  const { beta: b = 1, threshold: limit = 20 } = named<SoftplusOptions>(
    [beta, threshold],
    ['beta', 'threshold'],
  );
  return torch.softplus(input, b, limit);
}

/** x * relu6(x + 3) / 6, elementwise. */
export function hardswish(input: Tensor, inplace?: boolean | Inplace): Tensor {
  return into(input, torch.hardswish(input), named<Inplace>([inplace], ['inplace']).inplace);
}

/** relu6(x + 3) / 6, elementwise. */
export function hardsigmoid(input: Tensor, inplace?: boolean | Inplace): Tensor {
  return into(input, torch.hardsigmoid(input), named<Inplace>([inplace], ['inplace']).inplace);
}

/** x where |x| > `lambda`, else 0. */
export function hardshrink(input: Tensor, lambda = 0.5): Tensor {
  return torch.where(input.ge(-lambda).logicalAnd(input.le(lambda)), 0, input);
}

/** x drawn towards 0 by `lambda`; 0 where |x| <= `lambda`. */
export function softshrink(input: Tensor, lambda = 0.5): Tensor {
  return torch.where(
    input.gt(lambda),
    input.sub(lambda),
    torch.where(input.lt(-lambda), input.add(lambda), input.mul(0)),
  );
}

/** x - tanh(x), elementwise. */
export function tanhshrink(input: Tensor): Tensor {
  return input.sub(input.tanh());
}

/** x / (1 + |x|), elementwise. */
export function softsign(input: Tensor): Tensor {
  return input.div(input.abs().add(1));
}

/** x where x > `limit`, else `value`. */
export function threshold(input: Tensor, limit: number, value: number, inplace?: boolean | Inplace): Tensor {
  return into(
    input,
    torch.where(input.le(limit), value, input),
    named<Inplace>([inplace], ['inplace']).inplace,
  );
}

/** One half of the input times the sigmoid of the other half. */
export function glu(input: Tensor, dim: number | { dim?: number } = -1): Tensor {
  const d = typeof dim === 'number' ? dim : (dim.dim ?? -1);
  const size = input.shape[d < 0 ? d + input.shape.length : d];
  if (size === undefined || size % 2 !== 0) {
    throw new ShardbookError({
      code: 'SB_NN_SHAPE',
      message: `Cannot run glu: dimension ${d} of [${input.shape.join(', ')}] has size ${size ?? 'none'}, wanted an even size`,
    });
  }
  const [a, b] = input.chunk(2, d) as [Tensor, Tensor];
  return a.mul(b.sigmoid());
}

interface SoftmaxOptions {
  dim?: number;
  dtype?: DType;
}

function softmaxDim(op: string, input: Tensor, dim: number | undefined): number {
  if (dim !== undefined) return dim;
  if (input === undefined)
    throw new ShardbookError({
      code: 'SB_NN_ARGUMENT',
      message: `Cannot run ${op}: the input is undefined, wanted a tensor`,
    });
  // What PyTorch guesses when no dimension is given.
  return [0, 1, 3].includes(input.shape.length) ? 0 : 1;
}

/** exp(x) / sum(exp(x)) along `dim`, in `dtype` if given. The shape stays. */
export function softmax(input: Tensor, dim?: number | SoftmaxOptions, options?: SoftmaxOptions): Tensor {
  const o = named<SoftmaxOptions>([dim, options], ['dim']);
  return torch.softmax(
    input,
    softmaxDim('softmax', input, o.dim),
    o.dtype === undefined ? {} : { dtype: o.dtype },
  );
}

/** log(softmax(x)) along `dim`, without overflow; in `dtype` if given. */
export function logSoftmax(input: Tensor, dim?: number | SoftmaxOptions, options?: SoftmaxOptions): Tensor {
  const o = named<SoftmaxOptions>([dim, options], ['dim']);
  return torch.logSoftmax(
    input,
    softmaxDim('logSoftmax', input, o.dim),
    o.dtype === undefined ? {} : { dtype: o.dtype },
  );
}

/** softmax(-x) along `dim`. */
export function softmin(input: Tensor, dim?: number | SoftmaxOptions, options?: SoftmaxOptions): Tensor {
  return softmax(input.neg(), dim, options);
}

interface GumbelOptions {
  tau?: number;
  hard?: boolean;
  dim?: number;
}

/** A differentiable sample of a categorical distribution; with `hard` a one-hot vector with the soft gradient. */
export function gumbelSoftmax(
  logits: Tensor,
  tau?: number | GumbelOptions,
  hard?: boolean | GumbelOptions,
  options?: GumbelOptions,
): Tensor {
  const o = named<GumbelOptions>([tau, hard, options], ['tau', 'hard']);
  const dim = o.dim ?? -1;
  const noise = torch.emptyLike(logits).exponential_().log().neg();
  const soft = torch.softmax(logits.add(noise).div(o.tau ?? 1), dim);
  if (!o.hard) return soft;
  const index = soft.argmax(dim, { keepdim: true });
  const oneHot = torch.zerosLike(logits).scatter_(dim, index, 1);
  return oneHot.sub(soft.detach()).add(soft);
}
