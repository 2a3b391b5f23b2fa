/** What can be done with a notebook, and the keys of JupyterLab for it. */
import type { ISessionContext } from '@jupyterlab/apputils';
import { CodeCell } from '@jupyterlab/cells';
import { type Notebook, NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import { CommandRegistry } from '@lumino/commands';
import { PART_CLASS } from './cell-parts.js';
import type { Completion } from './completion.js';

export interface NotebookCommands {
  /** Runs cells once the kernel is there: a cell that is run before does nothing. */
  run(action: (notebook: Notebook, session: ISessionContext) => Promise<boolean>): Promise<unknown>;
  save(): Promise<void>;
  interrupt(): Promise<void>;
  restart(): Promise<void>;
  showKeys(): void;
}

/** What the keys do, for the learner: JupyterLab's, as far as a notebook has them. */
export const KEYS: readonly [string, string][] = [
  ['Shift Enter', 'Run the cell, go to the next'],
  ['Ctrl Enter', 'Run the cell'],
  ['Alt Enter', 'Run the cell, insert one below'],
  ['Esc / Enter', 'Command mode / edit mode'],
  ['↑ ↓ or K J', 'Cell above, below (with Shift: select)'],
  ['A / B', 'Insert a cell above / below'],
  ['X C V', 'Cut, copy, paste cells'],
  ['D D', 'Delete cells'],
  ['Z / Shift Z', 'Undo / redo in cells'],
  ['Y M R', 'To code, Markdown, raw'],
  ['1 to 6', 'To a heading'],
  ['Shift M', 'Merge cells'],
  ['Ctrl Shift -', 'Split the cell'],
  ['O', 'Fold the output'],
  ['Tab / Shift Tab', 'Complete / explain'],
  ['I I', 'Interrupt'],
  ['0 0', 'Restart'],
  ['Ctrl S', 'Save'],
  ['Alt C', 'Check the exercise'],
  ['Ctrl Shift H', 'These keys'],
];

const COMMAND_MODE = '.jp-Notebook.jp-mod-commandMode:not(.jp-mod-readWrite) :focus';
const EDIT_MODE = '.jp-Notebook.jp-mod-editMode';
const ANY_MODE = '.jp-Notebook';

/** Binds the keys for as long as the returned function is not called. */
export function bindKeys(panel: NotebookPanel, completion: Completion, own: NotebookCommands): () => void {
  const notebook = panel.content;
  const commands = new CommandRegistry();
  let count = 0;
  const bind = (selector: string, keys: string[], execute: () => unknown) => {
    const id = `notebook:${count++}`;
    commands.addCommand(id, { execute });
    commands.addKeyBinding({ command: id, keys, selector });
  };
  const inBoth = (keys: string[], execute: () => unknown) => bind(ANY_MODE, keys, execute);

  inBoth(['Shift Enter'], () => own.run(NotebookActions.runAndAdvance));
  inBoth(['Accel Enter'], () => own.run(NotebookActions.run));
  inBoth(['Alt Enter'], () => own.run(NotebookActions.runAndInsert));
  bind('body', ['Accel S'], () => own.save());
  bind(EDIT_MODE, ['Escape'], () => leaveEditor());
  bind(EDIT_MODE, ['Ctrl Shift -'], () => NotebookActions.splitCell(notebook));

  const inCommand = (keys: string[], execute: () => unknown) => bind(COMMAND_MODE, keys, execute);
  inCommand(['Enter'], () => {
    notebook.mode = 'edit';
  });
  for (const key of ['ArrowUp', 'K']) inCommand([key], () => NotebookActions.selectAbove(notebook));
  for (const key of ['ArrowDown', 'J']) inCommand([key], () => NotebookActions.selectBelow(notebook));
  for (const key of ['Shift ArrowUp', 'Shift K'])
    inCommand([key], () => NotebookActions.extendSelectionAbove(notebook));
  for (const key of ['Shift ArrowDown', 'Shift J'])
    inCommand([key], () => NotebookActions.extendSelectionBelow(notebook));
  inCommand(['A'], () => NotebookActions.insertAbove(notebook));
  inCommand(['B'], () => NotebookActions.insertBelow(notebook));
  inCommand(['D', 'D'], () => NotebookActions.deleteCells(notebook));
  inCommand(['C'], () => NotebookActions.copy(notebook));
  inCommand(['X'], () => NotebookActions.cut(notebook));
  inCommand(['V'], () => NotebookActions.paste(notebook));
  inCommand(['Z'], () => NotebookActions.undo(notebook));
  inCommand(['Shift Z'], () => NotebookActions.redo(notebook));
  inCommand(['Y'], () => NotebookActions.changeCellType(notebook, 'code'));
  inCommand(['M'], () => NotebookActions.changeCellType(notebook, 'markdown'));
  inCommand(['R'], () => NotebookActions.changeCellType(notebook, 'raw'));
  inCommand(['Shift M'], () => NotebookActions.mergeCells(notebook));
  inCommand(['Shift L'], () => NotebookActions.toggleAllLineNumbers(notebook));
  inCommand(['Accel A'], () => NotebookActions.selectAll(notebook));
  for (const level of [1, 2, 3, 4, 5, 6])
    inCommand([String(level)], () => NotebookActions.setMarkdownHeader(notebook, level));
  inCommand(['O'], () => toggleOutput());
  inCommand(['Shift V'], () => NotebookActions.paste(notebook, 'above'));
  inCommand(['Home'], () => goTo(0));
  inCommand(['End'], () => goTo(notebook.widgets.length - 1));
  bind('body', ['Accel Shift H'], () => own.showKeys());
  inCommand(['I', 'I'], () => own.interrupt());
  inCommand(['0', '0'], () => own.restart());

  bind('.jp-mod-editMode .jp-mod-completer-enabled', ['Tab'], () => completion.invoke());
  bind('.jp-mod-editMode .jp-mod-completer-active', ['Tab'], () => completion.select());
  bind('.jp-mod-completer-active', ['Enter'], () => completion.select());
  bind(EDIT_MODE, ['Shift Tab'], () => completion.inspect());

  const listener = (event: KeyboardEvent) => {
    // What stands inside a cell of its own (a prediction, a check) has its own keys.
    const inPart = event.target instanceof Element && event.target.closest(`.${PART_CLASS}`) !== null;
    if (!inPart) commands.processKeydownEvent(event);
  };
  document.addEventListener('keydown', listener, true);
  return () => document.removeEventListener('keydown', listener, true);

  function toggleOutput(): void {
    for (const cell of notebook.widgets)
      if (cell instanceof CodeCell && notebook.isSelectedOrActive(cell))
        cell.outputHidden = !cell.outputHidden;
  }

  function goTo(index: number): void {
    notebook.deselectAll();
    notebook.activeCellIndex = index;
    void notebook.scrollToItem(index);
  }

  function leaveEditor(): void {
    notebook.mode = 'command';
    notebook.node.focus();
  }
}
