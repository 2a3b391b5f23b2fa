import { describe, expect, it } from 'vitest';
import {
  ChainedScheduler,
  ConstantLR,
  CosineAnnealingLR,
  CosineAnnealingWarmRestarts,
  CyclicLR,
  ExponentialLR,
  LambdaLR,
  LinearLR,
  type LRScheduler,
  MultiplicativeLR,
  MultiStepLR,
  OneCycleLR,
  PolynomialLR,
  ReduceLROnPlateau,
  type ScheduledOptimizer,
  SequentialLR,
  StepLR,
} from './index.js';

const optimizer = (...lrs: number[]): ScheduledOptimizer => ({
  paramGroups: lrs.map((lr) => ({ lr, momentum: 0.9 })),
  defaults: { momentum: 0.9 },
});
const run = (o: ScheduledOptimizer, s: LRScheduler, n: number): number[] => {
  const out = [o.paramGroups[0]!.lr];
  for (let i = 0; i < n; i++) {
    s.step();
    out.push(o.paramGroups[0]!.lr);
  }
  return out;
};
const near = (actual: number[], wanted: number[]): void => {
  expect(actual.length).toBe(wanted.length);
  wanted.forEach((w, i) => void expect(actual[i]).toBeCloseTo(w, 12));
};
const trace = (make: (o: ScheduledOptimizer) => LRScheduler, n: number, lr = 1): number[] => {
  const o = optimizer(lr);
  return run(o, make(o), n);
};

describe('schedulers', () => {
  it('StepLR takes its arguments by position and by name', () => {
    const wanted = [1, 1, 0.5, 0.5, 0.25];
    expect(trace((o) => new StepLR(o, 2, 0.5), 4)).toEqual(wanted);
    expect(trace((o) => new StepLR(o, 2, { gamma: 0.5 }), 4)).toEqual(wanted);
    expect(trace((o) => new StepLR(o, { stepSize: 2, gamma: 0.5 }), 4)).toEqual(wanted);
    expect(() => new StepLR(optimizer(1), 2, { gama: 0.5 } as object)).toThrow('Did you mean "gamma"');
  });
  it('MultiStepLR counts a milestone named twice twice', () => {
    expect(trace((o) => new MultiStepLR(o, [1, 3, 3], 0.5), 4)).toEqual([1, 0.5, 0.5, 0.125, 0.125]);
  });
  it('ExponentialLR, LambdaLR and MultiplicativeLR agree on a power', () => {
    const wanted = [1, 0.5, 0.25, 0.125];
    near(
      trace((o) => new ExponentialLR(o, 0.5), 3),
      wanted,
    );
    near(
      trace((o) => new LambdaLR(o, (s) => 0.5 ** s), 3),
      wanted,
    );
    near(
      trace((o) => new MultiplicativeLR(o, () => 0.5), 3),
      wanted,
    );
  });
  it('LinearLR and ConstantLR end at the initial rate', () => {
    near(
      trace((o) => new LinearLR(o, 0.25, 1, 3), 4),
      [0.25, 0.5, 0.75, 1, 1],
    );
    near(
      trace((o) => new ConstantLR(o, 0.25, 2), 3),
      [0.25, 0.25, 1, 1],
    );
    expect(() => new LinearLR(optimizer(1), 0)).toThrow('startFactor');
  });
  it('PolynomialLR reaches 0 and stays', () => {
    near(
      trace((o) => new PolynomialLR(o, 4, 2), 5),
      [1, 0.5625, 0.25, 0.0625, 0, 0],
    );
  });
  it('CosineAnnealingLR goes down and up again', () => {
    near(
      trace((o) => new CosineAnnealingLR(o, 2), 4),
      [1, 0.5, 0, 0.5, 1],
    );
  });
  it('CosineAnnealingWarmRestarts doubles its period', () => {
    near(
      trace((o) => new CosineAnnealingWarmRestarts(o, 1, 2), 3),
      [1, 1, 0.5, 1],
    );
  });
  it('OneCycleLR starts at maxLr / divFactor, moves momentum and ends with an error', () => {
    const o = optimizer(1);
    const s = new OneCycleLR(o, 0.5, 6);
    expect(o.paramGroups[0]!.lr).toBeCloseTo(0.02, 12);
    expect(o.paramGroups[0]!['momentum']).toBeCloseTo(0.95, 12);
    for (let i = 0; i < 6; i++) s.step();
    expect(() => s.step()).toThrow('has 6 steps');
    expect(() => new OneCycleLR(optimizer(1), 0.1)).toThrow('length of the cycle');
  });
  it('CyclicLR makes triangles and counter-moves momentum', () => {
    const o = optimizer(9);
    const s = new CyclicLR(o, 0.1, 0.5, 2);
    near(run(o, s, 4), [0.1, 0.3, 0.5, 0.3, 0.1]);
    expect(o.paramGroups[0]!['momentum']).toBeCloseTo(0.9, 12);
  });
  it('SequentialLR hands over at milestones', () => {
    const make = (o: ScheduledOptimizer): LRScheduler =>
      new SequentialLR(
        o,
        [new ConstantLR(o, 0.1, 2), new ExponentialLR(o, 0.5), new StepLR(o, 2, 0.1)],
        [2, 5],
      );
    near(trace(make, 10, 0.02), [0.002, 0.002, 0.02, 0.01, 0.005, 0.02, 0.02, 0.002, 0.002, 0.0002, 0.0002]);
    const o = optimizer(1);
    expect(() => new SequentialLR(o, [new StepLR(o, 1)], [1, 2])).toThrow('milestones');
  });
  it('ChainedScheduler multiplies', () => {
    const make = (o: ScheduledOptimizer): LRScheduler =>
      new ChainedScheduler([new ConstantLR(o, 0.1, 2), new ExponentialLR(o, 0.9)]);
    near(trace(make, 3, 0.3), [0.03, 0.027, 0.243, 0.2187]);
  });
  it('ReduceLROnPlateau waits for patience, then reduces', () => {
    const o = optimizer(1);
    const s = new ReduceLROnPlateau(o, { patience: 1, factor: 0.5 });
    for (const metric of [1, 0.9, 0.95, 0.96, { item: () => 0.97 }]) s.step(metric);
    expect(s.getLastLr()).toEqual([0.5]);
    expect(() => new ReduceLROnPlateau(o, { factor: 1 })).toThrow('below 1');
    expect(() => s.step()).toThrow('metric is missing');
  });
  it('a state dict in PyTorch spelling continues the run', () => {
    const make = (o: ScheduledOptimizer): LRScheduler => new CosineAnnealingLR(o, 10);
    const o = optimizer(1);
    const s = make(o);
    run(o, s, 4);
    const saved = structuredClone(s.stateDict());
    expect(saved).toMatchObject({ T_max: 10, last_epoch: 4, base_lrs: [1], eta_min: 0 });
    const other = optimizer(1);
    const t = make(other);
    t.loadStateDict(saved);
    other.paramGroups[0]!.lr = o.paramGroups[0]!.lr;
    expect(run(other, t, 3)).toEqual(run(o, s, 3));
  });
  it('refuses to resume without an initial rate', () => {
    expect(() => new StepLR(optimizer(1), 1, 0.1, 5)).toThrow('no "initialLr"');
  });
});
