import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { Cgroup } from './cgroup.js';

const LIMITS = { memoryMb: 100, processes: 10 };
const group = Cgroup.make(LIMITS);
await group?.remove();

it.skipIf(group === undefined)('removes groups of graders that are no more, and no others', async () => {
  const parent = dirname(dirname(group!.joinFiles[0]!));
  // No process has such a number.
  const left = join(parent, 'shardbook-4194305-7');
  const own = join(parent, `shardbook-${process.pid}-777`);
  mkdirSync(left);
  mkdirSync(own);
  vi.resetModules();
  const later = (await import('./cgroup.js')).Cgroup.make(LIMITS)!;
  expect([existsSync(left), existsSync(own)]).toEqual([false, true]);
  rmdirSync(own);
  later.removeNow();
  expect(existsSync(dirname(later.joinFiles[0]!))).toBe(false);
});
