import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

let place = '';
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'temporary-'));
  vi.stubEnv('TMPDIR', place);
  vi.stubEnv('TEMP', place);
  vi.stubEnv('TMP', place);
  vi.resetModules();
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(place, { recursive: true, force: true });
});

it('temporaryFolder() removes what a grader left that was killed, and no other', async () => {
  const { pid } = spawnSync(process.execPath, ['--version']);
  for (const name of [`shardbook-mutants-${pid}-a`, `shardbook-grade-${process.pid}-b`, `other-${pid}-c`])
    mkdirSync(join(place, name, 'below'), { recursive: true });
  const { removeTemporary, temporaryFolder } = await import('./temporary.js');
  const folder = temporaryFolder('checks');
  expect(existsSync(folder)).toBe(true);
  removeTemporary(folder);
  expect(readdirSync(place).sort()).toEqual([`other-${pid}-c`, `shardbook-grade-${process.pid}-b`]);
});

it('temporaryFolder() makes folders that go when the process ends', async () => {
  const before = process.listeners('exit');
  const { temporaryFolder } = await import('./temporary.js');
  const folder = temporaryFolder('mutants');
  for (const listener of process.listeners('exit')) if (!before.includes(listener)) listener(0);
  expect(existsSync(folder)).toBe(false);
});
