import { ShardbookError } from '../base/index.js';
import { type Tensor, torch } from '../tensor/index.js';
import * as F from './functional/index.js';
import * as init from './init.js';
import { Module } from './module.js';
import { type FactoryOptions, factory, named } from './options.js';
import { Parameter } from './parameter.js';
import { py } from './repr.js';

export interface LayerNormOptions extends FactoryOptions {
  eps?: number;
  /** Whether to have a learned weight (and bias). */
  elementwiseAffine?: boolean;
  bias?: boolean;
}

/** Normalises the last dimensions to mean 0 and variance 1, then scales and shifts them. */
export class LayerNorm extends Module {
  declare weight: Parameter | null;
  declare bias: Parameter | null;
  readonly normalizedShape: readonly number[];
  readonly eps: number;
  readonly elementwiseAffine: boolean;

  constructor(
    normalizedShape: number | readonly number[],
    eps?: number | LayerNormOptions,
    elementwiseAffine?: boolean | LayerNormOptions,
    bias?: boolean | LayerNormOptions,
    options?: LayerNormOptions,
  ) {
    super();
    const o = named<LayerNormOptions>(
      [eps, elementwiseAffine, bias, options],
      ['eps', 'elementwiseAffine', 'bias'],
    );
    this.normalizedShape = typeof normalizedShape === 'number' ? [normalizedShape] : [...normalizedShape];
    this.eps = o.eps ?? 1e-5;
    this.elementwiseAffine = o.elementwiseAffine ?? true;
    const make = (): Parameter => new Parameter(torch.empty(this.normalizedShape, factory(o)));
    if (this.elementwiseAffine) {
      this.weight = make();
      if (o.bias ?? true) this.bias = make();
      else this.registerParameter('bias', null);
    } else {
      this.registerParameter('weight', null);
      this.registerParameter('bias', null);
    }
    this.resetParameters();
  }

  resetParameters(): void {
    if (this.weight !== null) init.ones_(this.weight);
    if (this.bias !== null) init.zeros_(this.bias);
  }

  forward(input: Tensor): Tensor {
    return F.layerNorm(input, this.normalizedShape, this.weight, this.bias, this.eps);
  }

  override extraRepr(): string {
    return `${py(this.normalizedShape)}, eps=${py(this.eps)}, elementwise_affine=${py(this.elementwiseAffine)}, bias=${py(this.bias !== null)}`;
  }
}

export interface RMSNormOptions extends FactoryOptions {
  /** Added to the mean square; null is the machine epsilon of the input's dtype. */
  eps?: number | null;
  elementwiseAffine?: boolean;
}

/** Divides the last dimensions by their root mean square. */
export class RMSNorm extends Module {
  declare weight: Parameter | null;
  readonly normalizedShape: readonly number[];
  readonly eps: number | null;
  readonly elementwiseAffine: boolean;

  constructor(
    normalizedShape: number | readonly number[],
    eps?: number | null | RMSNormOptions,
    elementwiseAffine?: boolean | RMSNormOptions,
    options?: RMSNormOptions,
  ) {
    super();
    const o = named<RMSNormOptions>([eps, elementwiseAffine, options], ['eps', 'elementwiseAffine']);
    this.normalizedShape = typeof normalizedShape === 'number' ? [normalizedShape] : [...normalizedShape];
    this.eps = o.eps ?? null;
    this.elementwiseAffine = o.elementwiseAffine ?? true;
    if (this.elementwiseAffine) this.weight = new Parameter(torch.empty(this.normalizedShape, factory(o)));
    else this.registerParameter('weight', null);
    this.resetParameters();
  }

  resetParameters(): void {
    if (this.weight !== null) init.ones_(this.weight);
  }

  forward(input: Tensor): Tensor {
    return F.rmsNorm(input, this.normalizedShape, this.weight, this.eps);
  }

  override extraRepr(): string {
    return `${py(this.normalizedShape)}, eps=${py(this.eps)}, elementwise_affine=${py(this.elementwiseAffine)}`;
  }
}

export interface GroupNormOptions extends FactoryOptions {
  eps?: number;
  affine?: boolean;
}

/** Normalises groups of channels (dimension 1). */
export class GroupNorm extends Module {
  declare weight: Parameter | null;
  declare bias: Parameter | null;
  readonly eps: number;
  readonly affine: boolean;

  constructor(
    readonly numGroups: number,
    readonly numChannels: number,
    eps?: number | GroupNormOptions,
    affine?: boolean | GroupNormOptions,
    options?: GroupNormOptions,
  ) {
    super();
    if (numChannels % numGroups !== 0) {
      throw new ShardbookError({
        code: 'SB_NN_ARGUMENT',
        message: `Cannot make a GroupNorm: ${numChannels} channels are not divisible by ${numGroups} groups`,
      });
    }
    const o = named<GroupNormOptions>([eps, affine, options], ['eps', 'affine']);
    this.eps = o.eps ?? 1e-5;
    this.affine = o.affine ?? true;
    if (this.affine) {
      this.weight = new Parameter(torch.empty([numChannels], factory(o)));
      this.bias = new Parameter(torch.empty([numChannels], factory(o)));
    } else {
      this.registerParameter('weight', null);
      this.registerParameter('bias', null);
    }
    this.resetParameters();
  }

