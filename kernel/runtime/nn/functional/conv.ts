import { ShardbookError } from '../../base/index.js';
import { type Tensor, torch } from '../../tensor/index.js';
import { named } from '../options.js';
import { pad } from './linear.js';
import { cannot } from './reduction.js';

type PerDim = number | readonly number[];

export interface ConvFunctionOptions {
  bias?: Tensor | null;
  stride?: PerDim;
  padding?: PerDim | 'same' | 'valid';
  dilation?: PerDim;
  groups?: number;
}

/** Convolution of [batch, channels, length]. */
export function conv1d(
  input: Tensor,
  weight: Tensor,
  bias?: Tensor | null | ConvFunctionOptions,
  options?: ConvFunctionOptions,
): Tensor {
  return conv('conv1d', 1, input, weight, named<ConvFunctionOptions>([bias, options], ['bias']));
}

/** Convolution of [batch, channels, height, width]. */
export function conv2d(
  input: Tensor,
  weight: Tensor,
  bias?: Tensor | null | ConvFunctionOptions,
  options?: ConvFunctionOptions,
): Tensor {
  return conv('conv2d', 2, input, weight, named<ConvFunctionOptions>([bias, options], ['bias']));
}

function spread(value: PerDim | undefined, n: number, otherwise: number): number[] {
  if (value === undefined) return Array.from({ length: n }, () => otherwise);
  return typeof value === 'number' ? Array.from({ length: n }, () => value) : [...value];
}

/** One matrix product over all places of the kernel, whose shifted inputs are strided views. */
function conv(op: string, n: number, input: Tensor, weight: Tensor, o: ConvFunctionOptions): Tensor {
  if (input.shape.length === n + 1) return conv(op, n, input.unsqueeze(0), weight, o).squeeze(0);
  if (input.shape.length !== n + 2 || weight.shape.length !== n + 2)
    throw cannot(op, [input, weight], `wanted ${n + 2} dimensions`);
  const groups = o.groups ?? 1;
  const [outChannels, inPerGroup, ...kernel] = weight.shape as [number, number, ...number[]];
  if (input.shape[1] !== inPerGroup * groups || outChannels % groups !== 0) {
    throw cannot(
      op,
      [input, weight],
      `${input.shape[1]} input channels, the kernel wants ${inPerGroup * groups}`,
    );
  }
  const stride = spread(o.stride, n, 1);
  const dilation = spread(o.dilation, n, 1);
  const padded = padInput(input, n, kernel, dilation, stride, o.padding ?? 0);
  const sizes = kernel.map(
    (k, d) => Math.floor((padded.shape[d + 2]! - dilation[d]! * (k - 1) - 1) / stride[d]!) + 1,
  );
  if (sizes.some((s) => s <= 0))
    throw cannot(op, [input, weight], 'the kernel is larger than the padded input');
  const places = kernel.reduce((a, b) => a * b, 1);
  const columns: Tensor[] = [];
  for (let place = 0; place < places; place++) {
    let rest = place;
    let window = padded;
    for (let d = n - 1; d >= 0; d--) {
      const offset = (rest % kernel[d]!) * dilation[d]!;
      rest = Math.floor(rest / kernel[d]!);
      window = window.get(
        '...',
        torch.slice(offset, offset + (sizes[d]! - 1) * stride[d]! + 1, stride[d]!),
        ...Array.from({ length: n - 1 - d }, () => torch.slice()),
      );
    }
    columns.push(window);
  }
  const batch = input.shape[0]!;
  const area = sizes.reduce((a, b) => a * b, 1);
  // [batch, groups, channels of the group * places, area]
  const unfolded = torch.stack(columns, 2).reshape([batch, groups, inPerGroup * places, area]);
  const filters = weight.reshape([groups, outChannels / groups, inPerGroup * places]);
  const result = filters.matmul(unfolded).reshape([batch, outChannels, ...sizes]);
  return o.bias ? result.add(o.bias.reshape([1, outChannels, ...sizes.map(() => 1)])) : result;
}

function padInput(
  input: Tensor,
  n: number,
  kernel: readonly number[],
  dilation: readonly number[],
  stride: readonly number[],
  padding: PerDim | 'same' | 'valid',
): Tensor {
  if (padding === 'valid') return input;
  const sizes: number[] = [];
  for (let d = n - 1; d >= 0; d--) {
    if (padding === 'same') {
      if (stride[d] !== 1)
        throw new ShardbookError({
          code: 'SB_NN_ARGUMENT',
          message: `Cannot run a convolution with padding "same": its stride is [${stride.join(', ')}], wanted 1`,
          help: 'give the padding as numbers',
        });
      const total = dilation[d]! * (kernel[d]! - 1);
      sizes.push(Math.floor(total / 2), total - Math.floor(total / 2));
    } else {
      const p = spread(padding, n, 0)[d]!;
      sizes.push(p, p);
    }
  }
  return sizes.every((s) => s === 0) ? input : pad(input, sizes);
}
