import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Exercise, loadExercise } from '../exercise.js';
import { CheckFailure } from '../verdict.js';
import { readSubmission } from './index.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const full = loadExercise(join(root, 'exercises/ring-all-reduce'));
const GIVEN = '// given: demo/types\ninterface Comm { rank: number }';
const TASK = '// exercise: demo/ring\nexport function ring(t: number) {\n  throw new Error("not yet");\n}';
const exercise: Exercise = { ...full, id: 'demo', exports: ['ring'], starter: `${GIVEN}\n${TASK}` };

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'shardbook-intake-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const put = (name: string, text: string | Uint8Array): string => {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
  return path;
};
const read = (path: string) => readSubmission(path, exercise);
const failure = (path: string): CheckFailure => {
  try {
    read(path);
  } catch (error) {
    if (error instanceof CheckFailure) return error;
    throw error;
  }
  throw new Error('it was taken');
};
const cell = (source: unknown, more: object = {}) => ({ cell_type: 'code', metadata: {}, source, ...more });
const notebook = (...cells: unknown[]): string =>
  JSON.stringify({ nbformat: 4, nbformat_minor: 5, metadata: {}, cells });
const mine = (line: string): string =>
  `// exercise: demo/ring\nexport function ring(t: number) {\n  ${line}\n}`;

