/** Where the built thread entries are. Threads always start from `dist/`, also when the caller runs from source. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ShardbookError } from '../../runtime/index.js';

let root: string | undefined;

/** The folder of Shardbook's own package.json, found upwards from this module. */
export function packageRoot(): string {
  if (root !== undefined) return root;
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const manifest = join(folder, 'package.json');
    if (existsSync(manifest)) {
      const { name } = JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string };
      if (name === 'shardbook') {
        root = folder;
        return folder;
      }
    }
    const parent = dirname(folder);
    if (parent === folder) {
      throw new ShardbookError({
        code: 'SB_NO_PACKAGE',
        message: `Cannot find Shardbook's own package: no package.json named "shardbook" above "${dirname(fileURLToPath(import.meta.url))}"`,
        help: 'install the package again',
      });
    }
    folder = parent;
  }
}

/** The path of a built entry, for example `distEntry('rank-worker.js')`. */
export function distEntry(name: string): string {
  const path = join(packageRoot(), 'dist', name);
  if (!existsSync(path)) {
    throw new ShardbookError({
      code: 'SB_NOT_BUILT',
      message: `Cannot start "${name}": it is not in "${dirname(path)}", which the build writes`,
      help: 'run "npm run build"',
    });
  }
  return path;
}
