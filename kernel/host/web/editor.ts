/** CodeMirror as cells use it: the languages of lessons, JupyterLab's theme and key bindings, the shared model. */

import { javascript } from '@codemirror/lang-javascript';
import type { LanguageSupport } from '@codemirror/language';
import type { IYText } from '@jupyter/ydoc';
import {
  CodeMirrorEditorFactory,
  CodeMirrorMimeTypeService,
  EditorExtensionRegistry,
  EditorLanguageRegistry,
  EditorThemeRegistry,
  ybinding,
} from '@jupyterlab/codemirror';

export interface EditorParts {
  languages: EditorLanguageRegistry;
  factory: CodeMirrorEditorFactory;
  mimeTypes: CodeMirrorMimeTypeService;
}

export function createEditorParts(): EditorParts {
  const languages = createLanguages();
  const themes = new EditorThemeRegistry();
  for (const theme of EditorThemeRegistry.getDefaultThemes()) themes.addTheme(theme);
  const extensions = new EditorExtensionRegistry();
  for (const extension of EditorExtensionRegistry.getDefaultExtensions({ themes }))
    extensions.addExtension(extension);
  extensions.addExtension({
    name: 'shared-model-binding',
    factory: (options) => {
      const shared = options.model.sharedModel as IYText;
      return EditorExtensionRegistry.createImmutableExtension(
        ybinding({
          ytext: shared.ysource,
          ...(shared.undoManager ? { undoManager: shared.undoManager } : {}),
        }),
      );
    },
  });
  return {
    languages,
    factory: new CodeMirrorEditorFactory({ extensions, languages }),
    mimeTypes: new CodeMirrorMimeTypeService(languages),
  };
}

function createLanguages(): EditorLanguageRegistry {
  const languages = new EditorLanguageRegistry();
  languages.addLanguage({
    name: 'typescript',
    displayName: 'TypeScript',
    alias: ['ts'],
    mime: ['text/typescript', 'text/x-typescript', 'application/typescript'],
    extensions: ['ts', 'mts'],
    // Loaded with the app: every notebook needs it at once.
    support: javascript({ typescript: true }),
  });
  languages.addLanguage({
    name: 'javascript',
    displayName: 'JavaScript',
    alias: ['js'],
    mime: ['text/javascript', 'application/javascript'],
    extensions: ['js', 'mjs'],
    support: javascript(),
  });
  const lazy = (name: string, mime: string[], extensions: string[], load: () => Promise<LanguageSupport>) =>
    languages.addLanguage({ name, mime, extensions, load });
  lazy('ipythongfm', ['text/x-ipythongfm'], ['md'], loadMarkdown);
  lazy('json', ['application/json'], ['json', 'ipynb'], async () =>
    (await import('@codemirror/lang-json')).json(),
  );
  lazy('python', ['text/x-python'], ['py'], async () => (await import('@codemirror/lang-python')).python());
  lazy('html', ['text/html'], ['html'], async () => (await import('@codemirror/lang-html')).html());
  lazy('css', ['text/css'], ['css'], async () => (await import('@codemirror/lang-css')).css());
  return languages;

  async function loadMarkdown(): Promise<LanguageSupport> {
    const { markdown } = await import('@codemirror/lang-markdown');
    return markdown({ codeLanguages: (info) => languages.findBest(info) as never });
  }
}
