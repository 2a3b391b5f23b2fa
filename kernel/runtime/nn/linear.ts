import { type Tensor, torch } from '../tensor/index.js';
import * as F from './functional/index.js';
import * as init from './init.js';
import { Module } from './module.js';
import { type FactoryOptions, factory, named } from './options.js';
import { Parameter } from './parameter.js';
import { py } from './repr.js';

/** Returns its input. */
export class Identity extends Module {
  constructor(..._ignored: unknown[]) {
    super();
  }

  forward(input: Tensor): Tensor {
    return input;
  }
}

/** Joins the dimensions from `startDim` to `endDim`. */
export class Flatten extends Module {
  constructor(
    readonly startDim = 1,
    readonly endDim = -1,
  ) {
    super();
  }

  forward(input: Tensor): Tensor {
    return input.flatten(this.startDim, this.endDim);
  }

  override extraRepr(): string {
    return `start_dim=${this.startDim}, end_dim=${this.endDim}`;
  }
}

/** Splits dimension `dim` into `unflattenedSize`. */
export class Unflatten extends Module {
  constructor(
    readonly dim: number,
    readonly unflattenedSize: readonly number[],
  ) {
    super();
  }

  forward(input: Tensor): Tensor {
    const dim = this.dim < 0 ? this.dim + input.shape.length : this.dim;
    return input.reshape([
      ...input.shape.slice(0, dim),
      ...this.unflattenedSize,
      ...input.shape.slice(dim + 1),
    ]);
  }

  override extraRepr(): string {
    return `dim=${this.dim}, unflattened_size=${py(this.unflattenedSize)}`;
  }
}

export interface LinearOptions extends FactoryOptions {
  /** Whether to add a learned offset. */
  bias?: boolean;
}

/** `x W^T + b`, with W of shape [outFeatures, inFeatures]. */
export class Linear extends Module {
  declare weight: Parameter;
  declare bias: Parameter | null;

  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    bias?: boolean | LinearOptions,
    options?: LinearOptions,
  ) {
    super();
    const o = named<LinearOptions>([bias, options], ['bias']);
    this.weight = new Parameter(torch.empty([outFeatures, inFeatures], factory(o)));
    if (o.bias ?? true) this.bias = new Parameter(torch.empty([outFeatures], factory(o)));
    else this.registerParameter('bias', null);
    this.resetParameters();
  }

  /** Draws new parameters, as construction did. */
  resetParameters(): void {
    init.kaimingUniform_(this.weight, { a: Math.sqrt(5) });
    if (this.bias === null) return;
    const bound = this.inFeatures > 0 ? 1 / Math.sqrt(this.inFeatures) : 0;
    init.uniform_(this.bias, -bound, bound);
  }

  forward(input: Tensor): Tensor {
    return F.linear(input, this.weight, this.bias);
  }

  override extraRepr(): string {
    return `in_features=${this.inFeatures}, out_features=${this.outFeatures}, bias=${py(this.bias !== null)}`;
  }
}

/** `x1^T A x2 + b` for every output feature. */
export class Bilinear extends Module {
  declare weight: Parameter;
  declare bias: Parameter | null;

  constructor(
    readonly in1Features: number,
    readonly in2Features: number,
    readonly outFeatures: number,
    bias?: boolean | LinearOptions,
    options?: LinearOptions,
  ) {
    super();
    const o = named<LinearOptions>([bias, options], ['bias']);
    this.weight = new Parameter(torch.empty([outFeatures, in1Features, in2Features], factory(o)));
    if (o.bias ?? true) this.bias = new Parameter(torch.empty([outFeatures], factory(o)));
    else this.registerParameter('bias', null);
    this.resetParameters();
  }

  resetParameters(): void {
    const bound = 1 / Math.sqrt(this.in1Features);
    init.uniform_(this.weight, -bound, bound);
    if (this.bias !== null) init.uniform_(this.bias, -bound, bound);
  }

  forward(input1: Tensor, input2: Tensor): Tensor {
    return F.bilinear(input1, input2, this.weight, this.bias);
  }

  override extraRepr(): string {
    return `in1_features=${this.in1Features}, in2_features=${this.in2Features}, out_features=${this.outFeatures}, bias=${py(this.bias !== null)}`;
  }
}

export interface EmbeddingOptions extends FactoryOptions {
  /** A row that stays as it is: it gets no gradient and starts at zero. Negative values count from the end. */
  paddingIdx?: number | null;
  /** Rows that are looked up are first scaled down to this norm. */
  maxNorm?: number | null;
  normType?: number;
  /** Divide the gradient of a row by how often it occurs in the batch. */
  scaleGradByFreq?: boolean;
  sparse?: boolean;
}

/** A table of vectors, looked up by integers. */
export class Embedding extends Module {
  declare weight: Parameter;
  readonly paddingIdx: number | null;
  readonly maxNorm: number | null;
  readonly normType: number;
  readonly scaleGradByFreq: boolean;

  constructor(
    readonly numEmbeddings: number,
    readonly embeddingDim: number,
    paddingIdx?: number | null | EmbeddingOptions,
    options?: EmbeddingOptions,
  ) {
    super();
    const o = named<EmbeddingOptions>([paddingIdx, options], ['paddingIdx']);
    this.paddingIdx = F.normalizePaddingIdx(o.paddingIdx, numEmbeddings);
    this.maxNorm = o.maxNorm ?? null;
    this.normType = o.normType ?? 2;
    this.scaleGradByFreq = o.scaleGradByFreq ?? false;
    this.weight = new Parameter(torch.empty([numEmbeddings, embeddingDim], factory(o)));
    this.resetParameters();
  }

  /** An embedding whose rows are those of `embeddings`; frozen unless told otherwise. */
  static fromPretrained(
    embeddings: Tensor,
    options: { freeze?: boolean } & EmbeddingOptions = {},
  ): Embedding {
    const { freeze = true, ...rest } = options;
    const [rows, columns] = embeddings.shape;
    const module = new this(rows!, columns!, { ...rest, device: 'meta' });
    module.weight = new Parameter(embeddings, !freeze);
    return module;
  }

  resetParameters(): void {
    init.normal_(this.weight);
    const padding = this.paddingIdx;
    if (padding !== null) torch.noGrad(() => this.weight.select(0, padding).fill_(0));
  }

  forward(input: Tensor): Tensor {
    return F.embedding(input, this.weight, {
      paddingIdx: this.paddingIdx,
      maxNorm: this.maxNorm,
      normType: this.normType,
      scaleGradByFreq: this.scaleGradByFreq,
    });
  }

  override extraRepr(): string {
    let text = `${this.numEmbeddings}, ${this.embeddingDim}`;
    if (this.paddingIdx !== null) text += `, padding_idx=${this.paddingIdx}`;
    if (this.maxNorm !== null) text += `, max_norm=${this.maxNorm}`;
    if (this.normType !== 2) text += `, norm_type=${this.normType}`;
    if (this.scaleGradByFreq) text += ', scale_grad_by_freq=True';
    return text;
  }
}
