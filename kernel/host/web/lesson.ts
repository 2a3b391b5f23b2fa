/** A lesson as a notebook: bar, tools, contents, cells, cluster. The notebook is the learner's copy and is saved by itself. */
import { Dialog, type ISessionContext, showDialog } from '@jupyterlab/apputils';
import { CodeCell } from '@jupyterlab/cells';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import {
  type INotebookModel,
  type Notebook,
  NotebookActions,
  type NotebookPanel,
} from '@jupyterlab/notebook';
import { BoxPanel, Widget } from '@lumino/widgets';
import { noteProgress, resetLesson } from './api.js';
import { attachCellParts } from './cell-parts.js';
import { createClusterPanel } from './cluster.js';
import { bindKeys, KEYS, type NotebookCommands } from './commands.js';
import { attachCompletion } from './completion.js';
import { element, icon, toast } from './dom.js';
import { dropDraft, keepDraft, restoreDraft } from './draft.js';
import { getLab, loadLabStyles } from './lab.js';
import { createRankStatus } from './rank-status.js';
import { themeButton } from './theme.js';
import { createTableOfContents } from './toc.js';

const ICONS = {
  run: 'M7 4l12 8-12 8z',
  runAll: 'M4 5l8 7-8 7zM13 5l8 7-8 7z',
  interrupt: 'M6 6h12v12H6z',
  restart: 'M4 12a8 8 0 1 0 2.5-5.8M4 4v4.5h4.5',
  add: 'M12 5v14M5 12h14',
  contents: 'M4 6h10M4 12h16M4 18h12',
  cluster: 'M5 4h14v6H5zM5 14h14v6H5zM8 7h.01M8 17h.01',
  keys: 'M3 7h18v10H3zM7 11h.01M11 11h.01M15 11h.01M8 14h8',
  reset: 'M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13',
};

type RunAction = Parameters<NotebookCommands['run']>[0];

