import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { normalizeApiPath, resolveInside } from './paths.js';

let folder: string;
let root: string;

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'shardbook-paths-')));
  root = join(folder, 'workspace');
  mkdirSync(join(root, 'inner'), { recursive: true });
  mkdirSync(join(folder, 'workspace-other'));
  writeFileSync(join(folder, 'secret.txt'), 'secret');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('normalizeApiPath()', () => {
  it('drops empty parts and dots', () => {
    expect(normalizeApiPath('/a//b/./c/')).toBe('a/b/c');
    expect(normalizeApiPath('')).toBe('');
  });

  it('refuses every way up or out', () => {
    for (const bad of [
      '..',
      'a/../b',
      '../secret.txt',
      'a\0b',
      'a\\..\\b',
      'C:/windows',
      '.git/config',
      'a/.env',
      'x'.repeat(1025),
    ]) {
      expect(() => normalizeApiPath(bad), bad).toThrow('Cannot use the path');
    }
  });
});

describe('resolveInside()', () => {
  it('gives the path of a file that need not exist', async () => {
    expect(await resolveInside(root, 'inner/new/file.ipynb')).toBe(join(root, 'inner', 'new', 'file.ipynb'));
    expect(await resolveInside(root, '')).toBe(root);
  });

  it('refuses links that lead out, to files, folders and nowhere', async () => {
    symlinkSync(join(folder, 'secret.txt'), join(root, 'file-link'));
    symlinkSync(folder, join(root, 'folder-link'));
    symlinkSync(join(folder, 'not-there-yet'), join(root, 'dangling'));
    symlinkSync(join(folder, 'workspace-other'), join(root, 'sibling'));
    for (const path of ['file-link', 'folder-link/secret.txt', 'folder-link/new', 'dangling', 'sibling/x']) {
      await expect(resolveInside(root, path), path).rejects.toThrow('Cannot use the path');
    }
  });

  it('refuses links in circles', async () => {
    symlinkSync(join(root, 'b'), join(root, 'a'));
    symlinkSync(join(root, 'a'), join(root, 'b'));
    await expect(resolveInside(root, 'a')).rejects.toThrow('Cannot use the path');
  });

  it('follows links that stay inside', async () => {
    symlinkSync(join(root, 'inner'), join(root, 'alias'));
    expect(await resolveInside(root, 'alias/x')).toBe(join(root, 'alias', 'x'));
  });
});
