/** Schedulers made of others, and the one that watches a metric. */
import { ShardbookError } from '../../base/index.js';
import { type Args, bindArgs, checkOption } from '../args.js';
import { LRScheduler, type ScheduledOptimizer, type SchedulerState } from './base.js';

function checkParts(callee: string, optimizer: ScheduledOptimizer, parts: readonly LRScheduler[]): void {
  checkOption(parts.length > 0, callee, 'schedulers', 'empty', 'a list of at least one scheduler');
  for (const [i, part] of parts.entries()) {
    if (part instanceof LRScheduler && part.optimizer === optimizer) continue;
    throw new ShardbookError({
      code: 'SB_OPTIM_OPTION',
      message: `Cannot create "${callee}": scheduler ${i} is not a scheduler of the same optimizer`,
    });
  }
}

function undo(scheduler: LRScheduler): void {
  if (scheduler instanceof SequentialLR || scheduler instanceof ChainedScheduler) {
    for (const part of scheduler.schedulers) undo(part);
  } else scheduler.lastEpoch -= 1;
}

/** One scheduler after the other; number i + 1 takes over (from its epoch 0) at milestones[i]. */
export class SequentialLR extends LRScheduler {
  readonly schedulers: readonly LRScheduler[];
  milestones: number[];

  constructor(
    optimizer: ScheduledOptimizer,
    schedulers: readonly LRScheduler[],
    milestones: readonly number[],
    ...args: Args<[lastEpoch: number], { lastEpoch?: number }>
  ) {
    const o = bindArgs('SequentialLR', { lastEpoch: -1 }, args);
    checkParts('SequentialLR', optimizer, schedulers);
    const wanted = schedulers.length - 1;
    checkOption(
      milestones.length === wanted,
      'SequentialLR',
      'milestones',
      milestones,
      `a list of ${wanted}, one fewer than schedulers`,
    );
    super(optimizer, -1);
    this.schedulers = [...schedulers];
    this.milestones = [...milestones];
    this.lastEpoch = o.lastEpoch + 1;
    // Every part has taken its first step on construction, each on top of the other: only the first one's may stay.
    for (const group of optimizer.paramGroups) group.lr = group.initialLr!;
    undo(this);
    schedulers[0]!.restart();
    this.lastLrs = schedulers[0]!.getLastLr();
  }

  protected getLr(): number[] {
    return this.currentLrs();
  }

  override step(): void {
    this.lastEpoch += 1;
    const index = this.milestones.filter((m) => m <= this.lastEpoch).length;
    const scheduler = this.schedulers[index]!;
    if (index > 0 && this.milestones[index - 1] === this.lastEpoch) scheduler.step(0);
    else scheduler.step();
    this.lastLrs = scheduler.getLastLr();
  }

  override restart(): void {
    this.schedulers[0]!.restart();
  }

  override stateDict(): SchedulerState {
    const { schedulers: _, milestones, ...state } = super.stateDict();
    return { ...state, _milestones: milestones, _schedulers: this.schedulers.map((s) => s.stateDict()) };
  }

  override loadStateDict(state: SchedulerState): void {
    const { _schedulers, _milestones, ...rest } = state;
    super.loadStateDict(rest);
    if (Array.isArray(_milestones)) this.milestones = [..._milestones];
    loadParts('SequentialLR', this.schedulers, _schedulers);
  }
}

function loadParts(callee: string, parts: readonly LRScheduler[], states: unknown): void {
  if (!Array.isArray(states) || states.length !== parts.length) {
    throw new ShardbookError({
      code: 'SB_OPTIM_STATE',
      message: `Cannot load the state of "${callee}": it is for ${Array.isArray(states) ? states.length : 'no'} schedulers, there are ${parts.length}`,
    });
  }
  for (const [i, part] of parts.entries()) part.loadStateDict(states[i] as SchedulerState);
}

/** All schedulers step at once; their factors multiply. */
export class ChainedScheduler extends LRScheduler {
  readonly schedulers: readonly LRScheduler[];

  constructor(
    schedulers: readonly LRScheduler[],
    ...args: Args<[ScheduledOptimizer], { optimizer?: ScheduledOptimizer }>
  ) {
    checkOption(
      schedulers.length > 0,
      'ChainedScheduler',
      'schedulers',
      'empty',
      'a list of at least one scheduler',
    );
    const own = args[0];
    const named = own !== undefined && 'paramGroups' in own ? own : own?.optimizer;
    const optimizer = named ?? schedulers[0]!.optimizer;
    checkParts('ChainedScheduler', optimizer, schedulers);
    super(optimizer, null);
    this.schedulers = [...schedulers];
    this.lastLrs = this.currentLrs();
  }

  protected getLr(): number[] {
    return this.currentLrs();
  }

