/** Runs notebook_tools.py: notebooks by nbclient, nbconvert and papermill, as far as python3 has them. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const cli = join(here, '../../../dist/cli.js');
/** Debian's packages belong to Debian's Python, which need not be the first in PATH. */
const python = [process.env.SHARDBOOK_JUPYTER_PYTHON, '/usr/bin/python3', 'python3'].find(
  (name) => name && spawnSync(name, ['-c', 'import nbclient, nbformat'], { stdio: 'ignore' }).status === 0,
);
if (python === undefined) {
  console.log('skipped: no python3 with nbclient (python3-nbclient, python3-nbconvert)');
} else {
  const folder = mkdtempSync(join(tmpdir(), 'shardbook-notebooks-'));
  const { status, error } = spawnSync(python, [join(here, 'notebook_tools.py'), cli, folder], {
    stdio: 'inherit',
    timeout: 600_000,
    env: { ...process.env, NODE: process.execPath, PYTHONDONTWRITEBYTECODE: '1' },
  });
  if (error) console.log(`the notebooks did not end: ${error.message}`);
  rmSync(folder, { recursive: true, force: true });
  process.exitCode = status ?? 1;
}
