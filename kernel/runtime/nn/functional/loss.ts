import { ShardbookError } from '../../base/index.js';
import { lossOps, type Tensor, torch } from '../../tensor/index.js';
import { named } from '../options.js';
import { logSoftmax } from './activation.js';
import { cosineSimilarity, pairwiseDistance } from './linear.js';
import {
  cannot,
  checkReduction,
  type Reduction,
  type ReductionOptions,
  reduce,
  sameShape,
} from './reduction.js';

// ---------------------------------------------------------------- classification

export interface NllOptions extends ReductionOptions {
  /** One weight for each class. */
  weight?: Tensor | null;
  /** Targets of this value do not count. */
  ignoreIndex?: number;
}

export interface CrossEntropyOptions extends NllOptions {
  /** How much of the target is spread evenly over all classes. */
  labelSmoothing?: number;
}

/** Negative log likelihood of log-probabilities [C], [N, C] or [N, C, d1, ...] for class indices. */
export function nllLoss(
  input: Tensor,
  target: Tensor,
  weight?: Tensor | null | NllOptions,
  options?: NllOptions,
): Tensor {
  const {
    weight: w = null,
    ignoreIndex = -100,
    reduction = 'mean',
  } = named<NllOptions>([weight, options], ['weight']);
  checkReduction('nllLoss', reduction);
  checkIndexTarget('nllLoss', input, target, w);
  return torch.nllLoss(input, target, { weight: w, reduction, ignoreIndex });
}

function checkIndexTarget(op: string, input: Tensor, target: Tensor, weight: Tensor | null): void {
  const dims = input.shape.length;
  if (dims === 0) throw cannot(op, [input, target], 'the scores have no class dimension');
  const wanted = dims === 1 ? [] : [input.shape[0]!, ...input.shape.slice(2)];
  if (target.shape.length !== wanted.length || target.shape.some((n, i) => n !== wanted[i])) {
    throw cannot(op, [input, target], `class indices for these scores have the shape [${wanted.join(', ')}]`);
  }
  if (target.dtype !== torch.int64 && target.dtype !== torch.uint8) {
    throw cannot(
      op,
      [input, target],
      `class indices are ${target.dtype.name}, wanted int64`,
      'convert the target with .to(torch.int64)',
    );
  }
  const classes = input.shape[dims === 1 ? 0 : 1]!;
  if (weight !== null && (weight.shape.length !== 1 || weight.shape[0] !== classes)) {
    throw cannot(op, [input, weight], `wanted a weight for each of ${classes} classes`);
  }
}

/**
 * Cross entropy of unnormalised scores [C], [N, C] or [N, C, d1, ...]. The target is either class indices or, in the
 * shape of the scores, probabilities.
 */
export function crossEntropy(
  input: Tensor,
  target: Tensor,
  weight?: Tensor | null | CrossEntropyOptions,
  options?: CrossEntropyOptions,
): Tensor {
  const o = named<CrossEntropyOptions>([weight, options], ['weight']);
  const { weight: w = null, ignoreIndex = -100, reduction = 'mean', labelSmoothing = 0 } = o;
  checkReduction('crossEntropy', reduction);
  if (!(labelSmoothing >= 0 && labelSmoothing <= 1)) {
    throw new ShardbookError({
      code: 'SB_NN_ARGUMENT',
      message: `Cannot run crossEntropy: labelSmoothing is ${labelSmoothing}, wanted 0 to 1`,
    });
  }
  const classDim = input.shape.length === 1 ? 0 : 1;
  if (sameShape(input, target))
    return denseCrossEntropy(input, target, w, ignoreIndex, reduction, labelSmoothing, classDim);
  checkIndexTarget('crossEntropy', input, target, w);
  const logp = logSoftmax(input, classDim);
  const hard = torch.nllLoss(logp, target, { weight: w, reduction, ignoreIndex });
  if (labelSmoothing === 0) return hard;
  const classes = input.shape[classDim]!;
  const smooth = smoothLoss(logp, target, w, ignoreIndex, reduction, classDim);
  return hard.mul(1 - labelSmoothing).add(smooth.mul(labelSmoothing / classes));
}

