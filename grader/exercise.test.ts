import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checksOf } from './checks/index.js';
import { listExercises, loadExercise } from './exercise.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const SPEC = `id: demo
title: Demo
export: demo
imports: [shardbook]
worlds: [1, 2]
checks:
  - { id: one, title: One }
  - { id: two, title: Two, requires: [one], weight: 2 }
`;

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shardbook-exercise-'));
  mkdirSync(join(folder, 'demo'));
  writeFileSync(join(folder, 'demo/starter.ts'), 'export function demo() {}\n');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const load = (spec: string) => {
  writeFileSync(join(folder, 'demo/exercise.yaml'), spec);
  return loadExercise(join(folder, 'demo'));
};

describe('loadExercise()', () => {
  it('fills in defaults', () => {
    expect(load(SPEC)).toMatchObject({
      id: 'demo',
      limits: { caseSeconds: 10, memoryMb: 512 },
      checks: [
        { id: 'one', weight: 1, requires: [], visibility: 'public' },
        { id: 'two', weight: 2, requires: ['one'] },
      ],
    });
  });

  it.each([
    [
      'a check before the one it requires',
      SPEC.replace('requires: [one]', 'requires: [three]'),
      'check "two" requires "three", which does not stand above it',
    ],
    [
      'a hidden check without a sentence',
      SPEC.replace('title: One', 'title: One, visibility: hidden'),
      'hidden check "one" has no "message"',
    ],
    [
      'the same check twice',
      SPEC.replace('id: two', 'id: one').replace(', requires: [one]', ''),
      'check "one" is there twice',
    ],
    ['a name with blanks', SPEC.replace('id: two', 'id: the other'), 'check "the other": a name is small'],
    ['a check without a title', SPEC.replace('title: One', 'title: ""'), 'a check without "id" and "title"'],
    [
      'a hidden check with an empty sentence',
      SPEC.replace('title: One', 'title: One, visibility: hidden, message: " "'),
      'hidden check "one" has no "message"',
    ],
    [
      'weights of nothing',
      SPEC.replace('title: One', 'title: One, weight: 0').replace('weight: 2', 'weight: 0'),
      'all checks have the weight 0',
    ],
    ['a weight without end', SPEC.replace('weight: 2', 'weight: .inf'), 'has the weight Infinity, wanted'],
    ['a limit without end', `${SPEC}limits: { caseSeconds: .inf }\n`, '"caseSeconds" is Infinity, wanted'],
    ['a missing export', SPEC.replace('export: demo\n', ''), '"export" is missing'],
    [
      'the name of another folder',
      SPEC.replace('id: demo', 'id: other'),
      '"id" is "other", wanted the name of',
    ],
    [
      'a key that nobody reads',
      SPEC.replace('title: One', 'title: One, visiblity: hidden'),
      'check "one": there is no key "visiblity", did you mean "visibility"',
    ],
    ['a limit that nobody reads', `${SPEC}limits: { caseSecs: 3 }\n`, 'limits: there is no key "caseSecs"'],
    ['a limit in words', `${SPEC}limits: { caseSeconds: ten }\n`, '"caseSeconds" is "ten", wanted a number'],
    ['a limit too small', `${SPEC}limits: { memoryMb: 1 }\n`, '"memoryMb" is 1, wanted a number from 64'],
    ['a world of none', SPEC.replace('[1, 2]', '[0]'), '"worlds" holds 0, wanted whole numbers from 1'],
    ['half a rank', SPEC.replace('[1, 2]', '[2.5]'), '"worlds" holds 2.5'],
    ['worlds in words', SPEC.replace('[1, 2]', '[two]'), '"worlds" holds "two"'],
    ['an import that is not there', SPEC.replace('[shardbook]', '[shardbook, fs]'), '"imports" names "fs"'],
    [
      'one required check in no list',
      SPEC.replace('[one]', 'one'),
      'requires "one", wanted a list of checks: [one]',
    ],
    ['a store in words', `${SPEC}store: sure\n`, '"store" is "sure", wanted true, false'],
    ['a check that is no mapping', SPEC.replace('{ id: one, title: One }', 'one'), 'a check without "id"'],
    ['a list for a mapping', '- id', 'a mapping of keys to values is wanted'],
    ['broken YAML', 'id: [', 'Cannot read exercise.yaml of "demo"'],
  ])('refuses %s', (_name, spec, message) => {
    expect(() => load(spec)).toThrow(message);
  });

  it('reads what an editor of another system wrote', () => {
    writeFileSync(
      join(folder, 'demo/hints.md'),
      '\ufeff## One\r\n\r\nFirst.\r\n\r\n## Two\r\n\r\nSecond.\r\n',
    );
    writeFileSync(join(folder, 'demo/starter.ts'), '\ufeffexport const a = 1;\r\n');
    const { hints, starter } = load(`\ufeff${SPEC.replaceAll('\n', '\r\n')}`);
    expect(hints).toEqual(['First.', 'Second.']);
    expect(starter).toBe('export const a = 1;\n');
  });

  it('suggests the nearest exercise', () => {
    load(SPEC);
    expect(listExercises(folder)).toEqual(['demo']);
    expect(() => loadExercise(join(folder, 'dem'))).toThrow('Did you mean "demo"?');
  });

  it('reads every exercise of the repository, and the grader has its checks', async () => {
    for (const id of listExercises(join(root, 'exercises'))) {
      const exercise = loadExercise(join(root, 'exercises', id));
      expect(exercise.id).toBe(id);
      expect(Object.keys(await checksOf(exercise, root))).toEqual(exercise.checks.map((check) => check.id));
    }
  });
});
