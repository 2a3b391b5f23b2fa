/** Needs a build, and bubblewrap for the proofs; where it is missing, what is said then is tested alone. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { closure, proveSandbox, sandboxState } from './index.js';
import { seccompProgram } from './seccomp.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { recipe, reason } = await sandboxState(root);

describe('proveSandbox()', () => {
  it.runIf(recipe !== undefined)(
    'finds that every layer holds what it is there for',
    async () => {
      const proofs = (await proveSandbox(root))!;
      expect(proofs.filter(({ held }) => !held)).toEqual([]);
      expect(new Set(proofs.map(({ layer }) => layer))).toContain('network');
      expect(proofs.length).toBeGreaterThanOrEqual(13);
    },
    120_000,
  );

  it.runIf(recipe === undefined)('has nothing to prove without a sandbox', async () => {
    expect(reason).toMatch(/bubblewrap|Linux/);
    expect(await proveSandbox(root)).toBeUndefined();
  });
});

describe('shardbook grade --untrusted', () => {
  it('refuses where bubblewrap is missing, with the command that mends it', () => {
    const folder = mkdtempSync(join(tmpdir(), 'shardbook-refused-'));
    const file = join(folder, 'ring.ts');
    writeFileSync(file, 'export const nothing = 1;\n');
    const args = [
      join(root, 'dist/cli.js'),
      'grade',
      join(root, 'exercises/ring-all-reduce'),
      '--submission',
      file,
      '--untrusted',
    ];
    const result = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      env: { ...process.env, SHARDBOOK_BWRAP: join(folder, 'no-such-bwrap') },
    });
    rmSync(folder, { recursive: true });
    expect(result.status).toBe(2);
    expect(result.stderr).toContain('SB_SANDBOX_MISSING');
    expect(result.stderr).toContain(
      process.platform === 'linux' ? 'apt-get install bubblewrap' : 'Linux only',
    );
  });
});

describe('closure()', () => {
  it('leaves the checks and what they expect outside of what a submission can read', () => {
    const dist = join(root, 'dist');
    const text = [...closure(dist, ['grader-runner.js']), 'grader-rank.cjs']
      .map((file) => readFileSync(join(dist, file), 'utf8'))
      .join('\n');
    for (const word of ['expectSum', 'ringAllReduceChecks', 'bytes-per-rank', 'deriveSeed', 'solutionsOf'])
      expect(text).not.toContain(word);
  });
});

describe('seccompProgram()', () => {
  it('is a whole number of instructions and ends with letting through', () => {
    for (const architecture of ['x64', 'arm64']) {
      const program = seccompProgram(architecture)!;
      expect(program.length % 8).toBe(0);
      expect(new DataView(program.buffer).getUint32(program.length - 4, true)).toBe(0x7fff0000);
    }
    expect(seccompProgram('mips')).toBeUndefined();
  });
});