describe('readSubmission()', () => {
  it('takes a folder without what could configure anything', () => {
    put('work/submission.ts', 'export const a = 1;');
    put('work/lib/util.ts', 'export const b = 2;');
    for (const name of [
      'package.json',
      'tsconfig.json',
      'vitest.config.ts',
      '.npmrc',
      '.env',
      'node_modules/x/index.ts',
      'notes.test.ts',
    ])
      put(`work/${name}`, '{}');
    symlinkSync('/etc', join(folder, 'work/etc'));
    symlinkSync('/etc/passwd', join(folder, 'work/passwd.ts'));
    const { files, notes, kind } = read(join(folder, 'work'));
    expect([kind, files.map(({ name }) => name)]).toEqual(['folder', ['submission.ts', 'lib/util.ts']]);
    for (const word of ['package.json', '.npmrc', 'node_modules', 'passwd.ts (a symbolic link)'])
      expect(notes[0]).toContain(word);
  });

  it('finds the entry of a folder by its name, or refuses', () => {
    put('two/a.ts', '');
    put('two/b.ts', '');
    expect(failure(join(folder, 'two')).message).toContain('2 TypeScript files and none is "demo.ts"');
    put('two/demo.ts', '');
    expect(read(join(folder, 'two')).files[0]?.name).toBe('demo.ts');
    mkdirSync(join(folder, 'empty'));
    expect(failure(join(folder, 'empty')).verdict).toBe('not-attempted');
  });

  it.each([
    [
      'a symbolic link',
      () => {
        symlinkSync('/etc/passwd', join(folder, 'link.ts'));
        return join(folder, 'link.ts');
      },
      'symbolic link',
    ],
    ['an archive', () => put('bomb.zip', 'PK'), 'archive (.zip)'],
    ['a device', () => '/dev/zero', 'neither a file nor a folder'],
    ['a deep folder', () => join(put('deep/1/2/3/4/5/a.ts', ''), '../../../../../..'), 'deeper than 4'],
    ['a notebook that is no JSON', () => put('a.ipynb', '{"cells": ['), 'not JSON'],
    ['a notebook of another format', () => put('a.ipynb', '{"nbformat": 3, "worksheets": []}'), 'nbformat 4'],
    ['a cell without text', () => put('a.ipynb', notebook(cell({ a: 1 }))), 'has no text'],
    [
      'a MyST cell without an end',
      () => put('a.md', '```{code-cell} typescript\nconst a = 1;'),
      'does not end',
    ],
    [
      'too many cells',
      () => put('a.ipynb', notebook(...Array.from({ length: 2001 }, () => cell('')))),
      '2001 cells',
    ],
  ])('refuses %s', (_name, make, says) => {
    const { verdict, message } = failure(make());
    expect([verdict, message]).toEqual(['compile-error', expect.stringContaining(says)]);
  });

  it('does not read a file of 500 MB', () => {
    const path = put('huge.ipynb', '');
    truncateSync(path, 500 * 2 ** 20);
    expect(failure(path).message).toContain('at most 16777216');
  });

  it('refuses a folder of thousands of files', () => {
    for (let i = 0; i < 502; i++) put(`many/${i}.txt`, '');
    expect(failure(join(folder, 'many')).message).toContain('more than 500');
  });

  it.each([
    [
      'of Windows',
      `${'```'}{code-cell}\r\n:tags: [exercise:demo/ring]\r\nexport const ring = 1;\r\n${'```'}\r\n`,
    ],
    [
      'with options between lines',
      `${'```'}{code-cell} ts\n---\ntags:\n  - exercise:demo/ring\n---\nexport const ring = 1;\n${'```'}`,
    ],
    ['with a longer end', `${'```'}{code-cell}\n// exercise: demo/ring\nexport const ring = 1;\n${'`````'}`],
    [
      'in a directive',
      `:::{note}\n${'```'}{code-cell}\n:tags: exercise:demo/ring\nexport const ring = 1;\n${'```'}\n:::`,
    ],
  ])('finds the cell of a MyST document %s', (_name, text) => {
    const { files, notes } = read(put('a.md', text));
    expect([files[0]?.text, notes[0]]).toEqual([
      expect.stringContaining('export const ring = 1;'),
      'The given cell "demo/types" is missing: it was put back',
    ]);
  });

  it('takes no cell that a MyST document only shows', () => {
    const shown = `${'````'}\n${'```'}{code-cell}\n${mine('return 1;')}\n${'```'}\n${'````'}\n`;
    expect(failure(put('a.md', shown)).verdict).toBe('not-attempted');
    const both = `${shown}${'```'}{code-cell}\n${mine('return 2;')}\n${'```'}\n`;
    expect(read(put('b.md', both)).files[0]?.text).toContain('return 2;');
  });

  it('refuses what would keep the grader busy before anything is run', () => {
    expect(failure(put('a.ipynb', '['.repeat(1e6))).message).toContain('too deeply');
    const many = `${'```'}{code-cell}\n${'```'}\n`.repeat(1e5);
    expect(failure(put('a.md', many)).message).toContain('at most 2000');
    const slow = cell(`// exercise: demo/ring\nfunction${' '.repeat(1e6)}(`);
    expect(failure(put('b.ipynb', notebook(slow))).message).toContain('characters, at most');
  });

  it('cuts what a notebook makes it say', () => {
    const part = cell('1', { metadata: { tags: [`exercise:demo/${'x'.repeat(1e6)}`] } });
    const magics = `// exercise: demo/ring\n${'%%x\n'.repeat(1e4)}export const ring = 1;`;
    const { notes } = read(put('a.ipynb', notebook(cell(magics), part)));
    expect(notes.join('').length).toBeLessThan(1000);
  });

  it.each([
    'submission.mjs',
    'harness.mjs',
    'shardbook.given.mjs',
    'a.d.ts',
    '.ts',
    'a',
  ])('gives a source called %s a name that means nothing to the ranks', (name) => {
    const { files } = read(put(name, 'export const ring = 1;'));
    expect(files[0]?.name).toMatch(/^\w+\.ts$/);
  });

  it('puts nothing but plain characters into names', () => {
    const { name } = read(put('a\u001b[31m\u202e::error.ts', ''));
    expect(name).toMatch(/^[\w./-]+$/);
  });

  it('puts the cells of an exercise in order, puts back what was given, and says so', () => {
    const path = put(
      'a.ipynb',
      notebook(
        cell('const x = 1;'),
        cell(mine('return 1;')),
        cell('// given: demo/types\ninterface Comm { rank: string }'),
      ),
    );
    const { files, notes, kind } = read(path);
    expect(kind).toBe('notebook');
    expect(files[0]?.text).toBe(`${GIVEN}\n${mine('return 1;')}`);
    expect(notes).toEqual(['The given cell "demo/types" was changed: it was put back']);
  });

  it('says what stands in another order', () => {
    const starter = `${TASK}\n// exercise: demo/more\nconst more = 1;`;
    const path = put(
      'a.ipynb',
      notebook(cell('// exercise: demo/more\nconst more = 2;'), cell(mine('return 1;'))),
    );
    const { notes, files } = readSubmission(path, { ...exercise, starter });
    expect(notes[0]).toContain('another order');
    expect(files[0]?.text.indexOf('function ring')).toBeLessThan(files[0]!.text.indexOf('more = 2'));
  });

  it('takes the last of several cells and says which', () => {
    const path = put(
      'a.ipynb',
      notebook(
        cell(GIVEN),
        cell(mine('return 1;')),
        cell(mine('return 2;')),
        cell('// exercise: demo/ring\n'.trim() === '' ? '' : ''),
      ),
    );
    const { files, notes } = read(path);
    expect(files[0]?.text).toContain('return 2;');
    expect(notes[0]).toContain('stands in cells 2, 3');
  });

  it('takes all cells of a part that was split, but for what a later one defines again', () => {
    const helper = '// exercise: demo/ring\nconst twice = (n: number) => 2 * n;';
    const path = put(
      'a.ipynb',
      notebook(cell(helper), cell(mine('return 1;')), cell(mine('return twice(2);'))),
    );
    const { files, notes } = read(path);
    expect(files[0]?.text).toContain('const twice');
    expect(files[0]?.text).toContain('return twice(2);');
    expect(files[0]?.text).not.toContain('return 1;');
    expect(notes).toContainEqual(expect.stringContaining('stands in cells 1, 2, 3: 1, 3 counts'));
  });

  it('takes helpers without a mark that the exercise speaks of, and runs nothing else', () => {
    const path = put(
      'a.ipynb',
      notebook(
        cell(
          'type Pair = [number, number];\n\n/** Both. */\nfunction pair(n: number): Pair {\n  return [n, n];\n}',
        ),
        cell('const first = (n: number) => pair(n)[0];'),
        cell('const t = 1;\nconsole.log(first(t));'),
        cell('const other = () => 1;'),
        cell(mine('return first(1);')),
      ),
    );
    const { files, notes, place } = read(path);
    const text = files[0]!.text;
    expect(text).toMatch(/^type Pair[\s\S]*const first[\s\S]*function ring/);
    expect(text).not.toContain('console.log');
    expect(text).not.toContain('other');
    expect(notes).toContainEqual(expect.stringContaining('cell 1, 2'));
    expect(place(7)).toEqual({ file: 'a.ipynb, cell 2', line: 1 });
  });

  it('takes all functions of a notebook without marks', () => {
    const text = notebook(cell('function more() {}'), cell('function ring() {\n  return 1;\n}'));
    const { files } = readSubmission(put('a.ipynb', text), { ...exercise, exports: ['ring', 'more'] });
    expect(files[0]?.text).toMatch(/more[\s\S]*ring/);
  });

  it('calls a notebook whose cells were deleted not attempted', () => {
    expect(failure(put('a.ipynb', notebook(cell('const x = 1;')))).verdict).toBe('not-attempted');
    expect(failure(put('b.ipynb', notebook(cell(GIVEN)))).verdict).toBe('not-attempted');
  });

  it('finds cells by tag, metadata and id as well', () => {
    const source = ['export function ring(t: number) {\n', '  return 3;\n', '}'];
    for (const more of [
      { metadata: { tags: ['exercise:demo/ring'] } },
      { metadata: { shardbook: { exercise: 'demo/ring' } } },
      { id: 'exercise-demo/ring' },
    ])
      expect(read(put('a.ipynb', notebook(cell(source, more)))).files[0]?.text).toContain('return 3;');
  });

  it('takes one cell with everything, and names its lines', () => {
    const text = '// exercise: demo\n%world 4\nfunction ring() {\n  return 1;\n}';
    const submission = read(put('a.ipynb', notebook(cell('1'), cell(text))));
    expect(submission.files[0]?.text).toContain('function ring');
    expect(submission.notes[0]).toContain('"%world 4" has no effect');
    expect(submission.place(4)).toEqual({ file: 'a.ipynb, cell 2', line: 4 });
  });

  it('is not misled by __proto__ in metadata', () => {
    const text = notebook(cell(mine('return 1;'))).replace(
      '"metadata":{}',
      '"metadata":{"__proto__":{"tags":["exercise:x"]}}',
    );
    expect(read(put('a.ipynb', text)).files[0]?.text).toContain('return 1;');
  });

  it('reads MyST, with the options of its cells', () => {
    const path = put(
      'a.md',
      `# Title\n\n\`\`\`{code-cell} typescript\n:tags: [exercise:demo/ring]\nexport function ring() {\n  return 4;\n}\n\`\`\`\n`,
    );
    const { kind, files } = read(path);
    expect([kind, files[0]?.text.includes('return 4;')]).toEqual(['myst', true]);
  });

  it('hashes what counts, not the outputs of a notebook', () => {
    const one = read(put('a.ipynb', notebook(cell(mine('return 1;')))));
    const two = read(
      put('a.ipynb', notebook(cell('print()'), cell(mine('return 1;'), { outputs: [{ text: 'x' }] }))),
    );
    expect(one.sha256).toBe(two.sha256);
  });
});
