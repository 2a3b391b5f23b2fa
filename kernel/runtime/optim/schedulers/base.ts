/** What learning-rate schedulers have in common. */
import { ShardbookError } from '../../base/index.js';
import { camelCase, snakeCase } from '../args.js';

/** The options of one parameter group that schedulers read and write. */
export interface ScheduledGroup {
  lr: number;
  initialLr?: number;
  [option: string]: unknown;
}

/** What a scheduler needs of an optimizer. */
export interface ScheduledOptimizer {
  paramGroups: ScheduledGroup[];
  defaults: Record<string, unknown>;
}

/** What `stateDict` of a scheduler saves. */
export type SchedulerState = Record<string, unknown>;

/** Names that PyTorch's state dicts spell otherwise than by the rule. */
const SPELLING: Record<string, string> = {
  tMax: 'T_max',
  t0: 'T_0',
  tI: 'T_i',
  tMult: 'T_mult',
  tCur: 'T_cur',
  stepCount: '_step_count',
  initial: '_is_initial',
  lastLrs: '_last_lr',
};
const UNSPELLING = Object.fromEntries(Object.entries(SPELLING).map(([name, spelled]) => [spelled, name]));

/**
 * Sets `lr` of every group of an optimizer, one value for each `step()`. The constructor makes the first step (epoch 0).
 * Call `optimizer.step()` first, then `scheduler.step()`.
 */
export abstract class LRScheduler {
  readonly optimizer: ScheduledOptimizer;
  baseLrs: number[];
  lastEpoch: number;
  protected stepCount = 0;
  protected initial = false;
  protected lastLrs: number[] = [];

  /** With `lastEpoch` null the scheduler works on whatever rate it finds and no initial rate is noted. */
  constructor(optimizer: ScheduledOptimizer, lastEpoch: number | null) {
    this.optimizer = optimizer;
    this.lastEpoch = lastEpoch ?? 0;
    this.baseLrs = [];
    if (lastEpoch === null) return;
    for (const [i, group] of optimizer.paramGroups.entries()) {
      if (lastEpoch === -1) group.initialLr ??= group.lr;
      else if (group.initialLr === undefined) {
        throw new ShardbookError({
          code: 'SB_OPTIM_RESUME',
          message: `Cannot resume a scheduler at epoch ${lastEpoch}: parameter group ${i} has no "initialLr"`,
          help: 'Load the optimizer state dict before the scheduler is created, or leave lastEpoch at -1',
        });
      }
    }
    this.baseLrs = optimizer.paramGroups.map((group) => group.initialLr!);
  }

  /** Makes the first step; every constructor ends with it. */
  protected start(): void {
    this.stepCount = 0;
    this.initial = true;
    try {
      this.step();
    } finally {
      this.initial = false;
    }
  }

  /** For SequentialLR: the first scheduler takes its first step again. */
  restart(): void {
    this.start();
  }

  /** The rate of each group at `lastEpoch`, usually from the rate before. */
  protected abstract getLr(): number[];

  /** The rate of each group as a function of the epoch alone, where there is one. */
  protected closedForm(): number[] | undefined {
    return undefined;
  }

  /** The rates last set. */
  getLastLr(): number[] {
    return [...this.lastLrs];
  }

  /** Advances by one epoch, or goes to `epoch`. */
  step(epoch?: number): void {
    this.stepCount += 1;
    if (epoch === undefined) {
      this.lastEpoch += 1;
      this.setLrs(this.getLr());
    } else {
      this.lastEpoch = epoch;
      this.setLrs(this.closedForm() ?? this.getLr());
    }
  }

  protected setLrs(values: readonly number[]): void {
    for (const [i, group] of this.optimizer.paramGroups.entries()) {
      const value = values[i];
      if (value !== undefined) group.lr = value;
    }
    this.lastLrs = this.currentLrs();
  }

  protected currentLrs(): number[] {
    return this.optimizer.paramGroups.map((group) => group.lr);
  }

  /** The current rate of each group times `factor`. */
  protected scaled(factor: number): number[] {
    return this.currentLrs().map((lr) => lr * factor);
  }

  /** Everything but the optimizer, spelled as PyTorch spells it; functions are not saved. */
  stateDict(): SchedulerState {
    const state: SchedulerState = {};
    for (const [name, value] of Object.entries(this)) {
      if (name === 'optimizer' || typeof value === 'function') continue;
      state[SPELLING[name] ?? snakeCase(name)] = Array.isArray(value) ? [...value] : value;
    }
    return state;
  }

  /** Puts back what `stateDict` gave. Functions stay those of this scheduler. */
  loadStateDict(state: SchedulerState): void {
    for (const [spelled, value] of Object.entries(state)) {
      const name = UNSPELLING[spelled] ?? camelCase(spelled);
      if (name === 'optimizer' || typeof value === 'function') continue;
      if (name in this) Object.assign(this, { [name]: Array.isArray(value) ? [...value] : value });
    }
  }
}
