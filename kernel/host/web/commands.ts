/** What can be done with a notebook, and the keys of JupyterLab for it. */
import type { ISessionContext } from '@jupyterlab/apputils';
import { type Notebook, NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import { CommandRegistry } from '@lumino/commands';
import type { Completion } from './completion.js';

export interface NotebookCommands {
  /** Runs cells once the kernel is there: a cell that is run before does nothing. */
  run(action: (notebook: Notebook, session: ISessionContext) => Promise<boolean>): Promise<unknown>;
  save(): Promise<void>;
  interrupt(): Promise<void>;
  restart(): Promise<void>;
}

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
  inCommand(['I', 'I'], () => own.interrupt());
  inCommand(['0', '0'], () => own.restart());

  bind('.jp-mod-editMode .jp-mod-completer-enabled', ['Tab'], () => completion.invoke());
  bind('.jp-mod-editMode .jp-mod-completer-active', ['Tab'], () => completion.select());
  bind('.jp-mod-completer-active', ['Enter'], () => completion.select());
  bind(EDIT_MODE, ['Shift Tab'], () => completion.inspect());

  const listener = (event: KeyboardEvent) => commands.processKeydownEvent(event);
  document.addEventListener('keydown', listener, true);
  return () => document.removeEventListener('keydown', listener, true);

  function leaveEditor(): void {
    notebook.mode = 'command';
    notebook.node.focus();
  }
}
