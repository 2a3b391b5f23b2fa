/** How a learner's notebook gets to the server by itself, and how the page says whether it has. */
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { INotebookModel } from '@jupyterlab/notebook';

type Context = DocumentRegistry.IContext<INotebookModel>;

/** No save in the way of another, no change left out, and a last save when the page is hidden; returns what ends that one. */
export function keepSaved(context: Context, save: () => Promise<void>): () => void {
  saveInTurn(context);
  keepLateChanges(context);
  const onHide = () => {
    if (document.visibilityState === 'hidden') void save();
  };
  document.addEventListener('visibilitychange', onHide);
  return () => document.removeEventListener('visibilitychange', onHide);
}

export function showSaveState(context: Context, node: HTMLElement): void {
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
function saveInTurn(context: Context): void {
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
function keepLateChanges(context: Context): void {
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
