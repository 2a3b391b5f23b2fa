/** JupyterLab's parts, put together once: services, documents, renderers and the notebook widget's factory. */
import { DocumentManager, type IDocumentWidgetOpener } from '@jupyterlab/docmanager';
import { DocumentRegistry, type IDocumentWidget } from '@jupyterlab/docregistry';
import { MathJaxTypesetter } from '@jupyterlab/mathjax-extension';
import {
  NotebookModelFactory,
  NotebookPanel,
  NotebookWidgetFactory,
  runCell,
  StaticNotebook,
  setCellExecutor,
} from '@jupyterlab/notebook';
import { RenderMimeRegistry, standardRendererFactories } from '@jupyterlab/rendermime';
import { ServiceManager } from '@jupyterlab/services';
import { Signal } from '@lumino/signaling';
import { createEditorParts } from './editor.js';
import { createMarkdownParser } from './markdown.js';
import { plotlyFactory } from './plotly.js';

/** Seconds after which a change is on disk. */
const AUTOSAVE_SECONDS = 2;

export interface Lab {
  services: ServiceManager.IManager;
  documents: DocumentManager;
  rendermime: RenderMimeRegistry;
}

let created: Lab | undefined;
let styled: Promise<void> | undefined;

/** JupyterLab's styles, before the app's own: they are not needed before the first notebook. */
export function loadLabStyles(): Promise<void> {
  styled ??= new Promise((resolve, reject) => {
    const link = document.createElement('link');
    link.rel = 'stylesheet';
    link.href = '/app/lab.css';
    link.onload = () => resolve();
    link.onerror = () => reject(new Error('Cannot load the styles of notebooks from the server'));
    document.head.insertBefore(link, document.head.querySelector('link[rel=stylesheet]'));
  });
  return styled;
}

export function getLab(): Lab {
  created ??= createLab();
  return created;
}

function createLab(): Lab {
  setCellExecutor({ runCell });
  const services = new ServiceManager({ standby: 'when-hidden' });
  const editor = createEditorParts();
  const rendermime = new RenderMimeRegistry({
    initialFactories: [...standardRendererFactories, plotlyFactory],
    latexTypesetter: new MathJaxTypesetter(),
    markdownParser: createMarkdownParser(editor.languages),
  });
  const registry = new DocumentRegistry();
  registry.addModelFactory(new NotebookModelFactory({}));
  // JupyterLab's own types disagree under exactOptionalPropertyTypes.
  registry.addWidgetFactory(
    new NotebookWidgetFactory({
      name: 'Notebook',
      modelName: 'notebook',
      fileTypes: ['notebook'],
      defaultFor: ['notebook'],
      preferKernel: true,
      canStartKernel: true,
      rendermime,
      contentFactory: new NotebookPanel.ContentFactory({ editorFactory: editor.factory.newInlineEditor }),
      mimeTypeService: editor.mimeTypes,
      editorConfig: editorConfig(),
      notebookConfig: {
        ...StaticNotebook.defaultNotebookConfig,
        // Lessons are short: all cells are in the page, so that find, print and screen readers see them.
        windowingMode: 'none',
        scrollPastEnd: false,
        showHiddenCellsButton: false,
        recordTiming: false,
      },
    }) as DocumentRegistry.WidgetFactory,
  );
  const documents = new DocumentManager({
    registry,
    manager: services,
    opener: new Opener(),
  });
  documents.autosave = true;
  documents.autosaveInterval = AUTOSAVE_SECONDS;
  return { services, documents, rendermime };
}

/** Does nothing: widgets are placed by whoever asks for them. */
class Opener implements IDocumentWidgetOpener {
  readonly opened = new Signal<this, IDocumentWidget>(this);
  open(): void {}
}

function editorConfig(): StaticNotebook.IEditorConfig {
  const defaults = StaticNotebook.defaultEditorConfig;
  const shared = { autoClosingBrackets: true, matchBrackets: true, tabSize: 2, indentUnit: '2' };
  return {
    code: { ...defaults.code, ...shared, lineNumbers: false },
    markdown: { ...defaults.markdown, ...shared, lineWrap: true, matchBrackets: false },
    raw: defaults.raw,
  };
}
