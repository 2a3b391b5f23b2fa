/** The page around a lesson's notebook: bar, tools, and the columns that the notebook stands in. */
import type { ISessionContext } from '@jupyterlab/apputils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { BoxPanel, Widget } from '@lumino/widgets';
import { element } from './dom.js';
import type { SidePanels } from './side-panels.js';
import { themeButton } from './theme.js';

export interface LessonFrame {
  readonly title: HTMLElement;
  readonly connection: HTMLElement;
  readonly saveState: HTMLElement;
  /** Where the notebook goes. */
  readonly host: HTMLElement;
}

/** Replaces what the page shows. */
export function drawFrame(
  page: HTMLElement,
  name: string,
  tools: HTMLElement,
  { contents, cluster }: SidePanels,
): LessonFrame {
  const title = element('h1', {}, name);
  const connection = element('span', { class: 'sb-connection', role: 'status' }, '');
  const saveState = element('span', { class: 'sb-save-state', role: 'status' }, '');
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
  return { title, connection, saveState, host };
}

/** Puts the notebook into `host`, of which it takes the size; the returned function ends it. */
export function mountNotebook(panel: NotebookPanel, host: HTMLElement): () => void {
  const root = new BoxPanel();
  root.addClass('sb-notebook-root');
  root.addWidget(panel);
  Widget.attach(root, host);
  const resize = new ResizeObserver(() => root.update());
  resize.observe(host);
  return () => {
    resize.disconnect();
    if (root.isAttached) Widget.detach(root);
    const end = () => {
      panel.dispose();
      root.dispose();
    };
    const session = panel.sessionContext;
    // A kernel that is still starting finds its page gone otherwise, and says so as an error.
    if (session.isReady) end();
    else void session.ready.then(end, end);
  };
}

/** Says when the kernel is out of reach; JupyterLab's services try again by themselves. */
export function showConnection(session: ISessionContext, node: HTMLElement): void {
  const show = () => {
    const status = session.session?.kernel?.connectionStatus;
    node.textContent = status === 'connected' || status === undefined ? '' : 'Connecting to the kernel…';
  };
  session.connectionStatusChanged.connect(show);
  show();
}