/** Wide enough for the table of contents beside the notebook, and for the cluster as well. */
const ROOM_FOR_CONTENTS = '(min-width: 1100px)';
const ROOM_FOR_CLUSTER = '(min-width: 1400px)';

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
  const panel = lab.documents.open(path, 'Notebook') as NotebookPanel | undefined;
  if (panel === undefined) throw new Error(`Cannot open "${path}" as a notebook`);
  const context = lab.documents.contextForWidget(panel) as DocumentRegistry.IContext<INotebookModel>;
  const notebook = panel.content;
  const session = panel.sessionContext;

  const title = element('h1', {}, id);
  const saveState = element('span', { class: 'sb-save-state', role: 'status' }, '');
  const connection = element('span', { class: 'sb-connection', role: 'status' }, '');
  const ranks = createRankStatus(session, setWorld);
  const contents = createTableOfContents(notebook, () => {
    if (!matchMedia(ROOM_FOR_CONTENTS).matches) sideContents.show(false);
  });
  const cluster = createClusterPanel(notebook, session, (deadlocked) =>
    sideCluster.button.toggleAttribute('data-alert', deadlocked),
  );
  const sideContents = sidePanel(
    'Contents',
    'Table of contents',
    ICONS.contents,
    'contents',
    ROOM_FOR_CONTENTS,
    (on) => {
      contents.node.hidden = !on;
      if (on && !matchMedia(ROOM_FOR_CONTENTS).matches) sideCluster.show(false);
    },
  );
  const sideCluster = sidePanel(
    'Cluster',
    'Ranks, meshes, memory, collectives',
    ICONS.cluster,
    'cluster',
    ROOM_FOR_CLUSTER,
    (on) => {
      cluster.show(on);
      if (on && !matchMedia(ROOM_FOR_CONTENTS).matches) sideContents.show(false);
    },
  );
  const tools = element('div', { class: 'sb-tools', role: 'toolbar', 'aria-label': 'Notebook' });
  tools.append(
    sideContents.button,
    element('span', { class: 'sb-separator' }),
    button('Run', 'Run the cell and go to the next (Shift+Enter)', ICONS.run, () =>
      run(NotebookActions.runAndAdvance),
    ),
    button('Run all', 'Run all cells', ICONS.runAll, () => run(NotebookActions.runAll), 'sb-button-primary'),
    button('Interrupt', 'Stop what runs; variables are kept (I, I)', ICONS.interrupt, interrupt),
    button('Restart', 'Start all ranks afresh; variables are lost (0, 0)', ICONS.restart, restart),
    button('Cell', 'Insert a cell below (B)', ICONS.add, () => NotebookActions.insertBelow(notebook)),
    button('Reset lesson', 'Begin the lesson again from its text', ICONS.reset, reset),
    button('Keys', 'What the keys do (Ctrl+Shift+H)', ICONS.keys, showKeys),
    ...ranks.nodes,
    sideCluster.button,
  );
  const host = element('main', { class: 'sb-notebook-host', 'aria-label': 'Notebook' });
  const homeLink = element(
    'a',
    { class: 'sb-home-link', href: '#/' },
    element('img', { src: '/app/favicon.svg', alt: '' }),
    'Lessons',
  );
  page.replaceChildren(
    element(
      'div',
      { class: 'sb-notebook-page' },
      element(
        'header',
        { class: 'sb-bar' },
        homeLink,
        element('span', { class: 'sb-separator' }),
        title,
        connection,
        saveState,
        themeButton(),
      ),
      tools,
      element('div', { class: 'sb-columns' }, contents.node, host, cluster.node),
    ),
  );
  const root = new BoxPanel();
  root.addClass('sb-notebook-root');
  root.addWidget(panel);
  Widget.attach(root, host);
  const resize = new ResizeObserver(() => root.update());
  resize.observe(host);

  const completion = attachCompletion(panel, lab.rendermime);
  const unbind = bindKeys(panel, completion, { run, save, interrupt, restart, showKeys });
  saveInTurn(context);
  keepLateChanges(context);
  showSaveState(context, saveState);
  showConnection(session, connection);
  const onHide = () => {
    if (document.visibilityState === 'hidden') void save();
  };
  document.addEventListener('visibilitychange', onHide);
  await context.ready;
  if (restoreDraft(context)) toast('Changes that had not been saved are back.');
  const stopDrafts = keepDraft(context);
  const name = (context.model.getMetadata('title') as string | undefined) ?? id;
  title.textContent = name;
  document.title = `${name} - Shardbook`;
  const parts = attachCellParts(notebook, {
    lesson: id,
    rendermime: lab.rendermime,
    run: runOne,
    judge,
    save,
  });
  const onExecuted = (_: unknown, { notebook: where, cell, success }: Executed) => {
    if (where !== notebook || !(cell instanceof CodeCell)) return;
    parts.ran(cell);
    const tags = cell.model.getMetadata('tags');
    const mayFail = Array.isArray(tags) && tags.includes('raises-exception');
    if (success || mayFail) void noteProgress(id, { run: [cell.model.id] });
  };
  NotebookActions.executed.connect(onExecuted);
  notebook.activeCellIndex = whereStopped(notebook);
  void panel.revealed.then(() => {
    notebook.node.focus({ preventScroll: true });
    if (notebook.activeCellIndex > 0) void notebook.scrollToItem(notebook.activeCellIndex, 'center');
  });
  void Promise.all([panel.revealed, session.ready])
    .then(() => session.session?.kernel?.info)
    .then(() => performance.mark('shardbook-usable'));

  return async () => {
    document.removeEventListener('visibilitychange', onHide);
    NotebookActions.executed.disconnect(onExecuted);
    await save();
    stopDrafts();
    unbind();
    parts.dispose();
    contents.dispose();
    cluster.dispose();
    completion.dispose();
    ranks.dispose();
    resize.disconnect();
    if (root.isAttached) Widget.detach(root);
    const end = () => {
      panel.dispose();
      root.dispose();
    };
    // A kernel that is still starting finds its page gone otherwise, and says so as an error.
    if (session.isReady) end();
    else void session.ready.then(end, end);
  };

  async function save(): Promise<void> {
    if (context.model.dirty && !context.isDisposed) await context.save().catch(() => {});
  }

  async function run(action: RunAction): Promise<unknown> {
    await context.ready;
    await session.ready;
    await session.session?.kernel?.info;
    return action(notebook, session);
  }

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
    ranks.refresh();
  }

  async function restart(): Promise<void> {
    const sure = await ask(
      'Restart all ranks?',
      'Variables of all ranks are lost; the notebook stays as it is.',
      'Restart',
    );
    if (sure) await session.session?.kernel?.restart();
    ranks.refresh();
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
}

/** The first cell below the last one that was run, where there is one. */
function whereStopped(notebook: Notebook): number {
  const ran = notebook.widgets.map((cell) => cell instanceof CodeCell && cell.model.executionCount !== null);
  const last = ran.lastIndexOf(true);
  return last < 0 || last === ran.length - 1 ? 0 : last + 1;
}

