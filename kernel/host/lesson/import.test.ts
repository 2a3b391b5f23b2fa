import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadGlossary, parseGlossary } from './glossary.js';
import { type ImportedNotebook, notebookToLesson } from './import.js';
import { loadManifest, manifestLessons } from './manifest.js';
import { lessonToNotebook, type Notebook } from './notebook.js';
import { parseLesson } from './parse.js';

const LESSONS = fileURLToPath(new URL('../../../lessons', import.meta.url));
const GLOSSARY = parseGlossary('## rank\n\nOne of many.\n');
const LESSON = `---
id: l
title: L
layer: 0
covers: []
requires: []
teaches: [count]
minutes: 10
world: 2
---

# L

Two {term}\`ranks <rank>\`.

+++

\`\`\`{note}
Mind the {term}\`rank\`.
\`\`\`

\`\`\`{predict}
:number: 2
How many?
\`\`\`

\`\`\`{code-cell} typescript
:tags: [raises-exception]
worldSize
\`\`\`

\`\`\`{output}
:tolerance: 1e-3
2
\`\`\`

\`\`\`{pytorch}
:compare: lines
print(world_size)
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
let n = 2;
\`\`\`
\`\`\`\`

\`\`\`{exercise} ring
\`\`\`
`;

/** As a file holds it. */
const built = (): Notebook =>
  JSON.parse(JSON.stringify(lessonToNotebook(parseLesson(LESSON, 'l.md'), GLOSSARY)));
const edited = (edit: (cells: Notebook['cells']) => void): string => {
  const notebook = built();
  edit(notebook.cells);
  return notebookToLesson(notebook, GLOSSARY);
};

describe('notebookToLesson()', () => {
  it('gives the same bytes for a notebook that was not touched', () => {
    expect(notebookToLesson(built(), GLOSSARY)).toBe(LESSON);
  });

  it.each(
    manifestLessons(loadManifest(LESSONS)).map(({ id, path }) => [id, path]),
  )('gives the same bytes for %s', (_id, path) => {
    const glossary = loadGlossary(LESSONS);
    const text = readFileSync(path, 'utf8');
    expect(notebookToLesson(lessonToNotebook(parseLesson(text, path), glossary), glossary)).toBe(text);
  });

  it('takes edited code, text and starters, and keeps words of the glossary', () => {
    const text = edited((cells) => {
      cells[0]!.source = cells[0]!.source.replace('Two', 'Three');
      const at = cells.findIndex(({ source }) => source === 'worldSize');
      cells[at]!.source = 'worldSize + 1';
      cells.find(({ source }) => source === 'let n = 0;')!.source = 'let n = 1;';
    });
    expect(text).toBe(
      LESSON.replace('Two', 'Three')
        .replace('\nworldSize\n', '\nworldSize + 1\n')
        .replace('let n = 0;', 'let n = 1;'),
    );
  });

  it('takes new cells, and sources that are lists of lines', () => {
    const text = edited((cells) => {
      cells.splice(1, 0, {
        cell_type: 'markdown',
        id: 'x',
        metadata: {},
        source: ['New ', 'text.'] as unknown as string,
      });
      cells.push({ cell_type: 'code', id: 'y', metadata: {}, source: 'rank' });
    });
    expect(text).toContain('Two {term}`ranks <rank>`.\n\n+++\n\nNew text.\n\n+++\n\n```{note}');
    expect(text.endsWith('```{code-cell} typescript\nrank\n```\n')).toBe(true);
  });

  it('refuses a notebook that is no lesson', () => {
    const other: ImportedNotebook = { cells: [] };
    expect(() => notebookToLesson(other)).toThrow(
      'Cannot import the notebook: it was not built from a lesson',
    );
  });
});
