/** Runs suite.py against the built kernel. Needs python3 with jupyter_client and jsonschema; says so and skips without. */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const cli = join(here, '../../../dist/cli.js');
/** Debian's packages belong to Debian's Python, which need not be the first in PATH. */
const python = ['/usr/bin/python3', 'python3'].find((candidate) => {
  const { status } = spawnSync(candidate, ['-c', 'import jupyter_client, jsonschema'], { stdio: 'ignore' });
  return status === 0;
});

if (python === undefined) {
  console.log(
    'skipped: the kernel suite needs python3 with jupyter_client and jsonschema (python3-jupyter-client, python3-jsonschema)',
  );
} else {
  const { status, error } = spawnSync(python, [join(here, 'suite.py'), cli, ...process.argv.slice(2)], {
    stdio: 'inherit',
    timeout: 600_000,
    env: { ...process.env, NODE: process.execPath, PYTHONDONTWRITEBYTECODE: '1' },
  });
  if (error) console.log(`the kernel suite did not end: ${error.message}`);
  process.exitCode = status ?? 1;
}
