import { beforeAll, describe, expect, it } from 'vitest';
import { referenceBackend } from '../backend/index.js';
import { setBackend, type Tensor, torch } from '../tensor/index.js';
import {
  Adagrad,
  Adam,
  AdamW,
  clipGradNorm_,
  clipGradValue_,
  GradScaler,
  getTotalNorm,
  lrScheduler,
  type Optimizer,
  RMSprop,
  SGD,
} from './index.js';

beforeAll(() => setBackend(referenceBackend));

const f32 = (values: number[]): Tensor => torch.tensor(values, { dtype: torch.float32 });
const leaf = (...values: number[]): Tensor => f32(values).requiresGrad_();
const list = (t: Tensor): number[] => t.detach().tolist() as number[];
const near = (t: Tensor, wanted: number[], digits = 5): void =>
  list(t).forEach((v, i) => void expect(v).toBeCloseTo(wanted[i]!, digits));
const stepWith = (o: Optimizer, p: Tensor, ...grad: number[]): void => {
  p.grad = f32(grad);
  o.step();
};

describe('SGD', () => {
  it('momentum buffer starts as the gradient, dampening from the second step', () => {
    const p = leaf(0);
    const o = new SGD([p], { lr: 1, momentum: 0.5, dampening: 0.5 });
    stepWith(o, p, 1);
    near(p, [-1]);
    stepWith(o, p, 1);
    near(p, [-2]);
  });
  it('nesterov, weight decay and maximize', () => {
    const p = leaf(1);
    stepWith(
      new SGD([p], { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.5, maximize: true }),
      p,
      1,
    );
    near(p, [1 - 0.1 * 1.9 * (-1 + 0.5)]);
  });
  it('leaves parameters without a gradient alone', () => {
    const [a, b] = [leaf(1), leaf(1)];
    const o = new SGD([a, b], { lr: 1, weightDecay: 1 });
    stepWith(o, a, 0);
    expect([list(a), list(b)]).toEqual([[0], [1]]);
  });
  it('runs a closure with gradients on, and hooks around the step', () => {
    const p = leaf(3);
    const o = new SGD([p], { lr: 0.5 });
    const log: string[] = [];
    o.registerStepPreHook(() => void log.push('pre'));
    const handle = o.registerStepPostHook(() => void log.push('post'));
    const loss = o.step(() => {
      o.zeroGrad();
      const l = p.mul(p).sum();
      l.backward();
      return l.item();
    });
    expect(loss).toBe(9);
    near(p, [0]);
    handle.remove();
    o.step();
    expect(log).toEqual(['pre', 'post', 'pre']);
  });
});

describe('Adam', () => {
  it('first step is lr times the sign of the gradient', () => {
    const p = leaf(0, 0);
    stepWith(new Adam([p], { lr: 0.1 }), p, 5, -0.001);
    near(p, [-0.1, 0.1], 4);
  });
  it('AdamW shrinks the parameter, Adam moves the gradient', () => {
    const [a, b] = [leaf(10), leaf(10)];
    stepWith(new AdamW([a], { lr: 0.1, weightDecay: 0.5 }), a, 1);
    stepWith(new Adam([b], { lr: 0.1, weightDecay: 0.5 }), b, 1);
    near(a, [10 * 0.95 - 0.1]);
    near(b, [9.9]);
  });
  it('the fused step and the plain operations agree', () => {
    const start = [0.3, -1.2, 2.5, 0.01, 7];
    for (const options of [
      {},
      { amsgrad: true },
      { weightDecay: 0.1, maximize: true },
      { betas: [0, 0.9] },
    ]) {
      for (const Kind of [Adam, AdamW]) {
        const fused = leaf(...start);
        // A strided parameter takes the plain way.
        const plain = torch
          .tensor(start.flatMap((v) => [v, 0]))
          .reshape([5, 2])
          .t()
          .select(0, 0)
          .detach();
        plain.requiresGrad = true;
        const [a, b] = [
          new Kind([fused], { lr: 0.05, ...options }),
          new Kind([plain], { lr: 0.05, ...options }),
        ];
        for (let k = 0; k < 4; k++) {
          const grad = start.map((v, i) => Math.sin(v * (k + 1) + i));
          stepWith(a, fused, ...grad);
          stepWith(b, plain, ...grad);
        }
        near(fused, list(plain), 5);
        expect((a.state.get(fused)!['step'] as Tensor).item()).toBe(4);
      }
    }
  });
});

describe('Adagrad and RMSprop', () => {
  it('take a first step as the formula says', () => {
    const p = leaf(1);
    stepWith(new Adagrad([p], { lr: 0.1 }), p, 4);
    near(p, [0.9]);
    const q = leaf(1);
    stepWith(new RMSprop([q], { lr: 0.1, alpha: 0.75, centered: true }), q, 2);
    near(q, [1 - (0.1 * 2) / Math.sqrt(0.25 * 4 - 0.25)]);
  });
});

