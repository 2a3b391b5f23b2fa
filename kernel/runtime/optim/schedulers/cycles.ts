/** Schedulers that run in cycles: warm restarts, cyclic rates, the one-cycle policy. */
import { ShardbookError } from '../../base/index.js';
import { type Args, bindArgs, checkOption } from '../args.js';
import { LRScheduler, type ScheduledGroup, type ScheduledOptimizer } from './base.js';

/** Cosine annealing that starts anew after t0 epochs, each run tMult times as long as the one before. */
export class CosineAnnealingWarmRestarts extends LRScheduler {
  t0: number;
  tI: number;
  tMult: number;
  etaMin: number;
  tCur: number;

  constructor(
    optimizer: ScheduledOptimizer,
    ...args: Args<
      [t0: number, tMult: number, etaMin: number, lastEpoch: number],
      { t0?: number; tMult?: number; etaMin?: number; lastEpoch?: number }
    >
  ) {
    const name = 'CosineAnnealingWarmRestarts';
    const o = bindArgs(name, { t0: 0, tMult: 1, etaMin: 0, lastEpoch: -1 }, args);
    checkOption(Number.isInteger(o.t0) && o.t0 > 0, name, 't0', o.t0, 'a positive integer');
    checkOption(
      Number.isInteger(o.tMult) && o.tMult >= 1,
      name,
      'tMult',
      o.tMult,
      'an integer of at least 1',
    );
    super(optimizer, o.lastEpoch);
    this.t0 = o.t0;
    this.tI = o.t0;
    this.tMult = o.tMult;
    this.etaMin = o.etaMin;
    this.tCur = o.lastEpoch;
    this.start();
  }

  protected getLr(): number[] {
    const height = 1 + Math.cos((Math.PI * this.tCur) / this.tI);
    return this.baseLrs.map((lr) => this.etaMin + ((lr - this.etaMin) * height) / 2);
  }

  /** Advances by one epoch, or goes to `epoch`, which may be fractional. */
  override step(epoch?: number): void {
    let target = epoch;
    if (target === undefined && this.lastEpoch < 0) target = 0;
    if (target === undefined) {
      target = this.lastEpoch + 1;
      this.tCur += 1;
      if (this.tCur >= this.tI) {
        this.tCur %= this.tI;
        this.tI *= this.tMult;
      }
    } else {
      checkOption(target >= 0, 'CosineAnnealingWarmRestarts.step', 'epoch', target, 'at least 0');
      this.goTo(target);
    }
    this.lastEpoch = Math.floor(target);
    this.setLrs(this.getLr());
  }

  private goTo(epoch: number): void {
    const { t0, tMult } = this;
    if (epoch < t0) {
      this.tI = t0;
      this.tCur = epoch;
    } else if (tMult === 1) {
      this.tCur = epoch % t0;
    } else {
      const n = Math.trunc(Math.log((epoch / t0) * (tMult - 1) + 1) / Math.log(tMult));
      this.tCur = epoch - (t0 * (tMult ** n - 1)) / (tMult - 1);
      this.tI = t0 * tMult ** n;
    }
  }
}

/** Whether momentum is to be cycled and where it lives: `momentum`, or the first of `betas`. */
function usesBetas(callee: string, optimizer: ScheduledOptimizer): boolean {
  if ('betas' in optimizer.defaults) return true;
  if ('momentum' in optimizer.defaults) return false;
  throw new ShardbookError({
    code: 'SB_OPTIM_OPTION',
    message: `Cannot create "${callee}": "cycleMomentum" is true, but the optimizer has neither "momentum" nor "betas"`,
    help: 'Pass { cycleMomentum: false }',
  });
}

function setMomentum(group: ScheduledGroup, betas: boolean, value: number): void {
  if (betas) group['betas'] = [value, ...(group['betas'] as number[]).slice(1)];
  else group['momentum'] = value;
}

