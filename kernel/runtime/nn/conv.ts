import { ShardbookError } from '../base/index.js';
import { type Tensor, torch } from '../tensor/index.js';
import * as F from './functional/index.js';
import * as init from './init.js';
import { Module } from './module.js';
import { type FactoryOptions, factory, named } from './options.js';
import { Parameter } from './parameter.js';
import { py } from './repr.js';

export interface ConvOptions extends FactoryOptions {
  stride?: number | readonly number[];
  padding?: number | readonly number[] | 'same' | 'valid';
  dilation?: number | readonly number[];
  groups?: number;
  bias?: boolean;
}

abstract class Conv extends Module {
  declare weight: Parameter;
  declare bias: Parameter | null;
  readonly kernelSize: readonly number[];
  readonly options: ConvOptions;

  constructor(
    dims: number,
    readonly inChannels: number,
    readonly outChannels: number,
    kernelSize: number | readonly number[],
    rest: readonly unknown[],
  ) {
    super();
    const o = named<ConvOptions>(rest, ['stride', 'padding', 'dilation', 'groups', 'bias']);
    const groups = o.groups ?? 1;
    if (inChannels % groups !== 0 || outChannels % groups !== 0) {
      throw new ShardbookError({
        code: 'SB_NN_ARGUMENT',
        message: `Cannot make a ${this._getName()}: ${inChannels} and ${outChannels} channels are not both divisible by ${groups} groups`,
      });
    }
    this.options = o;
    this.kernelSize =
      typeof kernelSize === 'number' ? Array.from({ length: dims }, () => kernelSize) : [...kernelSize];
    this.weight = new Parameter(
      torch.empty([outChannels, inChannels / groups, ...this.kernelSize], factory(o)),
    );
    if (o.bias ?? true) this.bias = new Parameter(torch.empty([outChannels], factory(o)));
    else this.registerParameter('bias', null);
    this.resetParameters();
  }

  resetParameters(): void {
    init.kaimingUniform_(this.weight, { a: Math.sqrt(5) });
    if (this.bias === null) return;
    const [fanIn] = init.calculateFanInAndFanOut(this.weight);
    if (fanIn === 0) return;
    init.uniform_(this.bias, -1 / Math.sqrt(fanIn), 1 / Math.sqrt(fanIn));
  }

  protected call_(): F.ConvFunctionOptions {
    const { stride = 1, padding = 0, dilation = 1, groups = 1 } = this.options;
    return { bias: this.bias, stride, padding, dilation, groups };
  }

  override extraRepr(): string {
    const stride = this.options.stride ?? 1;
    const all = typeof stride === 'number' ? this.kernelSize.map(() => stride) : stride;
    return `${this.inChannels}, ${this.outChannels}, kernel_size=${py(this.kernelSize)}, stride=${py(all)}${this.bias === null ? ', bias=False' : ''}`;
  }
}

type ConvArgs = readonly (ConvOptions | ConvOptions[keyof ConvOptions])[];

/** Convolution of [batch, channels, length]. */
export class Conv1d extends Conv {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly number[],
    ...rest: ConvArgs
  ) {
    super(1, inChannels, outChannels, kernelSize, rest);
  }

  forward(input: Tensor): Tensor {
    return F.conv1d(input, this.weight, this.call_());
  }
}

/** Convolution of [batch, channels, height, width]. */
export class Conv2d extends Conv {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly number[],
    ...rest: ConvArgs
  ) {
    super(2, inChannels, outChannels, kernelSize, rest);
  }

  forward(input: Tensor): Tensor {
    return F.conv2d(input, this.weight, this.call_());
  }
}