  override step(): void {
    for (const scheduler of this.schedulers) scheduler.step();
    this.lastLrs = this.currentLrs();
  }

  override restart(): void {
    for (const scheduler of this.schedulers) scheduler.restart();
  }

  override stateDict(): SchedulerState {
    return { _last_lr: this.getLastLr(), _schedulers: this.schedulers.map((s) => s.stateDict()) };
  }

  override loadStateDict(state: SchedulerState): void {
    const { _schedulers, ...rest } = state;
    super.loadStateDict(rest);
    loadParts('ChainedScheduler', this.schedulers, _schedulers);
  }
}

export interface ReduceLROnPlateauOptions {
  mode?: 'min' | 'max';
  factor?: number;
  patience?: number;
  threshold?: number;
  thresholdMode?: 'rel' | 'abs';
  cooldown?: number;
  minLr?: number | readonly number[];
  eps?: number;
}

/** Times `factor` when the metric given to `step` has not improved for more than `patience` steps. */
export class ReduceLROnPlateau extends LRScheduler {
  mode: string;
  factor: number;
  patience: number;
  threshold: number;
  thresholdMode: string;
  cooldown: number;
  cooldownCounter = 0;
  minLrs: number[];
  eps: number;
  best: number;
  numBadEpochs = 0;

  constructor(
    optimizer: ScheduledOptimizer,
    ...args: Args<
      ['min' | 'max', number, number, number, 'rel' | 'abs', number, number | readonly number[], number],
      ReduceLROnPlateauOptions
    >
  ) {
    const o = bindArgs(
      'ReduceLROnPlateau',
      {
        mode: 'min',
        factor: 0.1,
        patience: 10,
        threshold: 1e-4,
        thresholdMode: 'rel',
        cooldown: 0,
        minLr: 0 as number | readonly number[],
        eps: 1e-8,
      },
      args,
    );
    const name = 'ReduceLROnPlateau';
    checkOption(o.factor < 1, name, 'factor', o.factor, 'below 1');
    checkOption(o.mode === 'min' || o.mode === 'max', name, 'mode', o.mode, '"min" or "max"');
    checkOption(
      o.thresholdMode === 'rel' || o.thresholdMode === 'abs',
      name,
      'thresholdMode',
      o.thresholdMode,
      '"rel" or "abs"',
    );
    super(optimizer, null);
    const count = optimizer.paramGroups.length;
    const { minLr } = o;
    if (typeof minLr !== 'number') {
      checkOption(minLr.length === count, name, 'minLr', minLr, `a number or a list of ${count}`);
    }
    this.mode = o.mode;
    this.factor = o.factor;
    this.patience = o.patience;
    this.threshold = o.threshold;
    this.thresholdMode = o.thresholdMode;
    this.cooldown = o.cooldown;
    this.minLrs = typeof minLr === 'number' ? Array.from({ length: count }, () => minLr) : [...minLr];
    this.eps = o.eps;
    this.best = this.mode === 'min' ? Infinity : -Infinity;
    this.lastLrs = this.currentLrs();
  }

  protected getLr(): number[] {
    return this.currentLrs();
  }

  /** Judges the metric (a number or a tensor of one element) and lowers the rates if it stagnates. */
  override step(metric?: number | { item(): number | bigint | boolean }): void {
    if (metric === undefined) {
      throw new ShardbookError({
        code: 'SB_OPTIM_ARGUMENT',
        message: 'Cannot step "ReduceLROnPlateau": the metric is missing',
        help: 'Call scheduler.step(validationLoss)',
      });
    }
    const value = typeof metric === 'number' ? metric : Number(metric.item());
    this.lastEpoch += 1;
    if (this.isBetter(value)) {
      this.best = value;
      this.numBadEpochs = 0;
    } else this.numBadEpochs += 1;
    if (this.cooldownCounter > 0) {
      this.cooldownCounter -= 1;
      this.numBadEpochs = 0;
    }
    if (this.numBadEpochs > this.patience) {
      this.reduce();
      this.cooldownCounter = this.cooldown;
      this.numBadEpochs = 0;
    }
    this.lastLrs = this.currentLrs();
  }

  private isBetter(value: number): boolean {
    const { best, threshold } = this;
    if (this.mode === 'min') {
      return value < (this.thresholdMode === 'rel' ? best * (1 - threshold) : best - threshold);
    }
    return value > (this.thresholdMode === 'rel' ? best * (threshold + 1) : best + threshold);
  }

  private reduce(): void {
    for (const [i, group] of this.optimizer.paramGroups.entries()) {
      const lr = Math.max(group.lr * this.factor, this.minLrs[i]!);
      if (group.lr - lr > this.eps) group.lr = lr;
    }
  }
}
