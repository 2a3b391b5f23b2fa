/** Schedulers with a formula: steps, exponentials, ramps, cosine. */
import { type Args, bindArgs, checkOption } from '../args.js';
import { LRScheduler, type ScheduledOptimizer, type SchedulerState } from './base.js';

/** A factor for each epoch. */
export type LrLambda = (epoch: number) => number;

function perGroup(
  callee: string,
  optimizer: ScheduledOptimizer,
  f: LrLambda | readonly LrLambda[],
): LrLambda[] {
  if (typeof f === 'function') return optimizer.paramGroups.map(() => f);
  const count = optimizer.paramGroups.length;
  checkOption(
    f.length === count,
    callee,
    'lrLambda',
    `a list of ${f.length}`,
    `one function or a list of ${count}`,
  );
  return [...f];
}

/** The initial rate times a function of the epoch. */
export class LambdaLR extends LRScheduler {
  lrLambdas: LrLambda[];

  constructor(
    optimizer: ScheduledOptimizer,
    lrLambda: LrLambda | readonly LrLambda[],
    ...args: Args<[lastEpoch: number], { lastEpoch?: number }>
  ) {
    super(optimizer, bindArgs('LambdaLR', { lastEpoch: -1 }, args).lastEpoch);
    this.lrLambdas = perGroup('LambdaLR', optimizer, lrLambda);
    this.start();
  }

  protected getLr(): number[] {
    return this.baseLrs.map((lr, i) => lr * this.lrLambdas[i]!(this.lastEpoch));
  }

  override stateDict(): SchedulerState {
    return { ...super.stateDict(), lr_lambdas: this.lrLambdas.map(() => null) };
  }

  override loadStateDict(state: SchedulerState): void {
    const { lr_lambdas: _, ...rest } = state;
    super.loadStateDict(rest);
  }
}

/** The rate before times a function of the epoch, from epoch 1. */
export class MultiplicativeLR extends LRScheduler {
  lrLambdas: LrLambda[];

  constructor(
    optimizer: ScheduledOptimizer,
    lrLambda: LrLambda | readonly LrLambda[],
    ...args: Args<[lastEpoch: number], { lastEpoch?: number }>
  ) {
    super(optimizer, bindArgs('MultiplicativeLR', { lastEpoch: -1 }, args).lastEpoch);
    this.lrLambdas = perGroup('MultiplicativeLR', optimizer, lrLambda);
    this.start();
  }

  protected getLr(): number[] {
    const lrs = this.currentLrs();
    return this.initial ? lrs : lrs.map((lr, i) => lr * this.lrLambdas[i]!(this.lastEpoch));
  }

  override stateDict(): SchedulerState {
    return { ...super.stateDict(), lr_lambdas: this.lrLambdas.map(() => null) };
  }

  override loadStateDict(state: SchedulerState): void {
    const { lr_lambdas: _, ...rest } = state;
    super.loadStateDict(rest);
  }
}

/** Times `gamma` (0.1) every `stepSize` epochs. */
export class StepLR extends LRScheduler {
  stepSize: number;
  gamma: number;

  constructor(
    optimizer: ScheduledOptimizer,
    ...args: Args<
      [stepSize: number, gamma: number, lastEpoch: number],
      { stepSize?: number; gamma?: number; lastEpoch?: number }
    >
  ) {
    const o = bindArgs('StepLR', { stepSize: 0, gamma: 0.1, lastEpoch: -1 }, args);
    checkOption(o.stepSize > 0, 'StepLR', 'stepSize', o.stepSize, 'a positive number of epochs');
    super(optimizer, o.lastEpoch);
    this.stepSize = o.stepSize;
    this.gamma = o.gamma;
    this.start();
  }

  protected getLr(): number[] {
    return this.lastEpoch === 0 || this.lastEpoch % this.stepSize !== 0
      ? this.currentLrs()
      : this.scaled(this.gamma);
  }

  protected override closedForm(): number[] {
    return this.baseLrs.map((lr) => lr * this.gamma ** Math.floor(this.lastEpoch / this.stepSize));
  }
}