/** The part of label smoothing: every class counts as the target. */
function smoothLoss(
  logp: Tensor,
  target: Tensor,
  weight: Tensor | null,
  ignoreIndex: number,
  reduction: Reduction,
  classDim: number,
): Tensor {
  const weighted = weight === null ? logp : logp.mul(alongClasses(weight, logp.shape.length));
  const ignored = target.eq(ignoreIndex);
  // In place: of a distributed tensor the mask goes where the sums are.
  const each = weighted.sum(classDim).neg().maskedFill_(ignored, 0);
  if (reduction === 'none') return each;
  if (reduction === 'sum') return each.sum();
  const kept = ignored.logicalNot();
  if (weight === null) return each.sum().div(kept.sum());
  // Ignored targets may be outside the classes; any class does for them since their weight is dropped.
  const classOf = target.maskedFill(ignored, 0).reshape([-1]).to({ dtype: torch.int64 });
  return each.sum().div(
    weight
      .gather(0, classOf)
      .maskedFill(ignored.reshape([-1]), 0)
      .sum(),
  );
}

function denseCrossEntropy(
  input: Tensor,
  target: Tensor,
  weight: Tensor | null,
  ignoreIndex: number,
  reduction: Reduction,
  labelSmoothing: number,
  classDim: number,
): Tensor {
  if (!target.dtype.isFloatingPoint) {
    throw cannot(
      'crossEntropy',
      [input, target],
      'a target in the shape of the scores holds probabilities, wanted a floating-point dtype',
    );
  }
  if (ignoreIndex >= 0)
    throw cannot('crossEntropy', [input, target], 'ignoreIndex has no meaning for a target of probabilities');
  const classes = input.shape[classDim]!;
  if (weight !== null && (weight.shape.length !== 1 || weight.shape[0] !== classes)) {
    throw cannot('crossEntropy', [input, weight], `wanted a weight for each of ${classes} classes`);
  }
  const wanted = labelSmoothing > 0 ? target.mul(1 - labelSmoothing).add(labelSmoothing / classes) : target;
  let terms = logSoftmax(input, classDim).mul(wanted);
  if (weight !== null) terms = terms.mul(alongClasses(weight, input.shape.length));
  if (reduction === 'none') return terms.sum(classDim).neg();
  const total = terms.sum().neg();
  return reduction === 'sum' ? total : total.div(input.numel() / classes);
}

function alongClasses(weight: Tensor, dims: number): Tensor {
  return dims === 1 ? weight : weight.reshape([1, -1, ...Array.from({ length: dims - 2 }, () => 1)]);
}

// ---------------------------------------------------------------- regression

function pair(op: string, input: Tensor, target: Tensor): [Tensor, Tensor] {
  try {
    return torch.broadcastTensors(input, target) as [Tensor, Tensor];
  } catch (cause) {
    if (!(cause instanceof ShardbookError)) throw cause;
    throw cannot(op, [input, target], 'the shapes can not be broadcast');
  }
}

export interface WeightedOptions extends ReductionOptions {
  weight?: Tensor | null;
}

/** (input - target)^2, by default its mean. */
export function mseLoss(input: Tensor, target: Tensor, options: WeightedOptions = {}): Tensor {
  const [a, b] = pair('mseLoss', input, target);
  const { reduction = 'mean', weight } = options;
  checkReduction('mseLoss', reduction);
  if (!weight) return lossOps.mseLoss(a, b, reduction);
  return weightedMean('mseLoss', input, a.sub(b).pow(2), weight, reduction);
}

/** Of weighted losses: a mean divides by what the weights add up to. */
function weightedMean(op: string, input: Tensor, loss: Tensor, weight: Tensor, reduction: Reduction): Tensor {
  if (!sameShape(weight, input)) throw cannot(op, [input, weight], 'the weight has another shape');
  const weighted = loss.mul(weight);
  if (reduction === 'none') return weighted;
  return reduction === 'sum' ? weighted.sum() : weighted.sum().div(weight.sum());
}

/** |input - target|, by default its mean. */
export function l1Loss(input: Tensor, target: Tensor, options: WeightedOptions = {}): Tensor {
  const [a, b] = pair('l1Loss', input, target);
  const { reduction = 'mean', weight } = options;
  checkReduction('l1Loss', reduction);
  const loss = a.sub(b).abs();
  return weight ? weightedMean('l1Loss', input, loss, weight, reduction) : reduce('l1Loss', loss, reduction);
}

