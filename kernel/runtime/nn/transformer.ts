import { ShardbookError } from '../base/index.js';
import { type Tensor, torch } from '../tensor/index.js';
import { MultiheadAttention } from './attention.js';
import { ModuleList } from './containers.js';
import { deepcopy } from './copy.js';
import { Dropout } from './dropout.js';
import * as F from './functional/index.js';
import { Linear } from './linear.js';
import { Module } from './module.js';
import { LayerNorm } from './normalization.js';
import { type FactoryOptions, factory, named } from './options.js';

/** What stands between the two linear layers. */
export type TransformerActivation = 'relu' | 'gelu' | ((x: Tensor) => Tensor);

export interface TransformerLayerOptions extends FactoryOptions {
  dimFeedforward?: number;
  dropout?: number;
  activation?: TransformerActivation;
  layerNormEps?: number;
  /** Tensors are [batch, length, width] instead of [length, batch, width]. */
  batchFirst?: boolean;
  /** Normalise before attention and feed-forward instead of after. */
  normFirst?: boolean;
  bias?: boolean;
}

type LayerArgs = [
  dimFeedforward?: number | TransformerLayerOptions,
  dropout?: number | TransformerLayerOptions,
  activation?: TransformerActivation | TransformerLayerOptions,
  options?: TransformerLayerOptions,
];

function layerOptions(args: LayerArgs): TransformerLayerOptions {
  return named<TransformerLayerOptions>(args, ['dimFeedforward', 'dropout', 'activation']);
}

function activationOf(activation: TransformerActivation | undefined): (x: Tensor) => Tensor {
  if (activation === undefined || activation === 'relu') return (x) => F.relu(x);
  if (activation === 'gelu') return (x) => F.gelu(x);
  if (typeof activation === 'function') return activation;
  throw new ShardbookError({
    code: 'SB_NN_ARGUMENT',
    message: `Cannot make a transformer layer: activation is "${String(activation)}", wanted "relu", "gelu" or a function`,
  });
}

export interface EncoderLayerCall {
  srcMask?: Tensor | null;
  srcKeyPaddingMask?: Tensor | null;
  isCausal?: boolean;
}

/** Self-attention and a feed-forward network, each with a residual connection and a LayerNorm. */
export class TransformerEncoderLayer extends Module {
  declare self_attn: MultiheadAttention;
  declare linear1: Linear;
  declare dropout: Dropout;
  declare linear2: Linear;
  declare norm1: LayerNorm;
  declare norm2: LayerNorm;
  declare dropout1: Dropout;
  declare dropout2: Dropout;
  declare activation: (x: Tensor) => Tensor;
  readonly normFirst: boolean;

  constructor(dModel: number, nhead: number, ...rest: LayerArgs) {
    super();
    const o = layerOptions(rest);
    const {
      dimFeedforward = 2048,
      dropout = 0.1,
      layerNormEps: eps = 1e-5,
      batchFirst = false,
      bias = true,
    } = o;
    const f = factory(o);
    this.self_attn = new MultiheadAttention(dModel, nhead, { dropout, bias, batchFirst, ...f });
    this.linear1 = new Linear(dModel, dimFeedforward, { bias, ...f });
    this.dropout = new Dropout(dropout);
    this.linear2 = new Linear(dimFeedforward, dModel, { bias, ...f });
    this.normFirst = o.normFirst ?? false;
    this.norm1 = new LayerNorm(dModel, { eps, bias, ...f });
    this.norm2 = new LayerNorm(dModel, { eps, bias, ...f });
    this.dropout1 = new Dropout(dropout);
    this.dropout2 = new Dropout(dropout);
    this.activation = activationOf(o.activation);
  }

  forward(
    src: Tensor,
    srcMask?: Tensor | null | EncoderLayerCall,
    srcKeyPaddingMask?: Tensor | null | EncoderLayerCall,
    options?: EncoderLayerCall,
  ): Tensor {
    const o = named<EncoderLayerCall>(
      [srcMask, srcKeyPaddingMask, options],
      ['srcMask', 'srcKeyPaddingMask'],
    );
    if (this.normFirst) {
      const x = src.add(this._attend(this.norm1(src), o));
      return x.add(this._feedForward(this.norm2(x)));
    }
    const x = this.norm1(src.add(this._attend(src, o)));
    return this.norm2(x.add(this._feedForward(x)));
  }

  private _attend(x: Tensor, o: EncoderLayerCall): Tensor {
    const [output] = this.self_attn(x, x, x, {
      attnMask: o.srcMask ?? null,
      keyPaddingMask: o.srcKeyPaddingMask ?? null,
      needWeights: false,
      isCausal: o.isCausal ?? false,
    });
    return this.dropout1(output);
  }

  private _feedForward(x: Tensor): Tensor {
    return this.dropout2(this.linear2(this.dropout(this.activation(this.linear1(x)))));
  }
}

export interface EncoderCall {
  mask?: Tensor | null;
  srcKeyPaddingMask?: Tensor | null;
  isCausal?: boolean;
}

/** A stack of equal layers: all start as copies of the one given. */
export class TransformerEncoder extends Module {
  declare layers: ModuleList<TransformerEncoderLayer>;
  declare norm: LayerNorm | null;