/** Times `gamma` (0.1) at each of the milestones; one that is named twice counts twice. */
export class MultiStepLR extends LRScheduler {
  milestones: number[];
  gamma: number;

  constructor(
    optimizer: ScheduledOptimizer,
    milestones: readonly number[],
    ...args: Args<[gamma: number, lastEpoch: number], { gamma?: number; lastEpoch?: number }>
  ) {
    const o = bindArgs('MultiStepLR', { gamma: 0.1, lastEpoch: -1 }, args);
    super(optimizer, o.lastEpoch);
    this.milestones = [...milestones].sort((a, b) => a - b);
    this.gamma = o.gamma;
    this.start();
  }

  protected getLr(): number[] {
    const hits = this.milestones.filter((m) => m === this.lastEpoch).length;
    return hits === 0 ? this.currentLrs() : this.scaled(this.gamma ** hits);
  }

  protected override closedForm(): number[] {
    const passed = this.milestones.filter((m) => m <= this.lastEpoch).length;
    return this.baseLrs.map((lr) => lr * this.gamma ** passed);
  }
}

/** Times `factor` (1/3) for the first `totalIters` (5) epochs. */
export class ConstantLR extends LRScheduler {
  factor: number;
  totalIters: number;

  constructor(
    optimizer: ScheduledOptimizer,
    ...args: Args<
      [factor: number, totalIters: number, lastEpoch: number],
      { factor?: number; totalIters?: number; lastEpoch?: number }
    >
  ) {
    const o = bindArgs('ConstantLR', { factor: 1 / 3, totalIters: 5, lastEpoch: -1 }, args);
    checkOption(o.factor >= 0 && o.factor <= 1, 'ConstantLR', 'factor', o.factor, 'between 0 and 1');
    super(optimizer, o.lastEpoch);
    this.factor = o.factor;
    this.totalIters = o.totalIters;
    this.start();
  }

  protected getLr(): number[] {
    if (this.lastEpoch === 0) return this.scaled(this.factor);
    return this.lastEpoch === this.totalIters ? this.scaled(1 / this.factor) : this.currentLrs();
  }

  protected override closedForm(): number[] {
    const factor = this.factor + (this.lastEpoch >= this.totalIters ? 1 - this.factor : 0);
    return this.baseLrs.map((lr) => lr * factor);
  }
}

/** A linear ramp of the factor from `startFactor` (1/3) to `endFactor` (1) over `totalIters` (5) epochs. */
export class LinearLR extends LRScheduler {
  startFactor: number;
  endFactor: number;
  totalIters: number;

  constructor(
    optimizer: ScheduledOptimizer,
    ...args: Args<
      [startFactor: number, endFactor: number, totalIters: number, lastEpoch: number],
      { startFactor?: number; endFactor?: number; totalIters?: number; lastEpoch?: number }
    >
  ) {
    const o = bindArgs('LinearLR', { startFactor: 1 / 3, endFactor: 1, totalIters: 5, lastEpoch: -1 }, args);
    const { startFactor, endFactor } = o;
    checkOption(
      startFactor > 0 && startFactor <= 1,
      'LinearLR',
      'startFactor',
      startFactor,
      'above 0 and at most 1',
    );
    checkOption(endFactor >= 0 && endFactor <= 1, 'LinearLR', 'endFactor', endFactor, 'between 0 and 1');
    super(optimizer, o.lastEpoch);
    this.startFactor = startFactor;
    this.endFactor = endFactor;
    this.totalIters = o.totalIters;
    this.start();
  }

  protected getLr(): number[] {
    const { startFactor, endFactor, totalIters, lastEpoch } = this;
    if (lastEpoch === 0) return this.scaled(startFactor);
    if (this.initial || lastEpoch > totalIters) return this.currentLrs();
    const rise = endFactor - startFactor;
    return this.scaled(1 + rise / (totalIters * startFactor + (lastEpoch - 1) * rise));
  }

  protected override closedForm(): number[] {
    const { startFactor, endFactor, totalIters, lastEpoch } = this;
    const factor = startFactor + ((endFactor - startFactor) * Math.min(totalIters, lastEpoch)) / totalIters;
    return this.baseLrs.map((lr) => lr * factor);
  }
}

