/**
 * What `npm start` and `npm test` run: installs the packages and builds when either is missing or stale, says what it is
 * doing, then does the job. Uses nothing but Node, because in a fresh clone there is nothing else yet.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isBuildFresh } from './stamp.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const say = (text) => process.stderr.write(`shardbook: ${text}\n`);

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error) throw result.error;
  if (result.signal) process.kill(process.pid, result.signal);
  return result.status ?? 1;
}

/** Whether node_modules holds what the lockfile says (packages for other platforms may be absent). */
function arePackagesFresh() {
  const installedFile = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  return Object.entries(wanted).every(
    ([path, entry]) =>
      path === '' || entry.optional || entry.peer || installed[path]?.version === entry.version,
  );
}

function prepare() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < 20) {
    say(`Cannot run on Node ${process.versions.node}: version 20 or newer is needed`);
    process.exit(2);
  }
  if (!arePackagesFresh()) {
    say('installing packages (npm ci), this takes a minute or two');
    // npm is a script on every platform; the one that started us is the one to use.
    const npm = process.env.npm_execpath;
    const status = npm
      ? run(process.execPath, [npm, 'ci'])
      : run(process.platform === 'win32' ? 'npm.cmd' : 'npm', ['ci'], {
          shell: process.platform === 'win32',
        });
    if (status !== 0) {
      say('Cannot install the packages: npm ci failed, see above');
      process.exit(2);
    }
  }
  if (!isBuildFresh(root)) {
    say('building');
    const status = run(process.execPath, [join(root, 'kernel', 'build', 'build.mjs')]);
    if (status !== 0) process.exit(2);
  }
}

const [job = '', ...args] = process.argv.slice(2);
const jobs = {
  start: () => run(process.execPath, [join(root, 'dist', 'cli.js'), 'start', ...args]),
  test: () => run(process.execPath, [join(root, 'kernel', 'build', 'test.mjs'), ...args]),
  bench: () => run(process.execPath, [join(root, 'dist', 'bench.js'), ...args]),
  prepare: () => 0,
};
if (!(job in jobs)) {
  say(`Cannot run "${job}": one of ${Object.keys(jobs).join(', ')} is wanted`);
  process.exit(2);
}
prepare();
// The children of a terminal get Ctrl-C themselves; this process waits for them to finish cleanly.
process.on('SIGINT', () => {});
process.exitCode = jobs[job]();
