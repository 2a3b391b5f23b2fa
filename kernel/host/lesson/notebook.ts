import { type Glossary, plainTerms } from './glossary.js';
import { plainAdmonitions, questionCellText, taskText, twinText } from './text.js';
import type { CodeCell, Lesson, LessonCell, Prediction, QuestionCell, TaskCell } from './types.js';

/** nbformat 4.5, as far as a lesson needs it. */
export interface Notebook {
  nbformat: 4;
  nbformat_minor: 5;
  metadata: Record<string, unknown>;
  cells: NotebookCell[];
}

export interface NotebookCell {
  cell_type: 'code' | 'markdown';
  id: string;
  metadata: Record<string, unknown>;
  source: string;
  execution_count?: null;
  outputs?: [];
}

const KERNELSPEC = {
  name: 'shardbook',
  display_name: 'Shardbook (TypeScript)',
  language: 'typescript',
} as const;
/** A starter may fail; the cells below it run all the same. */
const UNSOLVED = { tags: ['raises-exception'] };
/** nbformat allows ids of 1 to 64 characters. */
const LONGEST_ID = 64;

/**
 * The notebook of a lesson: the same lesson gives the same bytes. Expected outputs are not shown as outputs, because the
 * learner predicts first; they stay in the cell's metadata for tools. What a front end without the app cannot draw is
 * Markdown that it can show.
 */
export function lessonToNotebook(lesson: Lesson, glossary: Glossary = new Map()): Notebook {
  return cellsToNotebook(
    lesson.cells,
    lesson.id,
    {
      title: lesson.title,
      shardbook: {
        lesson: lesson.id,
        world: lesson.world,
        minutes: lesson.minutes,
        myst: lesson.frontText,
      },
    },
    glossary,
  );
}

/** The notebook of parsed cells, whose ids begin with `name`. */
export function cellsToNotebook(
  cells: readonly LessonCell[],
  name: string,
  metadata: Record<string, unknown>,
  glossary: Glossary = new Map(),
): Notebook {
  return {
    nbformat: 4,
    nbformat_minor: 5,
    metadata: {
      kernelspec: { ...KERNELSPEC },
      language_info: { name: 'typescript', file_extension: '.ts', mimetype: 'text/x-typescript' },
      ...metadata,
    },
    cells: cells.flatMap((cell, position) =>
      notebookCells(cell, cells[position - 1], glossary).map((drawn, part) => ({
        cell_type: drawn.cell_type,
        id: cellId(name, part === 0 ? `-${position}` : `-${position}-${part}`),
        metadata: drawn.metadata,
        source: drawn.source,
        ...(drawn.cell_type === 'code' ? { execution_count: null, outputs: [] as [] } : {}),
      })),
    ),
  };
}

/** Text as every front end shows it. */
export function readable(text: string, glossary: Glossary): string {
  return plainTerms(plainAdmonitions(text), glossary);
}

type Drawn = Pick<NotebookCell, 'cell_type' | 'metadata' | 'source'>;

function notebookCells(cell: LessonCell, above: LessonCell | undefined, glossary: Glossary): Drawn[] {
  const text = (source: string, words: object = {}, myst = source): Drawn => {
    const shown = readable(source, glossary);
    const shardbook = { ...words, ...(shown === myst ? {} : { myst }) };
    return {
      cell_type: 'markdown',
      metadata: Object.keys(shardbook).length === 0 ? {} : { shardbook },
      source: shown,
    };
  };
  const code = (source: string, metadata: Record<string, unknown>): Drawn => ({
    cell_type: 'code',
    metadata,
    source,
  });
  switch (cell.kind) {
    case 'text':
      return [text(cell.text, cell.isPrediction ? { prediction: true } : {}, cell.text)];
    case 'twin':
      return [text(twinText(cell.twin), { twin: true }, cell.myst)];
    case 'exercise':
      return [
        code(`// Exercise: shardbook exercise start ${cell.exercise}`, {
          ...UNSOLVED,
          shardbook: { exercise: cell.exercise, myst: cell.myst },
        }),
      ];
    case 'question':
      return [text(questionCellText(cell), { question: questionWords(cell) }, cell.myst)];
    case 'task':
      return [
        text(taskText(cell), { task: cell.name }, cell.myst),
        code(cell.starter, { ...UNSOLVED, shardbook: { task: taskWords(cell) } }),
      ];
    case 'code':
      return [code(cell.source, codeMetadata(cell, above))];
  }
}

function codeMetadata(cell: CodeCell, above: LessonCell | undefined): Record<string, unknown> {
  const { output, tags, unchecked } = cell;
  const predict = cell.predict ?? questionAbove(above);
  const own = {
    ...(output === undefined ? {} : { expects: output.text }),
    ...(output?.tolerance === undefined ? {} : { tolerance: output.tolerance }),
    ...(unchecked === undefined ? {} : { unchecked }),
    ...(predict === undefined ? {} : { predict }),
    ...(Object.keys(cell.myst).length === 0 ? {} : { myst: cell.myst }),
  };
  return {
    ...(tags.length > 0 ? { tags: [...tags] } : {}),
    ...(Object.keys(own).length > 0 ? { shardbook: own } : {}),
  };
}

function questionWords({ kind: _kind, line: _line, myst: _myst, ...words }: QuestionCell): object {
  return words;
}

function taskWords({ name, starter, check, solution, hints }: TaskCell): object {
  return { name, starter, check, solution, hints };
}

/** The question of a text that ends in a paragraph "**Predict.** ...", as lessons without the directive write it. */
function questionAbove(above: LessonCell | undefined): Prediction | undefined {
  if (above?.kind !== 'text') return undefined;
  const question = /(?:^|\n)\s*\*\*Predict\.?\*\*:?\s*((?:(?!\n\s*\n)[\s\S])+)$/.exec(above.text)?.[1];
  return question === undefined ? undefined : { question: question.trim() };
}

function cellId(name: string, suffix: string): string {
  return name.slice(0, LONGEST_ID - suffix.length) + suffix;
}