/** Times `gamma` every epoch. */
export class ExponentialLR extends LRScheduler {
  gamma: number;

  constructor(
    optimizer: ScheduledOptimizer,
    ...args: Args<[gamma: number, lastEpoch: number], { gamma?: number; lastEpoch?: number }>
  ) {
    const o = bindArgs('ExponentialLR', { gamma: Number.NaN, lastEpoch: -1 }, args);
    checkOption(!Number.isNaN(o.gamma), 'ExponentialLR', 'gamma', 'missing', 'a number');
    super(optimizer, o.lastEpoch);
    this.gamma = o.gamma;
    this.start();
  }

  protected getLr(): number[] {
    return this.initial ? this.currentLrs() : this.scaled(this.gamma);
  }

  protected override closedForm(): number[] {
    return this.baseLrs.map((lr) => lr * this.gamma ** this.lastEpoch);
  }
}

/** Falls to 0 as (1 - epoch / totalIters) ** power. */
export class PolynomialLR extends LRScheduler {
  totalIters: number;
  power: number;

  constructor(
    optimizer: ScheduledOptimizer,
    ...args: Args<
      [totalIters: number, power: number, lastEpoch: number],
      { totalIters?: number; power?: number; lastEpoch?: number }
    >
  ) {
    const o = bindArgs('PolynomialLR', { totalIters: 5, power: 1, lastEpoch: -1 }, args);
    super(optimizer, o.lastEpoch);
    this.totalIters = o.totalIters;
    this.power = o.power;
    this.start();
  }

  protected getLr(): number[] {
    const { lastEpoch, totalIters, power } = this;
    if (this.initial || lastEpoch === 0 || lastEpoch > totalIters) return this.currentLrs();
    return this.scaled(((1 - lastEpoch / totalIters) / (1 - (lastEpoch - 1) / totalIters)) ** power);
  }

  protected override closedForm(): number[] {
    const left = 1 - Math.min(this.totalIters, this.lastEpoch) / this.totalIters;
    return this.baseLrs.map((lr) => lr * left ** this.power);
  }
}

/** Half a cosine from the initial rate to `etaMin` over `tMax` epochs, and up again after. */
export class CosineAnnealingLR extends LRScheduler {
  tMax: number;
  etaMin: number;

  constructor(
    optimizer: ScheduledOptimizer,
    ...args: Args<
      [tMax: number, etaMin: number, lastEpoch: number],
      { tMax?: number; etaMin?: number; lastEpoch?: number }
    >
  ) {
    const o = bindArgs('CosineAnnealingLR', { tMax: 0, etaMin: 0, lastEpoch: -1 }, args);
    checkOption(o.tMax > 0, 'CosineAnnealingLR', 'tMax', o.tMax, 'a positive number of epochs');
    super(optimizer, o.lastEpoch);
    this.tMax = o.tMax;
    this.etaMin = o.etaMin;
    this.start();
  }

  protected getLr(): number[] {
    const { tMax, etaMin, lastEpoch } = this;
    if (this.initial || lastEpoch === 0) return this.currentLrs();
    if (this.stepCount === 1 && lastEpoch > 0) return this.closedForm();
    if ((lastEpoch - 1 - tMax) % (2 * tMax) === 0) {
      const rise = 1 - Math.cos(Math.PI / tMax);
      return this.currentLrs().map((lr, i) => lr + ((this.baseLrs[i]! - etaMin) * rise) / 2);
    }
    const ratio =
      (1 + Math.cos((Math.PI * lastEpoch) / tMax)) / (1 + Math.cos((Math.PI * (lastEpoch - 1)) / tMax));
    return this.currentLrs().map((lr) => ratio * (lr - etaMin) + etaMin);
  }

  protected override closedForm(): number[] {
    const { tMax, etaMin, lastEpoch } = this;
    const height = 1 + Math.cos((Math.PI * lastEpoch) / tMax);
    return this.baseLrs.map((lr) => etaMin + ((lr - etaMin) * height) / 2);
  }
}
