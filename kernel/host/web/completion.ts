/** Tab completes from the kernel, Shift-Tab shows what the name at the cursor is. */
import type { Cell } from '@jupyterlab/cells';
import {
  Completer,
  CompleterModel,
  CompletionHandler,
  KernelCompleterProvider,
  ProviderReconciliator,
} from '@jupyterlab/completer';
import { Text } from '@jupyterlab/coreutils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { type IRenderMimeRegistry, MimeModel } from '@jupyterlab/rendermime';
import { Widget } from '@lumino/widgets';
import { element } from './dom.js';

export interface Completion {
  invoke(): void;
  select(): void;
  inspect(): Promise<void>;
  dispose(): void;
}

const COMPLETION_TIMEOUT_MS = 3000;

export function attachCompletion(panel: NotebookPanel, rendermime: IRenderMimeRegistry): Completion {
  const notebook = panel.content;
  const completer = new Completer({ editor: null, model: new CompleterModel(), showDoc: false });
  const provider = new KernelCompleterProvider();
  const reconciliator = (cell: Cell | null) =>
    new ProviderReconciliator({
      context: { widget: panel, editor: cell?.editor ?? null, session: panel.sessionContext.session },
      providers: [provider],
      timeout: COMPLETION_TIMEOUT_MS,
    });
  const handler = new CompletionHandler({ completer, reconciliator: reconciliator(null) });
  completer.hide();
  Widget.attach(completer, document.body);

  const follow = async () => {
    const cell = notebook.activeCell;
    await cell?.ready;
    // Another cell became active while this one was being drawn.
    if (cell !== notebook.activeCell || handler.isDisposed) return;
    handler.editor = cell?.model.type === 'code' ? (cell.editor ?? null) : null;
    handler.reconciliator = reconciliator(cell);
    completer.editor = handler.editor ?? null;
  };
  notebook.activeCellChanged.connect(follow);
  panel.sessionContext.sessionChanged.connect(follow);
  void follow();

  return {
    invoke: () => handler.invoke(),
    select: () => completer.selectActive(),
    inspect: () => inspectAtCursor(panel, rendermime),
    dispose: () => {
      notebook.activeCellChanged.disconnect(follow);
      panel.sessionContext.sessionChanged.disconnect(follow);
      handler.dispose();
      completer.dispose();
      closeInspector();
    },
  };
}

function closeInspector(): void {
  document.querySelector('.sb-inspector')?.remove();
}

async function inspectAtCursor(panel: NotebookPanel, rendermime: IRenderMimeRegistry): Promise<void> {
  closeInspector();
  const editor = panel.content.activeCell?.editor;
  const kernel = panel.sessionContext.session?.kernel;
  if (editor === null || editor === undefined || !kernel) return;
  const code = editor.model.sharedModel.getSource();
  const position = editor.getCursorPosition();
  const cursor = Text.jsIndexToCharIndex(editor.getOffsetAt(position), code);
  const { content } = await kernel.requestInspect({ code, cursor_pos: cursor, detail_level: 0 });
  if (content.status !== 'ok' || !content.found) return;
  const mimeType = rendermime.preferredMimeType(content.data, 'any');
  const place = editor.getCoordinateForPosition(position);
  if (mimeType === undefined || place === null) return;
  const renderer = rendermime.createRenderer(mimeType);
  await renderer.renderModel(new MimeModel({ data: content.data }));
  const box = element('div', { class: 'sb-inspector', role: 'tooltip' }, renderer.node);
  box.style.left = `${Math.min(place.left, window.innerWidth - 320)}px`;
  box.style.top = `${place.bottom + 6}px`;
  document.body.append(box);
  const close = () => {
    closeInspector();
    renderer.dispose();
  };
  for (const event of ['keydown', 'mousedown', 'wheel'])
    window.addEventListener(event, close, { once: true, capture: true });
}
