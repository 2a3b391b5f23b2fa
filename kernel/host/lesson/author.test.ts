import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CheckCache } from './cache.js';
import { countItems, coverageOf, isComplete } from './coverage.js';
import { parseCurriculum } from './curriculum.js';
import { formatLesson } from './format.js';
import { lintLessons } from './lint/index.js';
import { loadManifest } from './manifest.js';
import { parseLesson } from './parse.js';
import { compareTwin, foldPrints, unfoldOutput } from './pytorch/compare.js';
import { twinsHash } from './pytorch/record.js';
import { codeCells } from './types.js';
import { updateOutputs } from './update.js';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true });
});

const CURRICULUM = `- id: '0.1'
  title: Counting
  asks: [How many ranks are there?]
  fixes: [Not one but four.]
  ideas: [Print them., Print them twice.]
  left: { idea-2: once is enough }
`;
const LESSON = `---
id: counting
title: Counting
layer: 0
covers: ['0.1']
requires: []
teaches: [count]
minutes: 10
world: 2
---

# Counting

## Ranks

A {term}\`rank\`, $n^2$ of them, [below](#ranks), [there](other.md), see [the paper](https://example.org/a#b).

<!-- covers: 0.1 ask-1 fix-1 idea-1 -->

\`\`\`{predict}
:number: 2
How many?
\`\`\`

\`\`\`{code-cell} typescript
worldSize
\`\`\`

\`\`\`{output}
2
\`\`\`

\`\`\`{pytorch}
print(world_size)
\`\`\`

\`\`\`{question} how-many
:number: 2
How many?

---

Two.
\`\`\`

\`\`\`\`{task} count
Count.

\`\`\`typescript starter
let n = 0;
\`\`\`

\`\`\`typescript check
if (n !== 2) throw Error('no');
\`\`\`

\`\`\`typescript solution
n = 2;
\`\`\`
\`\`\`\`
`;

/** What lint says of the lesson after an edit of it or of another file. */
function lint(edit: (text: string) => string = (text) => text, files: Record<string, string> = {}): string[] {
  const root = join(mkdtempSync(join(tmpdir(), 'shardbook-lint-')), 'lessons');
  folders.push(join(root, '..'));
  mkdirSync(join(root, 'curriculum'), { recursive: true });
  mkdirSync(join(root, '..', 'exercises', 'ring'), { recursive: true });
  const all: Record<string, string> = {
    'manifest.yaml': 'layers:\n  - layer: 0\n    lessons:\n      - { id: counting, file: counting.md }\n',
    'counting.md': edit(LESSON),
    'other.md': '# Other\n',
    'glossary.md': '# Glossary\n\n## rank\n\nOne of many.\n',
    'curriculum/all.yaml': CURRICULUM,
    'sources.yaml': '- { url: "https://example.org/a", title: A paper, year: 2020 }\n',
    ...files,
  };
  for (const [name, text] of Object.entries(all)) writeFileSync(join(root, name), text);
  return lintLessons(loadManifest(root)).map(
    ({ file, line, rule, message }) => `${file.split('/').at(-1)}:${line}: ${rule}: ${message}`,
  );
}

