/**
 * Changes that no save has reached yet, kept in the browser: when the page or the server dies between two saves, the next
 * opening of the notebook finds them.
 */
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { INotebookModel } from '@jupyterlab/notebook';

type Context = DocumentRegistry.IContext<INotebookModel>;
interface Draft {
  at: number;
  /** When the file that it was made from was saved. */
  base: string;
  content: unknown;
}

const DELAY_MS = 250;
const MOST_CHARACTERS = 1_500_000;

/** Takes over a draft that is newer than the file; returns whether there was one. */
export function restoreDraft(context: Context): boolean {
  const key = keyOf(context);
  try {
    const text = localStorage.getItem(key);
    if (text === null) return false;
    const draft = JSON.parse(text) as Draft;
    const saved = Date.parse(context.contentsModel?.last_modified ?? '');
    // Somebody saved later, from another tab or editor: the file wins.
    if (!(draft.at > saved) || JSON.stringify(draft.content) === JSON.stringify(context.model.toJSON())) {
      localStorage.removeItem(key);
      return false;
    }
    context.model.fromJSON(draft.content as Parameters<INotebookModel['fromJSON']>[0]);
    context.model.dirty = true;
    return true;
  } catch {
    localStorage.removeItem(key);
    return false;
  }
}

/** Writes drafts from now on, until the returned function is called. */
export function keepDraft(context: Context): () => void {
  const key = keyOf(context);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const write = () => {
    timer = undefined;
    if (context.isDisposed || !context.model.dirty) return;
    try {
      const content = context.model.toJSON() as { cells?: { outputs?: unknown[] }[] };
      const base = context.contentsModel?.last_modified ?? '';
      let text = JSON.stringify({ at: Date.now(), base, content } satisfies Draft);
      if (text.length > MOST_CHARACTERS) {
        // What was written matters; what came out can be made again.
        for (const cell of content.cells ?? []) if (cell.outputs !== undefined) cell.outputs = [];
        text = JSON.stringify({ at: Date.now(), base, content });
      }
      localStorage.setItem(key, text);
    } catch {
      // No room: the autosave is what remains.
    }
  };
  const onChange = () => {
    timer ??= setTimeout(write, DELAY_MS);
  };
  const onSave = (_context: unknown, state: DocumentRegistry.SaveState) => {
    if (state === 'completed' && !context.model.dirty) localStorage.removeItem(key);
  };
  context.model.contentChanged.connect(onChange);
  context.saveState.connect(onSave);
  return () => {
    clearTimeout(timer);
    context.model?.contentChanged.disconnect(onChange);
    context.saveState.disconnect(onSave);
  };
}

/** What was given up on purpose. */
export function dropDraft(context: Context): void {
  localStorage.removeItem(keyOf(context));
}

function keyOf(context: Context): string {
  return `shardbook-draft:${context.path}`;
}