function forGroups(
  callee: string,
  name: string,
  optimizer: ScheduledOptimizer,
  value: number | readonly number[],
): number[] {
  const count = optimizer.paramGroups.length;
  if (typeof value === 'number') return Array.from({ length: count }, () => value);
  checkOption(
    value.length === count,
    callee,
    name,
    `a list of ${value.length}`,
    `a number or a list of ${count}`,
  );
  return [...value];
}

export interface CyclicLROptions {
  stepSizeUp?: number;
  stepSizeDown?: number | null;
  mode?: 'triangular' | 'triangular2' | 'exp_range';
  gamma?: number;
  scaleFn?: ((x: number) => number) | null;
  scaleMode?: 'cycle' | 'iterations';
  cycleMomentum?: boolean;
  baseMomentum?: number | readonly number[];
  maxMomentum?: number | readonly number[];
  lastEpoch?: number;
}

/** Triangles between `baseLr` and `maxLr`; momentum moves the other way. */
export class CyclicLR extends LRScheduler {
  maxLrs: number[];
  totalSize: number;
  stepRatio: number;
  mode: string;
  gamma: number;
  scaleFn: (x: number) => number;
  scaleMode: string;
  cycleMomentum: boolean;
  baseMomentums: number[] = [];
  maxMomentums: number[] = [];
  private useBeta1 = false;

  constructor(
    optimizer: ScheduledOptimizer,
    baseLr: number | readonly number[],
    maxLr: number | readonly number[],
    ...args: Args<
      [stepSizeUp: number, stepSizeDown: number | null, mode: string, gamma: number],
      CyclicLROptions
    >
  ) {
    const o = bindArgs(
      'CyclicLR',
      {
        stepSizeUp: 2000,
        stepSizeDown: null as number | null,
        mode: 'triangular',
        gamma: 1,
        scaleFn: null as ((x: number) => number) | null,
        scaleMode: 'cycle',
        cycleMomentum: true,
        baseMomentum: 0.8 as number | readonly number[],
        maxMomentum: 0.9 as number | readonly number[],
        lastEpoch: -1,
      },
      args,
    );
    const modes = ['triangular', 'triangular2', 'exp_range'];
    checkOption(
      o.scaleFn !== null || modes.includes(o.mode),
      'CyclicLR',
      'mode',
      o.mode,
      `one of ${modes.join(', ')}`,
    );
    const baseLrs = forGroups('CyclicLR', 'baseLr', optimizer, baseLr);
    if (o.lastEpoch === -1) for (const [i, group] of optimizer.paramGroups.entries()) group.lr = baseLrs[i]!;
    super(optimizer, o.lastEpoch);
    this.maxLrs = forGroups('CyclicLR', 'maxLr', optimizer, maxLr);
    const down = o.stepSizeDown ?? o.stepSizeUp;
    this.totalSize = o.stepSizeUp + down;
    this.stepRatio = o.stepSizeUp / this.totalSize;
    this.mode = o.mode;
    this.gamma = o.gamma;
    this.scaleFn = o.scaleFn ?? this.builtinScale();
    this.scaleMode = o.scaleFn !== null ? o.scaleMode : o.mode === 'exp_range' ? 'iterations' : 'cycle';
    this.cycleMomentum = o.cycleMomentum;
    if (o.cycleMomentum) {
      this.useBeta1 = usesBetas('CyclicLR', optimizer);
      this.baseMomentums = forGroups('CyclicLR', 'baseMomentum', optimizer, o.baseMomentum);
      this.maxMomentums = forGroups('CyclicLR', 'maxMomentum', optimizer, o.maxMomentum);
      if (o.lastEpoch === -1) {
        for (const [i, group] of optimizer.paramGroups.entries())
          setMomentum(group, this.useBeta1, this.maxMomentums[i]!);
      }
    }
    this.start();
    this.baseLrs = baseLrs;
  }