describe('lintLessons()', () => {
  it('has nothing to say of a good lesson', () => {
    expect(lint()).toEqual([]);
  });

  it.each([
    [
      'a renamed id',
      (t: string) => t.replace("covers: ['0.1']", "covers: ['0.7']"),
      'counting.md:1: covers: the curriculum has no "0.7"',
    ],
    ['a cell that is not checked', (t: string) => t.replace('```{output}\n2\n```\n\n', ''), 'unchecked-cell'],
    [
      'a cell that prints nothing',
      (t: string) => t.replace('```{output}\n2\n```', '```{output}\n```'),
      'silent-cell: a cell that prints nothing',
    ],
    [
      'an output that takes anything',
      (t: string) => t.replace('```{output}\n2\n```', '```{output}\n...\n```'),
      'takes anything',
    ],
    [
      'a link to no file',
      (t: string) => t.replace('other.md', 'gone.md'),
      'counting.md:16: link: "gone.md" does not exist',
    ],
    [
      'a link to no heading',
      (t: string) => t.replace('#ranks', '#rank'),
      '"#rank" names no heading, did you mean "#ranks"',
    ],
    [
      'a link out of the project',
      (t: string) => t.replace('other.md', '../../x.md'),
      'lies outside of the project',
    ],
    [
      'a source that is not listed',
      (t: string) => t.replace('example.org/a', 'example.org/c'),
      '"https://example.org/c" is not in sources.yaml',
    ],
    ['a link that is not encrypted', (t: string) => t.replace('https:', 'http:'), 'is not encrypted'],
    [
      'a picture without text',
      (t: string) => t.replace('[there](other.md)', '![](other.md)'),
      'picture: the picture "other.md" has no alternative text',
    ],
    [
      'a picture from another host',
      (t: string) => t.replace('[there](other.md)', '![x](https://example.org/a)'),
      'comes from another host',
    ],
    [
      'a formula that does not parse',
      (t: string) => t.replace('$n^2$', '$\\frac{n$'),
      'formula: "\\frac{n" does not parse',
    ],
    [
      'an unknown word',
      (t: string) => t.replace('{term}`rank`', '{term}`ranks`'),
      'term: "ranks" is not in glossary.md, did you mean "rank"',
    ],
    [
      'an ask without a mark',
      (t: string) => t.replace('ask-1 ', ''),
      'coverage: ask-1 of "0.1" is not marked: How many ranks are there?',
    ],
    [
      'a mark of nothing',
      (t: string) => t.replace('ask-1', 'ask-1 ask-2'),
      'counting.md:18: covers: "0.1" has no ask-2',
    ],
    [
      'a mark of another id',
      (t: string) => t.replace('covers: 0.1 ask', 'covers: 0.2 ask-1; 0.1 ask'),
      'has no "0.2"',
    ],
    [
      'an idea that is not run',
      (t: string) => t.replace(' idea-1', '').concat('\n<!-- covers: 0.1 idea-1 -->\n'),
      'is marked where no checked cell follows',
    ],
    [
      'another title',
      (t: string) => t.replace('# Counting', '# Numbers'),
      'title: the first heading is "Numbers", the title "Counting"',
    ],
    [
      'no question',
      (t: string) => t.replace(/```\{question\}[\s\S]*?```\n/, ''),
      'question: no question is asked',
    ],
    ['no twin', (t: string) => t.replace(/```\{pytorch\}[\s\S]*?```\n/, ''), 'pytorch: no cell has its twin'],
    [
      'a long cell',
      (t: string) => t.replace('worldSize\n', `${'1;\n'.repeat(25)}worldSize\n`),
      'long-cell: a cell of 26 lines',
    ],
    ['an hour', (t: string) => t.replace('minutes: 10', 'minutes: 60'), 'minutes: 60 minutes'],
    ['another layout', (t: string) => t.replace('## Ranks\n', '## Ranks\n\n\n'), 'layout: not laid out'],
    [
      'an unknown exercise',
      (t: string) => `${t}\n\`\`\`{exercise} rings\n\`\`\`\n`,
      'no exercise "rings", did you mean "ring"',
    ],
  ])('finds %s', (_name, edit, message) => {
    expect(lint(edit).join('\n')).toContain(message);
  });

  it('finds twins that changed since they were run, where results are kept', () => {
    const record = (hash: string, passed = 1): Record<string, string> => ({
      'pytorch-check.json': JSON.stringify({
        format: 'shardbook.pytorch-check/1',
        lessons: { counting: { date: '2026-01-01', torch: '2.13.0', twins: 1, compared: 1, passed, hash } },
      }),
    });
    const own = twinsHash(parseLesson(LESSON, 'a.md'));
    expect(lint(undefined, record(own))).toEqual([]);
    expect(lint(undefined, record(own, 0)).join()).toContain('1 of its twins did not pass');
    expect(lint((t) => t.replace('print(world_size)', 'print(2)'), record(own)).join()).toContain(
      'have changed',
    );
  });

  it('names an entry that no lesson covers, and one that two do', () => {
    const curriculum = `${CURRICULUM}- id: '0.2'\n  title: More\n`;
    expect(lint(undefined, { 'curriculum/all.yaml': curriculum })).toEqual([
      'all.yaml:7: coverage: no lesson covers "0.2" (More)',
    ]);
    const twice = lint(undefined, {
      'manifest.yaml':
        'layers:\n  - layer: 0\n    lessons:\n      - { id: counting, file: counting.md }\n      - { id: again, file: again.md }\n',
      'again.md': LESSON.replace('id: counting', 'id: again'),
    });
    expect(twice.join('\n')).toContain('"0.1" is covered by "again", too');
  });
});

describe('coverageOf()', () => {
  it('counts what is done and what is left out', () => {
    const [entry] = coverageOf(parseCurriculum(CURRICULUM, 'c.yaml'), [parseLesson(LESSON, 'a.md')]).entries;
    expect(countItems(entry!, 'idea')).toEqual({ done: 1, left: 1, all: 2 });
    expect(entry!.items[0]).toEqual({ item: 'ask-1', text: 'How many ranks are there?', where: ['a.md:18'] });
    expect(isComplete(entry!)).toBe(true);
    const [open] = coverageOf(parseCurriculum(CURRICULUM.replace(/ {2}left.*\n/, ''), 'c.yaml'), [
      parseLesson(LESSON, 'a.md'),
    ]).entries;
    expect(isComplete(open!)).toBe(false);
  });

  it('names the line of an entry that cannot be read', () => {
    const message = (text: string): string => {
      try {
        parseCurriculum(text, 'c.yaml');
      } catch (error) {
        return (error as Error).message;
      }
      return '';
    };
    expect(message(`${CURRICULUM}- id: '0.2'\n`)).toContain('c.yaml:7: entry "0.2" has no title');
    expect(message(CURRICULUM.replace('asks', 'ask'))).toContain('unknown key "ask", did you mean "asks"');
    expect(message(CURRICULUM.replace('idea-2:', 'idea-3:'))).toContain('"left" of "0.1" names "idea-3"');
  });
});

