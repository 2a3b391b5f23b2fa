/** A lesson as a notebook: bar, tools, contents, cells, cluster. The notebook is the learner's copy and is saved by itself. */
import { CodeCell } from '@jupyterlab/cells';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import {
  type INotebookModel,
  type Notebook,
  NotebookActions,
  type NotebookPanel,
} from '@jupyterlab/notebook';
import { noteProgress } from './api.js';
import { attachCellParts, type CellParts } from './cell-parts.js';
import { bindKeys } from './commands.js';
import { attachCompletion } from './completion.js';
import { toast } from './dom.js';
import { keepDraft, restoreDraft } from './draft.js';
import { getLab, type Lab, loadLabStyles } from './lab.js';
import { createLessonActions, type OpenLesson } from './lesson-actions.js';
import { drawFrame, mountNotebook, showConnection } from './lesson-frame.js';
import { keepSaved, showSaveState } from './lesson-saving.js';
import { createToolbar } from './lesson-toolbar.js';
import { createRankStatus } from './rank-status.js';
import { createSidePanels } from './side-panels.js';

/** Draws the lesson; the returned function saves and takes the page down. */
export async function showLesson(
  page: HTMLElement,
  id: string,
  opened: Promise<{ path: string }>,
): Promise<() => Promise<void>> {
  const styles = loadLabStyles();
  // Begins to talk to the server at once.
  const lab = getLab();
  const [{ path }] = await Promise.all([opened, styles]);
  const { panel, lesson } = openNotebook(lab, id, path);
  const { context, notebook, session } = lesson;

  const actions = createLessonActions(lesson, () => ranks.refresh());
  const ranks = createRankStatus(session, actions.setWorld);
  const sides = createSidePanels(notebook, session);
  const tools = createToolbar(notebook, actions, ranks.nodes, sides);
  const frame = drawFrame(page, id, tools, sides);
  const unmount = mountNotebook(panel, frame.host);

  const completion = attachCompletion(panel, lab.rendermime);
  const unbind = bindKeys(panel, completion, actions);
  const stopSaving = keepSaved(context, actions.save);
  showSaveState(context, frame.saveState);
  showConnection(session, frame.connection);
  await context.ready;
  if (restoreDraft(context)) toast('Changes that had not been saved are back.');
  const stopDrafts = keepDraft(context);
  const name = (context.model.getMetadata('title') as string | undefined) ?? id;
  frame.title.textContent = name;
  document.title = `${name} - Shardbook`;
  const parts = attachCellParts(notebook, {
    lesson: id,
    rendermime: lab.rendermime,
    run: actions.runOne,
    judge: actions.judge,
    save: actions.save,
  });
  const stopNoting = noteRuns(lesson, parts);
  goWhereStopped(panel);
  void Promise.all([panel.revealed, session.ready])
    .then(() => session.session?.kernel?.info)
    .then(() => performance.mark('shardbook-usable'));

  return async () => {
    stopSaving();
    stopNoting();
    await actions.save();
    stopDrafts();
    unbind();
    parts.dispose();
    sides.dispose();
    completion.dispose();
    ranks.dispose();
    unmount();
  };
}

function openNotebook(lab: Lab, id: string, path: string): { panel: NotebookPanel; lesson: OpenLesson } {
  const panel = lab.documents.open(path, 'Notebook') as NotebookPanel | undefined;
  if (panel === undefined) throw new Error(`Cannot open "${path}" as a notebook`);
  const context = lab.documents.contextForWidget(panel) as DocumentRegistry.IContext<INotebookModel>;
  return { panel, lesson: { id, context, notebook: panel.content, session: panel.sessionContext } };
}

type Executed = Parameters<Parameters<typeof NotebookActions.executed.connect>[0]>[1];

/** Tells the parts of a cell, and the learner's progress, that it ran; returns what stops that. */
function noteRuns({ id, notebook }: OpenLesson, parts: CellParts): () => void {
  const onExecuted = (_: unknown, { notebook: where, cell, success }: Executed) => {
    if (where !== notebook || !(cell instanceof CodeCell)) return;
    parts.ran(cell);
    const tags = cell.model.getMetadata('tags');
    const mayFail = Array.isArray(tags) && tags.includes('raises-exception');
    if (success || mayFail) void noteProgress(id, { run: [cell.model.id] });
  };
  NotebookActions.executed.connect(onExecuted);
  return () => void NotebookActions.executed.disconnect(onExecuted);
}

/** Makes the cell active with which the learner goes on, and shows it. */
function goWhereStopped(panel: NotebookPanel): void {
  const notebook = panel.content;
  notebook.activeCellIndex = whereStopped(notebook);
  void panel.revealed.then(() => {
    notebook.node.focus({ preventScroll: true });
    if (notebook.activeCellIndex > 0) void notebook.scrollToItem(notebook.activeCellIndex, 'center');
  });
}

/** The first cell below the last one that was run, where there is one. */
function whereStopped(notebook: Notebook): number {
  const ran = notebook.widgets.map((cell) => cell instanceof CodeCell && cell.model.executionCount !== null);
  const last = ran.lastIndexOf(true);
  return last < 0 || last === ran.length - 1 ? 0 : last + 1;
}
