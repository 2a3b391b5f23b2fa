import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lintLessons } from './lint/index.js';
import { loadManifest, manifestLessons } from './manifest.js';
import { newLesson } from './scaffold.js';
import { codeCells } from './types.js';

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'shardbook-scaffold-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('newLesson()', () => {
  it('makes a folder of lessons that can be read, in the order of creation', () => {
    newLesson(root, 'second-things', 1);
    newLesson(root, 'first-things', 0);
    newLesson(root, 'third-things', 1);
    const entries = manifestLessons(loadManifest(root));
    expect(entries.map(({ id, problem }) => [id, problem])).toEqual([
      ['second-things', undefined],
      ['third-things', undefined],
      ['first-things', undefined],
    ]);
    expect(codeCells(entries[0]!.lesson!)[0]?.output?.text).toBe('6');
    expect(lintLessons(loadManifest(root))).toEqual([]);
  });

  it('keeps the comments of a manifest', () => {
    writeFileSync(join(root, 'manifest.yaml'), '# Order matters\ntitle: Mine\nlayers: []\n');
    newLesson(root, 'one', 0);
    expect(readFileSync(join(root, 'manifest.yaml'), 'utf8')).toMatch(/^# Order matters\ntitle: Mine\n/);
  });

  it('refuses an id that is none and a file that is there', () => {
    expect(() => newLesson(root, 'No Id', 0)).toThrow('Cannot name a lesson "No Id"');
    newLesson(root, 'one', 0);
    expect(() => newLesson(root, 'one', 0)).toThrow('the file is there already');
  });
});
