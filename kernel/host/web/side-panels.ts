/** The panels beside a lesson's notebook, contents and cluster: what opens and closes them, and when there is room. */
import type { ISessionContext } from '@jupyterlab/apputils';
import type { Notebook } from '@jupyterlab/notebook';
import { createClusterPanel } from './cluster.js';
import { createTableOfContents } from './toc.js';
import { toolButton } from './tool-button.js';

const ICONS = {
  contents: 'M4 6h10M4 12h16M4 18h12',
  cluster: 'M5 4h14v6H5zM5 14h14v6H5zM8 7h.01M8 17h.01',
};

/** Wide enough for the table of contents beside the notebook, and for the cluster as well. */
const ROOM_FOR_CONTENTS = '(min-width: 1100px)';
const ROOM_FOR_CLUSTER = '(min-width: 1400px)';

/** A panel and the button that opens and closes it. */
interface Side {
  readonly node: HTMLElement;
  readonly button: HTMLElement;
}

export interface SidePanels {
  readonly contents: Side;
  readonly cluster: Side;
  dispose(): void;
}

export function createSidePanels(notebook: Notebook, session: ISessionContext): SidePanels {
  // Without room for both, what is opened takes the place of the other.
  const isNarrow = () => !matchMedia(ROOM_FOR_CONTENTS).matches;
  const contents = createTableOfContents(notebook, () => {
    if (isNarrow()) contentsSwitch.show(false);
  });
  const cluster = createClusterPanel(notebook, session, (deadlocked) =>
    clusterSwitch.button.toggleAttribute('data-alert', deadlocked),
  );
  const contentsSwitch = panelSwitch(
    'Contents',
    'Table of contents',
    ICONS.contents,
    'contents',
    ROOM_FOR_CONTENTS,
    (on) => {
      contents.node.hidden = !on;
      if (on && isNarrow()) clusterSwitch.show(false);
    },
  );
  const clusterSwitch = panelSwitch(
    'Cluster',
    'Ranks, meshes, memory, collectives',
    ICONS.cluster,
    'cluster',
    ROOM_FOR_CLUSTER,
    (on) => {
      cluster.show(on);
      if (on && isNarrow()) contentsSwitch.show(false);
    },
  );
  return {
    contents: { node: contents.node, button: contentsSwitch.button },
    cluster: { node: cluster.node, button: clusterSwitch.button },
    dispose: () => {
      contents.dispose();
      cluster.dispose();
    },
  };
}

interface PanelSwitch {
  button: HTMLElement;
  show(on: boolean): void;
}

/** Opens and closes a panel: open where there is room unless the learner closed it, a drawer where there is not. */
function panelSwitch(
  label: string,
  hint: string,
  path: string,
  name: string,
  room: string,
  onChange: (on: boolean) => void,
): PanelSwitch {
  const key = `shardbook-panel-${name}`;
  const wide = matchMedia(room).matches;
  let on = wide && localStorage.getItem(key) !== 'closed';
  const button = toolButton(label, hint, path, () => {
    show(!on);
    if (matchMedia(room).matches) localStorage.setItem(key, on ? 'open' : 'closed');
  });
  button.setAttribute('aria-pressed', String(on));
  const show = (wanted: boolean) => {
    on = wanted;
    button.setAttribute('aria-pressed', String(on));
    onChange(on);
  };
  // Both panels exist before either is shown.
  queueMicrotask(() => onChange(on));
  return { button, show };
}
