import { describe, expect, it } from 'vitest';
import { lessonToNotebook } from './notebook.js';
import { parseLesson } from './parse.js';
import { codeCells } from './types.js';

const HEAD = `---
id: first-lesson
title: First
layer: 0
covers: ["0.1"]
requires: []
teaches: [count]
minutes: 10
world: 4
---
`;

const BODY = `# First

Text.

\`\`\`{code-cell} typescript
:tags: [raises-exception]
rank;
1 + 1
\`\`\`

\`\`\`{output}
:tolerance: 1e-3
2
\`\`\`

+++

More text with a listing:

\`\`\`ts
notACell();
\`\`\`
`;

const problem = (text: string): string => {
  try {
    parseLesson(text, 'a.md');
  } catch (error) {
    return (error as Error).message;
  }
  return 'no error';
};

describe('parseLesson()', () => {
  const lesson = parseLesson(HEAD + BODY, 'a.md');

  it('reads the front matter', () => {
    expect(lesson).toMatchObject({ id: 'first-lesson', layer: 0, covers: ['0.1'], world: 4, minutes: 10 });
  });

  it('splits text, code and output, each with its line in the file', () => {
    expect(lesson.cells.map((cell) => [cell.kind, cell.line])).toEqual([
      ['text', 11],
      ['code', 17],
      ['text', 28],
    ]);
    expect(codeCells(lesson)[0]).toEqual({
      kind: 'code',
      index: 0,
      source: 'rank;\n1 + 1',
      line: 17,
      tags: ['raises-exception'],
      output: { text: '2', line: 23, tolerance: 1e-3 },
      myst: { options: ':tags: [raises-exception]', output: '```{output}\n:tolerance: 1e-3\n2\n```' },
    });
  });

  it('keeps plain listings as text', () => {
    expect(lesson.cells[2]).toMatchObject({ text: 'More text with a listing:\n\n```ts\nnotACell();\n```' });
  });

  it.each([
    ['no front matter', '# Hello', 'Cannot read the lesson at a.md:1: it does not begin with front matter'],
    [
      'a wrong value',
      HEAD.replace('world: 4', 'world: 0') + BODY,
      'a.md:9: front matter "world" is 0, wanted a whole number from 1 to 64',
    ],
    [
      'a missing key',
      HEAD.replace('title: First\n', '') + BODY,
      'a.md:1: front matter "title" is missing, wanted a text',
    ],
    [
      'a misspelt key',
      HEAD.replace('minutes', 'minuts') + BODY,
      'a.md:8: unknown front matter key "minuts"\n  help: Did you mean "minutes"?',
    ],
    ['broken YAML', HEAD.replace('title: First', 'title: "First') + BODY, 'a.md:'],
    [
      'a misspelt directive',
      HEAD + BODY.replace('{code-cell}', '{code-cel}'),
      'a.md:15: unknown directive "{code-cel}"\n  help: Did you mean "{code-cell}"?',
    ],
    [
      'an open block',
      `${HEAD}\n\`\`\`{code-cell} typescript\n1`,
      'a.md:12: the block that begins here is never closed',
    ],
    [
      'another language',
      HEAD + BODY.replace('} typescript', '} python'),
      'a.md:15: a code cell in "python", wanted typescript',
    ],
    [
      'an output without a cell',
      `${HEAD}\n\`\`\`{output}\n1\n\`\`\`\n`,
      'a.md:12: an {output} block that does not follow a code cell',
    ],
    ['a tolerance that is no number', HEAD + BODY.replace('1e-3', 'small'), 'a.md:22: tolerance is "small"'],
    ['no cells', `${HEAD}\nText.\n`, 'a.md:11: it has no code cell'],
  ])('names file and line for %s', (_name, text, message) => {
    expect(problem(text)).toContain(message);
  });
});

describe('lessonToNotebook()', () => {
  it('gives the same bytes for the same lesson, with valid unique ids', () => {
    const lesson = parseLesson(HEAD + BODY, 'a.md');
    const notebook = lessonToNotebook(lesson);
    expect(JSON.stringify(lessonToNotebook(parseLesson(HEAD + BODY, 'b.md')))).toBe(JSON.stringify(notebook));
    expect(notebook.cells.map((cell) => cell.id)).toEqual([
      'first-lesson-0',
      'first-lesson-1',
      'first-lesson-2',
    ]);
    expect(notebook.cells[1]).toEqual({
      cell_type: 'code',
      id: 'first-lesson-1',
      metadata: {
        tags: ['raises-exception'],
        shardbook: {
          expects: '2',
          tolerance: 1e-3,
          myst: { options: ':tags: [raises-exception]', output: '```{output}\n:tolerance: 1e-3\n2\n```' },
        },
      },
      source: 'rank;\n1 + 1',
      execution_count: null,
      outputs: [],
    });
  });
});

describe('{predict} and {exercise}', () => {
  const CELL = '```{code-cell} typescript\nrank\n```\n';
  const cellsOf = (body: string) => parseLesson(HEAD + body, 'a.md');

  it('put the question into the text and into the metadata of the cell below', () => {
    const lesson = cellsOf(
      `\`\`\`{predict}\n:choices: one | four\n:answer: 2\n:explain: Every rank prints.\nHow many?\n\`\`\`\n\n${CELL}`,
    );
    const { cells } = lessonToNotebook(lesson);
    expect(cells[0]!.source).toBe('**Predict.** How many?\n\n- one\n- four');
    expect(cells[1]!.metadata['shardbook']).toMatchObject({
      predict: { question: 'How many?', choices: ['one', 'four'], answer: 1, explain: 'Every rank prints.' },
    });
  });

  it('a paragraph "**Predict.**" right above a cell does the same', () => {
    const { cells } = lessonToNotebook(
      cellsOf(`Text.\n\n**Predict.** Who waits\nlongest?\n\n${CELL}\nMore.\n\n${CELL}`),
    );
    expect(cells[1]!.metadata['shardbook']).toEqual({ predict: { question: 'Who waits\nlongest?' } });
    expect(cells[3]!.metadata['shardbook']).toBeUndefined();
  });

  it('an exercise becomes a cell that names it', () => {
    const { cells } = lessonToNotebook(cellsOf(`${CELL}\n\`\`\`{exercise} ring-all-reduce\n\`\`\`\n`));
    expect(cells[1]!.metadata['shardbook']).toEqual({
      exercise: 'ring-all-reduce',
      myst: '```{exercise} ring-all-reduce\n```',
    });
  });

  it('refuses what cannot be meant', () => {
    expect(problem(`${HEAD}\`\`\`{predict}\nq\n\`\`\`\n\nText.\n\n${CELL}`)).toContain(
      'no code cell follows',
    );
    expect(problem(`${HEAD}\`\`\`{predict}\n:choices: a | b\n:answer: 3\nq\n\`\`\`\n\n${CELL}`)).toContain(
      'from 1 to 2',
    );
    expect(problem(`${HEAD}\`\`\`{exercise} ../x\n\`\`\`\n${CELL}`)).toContain('an exercise named');
  });
});
