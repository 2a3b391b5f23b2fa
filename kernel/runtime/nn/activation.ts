import { type Tensor, torch } from '../tensor/index.js';
import * as F from './functional/index.js';
import { Module } from './module.js';
import { type FactoryOptions, factory, named } from './options.js';
import { Parameter } from './parameter.js';
import { py, pyFloat } from './repr.js';

/** A module that applies a function without settings. */
abstract class Plain extends Module {
  readonly inplace: boolean;

  constructor(inplace?: boolean | { inplace?: boolean }) {
    super();
    this.inplace = named<{ inplace?: boolean }>([inplace], ['inplace']).inplace ?? false;
  }

  override extraRepr(): string {
    return this.inplace ? 'inplace=True' : '';
  }
}

/** max(0, x). */
export class ReLU extends Plain {
  forward(input: Tensor): Tensor {
    return F.relu(input, this.inplace);
  }
}

/** min(max(0, x), 6). */
export class ReLU6 extends Plain {
  forward(input: Tensor): Tensor {
    return F.relu6(input, this.inplace);
  }
}

/** x * sigmoid(x). */
export class SiLU extends Plain {
  forward(input: Tensor): Tensor {
    return F.silu(input, this.inplace);
  }
}

/** x * tanh(softplus(x)). */
export class Mish extends Plain {
  forward(input: Tensor): Tensor {
    return F.mish(input, this.inplace);
  }
}

/** Scaled ELU (see `F.selu`). */
export class SELU extends Plain {
  forward(input: Tensor): Tensor {
    return F.selu(input, this.inplace);
  }
}

/** x * relu6(x + 3) / 6. */
export class Hardswish extends Plain {
  forward(input: Tensor): Tensor {
    return F.hardswish(input, this.inplace);
  }
}

/** relu6(x + 3) / 6. */
export class Hardsigmoid extends Plain {
  forward(input: Tensor): Tensor {
    return F.hardsigmoid(input, this.inplace);
  }
}

/** 1 / (1 + exp(-x)). */
export class Sigmoid extends Module {
  forward(input: Tensor): Tensor {
    return input.sigmoid();
  }
}

/** Hyperbolic tangent. */
export class Tanh extends Module {
  forward(input: Tensor): Tensor {
    return input.tanh();
  }
}

/** log(sigmoid(x)). */
export class LogSigmoid extends Module {
  forward(input: Tensor): Tensor {
    return F.logsigmoid(input);
  }
}

/** x - tanh(x). */
export class Tanhshrink extends Module {
  forward(input: Tensor): Tensor {
    return F.tanhshrink(input);
  }
}

/** x / (1 + |x|). */
export class Softsign extends Module {
  forward(input: Tensor): Tensor {
    return F.softsign(input);
  }
}

/** x * P(X <= x) of a normal X, or its approximation with `{ approximate: 'tanh' }`. */
export class GELU extends Module {
  readonly approximate: 'none' | 'tanh';

  constructor(approximate?: 'none' | 'tanh' | { approximate?: 'none' | 'tanh' }) {
    super();
    this.approximate =
      named<{ approximate?: 'none' | 'tanh' }>([approximate], ['approximate']).approximate ?? 'none';
  }

  forward(input: Tensor): Tensor {
    return F.gelu(input, this.approximate);
  }

  override extraRepr(): string {
    return `approximate=${py(this.approximate)}`;
  }
}

interface AlphaOptions {
  alpha?: number;
  inplace?: boolean;
}

abstract class WithAlpha extends Module {
  readonly alpha: number;
  readonly inplace: boolean;

  constructor(alpha?: number | AlphaOptions, inplace?: boolean | AlphaOptions) {
    super();
    const o = named<AlphaOptions>([alpha, inplace], ['alpha', 'inplace']);
    this.alpha = o.alpha ?? 1;
    this.inplace = o.inplace ?? false;
  }

  override extraRepr(): string {
    return `alpha=${pyFloat(this.alpha)}${this.inplace ? ', inplace=True' : ''}`;
  }
}

/** x where positive, else alpha * (exp(x) - 1). */
export class ELU extends WithAlpha {
  forward(input: Tensor): Tensor {
    return F.elu(input, this.alpha, this.inplace);
  }
}

/** ELU with a continuous slope (see `F.celu`). */
export class CELU extends WithAlpha {
  forward(input: Tensor): Tensor {
    return F.celu(input, this.alpha, this.inplace);
  }
}

interface LeakyOptions {
  negativeSlope?: number;
  inplace?: boolean;
}

/** x where positive, else negativeSlope * x. */
export class LeakyReLU extends Module {
  readonly negativeSlope: number;
  readonly inplace: boolean;

  constructor(negativeSlope?: number | LeakyOptions, inplace?: boolean | LeakyOptions) {
    super();
    const o = named<LeakyOptions>([negativeSlope, inplace], ['negativeSlope', 'inplace']);
    this.negativeSlope = o.negativeSlope ?? 0.01;
    this.inplace = o.inplace ?? false;
  }

  forward(input: Tensor): Tensor {
    return F.leakyRelu(input, this.negativeSlope, this.inplace);
  }

  override extraRepr(): string {
    return `negative_slope=${py(this.negativeSlope)}${this.inplace ? ', inplace=True' : ''}`;
  }
}

