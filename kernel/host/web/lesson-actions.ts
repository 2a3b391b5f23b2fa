/** What a learner can do to a lesson, whatever asks for it: tools, keys or parts of cells. */
import { Dialog, type ISessionContext, showDialog } from '@jupyterlab/apputils';
import type { CodeCell } from '@jupyterlab/cells';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import { type INotebookModel, type Notebook, NotebookActions } from '@jupyterlab/notebook';
import { Widget } from '@lumino/widgets';
import { resetLesson } from './api.js';
import { KEYS, type NotebookCommands } from './commands.js';
import { element, toast } from './dom.js';
import { dropDraft } from './draft.js';

/** A lesson whose notebook is open. */
export interface OpenLesson {
  id: string;
  context: DocumentRegistry.IContext<INotebookModel>;
  notebook: Notebook;
  session: ISessionContext;
}

export interface LessonActions extends NotebookCommands {
  runOne(cell: CodeCell): Promise<unknown>;
  /** Runs code on the cells' ranks without a trace; the error, where it throws. */
  judge(code: string): Promise<string | undefined>;
  /** Begins the lesson again from its text. */
  reset(): Promise<void>;
  setWorld(size: number): Promise<void>;
}

/** `refreshRanks` is called where an action may have changed what the ranks are at. */
export function createLessonActions(lesson: OpenLesson, refreshRanks: () => void): LessonActions {
  const { id, context, notebook, session } = lesson;

  async function save(): Promise<void> {
    if (context.model.dirty && !context.isDisposed) await context.save().catch(() => {});
  }

  const run: LessonActions['run'] = async (action) => {
    await context.ready;
    await session.ready;
    await session.session?.kernel?.info;
    return action(notebook, session);
  };

  async function runOne(cell: CodeCell): Promise<unknown> {
    notebook.deselectAll();
    notebook.activeCellIndex = notebook.widgets.indexOf(cell);
    return run(NotebookActions.run);
  }

  async function judge(code: string): Promise<string | undefined> {
    await session.ready;
    const kernel = session.session?.kernel;
    if (!kernel) throw new Error('No kernel runs: restart it, run the cells above, then check again');
    const reply = (await kernel.requestExecute({ code, silent: true, store_history: false }).done).content;
    return reply.status === 'error' ? reply.evalue : undefined;
  }

  async function interrupt(): Promise<void> {
    await session.session?.kernel?.interrupt();
    refreshRanks();
  }

  async function restart(): Promise<void> {
    const sure = await ask(
      'Restart all ranks?',
      'Variables of all ranks are lost; the notebook stays as it is.',
      'Restart',
    );
    if (sure) await session.session?.kernel?.restart();
    refreshRanks();
  }

  async function reset(): Promise<void> {
    const body =
      'The notebook begins again from the text of the lesson. Your version is kept beside it in the workspace.';
    if (!(await ask('Reset this lesson?', body, 'Reset'))) return;
    await save();
    const { kept } = await resetLesson(id);
    dropDraft(context);
    await context.revert();
    await session.session?.kernel?.restart();
    notebook.activeCellIndex = 0;
    toast(
      kept === null
        ? 'The lesson is fresh again.'
        : `The lesson is fresh again. Your version is kept as ${kept}.`,
    );
  }

  async function setWorld(size: number): Promise<void> {
    const kernel = session.session?.kernel;
    if (!kernel) return;
    const future = kernel.requestExecute({ code: `%world ${size}`, store_history: false });
    const reply = (await future.done).content;
    if (reply.status === 'error') {
      toast(reply.evalue);
      return;
    }
    // So that the next kernel of this notebook starts with as many.
    const metadata = (context.model.getMetadata('shardbook') as Record<string, unknown> | undefined) ?? {};
    context.model.setMetadata('shardbook', { ...metadata, world: size });
  }

  return { save, run, runOne, judge, interrupt, restart, reset, setWorld, showKeys };
}

function showKeys(): void {
  const rows = KEYS.map(([keys, what]) =>
    element('tr', {}, element('th', { scope: 'row' }, element('kbd', {}, keys)), element('td', {}, what)),
  );
  const body = new Widget({ node: element('div', {}, element('table', { class: 'sb-keys' }, ...rows)) });
  void showDialog({ title: 'Keys', body, buttons: [Dialog.okButton({ label: 'Close' })] });
}

async function ask(title: string, body: string, accept: string): Promise<boolean> {
  const buttons = [Dialog.cancelButton(), Dialog.warnButton({ label: accept })];
  return (await showDialog({ title, body, buttons, defaultButton: 1 })).button.accept;
}
