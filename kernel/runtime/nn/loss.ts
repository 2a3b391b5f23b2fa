import type { Tensor } from '../tensor/index.js';
import * as F from './functional/index.js';
import { Module } from './module.js';

/** A loss with settings; its weights are buffers, so that they move with the module. */
abstract class Loss<O extends object> extends Module {
  constructor(readonly options: O = {} as O) {
    super();
  }
}

abstract class WeightedLoss<O extends { weight?: Tensor | null }> extends Loss<O> {
  declare weight: Tensor | null;

  constructor(options: O = {} as O) {
    super(options);
    this.registerBuffer('weight', options.weight ?? null);
  }

  protected settings(): O {
    return { ...this.options, weight: this.weight };
  }
}

/** `F.crossEntropy` with its options kept. */
export class CrossEntropyLoss extends WeightedLoss<F.CrossEntropyOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.crossEntropy(input, target, this.settings());
  }
}

/** `F.nllLoss` with its options kept. */
export class NLLLoss extends WeightedLoss<F.NllOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.nllLoss(input, target, this.settings());
  }
}

/** `F.binaryCrossEntropy` with its options kept. */
export class BCELoss extends WeightedLoss<F.WeightedOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.binaryCrossEntropy(input, target, this.settings());
  }
}

/** `F.binaryCrossEntropyWithLogits` with its options kept. */
export class BCEWithLogitsLoss extends WeightedLoss<F.BceWithLogitsOptions> {
  declare pos_weight: Tensor | null;

  constructor(options: F.BceWithLogitsOptions = {}) {
    super(options);
    this.registerBuffer('pos_weight', options.posWeight ?? null);
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return F.binaryCrossEntropyWithLogits(input, target, { ...this.settings(), posWeight: this.pos_weight });
  }
}

/** `F.mseLoss` with its options kept. */
export class MSELoss extends Loss<F.WeightedOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.mseLoss(input, target, this.options);
  }
}

/** `F.l1Loss` with its options kept. */
export class L1Loss extends Loss<F.WeightedOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.l1Loss(input, target, this.options);
  }
}

/** `F.smoothL1Loss` with its options kept. */
export class SmoothL1Loss extends Loss<F.ReductionOptions & { beta?: number }> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.smoothL1Loss(input, target, this.options);
  }
}

/** `F.huberLoss` with its options kept. */
export class HuberLoss extends Loss<F.WeightedOptions & { delta?: number }> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.huberLoss(input, target, this.options);
  }
}

/** `F.klDiv` with its options kept. */
export class KLDivLoss extends Loss<F.KlDivOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.klDiv(input, target, this.options);
  }
}

/** `F.gaussianNllLoss` with its options kept. */
export class GaussianNLLLoss extends Loss<F.ReductionOptions & { full?: boolean; eps?: number }> {
  forward(input: Tensor, target: Tensor, variance: Tensor | number): Tensor {
    return F.gaussianNllLoss(input, target, variance, this.options);
  }
}

/** `F.poissonNllLoss` with its options kept. */
export class PoissonNLLLoss extends Loss<
  F.ReductionOptions & { logInput?: boolean; full?: boolean; eps?: number }
> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.poissonNllLoss(input, target, this.options);
  }
}

/** `F.marginRankingLoss` with its options kept. */
export class MarginRankingLoss extends Loss<F.MarginOptions> {
  forward(input1: Tensor, input2: Tensor, target: Tensor): Tensor {
    return F.marginRankingLoss(input1, input2, target, this.options);
  }
}

/** `F.hingeEmbeddingLoss` with its options kept. */
export class HingeEmbeddingLoss extends Loss<F.MarginOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.hingeEmbeddingLoss(input, target, this.options);
  }
}

/** `F.softMarginLoss` with its options kept. */
export class SoftMarginLoss extends Loss<F.ReductionOptions> {
  forward(input: Tensor, target: Tensor): Tensor {
    return F.softMarginLoss(input, target, this.options);
  }
}

/** `F.cosineEmbeddingLoss` with its options kept. */
export class CosineEmbeddingLoss extends Loss<F.MarginOptions> {
  forward(input1: Tensor, input2: Tensor, target: Tensor): Tensor {
    return F.cosineEmbeddingLoss(input1, input2, target, this.options);
  }
}

/** `F.tripletMarginLoss` with its options kept. */
export class TripletMarginLoss extends Loss<F.MarginOptions & { p?: number; eps?: number; swap?: boolean }> {
  forward(anchor: Tensor, positive: Tensor, negative: Tensor): Tensor {
    return F.tripletMarginLoss(anchor, positive, negative, this.options);
  }
}

/** `F.cosineSimilarity` with its options kept. */
export class CosineSimilarity extends Module {
  constructor(
    readonly dim = 1,
    readonly eps = 1e-8,
  ) {
    super();
  }

  forward(x1: Tensor, x2: Tensor): Tensor {
    return F.cosineSimilarity(x1, x2, this.dim, this.eps);
  }
}

/** `F.pairwiseDistance` with its options kept. */
export class PairwiseDistance extends Module {
  constructor(
    readonly p = 2,
    readonly eps = 1e-6,
    readonly keepdim = false,
  ) {
    super();
  }

  forward(x1: Tensor, x2: Tensor): Tensor {
    return F.pairwiseDistance(x1, x2, this.p, this.eps, this.keepdim);
  }
}
