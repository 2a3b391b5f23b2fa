import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { command } from './run.js';

const folder = mkdtempSync(join(tmpdir(), 'shardbook-run-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs a script on ranks; lines of output are sorted, since ranks speak in any order. */
async function run(code: string, ...args: string[]): Promise<{ exit: number; out: string[]; err: string[] }> {
  const script = join(folder, 'script.ts');
  writeFileSync(script, code);
  const texts = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((stream) =>
    vi.spyOn(process[stream], 'write').mockImplementation((text) => {
      texts[stream] += String(text);
      return true;
    }),
  );
  try {
    const exit = Number(await command.run([script, ...args]));
    const lines = (text: string) => text.split('\n').filter((line) => line !== '');
    return { exit, out: lines(texts.stdout).sort(), err: lines(texts.stderr) };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

const HEAD = `import { dist, torch } from 'shardbook';
const env = process.env, rank = dist.getRank(), attempt = env.TORCHELASTIC_RESTART_COUNT;
`;

test('ranks have what torchrun sets; unknown options and what follows -- are the script’s; main() needs no await', async () => {
  const code = `${HEAD}
async function main() {
  await new Promise((done) => setTimeout(done, 20));
  const names = ['LOCAL_RANK', 'GROUP_RANK', 'WORLD_SIZE', 'LOCAL_WORLD_SIZE', 'GROUP_WORLD_SIZE', 'ROLE_NAME', 'MASTER_PORT',
    'TORCHELASTIC_RUN_ID', 'TORCHELASTIC_MAX_RESTARTS'];
  const t = torch.ones([1]);
  dist.allReduce(t);
  console.log(names.map((name) => env[name]).join(' '), process.argv.slice(2).join(' '), t.item());
}
main();`;
  const args = ['--nproc', '2', '--nnodes=2', '--lr', '0.1', '--rdzv-id', 'job', '--', '--nproc', '9'];
  const { exit, out, err } = await run(code, ...args);
  expect(err).toEqual([]);
  expect(exit).toBe(0);
  const line = (local: number, node: number) =>
    `${local} ${node} 4 2 2 default 29500 job 0 --lr 0.1 --nproc 9 4`;
  expect(out).toEqual([0, 1, 2, 3].map((r) => `[${r}] ${line(r % 2, Math.floor(r / 2))}`));
});

test('tensors and dtypes are printed as PyTorch prints them', async () => {
  const { out } = await run(`${HEAD}console.log(torch.ones([2]), torch.float32);`, '--nproc', '1');
  expect(out).toEqual(['[0] tensor([1., 1.]) torch.float32']);
}, 60_000);

test('a failed attempt is told with its cause and run again on fresh ranks', async () => {
  const code = `${HEAD}
console.log('attempt', attempt);
if (rank === 1 && attempt === '0') throw new RangeError('no such layer');
dist.barrier();`;
  const { exit, out, err } = await run(code, '--nproc', '2', '--max-restarts', '3');
  expect(exit).toBe(0);
  expect(out).toEqual(['[0] attempt 0', '[0] attempt 1', '[1] attempt 0', '[1] attempt 1']);
  expect(err[0]).toBe('rank 1 failed: RangeError: no such layer');
  expect(err[1]).toMatch(/script\.ts:5:\d+$/);
  expect(err[2]).toContain('rank 0 failed with it: Cannot finish barrier #1: rank 0 waits for rank 1');
  expect(err[3]).toBe('shardbook: restart 1 of 3');
});

test('the exit code is that of the first failure; who still runs is stopped; logs and error files are kept', async () => {
  const code = `${HEAD}
console.log('hello from', rank);
if (rank === 1) process.exit(7);
if (rank === 0) for (;;) {}
dist.barrier();`;
  const logs = join(folder, 'logs');
  const { exit, out, err } = await run(code, '--nproc', '3', '--log-dir', logs, '--redirects', '0:1');
  expect(exit).toBe(7);
  expect(out).toEqual(['[1] hello from 1', '[2] hello from 2']);
  expect(err[0]).toBe('rank 1 failed: its code called process.exit(7)');
  expect(err.join('\n')).toContain('rank 0 still ran and was stopped');
  const file = (...path: string[]) => readFileSync(join(logs, 'attempt_0', ...path), 'utf8');
  expect([file('0', 'stdout.log'), file('1', 'stdout.log')]).toEqual(['hello from 0\n', 'hello from 1\n']);
  expect(JSON.parse(file('1', 'error.json'))).toMatchObject({ rank: 1, exitCode: 7, code: 'SB_RANK_DEAD' });
  expect(JSON.parse(file('2', 'error.json'))).toMatchObject({ rank: 2, exitCode: 1, code: 'SB_PEER_FAILED' });
});

test('what nobody catches in a promise fails the rank as what is thrown', async () => {
  const { exit, err } = await run(
    `${HEAD}(async () => { await 1; throw new Error('unseen'); })();`,
    '--nproc',
    '1',
  );
  expect([exit, err[0]]).toEqual([1, 'rank 0 failed: Error: unseen']);
});

test.each([
  [[], /Cannot run nothing/],
  [['--bogus', 'x.ts'], /option "--bogus" before the script/],
  [['no-such-file.ts'], /there is no such file/],
  [['--nproc', '0', 'x.ts'], /Cannot use --nproc "0"/],
  [['--nproc', '65', 'x.ts'], /Cannot start a world of 65 ranks/],
  [['--tee', '3', 'x.ts'], /give --log-dir DIR/],
  [['--log-dir', 'x', '--redirects', '4', 'x.ts'], /Cannot use --redirects "4"/],
  [['x.ts', '--nproc'], /Cannot use --nproc without a value/],
])('arguments %j are refused', async (args, message) => {
  await expect((async () => command.run(args))()).rejects.toThrow(message);
});

test('the last lines are never lost: after many, at process.exit, and before an error', async () => {
  const code = `${HEAD}
for (let i = 0; i < 2000; i++) console.log('line', i);
console.log('last of', rank);
if (rank === 1) process.exit(0);`;
  const { exit, out } = await run(code, '--nproc', '2');
  expect(exit).toBe(0);
  for (const r of [0, 1]) {
    expect(out.filter((line) => line.startsWith(`[${r}] line`))).toHaveLength(2000);
    expect(out).toContain(`[${r}] last of ${r}`);
  }
  const failing = await run(`${HEAD}console.log('before the end'); throw new Error('end');`, '--nproc', '1');
  expect(failing.out).toEqual(['[0] before the end']);
}, 120_000);
