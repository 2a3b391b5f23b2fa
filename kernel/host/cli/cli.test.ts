import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packageRoot } from './paths.js';

function shardbook(command: string): { status: number | null; text: string } {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', command], {
    env: { ...process.env, SHARDBOOK: `${process.execPath} ${join(packageRoot(), 'dist/cli.js')}` },
    encoding: 'utf8',
  });
  return { status, text: stdout + stderr };
}

test.each([
  ['help run', 0, /^usage: shardbook run/],
  ['version', 0, /^\d+\.\d+\.\d+\n$/],
  ['versoin', 2, /there is no such command\n {2}help: did you mean|shardbook --help lists/],
  ['zzz', 2, /shardbook --help lists the commands/],
  ['lesson list --frob', 2, /Unknown option '--frob'\n {2}help: shardbook lesson --help tells more/],
  [
    'conform no-such.json',
    2,
    /^Cannot use "no-such.json": there is no such file or folder {2}\[SB_FILE\]\n$/,
  ],
  ['doctor --frob', 2, /Unknown option '--frob'/],
  ['kernel install --world x', 2, /^Cannot use --world "x": a whole number from 1 to 64 is wanted/],
])(
  'shardbook %s',
  (args, wanted, text) => {
    const ended = shardbook(`$SHARDBOOK ${args}`);
    expect(ended.text).toMatch(text);
    expect(ended.status).toBe(wanted);
  },
  60_000,
);

test('a reader that stops early is no failure', () => {
  expect(shardbook('$SHARDBOOK lesson list | head -1').text).toMatch(/^Layer 0[^\n]*\n$/);
}, 60_000);