describe('Optimizer', () => {
  it('groups have their own options, new groups take the defaults', () => {
    const [a, b, c] = [leaf(0), leaf(0), leaf(0)];
    const o = new SGD([{ params: [a] }, { params: b, lr: 2 }], { lr: 1, momentum: 0.5 });
    o.addParamGroup({ params: [c], momentum: 0 });
    expect(o.paramGroups.map((g) => [g.lr, g['momentum']])).toEqual([
      [1, 0.5],
      [2, 0.5],
      [1, 0],
    ]);
  });
  it('a state dict is spelled as PyTorch does and continues the run', () => {
    const [a, b] = [leaf(1), leaf(2)];
    const o = new AdamW([{ params: [a] }, { params: [b], weightDecay: 0.5 }], { lr: 0.1 });
    stepWith(o, a, 1);
    stepWith(o, b, 1);
    const saved = o.stateDict();
    expect(saved.param_groups[1]).toMatchObject({ params: [1], weight_decay: 0.5, lr: 0.1 });
    expect(Object.keys(saved.state['0']!).sort()).toEqual(['exp_avg', 'exp_avg_sq', 'step']);
    const c = leaf(list(a)[0]!);
    const d = leaf(list(b)[0]!);
    const other = new AdamW([{ params: [c] }, { params: [d] }], { lr: 9 });
    other.loadStateDict(saved);
    expect(other.paramGroups.map((g) => g['weightDecay'])).toEqual([0.01, 0.5]);
    c.grad = f32([1]);
    other.step();
    expect(list(c)[0]).toBeLessThan(1);
    expect(() => new AdamW([c]).loadStateDict(saved)).toThrow('has 2 parameter groups, the optimizer has 1');
  });
  it('zeroGrad forgets or zeroes', () => {
    const p = leaf(1);
    const o = new SGD([p]);
    p.grad = f32([5]);
    o.zeroGrad({ setToNone: false });
    expect(list(p.grad!)).toEqual([0]);
    o.zeroGrad();
    expect(p.grad).toBeNull();
  });
  it('names what is wrong with parameters and options', () => {
    const p = leaf(1);
    expect(() => new SGD([])).toThrow('list of parameters is empty');
    expect(() => new SGD([p.mul(2)])).toThrow('only leaves');
    expect(() => new SGD([{ params: [p] }, { params: [p] }])).toThrow('in another group');
    expect(() => new SGD([p], { lr: -1 })).toThrow('"lr" is -1');
    expect(() => new SGD([p], { nesterov: true })).toThrow('"nesterov" needs momentum');
    expect(() => new Adam([p], { betas: [1, 0.9] })).toThrow('"betas"');
    expect(() => new Adam([p], { weightdecay: 1 } as object)).toThrow('Did you mean "weightDecay"');
    expect(() => new SGD(p as unknown as Tensor[])).toThrow('a tensor');
  });
  it('schedulers drive its groups', () => {
    const p = leaf(0);
    const o = new SGD([p], { lr: 1 });
    const s = new lrScheduler.StepLR(o, 1, { gamma: 0.5 });
    stepWith(o, p, 1);
    s.step();
    stepWith(o, p, 1);
    near(p, [-1.5]);
  });
});

describe('clipping', () => {
  it('clipGradNorm_ scales all gradients by one factor and returns the norm', () => {
    const [a, b] = [leaf(0), leaf(0)];
    a.grad = f32([3]);
    b.grad = f32([4]);
    expect(clipGradNorm_([a, b], 1).item()).toBe(5);
    near(a.grad!, [0.6]);
    near(b.grad!, [0.8]);
    expect(getTotalNorm([f32([1, -7])], { normType: Infinity }).item()).toBe(7);
  });
  it('a norm that is not finite throws only if asked, before anything changes', () => {
    const p = leaf(0, 0);
    p.grad = f32([Infinity, 1]);
    expect(() => clipGradNorm_([p], 1, { errorIfNonfinite: true })).toThrow('total norm');
    expect(list(p.grad!)).toEqual([Infinity, 1]);
  });
  it('clipGradValue_ clamps each element', () => {
    const p = leaf(0, 0);
    p.grad = f32([-3, 0.5]);
    clipGradValue_([p], 1);
    expect(list(p.grad!)).toEqual([-1, 0.5]);
  });
});

describe('GradScaler', () => {
  it('skips a step that overflows, backs off, grows again', () => {
    const p = leaf(1);
    const o = new SGD([p], { lr: 0.5 });
    const s = new GradScaler('cpu', { initScale: 8, growthInterval: 1 });
    s.scale(p.mul(Infinity).sum()).backward();
    s.step(o);
    s.update();
    expect([list(p), s.getScale()]).toEqual([[1], 4]);
    o.zeroGrad();
    s.scale(p.mul(2).sum()).backward();
    s.step(o);
    s.update();
    expect([list(p), s.getScale()]).toEqual([[0], 8]);
  });
  it('refuses the wrong order', () => {
    const p = leaf(1);
    const o = new SGD([p], { lr: 0.5 });
    const s = new GradScaler({ initScale: 2 });
    expect(() => s.update()).toThrow('nothing has been scaled');
    s.scale(p.mul(2).sum()).backward();
    expect(() => s.update()).toThrow('no optimizer');
    s.unscale_(o);
    expect(() => s.unscale_(o)).toThrow('unscaled already');
    s.step(o);
    expect(() => s.step(o)).toThrow('has stepped already');
  });
});
