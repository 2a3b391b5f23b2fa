/** Tells whether `dist/` was built from the sources as they are now. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const SOURCES = ['kernel', 'grader', 'package-lock.json', 'tsconfig.json'];
const IGNORED = new Set(['tests', 'generated', 'node_modules']);

/** Hash of the contents of all files that a build reads. */
export function sourceHash(root) {
  const hash = createHash('sha256');
  const visit = (path, isFile) => {
    if (isFile) {
      if (path.endsWith('.test.ts')) return;
      hash.update(relative(root, path).replaceAll('\\', '/'));
      hash.update('\0');
      hash.update(readFileSync(path));
      return;
    }
    const entries = readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      if (!IGNORED.has(entry.name)) visit(join(path, entry.name), entry.isFile());
    }
  };
  for (const name of SOURCES) {
    const path = join(root, name);
    if (existsSync(path)) visit(path, /\.json$/.test(name));
  }
  return hash.digest('hex');
}

const stampFile = (root) => join(root, 'dist', '.stamp');

export function isBuildFresh(root) {
  return existsSync(stampFile(root)) && readFileSync(stampFile(root), 'utf8') === sourceHash(root);
}

export function writeStamp(root, hash) {
  writeFileSync(stampFile(root), hash);
}
