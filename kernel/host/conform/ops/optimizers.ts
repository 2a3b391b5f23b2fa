/** ops_numerics: optimizers, schedulers, clipping, loss scaling. */
import { apply, callIn, camelCase, construct, lookUp, member, method, type TensorLike } from '../access.js';
import { numberIn, plainDeep } from '../values.js';
import { fill, toNumber } from './core.js';
import { clipGradNorm, parameterGroups, parameterList } from './modules.js';
import type { Args } from './registry.js';
import { op, rawOp } from './registry.js';

function setGrads(target: unknown, seed: number, scale: number): void {
  parameterList(target).forEach((p, i) => {
    p.grad = method(fill(p.shape, seed + i, scale), 'to', p.dtype) as TensorLike;
  });
}

function stepScheduler(scheduler: unknown): void {
  if (scheduler !== null && scheduler !== undefined) method(scheduler, 'step');
}

op('opt.set_grads', 'target seed scale', (a) =>
  setGrads(a.get('target'), a.number('seed'), a.number('scale', 1)),
);
op('opt.run', 'optimizer target steps seed scale scheduler', (a) => {
  const optimizer = a.get<unknown>('optimizer');
  const rates: number[][] = [];
  for (let k = 0; k < a.number('steps'); k++) {
    setGrads(a.get('target'), a.number('seed') + 100 * k, a.number('scale', 1));
    rates.push(parameterGroups(optimizer).map((group) => toNumber(group['lr'])));
    method(optimizer, 'step');
    stepScheduler(a.get('scheduler'));
  }
  return rates;
});
op('opt.fit', 'mod optimizer x y steps loss scheduler clip accumulate', (a) => {
  const [module, optimizer] = [a.get<unknown>('mod'), a.get<unknown>('optimizer')];
  const [lossName, accumulate] = [camelCase(a.get('loss', 'mse_loss')), a.number('accumulate', 1)];
  const out: number[] = [];
  for (let step = 0; step < a.number('steps'); step++) {
    method(optimizer, 'zeroGrad');
    let total = 0;
    const ys = method(a.get('y'), 'chunk', accumulate) as unknown[];
    for (const [i, x] of (method(a.get('x'), 'chunk', accumulate) as unknown[]).entries()) {
      const loss = method(callIn('F', lossName, apply(module, x), ys[i]), 'div', accumulate);
      method(loss, 'backward');
      total += toNumber(method(loss, 'detach'));
    }
    if (a.has('clip')) clipGradNorm(module, a.number('clip'));
    method(optimizer, 'step');
    stepScheduler(a.get('scheduler'));
    out.push(total);
  }
  return out;
});
op('opt.groups', 'optimizer keys', (a) =>
  parameterGroups(a.get('optimizer')).map((group) =>
    Object.fromEntries(a.get<string[]>('keys').map((key) => [key, group[camelCase(key)]])),
  ),
);
op('opt.group_sizes', 'optimizer', (a) =>
  parameterGroups(a.get('optimizer')).map((group) => (group['params'] as unknown[]).length),
);
op('opt.set_option', 'optimizer group key value', (a) => {
  parameterGroups(a.get('optimizer')).at(a.number('group'))![camelCase(a.get('key'))] = a.get('value');
});

/** The factor at scheduler step `s`, by kind. */
const FACTORS: Readonly<Record<string, (s: number, a: Args) => number>> = {
  warmup: (s, a) => Math.min(1, (s + 1) / a.number('n')),
  warmup0: (s, a) => Math.min(1, s / a.number('n')),
  inverse_sqrt: (s, a) => Math.min((s + 1) / a.number('n'), Math.sqrt(a.number('n') / (s + 1))),
  power: (s, a) => a.number('base') ** s,
  warmup_cosine: (s, a) => {
    const [n, total, floor] = [a.number('n'), a.number('total'), a.number('floor')];
    if (s < n) return s / n;
    return floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * Math.min(1, (s - n) / (total - n))));
  },
  warmup_linear: (s, a) => {
    const [n, total] = [a.number('n'), a.number('total')];
    return s < n ? s / n : Math.max(0, (total - s) / (total - n));
  },
};

function scheduler(name: string, ...args: unknown[]): unknown {
  return construct('optim', lookUp('optim', name) === undefined ? `lrScheduler.${name}` : name, ...args);
}

op('sched.lambda', 'optimizer kind n base total floor', (a) => {
  const factor = FACTORS[a.get<string>('kind')];
  if (factor === undefined) throw new Error(`"${a.get<string>('kind')}" is no kind of schedule`);
  return scheduler('LambdaLR', a.get('optimizer'), (s: number) => factor(s, a));
});
op('sched.multiplicative', 'optimizer factors', (a) => {
  const factors = a.get<number[]>('factors');
  return scheduler('MultiplicativeLR', a.get('optimizer'), (s: number) => factors[s % factors.length]);
});
op('sched.trajectory', 'optimizer scheduler n metrics key', (a) => {
  const [optimizer, key] = [a.get<unknown>('optimizer'), camelCase(a.get('key', 'lr'))];
  const read = () =>
    parameterGroups(optimizer).map((group) =>
      toNumber(key in group ? group[key] : (group['betas'] as number[])[0]),
    );
  const out = [read()];
  for (let i = 0; i < a.number('n'); i++) {
    method(optimizer, 'step');
    if (a.has('metrics')) method(a.get('scheduler'), 'step', a.get<number[]>('metrics')[i]);
    else method(a.get('scheduler'), 'step');
    out.push(read());
  }
  return out;
});

op('opt.clip_norm', 'target max_norm norm_type error_if_nonfinite', (a) =>
  clipGradNorm(
    a.get('target'),
    numberIn(a.get('max_norm')),
    numberIn(a.get('norm_type', 2)),
    a.get('error_if_nonfinite', false),
  ),
);
op('opt.clip_value', 'target value', (a) =>
  callIn('optim', 'clipGradValue_', parameterList(a.get('target')), a.number('value')),
);
op('opt.total_norm', 'tensors norm_type', (a) =>
  callIn('optim', 'getTotalNorm', a.get('tensors'), { normType: numberIn(a.get('norm_type', 2)) }),
);

rawOp('amp.scaler', (_, _args, kwargs) => {
  const options = Object.fromEntries(
    Object.entries(kwargs).map(([key, value]) => [camelCase(key), plainDeep(value)]),
  );
  return construct('optim', 'GradScaler', 'cpu', options);
});
op('amp.scaler_state', 's', (a) => {
  const state = method(a.get('s'), 'stateDict');
  if (member(state, 'scale') === undefined) throw new Error('a disabled scaler has no state');
  return {
    scale: member(state, 'scale'),
    tracker: member(state, '_growth_tracker') ?? member(state, 'growthTracker'),
  };
});