  constructor(
    encoderLayer: TransformerEncoderLayer,
    readonly numLayers: number,
    norm?: LayerNorm | null | { norm?: LayerNorm | null; enableNestedTensor?: boolean; maskCheck?: boolean },
    options?: { norm?: LayerNorm | null; enableNestedTensor?: boolean; maskCheck?: boolean },
  ) {
    super();
    const o = named<{ norm?: LayerNorm | null; enableNestedTensor?: boolean; maskCheck?: boolean }>(
      [norm, options],
      ['norm'],
    );
    this.layers = new ModuleList(Array.from({ length: numLayers }, () => deepcopy(encoderLayer)));
    this.registerModule('norm', o.norm ?? null);
  }

  forward(
    src: Tensor,
    mask?: Tensor | null | EncoderCall,
    srcKeyPaddingMask?: Tensor | null | EncoderCall,
    options?: EncoderCall,
  ): Tensor {
    const o = named<EncoderCall>([mask, srcKeyPaddingMask, options], ['mask', 'srcKeyPaddingMask']);
    let x = src;
    for (const layer of this.layers) {
      x = layer(x, {
        srcMask: o.mask ?? null,
        srcKeyPaddingMask: o.srcKeyPaddingMask ?? null,
        isCausal: o.isCausal ?? false,
      });
    }
    return this.norm === null ? x : this.norm(x);
  }
}

export interface DecoderLayerCall {
  tgtMask?: Tensor | null;
  memoryMask?: Tensor | null;
  tgtKeyPaddingMask?: Tensor | null;
  memoryKeyPaddingMask?: Tensor | null;
  tgtIsCausal?: boolean;
  memoryIsCausal?: boolean;
}

/** Self-attention, attention to an encoder's output, and a feed-forward network. */
export class TransformerDecoderLayer extends Module {
  declare self_attn: MultiheadAttention;
  declare multihead_attn: MultiheadAttention;
  declare linear1: Linear;
  declare dropout: Dropout;
  declare linear2: Linear;
  declare norm1: LayerNorm;
  declare norm2: LayerNorm;
  declare norm3: LayerNorm;
  declare dropout1: Dropout;
  declare dropout2: Dropout;
  declare dropout3: Dropout;
  declare activation: (x: Tensor) => Tensor;
  readonly normFirst: boolean;

  constructor(dModel: number, nhead: number, ...rest: LayerArgs) {
    super();
    const o = layerOptions(rest);
    const {
      dimFeedforward = 2048,
      dropout = 0.1,
      layerNormEps: eps = 1e-5,
      batchFirst = false,
      bias = true,
    } = o;
    const f = factory(o);
    this.self_attn = new MultiheadAttention(dModel, nhead, { dropout, bias, batchFirst, ...f });
    this.multihead_attn = new MultiheadAttention(dModel, nhead, { dropout, bias, batchFirst, ...f });
    this.linear1 = new Linear(dModel, dimFeedforward, { bias, ...f });
    this.dropout = new Dropout(dropout);
    this.linear2 = new Linear(dimFeedforward, dModel, { bias, ...f });
    this.normFirst = o.normFirst ?? false;
    this.norm1 = new LayerNorm(dModel, { eps, bias, ...f });
    this.norm2 = new LayerNorm(dModel, { eps, bias, ...f });
    this.norm3 = new LayerNorm(dModel, { eps, bias, ...f });
    this.dropout1 = new Dropout(dropout);
    this.dropout2 = new Dropout(dropout);
    this.dropout3 = new Dropout(dropout);
    this.activation = activationOf(o.activation);
  }

  forward(tgt: Tensor, memory: Tensor, options: DecoderLayerCall = {}): Tensor {
    if (this.normFirst) {
      let x = tgt.add(this._attendSelf(this.norm1(tgt), options));
      x = x.add(this._attendMemory(this.norm2(x), memory, options));
      return x.add(this._feedForward(this.norm3(x)));
    }
    let x = this.norm1(tgt.add(this._attendSelf(tgt, options)));
    x = this.norm2(x.add(this._attendMemory(x, memory, options)));
    return this.norm3(x.add(this._feedForward(x)));
  }

  private _attendSelf(x: Tensor, o: DecoderLayerCall): Tensor {
    const options = {
      attnMask: o.tgtMask ?? null,
      keyPaddingMask: o.tgtKeyPaddingMask ?? null,
      needWeights: false,
      isCausal: o.tgtIsCausal ?? false,
    };
    return this.dropout1(this.self_attn(x, x, x, options)[0]);
  }

  private _attendMemory(x: Tensor, memory: Tensor, o: DecoderLayerCall): Tensor {
    const options = {
      attnMask: o.memoryMask ?? null,
      keyPaddingMask: o.memoryKeyPaddingMask ?? null,
      needWeights: false,
      isCausal: o.memoryIsCausal ?? false,
    };
    return this.dropout2(this.multihead_attn(x, memory, memory, options)[0]);
  }

  private _feedForward(x: Tensor): Tensor {
    return this.dropout3(this.linear2(this.dropout(this.activation(this.linear1(x)))));
  }
}

/** A float mask that hides later positions: -inf above the diagonal. */
export function generateSquareSubsequentMask(size: number): Tensor {
  return torch.full([size, size], Number.NEGATIVE_INFINITY).triu(1);
}
