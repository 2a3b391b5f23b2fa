/**
 * From a path in a URL to a file under the root, or an error: no `..`, no absolute path, no symbolic link that leads out,
 * no hidden file (the workspace keeps its own things there).
 */
import { lstat, realpath } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { HttpError } from './http-error.js';

/** Normal form of an API path: no leading or trailing slash; '' is the root. */
export function normalizeApiPath(raw: string): string {
  if (raw.includes('\0')) throw refusePath(raw, 'it contains a null character');
  if (raw.includes('\\')) throw refusePath(raw, 'it contains a backslash');
  if (raw.length > 1024) throw refusePath(`${raw.slice(0, 40)}...`, 'it is longer than 1024 characters');
  const segments = raw.split('/').filter((segment) => segment !== '' && segment !== '.');
  for (const segment of segments) {
    if (segment === '..') throw refusePath(raw, 'it leads out of its root');
    if (segment.startsWith('.')) throw refusePath(raw, 'it names a hidden file');
    if (/^[a-z]:$/i.test(segment)) throw refusePath(raw, 'it names a drive');
  }
  return segments.join('/');
}

/** Absolute path of `apiPath` under `root` (a real path); the file itself need not exist. */
export async function resolveInside(root: string, apiPath: string): Promise<string> {
  const normal = normalizeApiPath(apiPath);
  const wanted = normal === '' ? root : join(root, ...normal.split('/'));
  await realInside(root, wanted, apiPath);
  return wanted;
}

/** Refuses `file`, which the server made up itself below `root`, when a symbolic link leads it out. */
export async function realInside(
  root: string,
  file: string,
  shown = file.slice(root.length + 1),
): Promise<void> {
  const real = await realpathOfExistingPart(file);
  if (real !== root && !real.startsWith(root.endsWith(sep) ? root : root + sep)) {
    throw refusePath(shown, 'a symbolic link in it leads out of its root');
  }
}

async function realpathOfExistingPart(path: string): Promise<string> {
  for (let current = path; ; current = dirname(current)) {
    try {
      return await realpath(current);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      // A dangling link has no real path yet, but a write would go through it.
      if (code === 'ENOENT' && !(await isLink(current)) && current !== dirname(current)) continue;
      throw refusePath(path, code === 'ELOOP' ? 'its symbolic links go in circles' : 'it cannot be resolved');
    }
  }
}

async function isLink(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isSymbolicLink();
  } catch {
    return false;
  }
}

function refusePath(path: string, why: string): HttpError {
  return new HttpError(403, 'SB_PATH_REFUSED', `Cannot use the path "${path}": ${why}`);
}
