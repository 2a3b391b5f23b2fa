/**
 * The package as a stranger gets it: `npm pack`, the tarball installed in an empty folder, and the command used there.
 * Prints one line per check and closes with `N passed, N failed`.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const folder = mkdtempSync(join(tmpdir(), 'shardbook-package-'));
let passed = 0;
let failed = 0;

function run(command, args, cwd) {
  const result = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    timeout: 300_000,
    shell: process.platform === 'win32',
    // The outer npm's settings (workspace, lifecycle) are not the stranger's.
    env: Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^npm_(package|lifecycle|command)/.test(name)),
    ),
  });
  return {
    status: result.status,
    out: result.stdout ?? '',
    err: result.stderr ?? String(result.error ?? ''),
  };
}

function check(name, result, want) {
  const fault =
    result.status !== (want.status ?? 0)
      ? `exit code ${result.status}, wanted ${want.status ?? 0}`
      : want.text && !want.text.test(result.out + result.err)
        ? `the output lacks ${want.text}`
        : undefined;
  if (fault === undefined) {
    passed++;
    process.stdout.write(`ok   ${name}\n`);
    return;
  }
  failed++;
  process.stdout.write(`FAIL ${name}: ${fault}\n${(result.out + result.err).slice(-2000)}\n`);
}

try {
  const packed = run('npm', ['pack', '--pack-destination', folder, '--json'], root);
  check('npm pack', packed, {});
  const [tarball] = JSON.parse(packed.out);
  process.stdout.write(`     ${(tarball.size / 1e6).toFixed(1)} MB packed, ${tarball.entryCount} files\n`);
  writeFileSync(join(folder, 'package.json'), '{ "name": "stranger", "private": true, "type": "module" }\n');
  check(
    'npm install of the tarball',
    run(
      'npm',
      ['install', '--ignore-scripts', '--no-audit', '--no-fund', join(folder, tarball.filename)],
      folder,
    ),
    {},
  );
  const shardbook = (...args) => run('npx', ['--no-install', 'shardbook', ...args], folder);
  check('shardbook --help', shardbook('--help'), { text: /usage: shardbook COMMAND/ });
  check('shardbook --version', shardbook('--version'), {
    text: new RegExp(tarball.version.replaceAll('.', '\\.')),
  });
  check('shardbook doctor', shardbook('doctor'), { text: /Node/ });
  writeFileSync(
    join(folder, 'sum.ts'),
    [
      "import { dist, torch } from 'shardbook';",
      'const t: InstanceType<typeof torch.Tensor> = torch.tensor([dist.getRank() + 1]);',
      'dist.allReduce(t);',
      'console.log(`sum ${t.item()}`);',
      '',
    ].join('\n'),
  );
  check('shardbook run on 4 ranks', shardbook('run', 'sum.ts', '--nproc', '4'), { text: /sum 10/ });
  check('shardbook lesson check', shardbook('lesson', 'check', 'ranks-and-collectives'), {
    text: /passed, 0 failed/,
  });
  writeFileSync(
    join(folder, 'use.mjs'),
    "import { torch } from 'shardbook';\nconsole.log(torch.ones([2, 2]).sum().item());\n",
  );
  check("import 'shardbook' in a program", run(process.execPath, ['use.mjs'], folder), { text: /^4/ });
  check('an unknown command is refused', shardbook('strat'), {
    status: 2,
    text: /did you mean "shardbook start"/,
  });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