/** 0.5 * d^2 / beta where |d| < beta, else |d| - beta / 2, with d = input - target; `beta` defaults to 1. */
export function smoothL1Loss(
  input: Tensor,
  target: Tensor,
  options: ReductionOptions & { beta?: number } = {},
): Tensor {
  const { beta = 1, reduction = 'mean' } = options;
  if (beta < 0)
    throw new ShardbookError({
      code: 'SB_NN_ARGUMENT',
      message: `Cannot run smoothL1Loss: beta is ${beta}, wanted 0 or more`,
    });
  if (beta === 0) return l1Loss(input, target, options);
  const [a, b] = pair('smoothL1Loss', input, target);
  checkReduction('smoothL1Loss', reduction);
  return lossOps.smoothL1Loss(a, b, reduction, beta);
}

/** 0.5 * d^2 where |d| <= delta, else delta * (|d| - delta / 2), with d = input - target; `delta` defaults to 1. */
export function huberLoss(
  input: Tensor,
  target: Tensor,
  options: WeightedOptions & { delta?: number } = {},
): Tensor {
  const { delta = 1, reduction = 'mean', weight } = options;
  if (!(delta > 0))
    throw new ShardbookError({
      code: 'SB_NN_ARGUMENT',
      message: `Cannot run huberLoss: delta is ${delta}, wanted more than 0`,
    });
  const [a, b] = pair('huberLoss', input, target);
  checkReduction('huberLoss', reduction);
  if (!weight) return lossOps.huberLoss(a, b, reduction, delta);
  if (!sameShape(weight, input)) throw cannot('huberLoss', [input, weight], 'the shapes differ');
  return reduce('huberLoss', lossOps.huberLoss(a, b, 'none', delta).mul(weight), reduction);
}

/** Negative log likelihood of `target` under normal distributions of mean `input` and variance `variance`. */
export function gaussianNllLoss(
  input: Tensor,
  target: Tensor,
  variance: Tensor | number,
  options: ReductionOptions & { full?: boolean; eps?: number } = {},
): Tensor {
  const { full = false, eps = 1e-6, reduction = 'mean' } = options;
  checkReduction('gaussianNllLoss', reduction);
  let given = typeof variance === 'number' ? torch.fullLike(input, variance) : variance;
  // One variance for all values of a row may stand without the last dimension.
  if (given.shape.length === input.shape.length - 1) {
    if (given.shape.some((n, d) => n !== input.shape[d]))
      throw cannot('gaussianNllLoss', [input, given], 'the variance has other sizes');
    given = given.unsqueeze(-1);
  }
  if (given.lt(0).any().item()) throw cannot('gaussianNllLoss', [given], 'a variance is negative');
  // The floor is applied outside the graph: the gradient is that of the variance itself.
  const floored = given.clone();
  torch.noGrad(() => floored.clamp_({ min: eps }));
  let loss = floored.log().add(input.sub(target).square().div(floored)).mul(0.5);
  if (full) loss = loss.add(0.5 * Math.log(2 * Math.PI));
  return reduce('gaussianNllLoss', loss, reduction);
}

/** Negative log likelihood of `target` under Poisson distributions of rate `input`, its logarithm unless `logInput` is false. */
export function poissonNllLoss(
  input: Tensor,
  target: Tensor,
  options: ReductionOptions & { logInput?: boolean; full?: boolean; eps?: number } = {},
): Tensor {
  const { logInput = true, full = false, eps = 1e-8, reduction = 'mean' } = options;
  let loss = logInput ? input.exp().sub(target.mul(input)) : input.sub(target.mul(input.add(eps).log()));
  if (full) {
    const stirling = target
      .mul(target.log())
      .sub(target)
      .add(
        target
          .mul(2 * Math.PI)
          .log()
          .mul(0.5),
      );
    loss = loss.add(torch.where(target.le(1), 0, stirling));
  }
  return reduce('poissonNllLoss', loss, reduction);
}

// ---------------------------------------------------------------- probabilities

/** Cross entropy of probabilities in [0, 1] and targets in [0, 1]; logarithms are -100 at least. */
export function binaryCrossEntropy(
  input: Tensor,
  target: Tensor,
  weight?: Tensor | null | WeightedOptions,
  options?: WeightedOptions,
): Tensor {
  const { weight: w = null, reduction = 'mean' } = named<WeightedOptions>([weight, options], ['weight']);
  checkReduction('binaryCrossEntropy', reduction);
  if (!sameShape(input, target)) throw cannot('binaryCrossEntropy', [input, target], 'the shapes differ');
  return lossOps.binaryCrossEntropy(input, target, w, reduction);
}

export interface BceWithLogitsOptions extends WeightedOptions {
  /** Weight of the positive items, by class. */
  posWeight?: Tensor | null;
}

