import { mkdtempSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { RankProcess } from './rank-process.js';
import { Cage, codeFile, makeKit } from './sandbox/index.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'shardbook-rank-')));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('RankProcess', () => {
  it('hands over what it has compiled once, and starts from it, or without it where it is spoilt', async () => {
    // No exercise has this limit: nothing is kept for it yet.
    const memoryMb = 301;
    const kit = makeKit(root);
    const cage = new Cage(kit, folder, undefined, { memoryMb, ranks: 1 });
    const limits = { caseSeconds: 20, loadSeconds: 20, memoryMb, outputKb: 64 };
    const unheard = { frame: () => {}, ended: () => {} };
    const start = async (): Promise<void> => {
      const rank = new RankProcess(0, cage, limits, unheard);
      await rank.started;
      rank.kill();
    };
    try {
      expect(cage.hasCode(memoryMb)).toBe(false);
      await start();
      expect(cage.hasCode(memoryMb)).toBe(true);
      const file = join(kit.folder, 'dist', codeFile(memoryMb));
      const kept = statSync(file).mtimeMs;
      expect(readFileSync(file).length).toBeGreaterThan(100_000);
      await start();
      expect(statSync(file).mtimeMs).toBe(kept);
      writeFileSync(file, 'not what V8 has compiled');
      await start();
    } finally {
      await cage.close();
    }
  }, 60_000);
});
