import { existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Makes a folder that a user named, and those above it; one that is there is left as it is. Node's own `recursive` never comes back
 * where the system makes no folder in one that exists (`/proc`), and calls what cannot be written to "not there".
 */
export function makeFolder(folder: string): void {
  const path = resolve(folder);
  try {
    mkdirSync(path);
  } catch (error) {
    const above = dirname(path);
    const { code } = error as NodeJS.ErrnoException;
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
    if (code !== 'ENOENT' || above === path) throw error;
    if (existsSync(above)) throw Object.assign(error as Error, { code: 'EROFS', path });
    makeFolder(above);
    mkdirSync(path);
  }
}