/** The sigmoid and the binary cross entropy in one, without overflow; targets in [0, 1]. */
export function binaryCrossEntropyWithLogits(
  input: Tensor,
  target: Tensor,
  weight?: Tensor | null | BceWithLogitsOptions,
  options?: BceWithLogitsOptions,
): Tensor {
  const {
    weight: w = null,
    posWeight = null,
    reduction = 'mean',
  } = named<BceWithLogitsOptions>([weight, options], ['weight']);
  checkReduction('binaryCrossEntropyWithLogits', reduction);
  if (!sameShape(input, target))
    throw cannot('binaryCrossEntropyWithLogits', [input, target], 'the shapes differ');
  return lossOps.binaryCrossEntropyWithLogits(input, target, w, posWeight, reduction);
}

export interface KlDivOptions {
  reduction?: Reduction | 'batchmean';
  /** Whether the target holds logarithms. */
  logTarget?: boolean;
}

/** Kullback-Leibler divergence of log-probabilities from the target. */
export function klDiv(input: Tensor, target: Tensor, options: KlDivOptions = {}): Tensor {
  const { reduction = 'mean', logTarget = false } = options;
  checkReduction('klDiv', reduction, ['batchmean']);
  const loss = logTarget
    ? target.exp().mul(target.sub(input))
    : torch.xlogy(target, target).sub(target.mul(input));
  if (reduction !== 'batchmean') return reduce('klDiv', loss, reduction);
  const total = loss.sum();
  return input.shape.length === 0 ? total : total.div(input.shape[0]!);
}

// ---------------------------------------------------------------- ranking and margins

export interface MarginOptions extends ReductionOptions {
  margin?: number;
}

/** max(0, -target * (x1 - x2) + margin), with `target` 1 or -1. */
export function marginRankingLoss(
  input1: Tensor,
  input2: Tensor,
  target: Tensor,
  options: MarginOptions = {},
): Tensor {
  const { margin = 0, reduction } = options;
  if (input1.shape.length !== input2.shape.length || input1.shape.length !== target.shape.length) {
    throw cannot('marginRankingLoss', [input1, input2, target], 'the numbers of dimensions differ');
  }
  return reduce(
    'marginRankingLoss',
    target.neg().mul(input1.sub(input2)).add(margin).clamp({ min: 0 }),
    reduction,
  );
}

/** x where `target` is 1, max(0, margin - x) where it is -1. */
export function hingeEmbeddingLoss(input: Tensor, target: Tensor, options: MarginOptions = {}): Tensor {
  const { margin = 1, reduction } = options;
  const hinge = input.neg().add(margin).clamp({ min: 0 });
  const loss = torch.where(target.ne(1), hinge, 0).add(torch.where(target.ne(-1), input, 0));
  return reduce('hingeEmbeddingLoss', loss, reduction);
}

/** log(1 + exp(-target * x)), with `target` 1 or -1. */
export function softMarginLoss(input: Tensor, target: Tensor, options: ReductionOptions = {}): Tensor {
  return reduce('softMarginLoss', target.neg().mul(input).exp().log1p(), options.reduction);
}

/** 1 - cos(x1, x2) where `target` is 1, max(0, cos(x1, x2) - margin) where it is -1: [N, D] and [N]. */
export function cosineEmbeddingLoss(
  input1: Tensor,
  input2: Tensor,
  target: Tensor,
  options: MarginOptions = {},
): Tensor {
  const { margin = 0, reduction } = options;
  const similarity = cosineSimilarity(input1, input2, input1.shape.length - 1, 0);
  const positive = torch.where(target.eq(1), similarity.neg().add(1), 0);
  const negative = torch.where(target.eq(-1), similarity.sub(margin).clamp({ min: 0 }), 0);
  return reduce('cosineEmbeddingLoss', positive.add(negative), reduction);
}

/** max(0, d(anchor, positive) - d(anchor, negative) + margin), with the `p`-norm as distance. */
export function tripletMarginLoss(
  anchor: Tensor,
  positive: Tensor,
  negative: Tensor,
  options: MarginOptions & { p?: number; eps?: number; swap?: boolean } = {},
): Tensor {
  const { margin = 1, p = 2, eps = 1e-6, swap = false, reduction } = options;
  const near = pairwiseDistance(anchor, positive, p, eps);
  let far = pairwiseDistance(anchor, negative, p, eps);
  if (swap) far = torch.minimum(far, pairwiseDistance(positive, negative, p, eps));
  return reduce('tripletMarginLoss', near.sub(far).add(margin).clamp({ min: 0 }), reduction);
}
