/** Parts of the app inside cells: which cells have them is said by the cells' metadata (`shardbook`), see ARCHITECTURE.md. */
import { type Cell, CodeCell, MarkdownCell } from '@jupyterlab/cells';
import type { Notebook } from '@jupyterlab/notebook';
import { type PanelLayout, Widget } from '@lumino/widgets';
import { type CellPart, type CellPartsOptions, type CellWords, wordsOf } from './cell-words.js';
import { createExercise } from './exercise.js';
import { createPrediction } from './predict.js';
import { createQuestion } from './question.js';
import { createTask } from './task.js';

/** Focus inside it is not the notebook's: keys go to the part. */
export const PART_CLASS = 'sb-part';

export interface CellParts {
  ran(cell: Cell): void;
  dispose(): void;
}

export function attachCellParts(notebook: Notebook, options: CellPartsOptions): CellParts {
  const parts = new Map<string, { cell: Cell; part: CellPart; widget: Widget }>();
  const attach = async (cell: Cell) => {
    if (parts.get(cell.model.id)?.cell === cell) return;
    const words = wordsOf(cell);
    if (cell instanceof MarkdownCell && typeof words.task === 'string') cell.addClass('sb-folds');
    const part = partOf(cell, words, options);
    if (part === undefined) return;
    const widget = new Widget({ node: part.node });
    widget.addClass(PART_CLASS);
    parts.set(cell.model.id, { cell, part, widget });
    await cell.ready;
    if (cell.isDisposed) return;
    const layout = cell.layout as PanelLayout;
    const output = layout.widgets.findIndex((child) => child.hasClass('jp-Cell-outputWrapper'));
    layout.insertWidget(output < 0 ? layout.widgets.length : output, widget);
  };
  const attachAll = () => {
    for (const [index, cell] of notebook.widgets.entries()) {
      void attach(cell);
      void nameEditor(cell, index);
    }
  };
  let timer: ReturnType<typeof setTimeout> | undefined;
  const schedule = () => {
    clearTimeout(timer);
    timer = setTimeout(attachAll, 0);
  };
  notebook.modelChanged.connect(schedule);
  notebook.modelContentChanged.connect(schedule);
  attachAll();
  return {
    ran: (cell) => parts.get(cell.model.id)?.part.ran?.(),
    dispose: () => {
      clearTimeout(timer);
      notebook.modelChanged.disconnect(schedule);
      notebook.modelContentChanged.disconnect(schedule);
    },
  };
}

/** For screen readers: an editor says which cell it is. */
async function nameEditor(cell: Cell, index: number): Promise<void> {
  await cell.ready;
  const kind = cell instanceof CodeCell ? 'Code' : 'Text';
  cell.editorWidget?.node
    .querySelector('.cm-content')
    ?.setAttribute('aria-label', `${kind} of cell ${index + 1}`);
}

/** What the metadata asks for; a learner may have edited it, so nothing in it is taken for granted. */
function partOf(cell: Cell, words: CellWords, options: CellPartsOptions): CellPart | undefined {
  const { predict, question, task, exercise } = words;
  if (cell instanceof MarkdownCell)
    return hasText(question, 'question') ? createQuestion(cell, question, options) : undefined;
  if (!(cell instanceof CodeCell)) return undefined;
  if (hasText(predict, 'question')) return createPrediction(cell, predict, options);
  if (typeof task === 'object' && hasText(task, 'check')) return createTask(cell, task, options);
  return typeof exercise === 'string' ? createExercise(cell, exercise, options) : undefined;
}

function hasText<T extends object>(value: T | undefined, key: keyof T): value is T {
  return typeof value === 'object' && value !== null && typeof value[key] === 'string';
}
