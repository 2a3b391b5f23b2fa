import { ShardbookError } from '../base/index.js';
import type { Tensor } from '../tensor/index.js';
import * as F from './functional/index.js';
import { Module } from './module.js';
import { named } from './options.js';
import { py } from './repr.js';

interface DropoutOptions {
  p?: number;
  inplace?: boolean;
}

abstract class DropoutBase extends Module {
  p: number;
  readonly inplace: boolean;

  constructor(p?: number | DropoutOptions, inplace?: boolean | DropoutOptions) {
    super();
    const o = named<DropoutOptions>([p, inplace], ['p', 'inplace']);
    this.p = o.p ?? 0.5;
    this.inplace = o.inplace ?? false;
    if (!(this.p >= 0 && this.p <= 1)) {
      throw new ShardbookError({
        code: 'SB_NN_ARGUMENT',
        message: `Cannot make a ${this._getName()}: the probability is ${this.p}, wanted 0 to 1`,
      });
    }
  }

  override extraRepr(): string {
    return `p=${py(this.p)}, inplace=${py(this.inplace)}`;
  }
}

/** In training, zeroes elements with probability `p` and scales the others by 1 / (1 - p). */
export class Dropout extends DropoutBase {
  forward(input: Tensor): Tensor {
    return F.dropout(input, this.p, this.training, this.inplace);
  }
}

/** Dropout that keeps mean and variance of inputs that went through a SELU. */
export class AlphaDropout extends DropoutBase {
  forward(input: Tensor): Tensor {
    return F.alphaDropout(input, this.p, this.training);
  }
}
