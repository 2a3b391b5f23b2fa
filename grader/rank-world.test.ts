/** Ranks that end when nobody expects it. Needs a build: the ranks are processes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadExercise } from './exercise.js';
import { WATCHED, writeFiles } from './fixtures/exercises.js';
import { Program } from './program.js';
import type { RankWorld } from './rank-world.js';

const packageRoot = fileURLToPath(new URL('..', import.meta.url));
let root = '';
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'shardbook-world-'));
  writeFiles(root, WATCHED);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));
vi.setConfig({ testTimeout: 240_000 });

async function inWorld(body: string, ask: (world: RankWorld) => Promise<void>): Promise<void> {
  const exercise = loadExercise(join(root, 'exercises/double'));
  const limits = { ...exercise.limits, caseSeconds: 60, loadSeconds: 60 };
  const program = new Program({ ...exercise, limits }, packageRoot, undefined);
  const text = `export async function double(step: number, comm: any): Promise<unknown> {\n${body}\n}`;
  try {
    await ask(
      await program.start({ files: [{ name: 'double.ts', text }], isCells: false, startAhead: false }),
    );
  } finally {
    await program.close();
  }
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('RankWorld', () => {
  it('remembers a rank that ended between two cases', async () => {
    await inWorld('return (globalThis as any).process.pid;', async (world) => {
      const { ranks } = await world.run({ inputs: [[1], [1]] });
      const pid = ranks[1]!.value as number;
      process.kill(pid, 'SIGKILL');
      await expect.poll(() => isAlive(pid), { timeout: 60_000 }).toBe(false);
      await expect(world.run({ inputs: [[2], [2]] })).rejects.toMatchObject({
        verdict: 'crashed',
        message: expect.stringContaining('rank 1 ended by SIGKILL'),
      });
      // With processes of their own, others are asked again.
      expect((await world.run({ inputs: [[3], [3]] })).ranks[1]!.value).not.toBe(pid);
    });
  });

  it('is done with a deadlock when a rank ends instead of saying where it stood', async () => {
    const body = `if (step === 1) try { comm.recv((await import('shardbook')).torch.ones([1]), 1 - comm.rank); } catch { (globalThis as any).process.exit(3); }
  const end = Date.now() + 1500;
  while (Date.now() < end);
  return step;`;
    await inWorld(body, async (world) => {
      await world.run({ inputs: [[0], [0]] });
      await expect(world.run({ inputs: [[1], [1]] })).rejects.toMatchObject({ verdict: 'deadlock' });
      // Nothing of the one that was stuck reaches into the next.
      const { ranks } = await world.run({ inputs: [[2], [2]] });
      expect(ranks.map(({ value }) => value)).toEqual([2, 2]);
    });
  });
});
