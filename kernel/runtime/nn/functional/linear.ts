import { ShardbookError } from '../../base/index.js';
import { noGrad, type Tensor, torch } from '../../tensor/index.js';
import { named } from '../options.js';
import { cannot } from './reduction.js';

/** `input W^T + bias`. */
export function linear(
  input: Tensor,
  weight: Tensor,
  bias?: Tensor | null | { bias?: Tensor | null },
): Tensor {
  const b = named<{ bias?: Tensor | null }>([bias], ['bias']).bias ?? null;
  return torch.linear(input, weight, b);
}

/** `x1^T A x2 + bias` for every output feature. */
export function bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor {
  const [out, n1, n2] = weight.shape as [number, number, number];
  if (input1.shape.at(-1) !== n1 || input2.shape.at(-1) !== n2) {
    throw cannot('bilinear', [input1, input2], `wanted ${n1} and ${n2} features`);
  }
  const batch = input1.shape.slice(0, -1);
  const left = input1
    .reshape([-1, n1])
    .matmul(weight.permute([1, 0, 2]).reshape([n1, out * n2]))
    .reshape([-1, out, n2]);
  const result = left
    .mul(input2.reshape([-1, 1, n2]))
    .sum(-1)
    .reshape([...batch, out]);
  return bias === null ? result : result.add(bias);
}

export interface EmbeddingFunctionOptions {
  paddingIdx?: number | null;
  maxNorm?: number | null;
  normType?: number;
  scaleGradByFreq?: boolean;
  sparse?: boolean;
}

/** A padding index counted from the start; null is none. */
export function normalizePaddingIdx(paddingIdx: number | null | undefined, rows: number): number | null {
  if (paddingIdx === null || paddingIdx === undefined) return null;
  if (paddingIdx < -rows || paddingIdx >= rows) {
    throw new ShardbookError({
      code: 'SB_NN_ARGUMENT',
      message: `Cannot use padding index ${paddingIdx}: the embedding has ${rows} rows`,
    });
  }
  return paddingIdx < 0 ? paddingIdx + rows : paddingIdx;
}

/** Rows of `weight` by integer. */
export function embedding(
  input: Tensor,
  weight: Tensor,
  paddingIdx?: number | null | EmbeddingFunctionOptions,
  options?: EmbeddingFunctionOptions,
): Tensor {
  const o = named<EmbeddingFunctionOptions>([paddingIdx, options], ['paddingIdx']);
  const padding = normalizePaddingIdx(o.paddingIdx, weight.shape[0] ?? 0);
  if (o.maxNorm !== undefined && o.maxNorm !== null) renormRows(weight, input, o.maxNorm, o.normType ?? 2);
  return torch.embedding(weight, input, {
    paddingIdx: padding ?? -1,
    scaleGradByFreq: o.scaleGradByFreq ?? false,
  });
}

/** Scales the rows that are about to be looked up down to a norm, in place. */
function renormRows(weight: Tensor, index: Tensor, maxNorm: number, normType: number): void {
  noGrad(() => {
    const rows = new Set((index.reshape([-1]).tolist() as (number | bigint)[]).map(Number));
    for (const row of rows) {
      const vector = weight.select(0, row);
      const norm = Number(vector.norm(normType).item());
      if (norm > maxNorm) vector.mul_(maxNorm / (norm + 1e-7));
    }
  });
}

/** Integers as rows with a single 1. */
export function oneHot(input: Tensor, numClasses: number | { numClasses?: number } = -1): Tensor {
  return torch.oneHot(input, typeof numClasses === 'number' ? numClasses : (numClasses.numClasses ?? -1));
}

interface PadOptions {
  mode?: 'constant' | 'reflect' | 'replicate' | 'circular';
  value?: number | null;
}