describe('formatLesson()', () => {
  it('gives one layout, and the same for its own', () => {
    const ragged = LESSON.replace('id: counting\ntitle: Counting', 'title: Counting\nid: counting')
      .replace('# Counting\n\n', '\n\n# Counting  \n')
      .replace('```\n\n```{output}', '```\n```{output}')
      .concat('\n\n');
    expect(formatLesson(ragged)).toBe(LESSON);
    expect(formatLesson(LESSON)).toBe(LESSON);
    expect(formatLesson(LESSON.replace(/\n/g, '\r\n'))).toBe(LESSON);
  });

  it('leaves the blank lines of listings', () => {
    const text = '# T\n\n```ts\na\n\n\n# not a heading\nb\n```\n\nText.\n';
    expect(formatLesson(text)).toBe(text);
  });
});

describe('updateOutputs()', () => {
  it('writes new outputs, longer or shorter, and adds missing ones', () => {
    const text = LESSON.replace('How many?\n```\n', 'How many?\n```\n').concat(
      '\n```{code-cell} typescript\nrank\n```\n',
    );
    const cells = codeCells(parseLesson(text, 'a.md'));
    const updated = updateOutputs(text, [
      { cell: cells[0]!, text: '```\n3\n4\n' },
      { cell: cells[1]!, text: '[rank 0] 0\n[rank 1] 1\n' },
    ]);
    expect(codeCells(parseLesson(updated, 'a.md')).map(({ output }) => output?.text)).toEqual([
      '```\n3\n4',
      '[rank 0] 0\n[rank 1] 1',
    ]);
    expect(updated.replace(/\n(`{3,})\{output\}[\s\S]*?\n\1\n/g, '\n')).toBe(
      `${text.replace(/```\{output\}\n2\n```\n/, '')}\n`,
    );
  });
});

describe('compareTwin()', () => {
  const twin = { source: '', line: 1, compare: 'numbers', tolerance: 1e-3 } as const;
  it('compares the numbers of every rank, and no parts of names', () => {
    const cell = 'f32[2, 3] on all\n[rank 0] loss 1.0000\n[rank 1,2] loss 2\n           and 5';
    expect(unfoldOutput(cell, 3)[2]).toBe('f32[2, 3] on all\nloss 2\nand 5\n');
    const printed = [
      ['[2, 3]\n', '1.0004\n'],
      ['(2, 3)\n', '2\n', '5\n'],
      ['2 3 2\n', '5\n'],
    ];
    expect(compareTwin(twin, cell, printed)).toBeUndefined();
    expect(compareTwin(twin, cell, [printed[0]!, printed[1]!, ['2 3 2 6']])).toEqual([
      '  rank 2, number 4 of 4',
      '- 5 (the cell: 2 3 2 5)',
      '+ 6 (PyTorch: 2 3 2 6)',
    ]);
    expect(compareTwin(twin, cell, [printed[0]!, printed[1]!, ['2 3 2']])?.[2]).toBe(
      '+ nothing (PyTorch: 2 3 2)',
    );
  });

  it('compares lines as a cell would show them', () => {
    expect(
      foldPrints([
        ['a\n', '0\n'],
        ['a\n', '1\n2\n'],
      ]),
    ).toBe('a\n[rank 0] 0\n[rank 1] 1\n         2\n');
    expect(compareTwin({ ...twin, compare: 'lines' }, 'a', [['a\n'], ['a\n']])).toBeUndefined();
    expect(compareTwin({ ...twin, compare: 'lines' }, 'a', [['a\n'], ['b\n']])).toContain('- a');
  });
});

describe('CheckCache', () => {
  it('knows a text that passed on the same runtime, and no other', () => {
    const folder = mkdtempSync(join(tmpdir(), 'shardbook-cache-'));
    folders.push(folder);
    const cache = new CheckCache(folder, 'one');
    cache.keep('text', 3);
    expect(cache.passed('text')).toBe(3);
    expect(cache.passed('text ')).toBeUndefined();
    expect(new CheckCache(folder, 'two').passed('text')).toBeUndefined();
  });
});
