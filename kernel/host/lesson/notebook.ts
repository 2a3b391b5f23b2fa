import type { Lesson, LessonCell, Prediction } from './types.js';

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

export const KERNELSPEC = {
  name: 'shardbook',
  display_name: 'Shardbook (TypeScript)',
  language: 'typescript',
} as const;
/** nbformat allows ids of 1 to 64 characters. */
const LONGEST_ID = 64;

/**
 * The notebook of a lesson: the same lesson gives the same bytes. Expected outputs are not shown as outputs, because the
 * learner predicts first; they stay in the cell's metadata for tools.
 */
export function lessonToNotebook(lesson: Lesson): Notebook {
  return cellsToNotebook(lesson.cells, lesson.id, {
    title: lesson.title,
    shardbook: { lesson: lesson.id, world: lesson.world, minutes: lesson.minutes },
  });
}

/** The notebook of parsed cells, whose ids begin with `name`. */
export function cellsToNotebook(
  cells: readonly LessonCell[],
  name: string,
  metadata: Record<string, unknown>,
): Notebook {
  return {
    nbformat: 4,
    nbformat_minor: 5,
    metadata: {
      kernelspec: { ...KERNELSPEC },
      language_info: { name: 'typescript', file_extension: '.ts', mimetype: 'text/x-typescript' },
      ...metadata,
    },
    cells: cells.map((cell, position) => notebookCell(name, cell, position, cells[position - 1])),
  };
}

/** The question of a text that ends in a paragraph "**Predict.** ...", as lessons without the directive write it. */
function questionAbove(above: LessonCell | undefined): Prediction | undefined {
  if (above?.kind !== 'text') return undefined;
  const question = /(?:^|\n)\s*\*\*Predict\.?\*\*:?\s*((?:(?!\n\s*\n)[\s\S])+)$/.exec(above.text)?.[1];
  return question === undefined ? undefined : { question: question.trim() };
}

function notebookCell(
  name: string,
  cell: LessonCell,
  position: number,
  above: LessonCell | undefined,
): NotebookCell {
  const suffix = `-${position}`;
  const id = name.slice(0, LONGEST_ID - suffix.length) + suffix;
  if (cell.kind === 'text') return { cell_type: 'markdown', id, metadata: {}, source: cell.text };
  if (cell.kind === 'exercise') {
    const { exercise } = cell;
    return {
      cell_type: 'code',
      id,
      metadata: { shardbook: { exercise } },
      source: `// Exercise: shardbook exercise start ${exercise}`,
      execution_count: null,
      outputs: [],
    };
  }
  const { output, tags } = cell;
  const predict = cell.predict ?? questionAbove(above);
  const own = {
    ...(output === undefined ? {} : { expects: output.text }),
    ...(output?.tolerance === undefined ? {} : { tolerance: output.tolerance }),
    ...(predict === undefined ? {} : { predict }),
  };
  return {
    cell_type: 'code',
    id,
    metadata: {
      ...(tags.length > 0 ? { tags: [...tags] } : {}),
      ...(Object.keys(own).length > 0 ? { shardbook: own } : {}),
    },
    source: cell.source,
    execution_count: null,
    outputs: [],
  };
}
