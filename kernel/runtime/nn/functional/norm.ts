import { noGrad, type Tensor, torch } from '../../tensor/index.js';
import { named } from '../options.js';
import { cannot } from './reduction.js';

interface LayerNormArgs {
  weight?: Tensor | null;
  bias?: Tensor | null;
  eps?: number;
}

function checkNormalized(
  op: string,
  input: Tensor,
  shape: readonly number[],
  weights: readonly (Tensor | null)[],
): void {
  const tail = input.shape.slice(input.shape.length - shape.length);
  if (shape.length === 0 || tail.length !== shape.length || tail.some((n, i) => n !== shape[i])) {
    throw cannot(op, [input], `the last dimensions are not the normalized shape [${shape.join(', ')}]`);
  }
  for (const w of weights) {
    if (w !== null && (w.shape.length !== shape.length || w.shape.some((n, i) => n !== shape[i]))) {
      throw cannot(op, [input, w], `weight and bias must have the normalized shape [${shape.join(', ')}]`);
    }
  }
}

/** (x - mean) / sqrt(variance + eps) over the last dimensions `normalizedShape`, times weight, plus bias. */
export function layerNorm(
  input: Tensor,
  normalizedShape: readonly number[],
  weight?: Tensor | null | LayerNormArgs,
  bias?: Tensor | null | LayerNormArgs,
  eps?: number | LayerNormArgs,
): Tensor {
  const o = named<LayerNormArgs>([weight, bias, eps], ['weight', 'bias', 'eps']);
  checkNormalized('layerNorm', input, normalizedShape, [o.weight ?? null, o.bias ?? null]);
  return torch.layerNorm(input, normalizedShape, o.weight ?? null, o.bias ?? null, o.eps ?? 1e-5);
}

interface RmsNormArgs {
  weight?: Tensor | null;
  eps?: number | null;
}

/** x / sqrt(mean(x^2) + eps) over the last dimensions `normalizedShape`, times weight (Zhang and Sennrich, 2019). */
export function rmsNorm(
  input: Tensor,
  normalizedShape: readonly number[],
  weight?: Tensor | null | RmsNormArgs,
  eps?: number | null | RmsNormArgs,
): Tensor {
  const o = named<RmsNormArgs>([weight, eps], ['weight', 'eps']);
  checkNormalized('rmsNorm', input, normalizedShape, [o.weight ?? null]);
  return torch.rmsNorm(input, normalizedShape, o.weight ?? null, o.eps ?? null);
}

/** Normalises each of `numGroups` groups of channels of an input [N, C, ...], then scales and shifts each channel. */
export function groupNorm(
  input: Tensor,
  numGroups: number,
  weight?: Tensor | null | LayerNormArgs,
  bias?: Tensor | null | LayerNormArgs,
  eps?: number | LayerNormArgs,
): Tensor {
  const o = named<LayerNormArgs>([weight, bias, eps], ['weight', 'bias', 'eps']);
  const [batch, channels, ...field] = input.shape;
  if (batch === undefined || channels === undefined)
    throw cannot('groupNorm', [input], 'wanted at least 2 dimensions');
  if (channels % numGroups !== 0)
    throw cannot('groupNorm', [input], `${channels} channels are not divisible by ${numGroups} groups`);
  for (const w of [o.weight, o.bias]) {
    if (w && w.numel() !== channels)
      throw cannot('groupNorm', [input, w], `wanted one weight and bias for each of ${channels} channels`);
  }
  const size = (channels / numGroups) * field.reduce((a, b) => a * b, 1);
  const grouped = input.reshape([batch, numGroups, size]);
  const result = torch.layerNorm(grouped, [size], null, null, o.eps ?? 1e-5).reshape(input.shape);
  return affine(result, o.weight ?? null, o.bias ?? null);
}

/** Scales and shifts channels (dimension 1). */
function affine(x: Tensor, weight: Tensor | null, bias: Tensor | null): Tensor {
  const perChannel = [1, x.shape[1]!, ...x.shape.slice(2).map(() => 1)];
  let result = x;
  if (weight !== null) result = result.mul(weight.reshape(perChannel));
  if (bias !== null) result = result.add(bias.reshape(perChannel));
  return result;
}

export interface BatchNormArgs {
  weight?: Tensor | null;
  bias?: Tensor | null;
  training?: boolean;
  momentum?: number;
  eps?: number;
}

/** Normalises channels over the batch (training, which also updates the running statistics) or by the running statistics. */
export function batchNorm(
  input: Tensor,
  runningMean: Tensor | null,
  runningVar: Tensor | null,
  weight?: Tensor | null | BatchNormArgs,
  bias?: Tensor | null | BatchNormArgs,
  training?: boolean | BatchNormArgs,
  momentum?: number | BatchNormArgs,
  eps?: number | BatchNormArgs,
): Tensor {
  const o = named<BatchNormArgs>(
    [weight, bias, training, momentum, eps],
    ['weight', 'bias', 'training', 'momentum', 'eps'],
  );
  const { eps: epsilon = 1e-5, momentum: m = 0.1 } = o;
  const channels = input.shape[1];
  if (channels === undefined) throw cannot('batchNorm', [input], 'wanted at least 2 dimensions');
  for (const t of [runningMean, runningVar, o.weight, o.bias]) {
    if (t && t.numel() !== channels)
      throw cannot('batchNorm', [input, t], `wanted ${channels} values, one a channel`);
  }
  const perChannel = [1, channels, ...input.shape.slice(2).map(() => 1)];
  if (!o.training) {
    if (runningMean === null || runningVar === null)
      throw cannot('batchNorm', [input], 'no running statistics in evaluation');
    const scale = runningVar.add(epsilon).rsqrt().reshape(perChannel);
    return affine(input.sub(runningMean.reshape(perChannel)).mul(scale), o.weight ?? null, o.bias ?? null);
  }
  const count = input.numel() / channels;
  if (count === 1) throw cannot('batchNorm', [input], 'training needs more than one value in each channel');
  const dims = input.shape.map((_, i) => i).filter((i) => i !== 1);
  const mean = input.mean(dims, { keepdim: true });
  const centred = input.sub(mean);
  const variance = centred.square().mean(dims, { keepdim: true });
  if (runningMean !== null && runningVar !== null && count > 0) {
    noGrad(() => {
      runningMean.mul_(1 - m).add_(mean.detach().reshape([channels]), { alpha: m });
      runningVar.mul_(1 - m).add_(
        variance
          .detach()
          .reshape([channels])
          .mul(count / (count - 1)),
        { alpha: m },
      );
    });
  }
  return affine(centred.mul(variance.add(epsilon).rsqrt()), o.weight ?? null, o.bias ?? null);
}
