/** To a line of a cell: scrolled to, the cursor in it, marked for a moment. */
import type { Cell } from '@jupyterlab/cells';
import type { Notebook } from '@jupyterlab/notebook';
import { element, toast } from './dom.js';

const MARK_MS = 4000;

export interface Place {
  /** As the kernel names it: `cell 3`. */
  cell: string;
  line: number;
  column?: number;
}

/** A place in a text, and where it stands there. */
export interface FoundPlace extends Place {
  text: string;
  at: number;
}

/** Reads "cell 3, line 2" and "cell 3:2:6". */
export function placesIn(text: string): FoundPlace[] {
  return [...text.matchAll(/\b(cell \d+(?:\.\d+)?)(?:, line |:)(\d+)(?::(\d+))?/g)].map((match) => ({
    cell: match[1]!,
    line: Number(match[2]),
    ...(match[3] === undefined ? {} : { column: Number(match[3]) }),
    text: match[0],
    at: match.index,
  }));
}

/** The cell that ran under that name; it shows its number until it runs again. */
export function jumpTo(notebook: Notebook, place: Place): void {
  const count = Number(/^cell (\d+)/.exec(place.cell)?.[1]);
  const index = notebook.widgets.findIndex(
    (widget) =>
      widget.model.type === 'code' &&
      (widget.model as unknown as { executionCount: number | null }).executionCount === count,
  );
  const cell = notebook.widgets[index];
  if (cell === undefined) {
    toast(`${place.cell} has been run again or deleted since.`);
    return;
  }
  notebook.activeCellIndex = index;
  notebook.mode = 'edit';
  showLine(cell, place.line, place.column);
}

export function showLine(cell: Cell, line: number, column = 1): void {
  const { editor } = cell;
  if (editor === null) return;
  const last = editor.lineCount - 1;
  editor.setCursorPosition({ line: Math.max(0, Math.min(line - 1, last)), column: column - 1 });
  editor.focus();
  const shown = cell.node.querySelectorAll<HTMLElement>('.cm-line')[Math.max(0, Math.min(line - 1, last))];
  (shown ?? cell.node).scrollIntoView({ block: 'center' });
  if (shown !== undefined) mark(cell.node, shown, line);
}

/** Over the line, not on it: the editor takes strange classes off its lines. */
function mark(node: HTMLElement, shown: HTMLElement, line: number): void {
  const [outer, inner] = [node.getBoundingClientRect(), shown.getBoundingClientRect()];
  const over = element('div', { class: 'sb-line-mark', 'data-line': String(line), 'aria-hidden': 'true' });
  over.style.top = `${inner.top - outer.top}px`;
  over.style.left = `${inner.left - outer.left}px`;
  over.style.width = `${inner.width}px`;
  over.style.height = `${inner.height}px`;
  node.querySelector('.sb-line-mark')?.remove();
  node.append(over);
  setTimeout(() => over.remove(), MARK_MS);
}
