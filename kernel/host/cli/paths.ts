import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the package: the nearest one above this file whose package.json is shardbook's. */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const file = join(folder, 'package.json');
    if (
      existsSync(file) &&
      (JSON.parse(readFileSync(file, 'utf8')) as { name?: string }).name === 'shardbook'
    ) {
      return folder;
    }
    const parent = dirname(folder);
    if (parent === folder)
      throw new Error('Internal error: the package.json of shardbook is not above this file');
    folder = parent;
  }
}