  private builtinScale(): (x: number) => number {
    if (this.mode === 'triangular2') return (x) => 1 / 2 ** (x - 1);
    if (this.mode === 'exp_range') return (x) => this.gamma ** x;
    return () => 1;
  }

  protected getLr(): number[] {
    const cycle = Math.floor(1 + this.lastEpoch / this.totalSize);
    const x = 1 + this.lastEpoch / this.totalSize - cycle;
    const rise = x <= this.stepRatio ? x / this.stepRatio : (x - 1) / (this.stepRatio - 1);
    const scale = this.scaleFn(this.scaleMode === 'cycle' ? cycle : this.lastEpoch);
    if (this.cycleMomentum) {
      for (const [i, group] of this.optimizer.paramGroups.entries()) {
        const high = this.maxMomentums[i]!;
        setMomentum(group, this.useBeta1, high - (high - this.baseMomentums[i]!) * rise * scale);
      }
    }
    return this.baseLrs.map((lr, i) => lr + (this.maxLrs[i]! - lr) * rise * scale);
  }
}

interface Phase {
  end: number;
  lr: [from: string, to: string];
  momentum: [from: string, to: string];
}

export interface OneCycleLROptions {
  totalSteps?: number | null;
  epochs?: number | null;
  stepsPerEpoch?: number | null;
  pctStart?: number;
  annealStrategy?: 'cos' | 'linear';
  cycleMomentum?: boolean;
  baseMomentum?: number | readonly number[];
  maxMomentum?: number | readonly number[];
  divFactor?: number;
  finalDivFactor?: number;
  threePhase?: boolean;
  lastEpoch?: number;
}

/** Up to `maxLr` and far down again in `totalSteps` steps; step it after every batch. */
export class OneCycleLR extends LRScheduler {
  totalSteps: number;
  annealStrategy: string;
  cycleMomentum: boolean;
  private useBeta1 = false;
  private readonly phases: Phase[];

  constructor(
    optimizer: ScheduledOptimizer,
    maxLr: number | readonly number[],
    ...args: Args<
      [totalSteps: number | null, epochs: number | null, stepsPerEpoch: number | null],
      OneCycleLROptions
    >
  ) {
    const o = bindArgs(
      'OneCycleLR',
      {
        totalSteps: null as number | null,
        epochs: null as number | null,
        stepsPerEpoch: null as number | null,
        pctStart: 0.3,
        annealStrategy: 'cos',
        cycleMomentum: true,
        baseMomentum: 0.85 as number | readonly number[],
        maxMomentum: 0.95 as number | readonly number[],
        divFactor: 25,
        finalDivFactor: 1e4,
        threePhase: false,
        lastEpoch: -1,
      },
      args,
    );
    const total = cycleLength(o.totalSteps, o.epochs, o.stepsPerEpoch);
    const strategies = ['cos', 'linear'];
    checkOption(o.pctStart >= 0 && o.pctStart <= 1, 'OneCycleLR', 'pctStart', o.pctStart, 'between 0 and 1');
    checkOption(
      strategies.includes(o.annealStrategy),
      'OneCycleLR',
      'annealStrategy',
      o.annealStrategy,
      '"cos" or "linear"',
    );
    const maxLrs = forGroups('OneCycleLR', 'maxLr', optimizer, maxLr);
    if (o.lastEpoch === -1) {
      for (const [i, group] of optimizer.paramGroups.entries()) {
        group.initialLr = maxLrs[i]! / o.divFactor;
        group['maxLr'] = maxLrs[i]!;
        group['minLr'] = group.initialLr / o.finalDivFactor;
      }
    }
    super(optimizer, o.lastEpoch);
    this.totalSteps = total;
    this.annealStrategy = o.annealStrategy;
    this.cycleMomentum = o.cycleMomentum;
    this.phases = phasesOf(total, o.pctStart, o.threePhase);
    if (o.cycleMomentum) {
      this.useBeta1 = usesBetas('OneCycleLR', optimizer);
      const high = forGroups('OneCycleLR', 'maxMomentum', optimizer, o.maxMomentum);
      const low = forGroups('OneCycleLR', 'baseMomentum', optimizer, o.baseMomentum);
      if (o.lastEpoch === -1) {
        for (const [i, group] of optimizer.paramGroups.entries()) {
          setMomentum(group, this.useBeta1, high[i]!);
          group['maxMomentum'] = high[i]!;
          group['baseMomentum'] = low[i]!;
        }
      }
    }
    this.start();
  }

