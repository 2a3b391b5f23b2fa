import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { RankProcess } from './rank-process.js';
import { Cage, makeKit } from './sandbox/index.js';
import { type Answer, encodeFrame, type Frame } from './wire.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'shardbook-rank-')));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('RankProcess', () => {
  // No exercise has this limit: nothing is made for it yet.
  const memoryMb = 301;
  const limits = { caseSeconds: 20, loadSeconds: 20, memoryMb, outputKb: 64 };

  /** Starts a rank, has it load a submission that is right if each process draws numbers of its own, and says what it answers. */
  async function answers(cage: Cage, program: readonly string[]): Promise<string> {
    writeFileSync(
      join(folder, 'submission.mjs'),
      "export const f = () => 0; console.log('drawn', Math.random()); throw new Error('loaded');",
    );
    let rank: RankProcess | undefined;
    try {
      const heard = new Promise<Frame<Answer>>((resolve, reject) => {
        const ended = (_: number, { message }: { message: string }): void => reject(new Error(message));
        rank = new RankProcess(0, cage, limits, program, { frame: (_, frame) => resolve(frame), ended });
      });
      await rank!.started;
      const { inside } = cage;
      const url = `file://${inside.folder}/submission.mjs`;
      rank!.send({ type: 'load', url, exports: ['f'], runtime: `file://${inside.kit}/dist/index.js` });
      const { header } = await heard;
      if (header.type !== 'load-failed') return header.type;
      return `${header.failure.message} ${/submission\.mjs:\d+/.exec(header.failure.stack)?.[0]} ${rank!.prints}`;
    } finally {
      rank!.kill();
    }
  }

  it('begins with a snapshot that is made once, and from the script where there is none', async () => {
    const kit = makeKit(root);
    const cage = new Cage(kit, folder, undefined, { memoryMb, ranks: 1 });
    const blobs = (): string[] =>
      readdirSync(join(kit.folder, 'dist')).filter((name) => name === `rank-${memoryMb}.blob`);
    try {
      expect(blobs()).toEqual([]);
      const [program, again] = await Promise.all([cage.rankProgram(memoryMb), cage.rankProgram(memoryMb)]);
      expect(again).toEqual(program);
      expect(program[0]).toBe('--snapshot-blob');
      expect(existsSync(program[1]!)).toBe(true);
      const script = [join(kit.folder, 'dist', 'grader-rank.cjs')];
      const said = [await answers(cage, program), await answers(cage, program), await answers(cage, script)];
      for (const text of said) expect(text).toMatch(/^loaded submission\.mjs:1 drawn 0\.\d+\n$/);
      expect(new Set(said).size).toBe(3);
    } finally {
      await cage.close();
    }
  }, 60_000);

  it('ends by itself when its grader is gone, also while a submission is loaded', async () => {
    const submission = join(folder, 'slow.mjs');
    writeFileSync(
      submission,
      'await new Promise((done) => setTimeout(done, 300)); export const f = () => 0;',
    );
    const kit = makeKit(root);
    const child = spawn(process.execPath, [join(kit.folder, 'dist', 'grader-rank.cjs')], {
      env: {},
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    try {
      const ended = once(child, 'exit');
      const pipe = child.stdio[3] as Duplex;
      await once(pipe, 'data');
      const runtime = `file://${kit.folder}/dist/index.js`;
      pipe.write(encodeFrame({ type: 'load', url: `file://${submission}`, exports: ['f'], runtime }));
      pipe.end(() => pipe.destroy());
      expect((await ended)[0]).toBe(0);
    } finally {
      child.kill('SIGKILL');
    }
  }, 60_000);
});
