import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
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
  [
    'exercise start ring-all-reduce --workspace /proc/x',
    2,
    /^Cannot use "\/proc.*": (it cannot be written to|you may not) {2}\[SB_FILE\]\n$/,
  ],
  ['exercise new ring --dir /dev/null', 2, /^Cannot use "\/dev\/null.*": a part of its path is not a folder/],
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

test.runIf(process.platform === 'linux')(
  'a disk that is full is said in words',
  () => {
    const exercise = join(packageRoot(), 'exercises/ring-all-reduce');
    const ended = shardbook(
      `$SHARDBOOK grade ${exercise} --submission ${exercise}/starter.ts --json /dev/full`,
    );
    expect([ended.status, ended.text]).toEqual([
      2,
      expect.stringContaining('Cannot write: the disk is full  [SB_FILE]'),
    ]);
  },
  60_000,
);

test('a reader that stops early is no failure', () => {
  expect(shardbook('$SHARDBOOK lesson list | head -1').text).toMatch(/^Layer 0[^\n]*\n$/);
}, 60_000);

describe('shardbook run', () => {
  const folder = mkdtempSync(join(tmpdir(), 'shardbook-cli-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const script = (code: string): string => {
    const path = join(folder, 'script.ts');
    writeFileSync(path, code);
    return path;
  };

  test('hands on the exit code, and the environment as it was given', () => {
    const names = "Object.keys(process.env).filter((name) => /^MALLOC_|ALLOCATOR/.test(name)).join(' ')";
    const path = script(`console.log('env:', ${names});\nprocess.exit(7);`);
    const ended = shardbook(`MALLOC_TOP_PAD_=65536 $SHARDBOOK run --nproc 1 ${path}`);
    expect(ended.text).toContain('env: MALLOC_TOP_PAD_\n');
    expect(ended.status).toBe(7);
  }, 60_000);

  test('ends all its processes on one interrupt, also one that is sent to all of them', async () => {
    const path = script("console.log('pid', process.pid);\nfor (;;) {}");
    for (const all of [false, true]) {
      const child = spawn(
        process.execPath,
        [join(packageRoot(), 'dist/cli.js'), 'run', '--nproc', '2', path],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
          detached: true,
        },
      );
      const [said] = (await once(child.stdout, 'data')) as [Buffer];
      const [, pid] = /pid (\d+)/.exec(said.toString())!;
      process.kill(all ? -child.pid! : child.pid!, 'SIGINT');
      const [code] = (await once(child, 'exit')) as [number | null];
      expect(code).toBe(130);
      expect(() => process.kill(Number(pid), 0)).toThrow('ESRCH');
    }
  }, 60_000);
});