  protected getLr(): number[] {
    const step = this.lastEpoch;
    if (step > this.totalSteps) {
      throw new ShardbookError({
        code: 'SB_OPTIM_SCHEDULE_END',
        message: `Cannot step "OneCycleLR" to step ${step}: its cycle has ${this.totalSteps} steps`,
        help: 'Create it with as many totalSteps as there are optimizer steps',
      });
    }
    let from = 0;
    let phase = this.phases[0]!;
    for (const [i, candidate] of this.phases.entries()) {
      phase = candidate;
      if (step <= candidate.end || i === this.phases.length - 1) break;
      from = candidate.end;
    }
    const share = (step - from) / (phase.end - from);
    return this.optimizer.paramGroups.map((group) => {
      if (this.cycleMomentum) setMomentum(group, this.useBeta1, this.anneal(group, phase.momentum, share));
      return this.anneal(group, phase.lr, share);
    });
  }

  private anneal(group: ScheduledGroup, [from, to]: [string, string], share: number): number {
    const start = group[from] as number;
    const end = group[to] as number;
    if (this.annealStrategy === 'linear') return (end - start) * share + start;
    return end + ((start - end) / 2) * (Math.cos(Math.PI * share) + 1);
  }

  override stateDict(): Record<string, unknown> {
    const { phases: _, ...state } = super.stateDict();
    state['_schedule_phases'] = this.phases.map((phase) => ({
      end_step: phase.end,
      start_lr: PHASE_SPELLING[phase.lr[0]],
      end_lr: PHASE_SPELLING[phase.lr[1]],
      start_momentum: PHASE_SPELLING[phase.momentum[0]],
      end_momentum: PHASE_SPELLING[phase.momentum[1]],
    }));
    return state;
  }
}

const PHASE_SPELLING: Record<string, string> = {
  initialLr: 'initial_lr',
  maxLr: 'max_lr',
  minLr: 'min_lr',
  maxMomentum: 'max_momentum',
  baseMomentum: 'base_momentum',
};

function cycleLength(total: number | null, epochs: number | null, stepsPerEpoch: number | null): number {
  const steps = total ?? (epochs !== null && stepsPerEpoch !== null ? epochs * stepsPerEpoch : null);
  if (steps === null) {
    throw new ShardbookError({
      code: 'SB_OPTIM_OPTION',
      message: 'Cannot create "OneCycleLR": the length of the cycle is missing',
      help: 'Pass totalSteps, or epochs and stepsPerEpoch',
    });
  }
  checkOption(Number.isInteger(steps) && steps > 0, 'OneCycleLR', 'totalSteps', steps, 'a positive integer');
  return steps;
}

function phasesOf(total: number, pctStart: number, three: boolean): Phase[] {
  const up: Phase = {
    end: pctStart * total - 1,
    lr: ['initialLr', 'maxLr'],
    momentum: ['maxMomentum', 'baseMomentum'],
  };
  if (!three) {
    return [up, { end: total - 1, lr: ['maxLr', 'minLr'], momentum: ['baseMomentum', 'maxMomentum'] }];
  }
  return [
    up,
    { end: 2 * pctStart * total - 2, lr: ['maxLr', 'initialLr'], momentum: ['baseMomentum', 'maxMomentum'] },
    { end: total - 1, lr: ['initialLr', 'minLr'], momentum: ['maxMomentum', 'maxMomentum'] },
  ];
}