type Executed = Parameters<Parameters<typeof NotebookActions.executed.connect>[0]>[1];

interface SidePanel {
  button: HTMLElement;
  show(on: boolean): void;
}

/** A panel beside the notebook: open where there is room unless the learner closed it, a drawer where there is not. */
function sidePanel(
  label: string,
  hint: string,
  path: string,
  name: string,
  room: string,
  onChange: (on: boolean) => void,
): SidePanel {
  const key = `shardbook-panel-${name}`;
  const wide = matchMedia(room).matches;
  let on = wide && localStorage.getItem(key) !== 'closed';
  const node = button(label, hint, path, () => {
    show(!on);
    if (matchMedia(room).matches) localStorage.setItem(key, on ? 'open' : 'closed');
  });
  node.setAttribute('aria-pressed', String(on));
  const show = (wanted: boolean) => {
    on = wanted;
    node.setAttribute('aria-pressed', String(on));
    onChange(on);
  };
  // Both panels exist before either is shown.
  queueMicrotask(() => onChange(on));
  return { button: node, show };
}

function showKeys(): void {
  const rows = KEYS.map(([keys, what]) =>
    element('tr', {}, element('th', { scope: 'row' }, element('kbd', {}, keys)), element('td', {}, what)),
  );
  const body = new Widget({ node: element('div', {}, element('table', { class: 'sb-keys' }, ...rows)) });
  void showDialog({ title: 'Keys', body, buttons: [Dialog.okButton({ label: 'Close' })] });
}

/** Says when the kernel is out of reach; JupyterLab's services try again by themselves. */
function showConnection(session: ISessionContext, node: HTMLElement): void {
  const show = () => {
    const status = session.session?.kernel?.connectionStatus;
    node.textContent = status === 'connected' || status === undefined ? '' : 'Connecting to the kernel…';
  };
  session.connectionStatusChanged.connect(show);
  show();
}

function button(label: string, hint: string, path: string, action: () => unknown, extra = ''): HTMLElement {
  const run = async () => {
    try {
      await action();
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error));
    }
  };
  return element(
    'button',
    {
      type: 'button',
      class: `sb-button ${extra}`.trim(),
      title: hint,
      'aria-label': label,
      onclick: () => void run(),
    },
    icon(path),
    element('span', {}, label),
  );
}

async function ask(title: string, body: string, accept: string): Promise<boolean> {
  const buttons = [Dialog.cancelButton(), Dialog.warnButton({ label: accept })];
  return (await showDialog({ title, body, buttons, defaultButton: 1 })).button.accept;
}

function showSaveState(context: DocumentRegistry.IContext<INotebookModel>, node: HTMLElement): void {
  const show = (state: string, text: string) => {
    node.dataset['state'] = state;
    node.textContent = text;
  };
  show('saved', 'Saved');
  context.model.stateChanged.connect((_model, change) => {
    if (change.name === 'dirty')
      show(
        change.newValue === true ? 'dirty' : 'saved',
        change.newValue === true ? 'Unsaved changes' : 'Saved',
      );
  });
  context.saveState.connect((_context, state) => {
    if (state === 'started') show('saving', 'Saving…');
    else if (state === 'failed') show('failed', 'Not saved: is the server running?');
    else if (state === 'completed' && !context.model.dirty) show('saved', 'Saved');
  });
}

/** Two saves at once would take each other for somebody else's: the second waits, and is left out when nothing is left to save. */
function saveInTurn(context: DocumentRegistry.IContext<INotebookModel>): void {
  const save = context.save.bind(context);
  let running: Promise<void> | undefined;
  context.save = async () => {
    if (running !== undefined) {
      await running.catch(() => {});
      if (context.isDisposed || !context.model.dirty) return;
      return context.save();
    }
    running = save();
    try {
      await running;
    } finally {
      running = undefined;
    }
  };
}

/**
 * A finished save marks the notebook as clean, also when it changed while the save was under way; that change would then
 * stay unsaved until the next one. Marks it as changed again, so that the next autosave takes it.
 */
function keepLateChanges(context: DocumentRegistry.IContext<INotebookModel>): void {
  let changes = 0;
  let saved = 0;
  context.model.contentChanged.connect(() => {
    changes++;
  });
  context.saveState.connect((_context, state) => {
    if (state === 'started') saved = changes;
    else if (state === 'completed' && changes !== saved) context.model.dirty = true;
  });
}