/** Pads the last dimensions: `[left, right]` of the last one first. Negative sizes cut. */
export function pad(
  input: Tensor,
  sizes: readonly number[],
  mode?: PadOptions['mode'] | PadOptions,
  value?: number | null | PadOptions,
): Tensor {
  const o = named<PadOptions>([mode, value], ['mode', 'value']);
  if (sizes.length % 2 !== 0 || sizes.length > 2 * input.shape.length) {
    throw cannot(
      'pad',
      [input],
      `${sizes.length} sizes given, wanted an even number up to ${2 * input.shape.length}`,
    );
  }
  if ((o.mode ?? 'constant') === 'constant') return torch.pad(input, sizes, o.value ?? 0);
  let result = input;
  for (let i = 0; i < sizes.length / 2; i++)
    result = padByIndex(result, input.shape.length - 1 - i, sizes[2 * i]!, sizes[2 * i + 1]!, o.mode!);
  return result;
}

/** Each padded element is one of the input's, so padding is an index along the dimension. */
function padByIndex(input: Tensor, dim: number, before: number, after: number, mode: string): Tensor {
  const size = input.shape[dim]!;
  if (mode === 'reflect' && (before >= size || after >= size)) {
    throw cannot(
      'pad',
      [input],
      `reflection by ${Math.max(before, after)} needs more than ${size} elements in dimension ${dim}`,
    );
  }
  const source = Array.from({ length: size + before + after }, (_, k) => {
    const i = k - before;
    if (mode === 'replicate') return Math.min(Math.max(i, 0), size - 1);
    if (mode === 'circular') return ((i % size) + size) % size;
    if (mode !== 'reflect') {
      throw new ShardbookError({
        code: 'SB_NN_ARGUMENT',
        message: `Cannot run pad: mode "${mode}", wanted "constant", "reflect", "replicate" or "circular"`,
      });
    }
    return i < 0 ? -i : i >= size ? 2 * (size - 1) - i : i;
  });
  return input.indexSelect(dim, torch.tensor(source, { dtype: torch.int64, device: input.device }));
}

interface NormalizeOptions {
  p?: number;
  dim?: number;
  eps?: number;
}

/** Divides vectors along a dimension by their p-norm. */
export function normalize(
  input: Tensor,
  p?: number | NormalizeOptions,
  dim?: number | NormalizeOptions,
  eps?: number | NormalizeOptions,
): Tensor {
  const o = named<NormalizeOptions>([p, dim, eps], ['p', 'dim', 'eps']);
  const norm = input.norm(o.p ?? 2, o.dim ?? 1, { keepdim: true });
  return input.div(norm.clamp({ min: o.eps ?? 1e-12 }).expand(input.shape));
}

interface SimilarityOptions {
  dim?: number;
  eps?: number;
}

/** Cosine of the angle between `x1` and `x2` along `dim` (default 1); norms are `eps` at least. */
export function cosineSimilarity(
  x1: Tensor,
  x2: Tensor,
  dim?: number | SimilarityOptions,
  eps?: number | SimilarityOptions,
): Tensor {
  const o = named<SimilarityOptions>([dim, eps], ['dim', 'eps']);
  const d = o.dim ?? 1;
  const [a, b] = torch.broadcastTensors(x1, x2) as [Tensor, Tensor];
  // The floor under the norms is applied outside the graph: the gradient is that of the plain norm.
  const floored = (x: Tensor): Tensor => {
    const norm = x.norm(2, d, { keepdim: true }).clone();
    noGrad(() => norm.clamp_({ min: o.eps ?? 1e-8 }));
    return norm;
  };
  return a
    .div(floored(a))
    .mul(b.div(floored(b)))
    .sum(d);
}

interface DistanceOptions {
  p?: number;
  eps?: number;
  keepdim?: boolean;
}

/** The `p`-norm of x1 - x2 + eps along the last dimension: [N, D] to [N]. */
export function pairwiseDistance(
  x1: Tensor,
  x2: Tensor,
  p?: number | DistanceOptions,
  eps?: number | DistanceOptions,
  keepdim?: boolean | DistanceOptions,
): Tensor {
  const o = named<DistanceOptions>([p, eps, keepdim], ['p', 'eps', 'keepdim']);
  return x1
    .sub(x2)
    .add(o.eps ?? 1e-6)
    .norm(o.p ?? 2, -1, { keepdim: o.keepdim ?? false });
}