  resetParameters(): void {
    if (this.weight !== null) init.ones_(this.weight);
    if (this.bias !== null) init.zeros_(this.bias);
  }

  forward(input: Tensor): Tensor {
    return F.groupNorm(input, this.numGroups, this.weight, this.bias, this.eps);
  }

  override extraRepr(): string {
    return `${this.numGroups}, ${this.numChannels}, eps=${py(this.eps)}, affine=${py(this.affine)}, bias=${py(this.bias !== null)}`;
  }
}

export interface BatchNormOptions extends FactoryOptions {
  eps?: number;
  /** Weight of the newest batch in the running statistics; null is the plain average over all batches. */
  momentum?: number | null;
  affine?: boolean;
  trackRunningStats?: boolean;
}

abstract class BatchNorm extends Module {
  declare weight: Parameter | null;
  declare bias: Parameter | null;
  // The buffers carry PyTorch's names because the names are the keys of the state dictionary.
  declare running_mean: Tensor | null;
  declare running_var: Tensor | null;
  declare num_batches_tracked: Tensor | null;
  readonly eps: number;
  readonly momentum: number | null;
  readonly affine: boolean;
  readonly trackRunningStats: boolean;

  constructor(
    readonly numFeatures: number,
    eps?: number | BatchNormOptions,
    momentum?: number | null | BatchNormOptions,
    affine?: boolean | BatchNormOptions,
    trackRunningStats?: boolean | BatchNormOptions,
    options?: BatchNormOptions,
  ) {
    super();
    const o = named<BatchNormOptions>(
      [eps, momentum, affine, trackRunningStats, options],
      ['eps', 'momentum', 'affine', 'trackRunningStats'],
    );
    this.eps = o.eps ?? 1e-5;
    this.momentum = o.momentum === undefined ? 0.1 : o.momentum;
    this.affine = o.affine ?? true;
    this.trackRunningStats = o.trackRunningStats ?? true;
    if (this.affine) {
      this.weight = new Parameter(torch.empty([numFeatures], factory(o)));
      this.bias = new Parameter(torch.empty([numFeatures], factory(o)));
    } else {
      this.registerParameter('weight', null);
      this.registerParameter('bias', null);
    }
    const track = this.trackRunningStats;
    const device = o.device === undefined ? {} : { device: o.device };
    this.registerBuffer('running_mean', track ? torch.zeros([numFeatures], factory(o)) : null);
    this.registerBuffer('running_var', track ? torch.ones([numFeatures], factory(o)) : null);
    this.registerBuffer(
      'num_batches_tracked',
      track ? torch.zeros([], { dtype: torch.int64, ...device }) : null,
    );
    this.resetParameters();
  }

  resetRunningStats(): void {
    this.running_mean?.zero_();
    this.running_var?.fill_(1);
    this.num_batches_tracked?.zero_();
  }

  resetParameters(): void {
    this.resetRunningStats();
    if (this.weight !== null) init.ones_(this.weight);
    if (this.bias !== null) init.zeros_(this.bias);
  }

  /** Numbers of dimensions that the input may have. */
  protected abstract readonly inputDims: readonly number[];

  forward(input: Tensor): Tensor {
    if (!this.inputDims.includes(input.shape.length)) {
      throw new ShardbookError({
        code: 'SB_NN_SHAPE',
        message: `Cannot run ${this._getName()}: given ${input.shape.length} dimensions, wanted ${this.inputDims.join(' or ')}`,
      });
    }
    let momentum = this.momentum ?? 0;
    if (this.training && this.trackRunningStats && this.num_batches_tracked !== null) {
      this.num_batches_tracked.add_(1);
      if (this.momentum === null) momentum = 1 / Number(this.num_batches_tracked.item());
    }
    const useBatch = this.training || (this.running_mean === null && this.running_var === null);
    const keep = !this.training || this.trackRunningStats;
    return F.batchNorm(
      input,
      keep ? this.running_mean : null,
      keep ? this.running_var : null,
      this.weight,
      this.bias,
      { training: useBatch, momentum, eps: this.eps },
    );
  }

  override extraRepr(): string {
    return `${this.numFeatures}, eps=${py(this.eps)}, momentum=${py(this.momentum)}, affine=${py(this.affine)}, bias=${py(this.bias !== null)}, track_running_stats=${py(this.trackRunningStats)}`;
  }
}

/** Batch normalisation of [batch, channels] or [batch, channels, length]. */
export class BatchNorm1d extends BatchNorm {
  protected get inputDims(): readonly number[] {
    return [2, 3];
  }
}

/** Batch normalisation of [batch, channels, height, width]. */
export class BatchNorm2d extends BatchNorm {
  protected get inputDims(): readonly number[] {
    return [4];
  }
}
