import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findLesson, loadManifest, manifestLessons } from './manifest.js';

const lesson = (id: string, requires = '[]', layer = 0): string =>
  `---\nid: ${id}\ntitle: ${id}\nlayer: ${layer}\ncovers: []\nrequires: ${requires}\nteaches: []\nminutes: 5\nworld: 2\n---\n\n\`\`\`{code-cell} typescript\n1\n\`\`\`\n`;
const manifest = (...ids: string[]): string =>
  `title: Course\nlayers:\n  - layer: 0\n    title: Start\n    lessons:\n${ids.map((id) => `      - { id: ${id}, file: ${id}.md }\n`).join('')}`;

let root = '';
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'shardbook-manifest-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const write = (files: Record<string, string>): void => {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(root, { recursive: true });
    writeFileSync(join(root, name), text);
  }
};

describe('loadManifest()', () => {
  it('lists lessons in the manifest order, not in the order of file names', () => {
    write({ 'manifest.yaml': manifest('b', 'a'), 'a.md': lesson('a', '[b]'), 'b.md': lesson('b') });
    expect(manifestLessons(loadManifest(root)).map((entry) => [entry.id, entry.lesson?.title])).toEqual([
      ['b', 'b'],
      ['a', 'a'],
    ]);
  });

  it('keeps the list when one lesson is broken, and says what is wrong with it', () => {
    write({ 'manifest.yaml': manifest('a', 'b', 'c'), 'a.md': lesson('a'), 'b.md': '# no front matter' });
    const problems = manifestLessons(loadManifest(root)).map((entry) => entry.problem?.message ?? '');
    expect(problems[0]).toBe('');
    expect(problems[1]).toContain('b.md:1: it does not begin with front matter');
    expect(problems[2]).toBe('Cannot read manifest.yaml: lesson "c" has no file "c.md"');
  });

  it('refuses a lesson before the one that it requires', () => {
    write({ 'manifest.yaml': manifest('a', 'b'), 'a.md': lesson('a', '[b]'), 'b.md': lesson('b') });
    expect(() => loadManifest(root)).toThrow('lesson "a" requires "b", which does not come before it');
  });

  it('refuses a folder without a manifest and a file outside the folder', () => {
    expect(() => loadManifest(join(root, 'none'))).toThrow('Cannot find lessons: no manifest.yaml');
    write({ 'manifest.yaml': 'layers:\n  - layer: 0\n    lessons:\n      - { id: x, file: ../x.md }\n' });
    expect(() => loadManifest(root)).toThrow('lesson "x" lies outside the folder: "../x.md"');
  });
});

describe('findLesson()', () => {
  it('suggests the nearest id', () => {
    write({ 'manifest.yaml': manifest('ranks'), 'ranks.md': lesson('ranks') });
    expect(findLesson(loadManifest(root), 'ranks').id).toBe('ranks');
    expect(() => findLesson(loadManifest(root), 'rank')).toThrow('Did you mean "ranks"?');
  });
});
