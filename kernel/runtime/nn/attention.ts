import { ShardbookError } from '../base/index.js';
import { type Tensor, torch } from '../tensor/index.js';
import * as F from './functional/index.js';
import * as init from './init.js';
import { Linear } from './linear.js';
import { Module } from './module.js';
import { type FactoryOptions, factory, named } from './options.js';
import { Parameter } from './parameter.js';

export interface MultiheadAttentionOptions extends FactoryOptions {
  /** Probability of dropping an attention weight in training. */
  dropout?: number;
  bias?: boolean;
  addBiasKv?: boolean;
  addZeroAttn?: boolean;
  kdim?: number | null;
  vdim?: number | null;
  /** Tensors are [batch, length, width] instead of [length, batch, width]. */
  batchFirst?: boolean;
}

export interface MultiheadAttentionCall {
  /** True leaves a key out, of shape [batch, keys]. */
  keyPaddingMask?: Tensor | null;
  needWeights?: boolean;
  attnMask?: Tensor | null;
  averageAttnWeights?: boolean;
  isCausal?: boolean;
}

/** Several attentions side by side, each on its share of the width, joined by a projection. */
export class MultiheadAttention extends Module {
  // Registered members carry PyTorch's names because the names are the keys of the state dictionary.
  declare in_proj_weight: Parameter | null;
  declare q_proj_weight: Parameter | null;
  declare k_proj_weight: Parameter | null;
  declare v_proj_weight: Parameter | null;
  declare in_proj_bias: Parameter | null;
  declare bias_k: Parameter | null;
  declare bias_v: Parameter | null;
  declare out_proj: Linear;
  readonly kdim: number;
  readonly vdim: number;
  readonly dropout: number;
  readonly batchFirst: boolean;
  readonly headDim: number;
  readonly addZeroAttn: boolean;

  constructor(
    readonly embedDim: number,
    readonly numHeads: number,
    dropout?: number | MultiheadAttentionOptions,
    options?: MultiheadAttentionOptions,
  ) {
    super();
    if (!(embedDim > 0 && numHeads > 0) || embedDim % numHeads !== 0) {
      throw new ShardbookError({
        code: 'SB_NN_ARGUMENT',
        message: `Cannot make a MultiheadAttention: width ${embedDim} is not divisible by ${numHeads} heads`,
      });
    }
    const o = named<MultiheadAttentionOptions>([dropout, options], ['dropout']);
    this.kdim = o.kdim ?? embedDim;
    this.vdim = o.vdim ?? embedDim;
    this.dropout = o.dropout ?? 0;
    this.batchFirst = o.batchFirst ?? false;
    this.headDim = embedDim / numHeads;
    this.addZeroAttn = o.addZeroAttn ?? false;
    const make = (...shape: number[]): Parameter => new Parameter(torch.empty(shape, factory(o)));
    if (this.kdim === embedDim && this.vdim === embedDim) {
      this.in_proj_weight = make(3 * embedDim, embedDim);
      for (const name of ['q_proj_weight', 'k_proj_weight', 'v_proj_weight'])
        this.registerParameter(name, null);
    } else {
      this.q_proj_weight = make(embedDim, embedDim);
      this.k_proj_weight = make(embedDim, this.kdim);
      this.v_proj_weight = make(embedDim, this.vdim);
      this.registerParameter('in_proj_weight', null);
    }
    if (o.bias ?? true) this.in_proj_bias = make(3 * embedDim);
    else this.registerParameter('in_proj_bias', null);
    this.out_proj = new Linear(embedDim, embedDim, { bias: o.bias ?? true, ...factory(o) });
    if (o.addBiasKv) {
      this.bias_k = make(1, 1, embedDim);
      this.bias_v = make(1, 1, embedDim);
    } else {
      this.registerParameter('bias_k', null);
      this.registerParameter('bias_v', null);
    }
    this.resetParameters();
  }

  resetParameters(): void {
    for (const weight of [this.in_proj_weight, this.q_proj_weight, this.k_proj_weight, this.v_proj_weight]) {
      if (weight) init.xavierUniform_(weight);
    }
    if (this.in_proj_bias !== null) {
      init.zeros_(this.in_proj_bias);
      if (this.out_proj.bias !== null) init.zeros_(this.out_proj.bias);
    }
    if (this.bias_k !== null) init.xavierNormal_(this.bias_k);
    if (this.bias_v !== null) init.xavierNormal_(this.bias_v);
  }

  /** The output and, unless `needWeights` is false, the attention weights (averaged over the heads by default). */
  forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    options: MultiheadAttentionCall = {},
  ): [Tensor, Tensor | null] {
    const swap = this.batchFirst && query.shape.length === 3;
    // Equal operands stay equal objects: they share one projection.
    const q = swap ? query.transpose(0, 1) : query;
    const k = key === query ? q : swap ? key.transpose(0, 1) : key;
    const v = value === key ? k : swap ? value.transpose(0, 1) : value;
    const [output, weights] = F.multiHeadAttentionForward(q, k, v, {
      numHeads: this.numHeads,
      inProjWeight: this.in_proj_weight,
      inProjBias: this.in_proj_bias,
      qProjWeight: this.q_proj_weight,
      kProjWeight: this.k_proj_weight,
      vProjWeight: this.v_proj_weight,
      biasK: this.bias_k,
      biasV: this.bias_v,
      addZeroAttn: this.addZeroAttn,
      dropoutP: this.dropout,
      outProjWeight: this.out_proj.weight,
      outProjBias: this.out_proj.bias,
      training: this.training,
      keyPaddingMask: options.keyPaddingMask ?? null,
      needWeights: options.needWeights ?? true,
      attnMask: options.attnMask ?? null,
      averageAttnWeights: options.averageAttnWeights ?? true,
      isCausal: options.isCausal ?? false,
    });
    return [swap ? output.transpose(0, 1) : output, weights];
  }
}
