/** An interrupt stops code wherever a function begins or a loop goes round; a script's time limit stops it in the same way. */
import vm from 'node:vm';
import { describe, expect, it, test } from 'vitest';
import { leaveScopes, runThen } from './base/index.js';
import { currentStream, withCommStream } from './distributed/group/events.js';
import { Cluster, MemoryLedger, nn, noGrad, Simulation, type Tensor, torch } from './index.js';
import { activeModes, type DispatchMode, withMode } from './tensor/dispatch.js';
import { isBackwardRunning } from './tensor/index.js';
import { memory } from './tensor/memory.js';
import { state } from './tensor/state.js';

/** Runs `body` again and again until it is stopped from outside. */
function stopped(body: () => unknown, timeout = 1): void {
  (globalThis as { stoppedBody?: () => void }).stoppedBody = () => {
    for (;;) body();
  };
  expect(() => vm.runInThisContext('stoppedBody()', { timeout })).toThrow('timed out');
}

const x = torch.ones([4, 4]).requiresGrad_();
const model = new nn.Linear(4, 4);
const mode: DispatchMode = { dispatch: (call, next) => next(call) };
const cluster = new Cluster({
  ranks: 1,
  device: { flopsPerSecond: 1e9, memoryBytes: 1e9, memoryBytesPerSecond: 1e9 },
  tiers: [{ name: 'link', ranks: 1, latencySeconds: 1e-6, bytesPerSecond: 1e9 }],
});

/** All that a scope changes. */
const seen = (): unknown => ({
  ...state,
  modes: [...activeModes()],
  backward: isBackwardRunning(),
  stream: currentStream(),
  listener: memory.listener,
  weight: model.weight,
});

const SCOPES: [string, () => unknown][] = [
  ['noGrad', () => noGrad(() => enableGradInside())],
  ['autocast', () => torch.autocast('cpu', { dtype: torch.bfloat16 }, () => x.matmul(x))],
  ['a backward pass', () => x.mul(2).sum().backward()],
  [
    'checkpoint',
    () =>
      torch.utils.checkpoint
        .checkpoint((t: Tensor) => t.mul(2).sin(), x)
        .sum()
        .backward(),
  ],
  ['a dispatch mode', () => withMode(mode, () => withMode(mode, () => x.add(1)))],
  ['a stream', () => withCommStream({ name: 'own' }, () => x.add(1))],
  ['functionalCall', () => nn.functionalCall(model, { weight: x.detach() }, [x])],
  ['a ledger', () => new MemoryLedger().run(() => x.add(1))],
  ['a simulation', () => new Simulation(cluster, { ledger: true }).run(() => x.add(1))],
];

const enableGradInside = (): Tensor => torch.enableGrad(() => x.add(1));

test.each(SCOPES)('%s is left wherever an interrupt comes', (_, body) => {
  const before = seen();
  for (let i = 0; i < 150; i++) {
    stopped(body);
    leaveScopes();
    expect(seen()).toEqual(before);
  }
});

describe('leaveScopes()', () => {
  it('goes on where it is itself stopped, the innermost scope first', () => {
    const ended: string[] = [];
    const forever = (): never => {
      for (;;);
    };
    const inner = (): void =>
      runThen(forever, () => {
        ended.push('inner');
        if (ended.length === 1) forever();
      });
    stopped(() => runThen(inner, () => ended.push('outer')), 100);
    stopped(leaveScopes, 100);
    expect(ended).toEqual(['inner']);
    leaveScopes();
    leaveScopes();
    expect(ended).toEqual(['inner', 'inner', 'outer']);
  });
});
