import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { startDeadline, waitedMs } from './deadline.js';

const expired = (seconds: number, waited: () => number): Promise<number> => {
  const started = performance.now();
  return new Promise((resolve) => startDeadline(seconds, waited, () => resolve(performance.now() - started)));
};

describe('startDeadline()', () => {
  it('ends a process that only sleeps when its time is over', async () => {
    expect(await expired(0.05, () => 0)).toBeGreaterThanOrEqual(50);
  });

  it('adds what was spent waiting for a processor, up to a bound', async () => {
    let calls = 0;
    expect(await expired(0.05, () => (calls++ === 0 ? 0 : 100))).toBeGreaterThanOrEqual(150);
    calls = 0;
    const bounded = await expired(0.05, () => (calls++ === 0 ? 0 : 1e9));
    expect(bounded).toBeGreaterThanOrEqual(300);
  });

  it('is taken back', async () => {
    let ended = false;
    startDeadline(
      0.01,
      () => 0,
      () => {
        ended = true;
      },
    )();
    await new Promise((done) => setTimeout(done, 50));
    expect(ended).toBe(false);
  });
});

describe.runIf(process.platform === 'linux')('waitedMs()', () => {
  it('grows for a process that shares one processor with others, and is 0 for none', async () => {
    const busy = 'for (const end = Date.now() + 60_000; Date.now() < end; );';
    const children = Array.from({ length: 4 }, () =>
      spawn('taskset', ['-c', '0', process.execPath, '-e', busy]),
    );
    try {
      await expect
        .poll(() => Math.max(...children.map(({ pid }) => waitedMs(pid))), { timeout: 30_000 })
        .toBeGreaterThan(50);
    } finally {
      for (const child of children) child.kill('SIGKILL');
    }
    expect(waitedMs(undefined)).toBe(0);
    expect(waitedMs(2 ** 22 + 1)).toBe(0);
  });
});