interface PReLUOptions extends FactoryOptions {
  numParameters?: number;
  init?: number;
}

/** Leaky ReLU with learned slopes. */
export class PReLU extends Module {
  declare weight: Parameter;
  readonly numParameters: number;
  readonly init: number;

  constructor(numParameters?: number | PReLUOptions, init?: number | PReLUOptions, options?: PReLUOptions) {
    super();
    const o = named<PReLUOptions>([numParameters, init, options], ['numParameters', 'init']);
    this.numParameters = o.numParameters ?? 1;
    this.init = o.init ?? 0.25;
    this.weight = new Parameter(torch.full([this.numParameters], this.init, factory(o)));
  }

  resetParameters(): void {
    torch.noGrad(() => this.weight.fill_(this.init));
  }

  forward(input: Tensor): Tensor {
    return F.prelu(input, this.weight);
  }

  override extraRepr(): string {
    return `num_parameters=${this.numParameters}`;
  }
}

interface HardtanhOptions {
  minVal?: number;
  maxVal?: number;
  inplace?: boolean;
}

/** x held between minVal and maxVal (-1 and 1). */
export class Hardtanh extends Module {
  readonly minVal: number;
  readonly maxVal: number;
  readonly inplace: boolean;

  constructor(
    minVal?: number | HardtanhOptions,
    maxVal?: number | HardtanhOptions,
    inplace?: boolean | HardtanhOptions,
  ) {
    super();
    const o = named<HardtanhOptions>([minVal, maxVal, inplace], ['minVal', 'maxVal', 'inplace']);
    this.minVal = o.minVal ?? -1;
    this.maxVal = o.maxVal ?? 1;
    this.inplace = o.inplace ?? false;
  }

  forward(input: Tensor): Tensor {
    return F.hardtanh(input, this.minVal, this.maxVal, this.inplace);
  }

  override extraRepr(): string {
    return `min_val=${pyFloat(this.minVal)}, max_val=${pyFloat(this.maxVal)}${this.inplace ? ', inplace=True' : ''}`;
  }
}

interface SoftplusModuleOptions {
  beta?: number;
  threshold?: number;
}

/** log(1 + exp(beta * x)) / beta; x itself above the threshold. */
export class Softplus extends Module {
  readonly beta: number;
  readonly threshold: number;

  constructor(beta?: number | SoftplusModuleOptions, threshold?: number | SoftplusModuleOptions) {
    super();
    const o = named<SoftplusModuleOptions>([beta, threshold], ['beta', 'threshold']);
    this.beta = o.beta ?? 1;
    this.threshold = o.threshold ?? 20;
  }

  forward(input: Tensor): Tensor {
    return F.softplus(input, this.beta, this.threshold);
  }

  override extraRepr(): string {
    return `beta=${pyFloat(this.beta)}, threshold=${pyFloat(this.threshold)}`;
  }
}

abstract class Shrink extends Module {
  readonly lambda: number;

  constructor(lambda?: number | { lambda?: number }) {
    super();
    this.lambda = named<{ lambda?: number }>([lambda], ['lambda']).lambda ?? 0.5;
  }

  override extraRepr(): string {
    return py(this.lambda);
  }
}

/** x where |x| > lambda, else 0. */
export class Hardshrink extends Shrink {
  forward(input: Tensor): Tensor {
    return F.hardshrink(input, this.lambda);
  }
}

/** x drawn towards 0 by lambda. */
export class Softshrink extends Shrink {
  forward(input: Tensor): Tensor {
    return F.softshrink(input, this.lambda);
  }
}

/** x where it is above the threshold, else a value. */
export class Threshold extends Module {
  constructor(
    readonly threshold: number,
    readonly value: number,
    readonly inplace = false,
  ) {
    super();
  }

  forward(input: Tensor): Tensor {
    return F.threshold(input, this.threshold, this.value, this.inplace);
  }

  override extraRepr(): string {
    return `threshold=${py(this.threshold)}, value=${py(this.value)}${this.inplace ? ', inplace=True' : ''}`;
  }
}

abstract class AlongDim extends Module {
  readonly dim: number | undefined;

  constructor(dim?: number | { dim?: number }) {
    super();
    this.dim = named<{ dim?: number }>([dim], ['dim']).dim;
  }

  override extraRepr(): string {
    return `dim=${py(this.dim)}`;
  }
}

/** softmax along a dimension. */
export class Softmax extends AlongDim {
  forward(input: Tensor): Tensor {
    return F.softmax(input, this.dim);
  }
}

/** log(softmax) along a dimension. */
export class LogSoftmax extends AlongDim {
  forward(input: Tensor): Tensor {
    return F.logSoftmax(input, this.dim);
  }
}

/** softmax(-x) along a dimension. */
export class Softmin extends AlongDim {
  forward(input: Tensor): Tensor {
    return F.softmin(input, this.dim);
  }
}

/** a * sigmoid(b), with a and b the halves of x along a dimension. */
export class GLU extends AlongDim {
  forward(input: Tensor): Tensor {
    return F.glu(input, this.dim ?? -1);
  }

  override extraRepr(): string {
    return `dim=${this.dim ?? -1}`;
  }
}
