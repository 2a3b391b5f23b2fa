/** The cluster behind the notebook: ranks, meshes, memory by category, collectives in time, and why the last cell failed. */

import type { ISessionContext } from '@jupyterlab/apputils';
import type { Notebook } from '@jupyterlab/notebook';
import { bytesText } from '../../runtime/base/index.js';
import type { ClusterView, MeshView, ObservedFailure, VariablesView } from '../session/types.js';
import { mergeVariables } from '../session/variables.js';
import { fetchCluster, fetchVariables } from './api.js';
import { element } from './dom.js';
import { jumpTo, placesIn } from './jump.js';
import { drawTimeline } from './timeline.js';
import { milliseconds } from './units.js';

const BUSY_INTERVAL_MS = 400;

export interface ClusterPanel {
  node: HTMLElement;
  /** Draws only while it is shown. */
  show(shown: boolean): void;
  dispose(): void;
}

export function createClusterPanel(
  notebook: Notebook,
  session: ISessionContext,
  /** The last cell deadlocked, or no longer. */
  onDeadlock: (deadlocked: boolean) => void,
): ClusterPanel {
  const body = element('div', { class: 'sb-cluster-body' });
  const node = element('aside', { class: 'sb-cluster', 'aria-label': 'Cluster', hidden: true }, body);
  let shown = false;
  let disposed = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = '';
  let variables: VariablesView = { stale: true, ranks: [] };

  const refresh = async () => {
    clearTimeout(timer);
    const kernel = session.session?.kernel;
    if (kernel && !disposed) {
      try {
        const view = await fetchCluster(kernel.id);
        // Only a panel that is seen asks the ranks.
        if (shown && !view.running) variables = await fetchVariables(kernel.id);
        onDeadlock(view.failures.some(isDeadlock));
        const text = JSON.stringify([view, variables]);
        if (shown && text !== last && !disposed) {
          last = text;
          draw(view);
        }
      } catch {
        // The kernel is gone or the server is: the bar says so.
      }
    }
    if (shown && session.kernelDisplayStatus === 'busy' && !disposed)
      timer = setTimeout(() => void refresh(), BUSY_INTERVAL_MS);
  };
  const draw = (view: ClusterView) => {
    const open = new Set([...body.querySelectorAll('details[open]')].map((node) => node.id));
    body.replaceChildren(
      ...drawFailures(view, notebook),
      section('Ranks', drawRanks(view), view.machine),
      section(
        'Variables',
        drawVariables(variables, view.ranks.length),
        view.running ? 'before this cell' : '',
      ),
      section('Meshes', drawMeshes(view)),
      section('Memory', drawMemory(view)),
      section(
        'Collectives',
        drawTimeline(view, (place) => jumpTo(notebook, place)),
        view.running ? `${view.cell}, so far` : view.cell,
      ),
    );
    for (const details of body.querySelectorAll('details')) details.open ||= open.has(details.id);
  };
  const onStatus = () => void refresh();
  session.statusChanged.connect(onStatus);
  session.kernelChanged.connect(onStatus);
  void refresh();
  return {
    node,
    show: (on) => {
      shown = on;
      node.hidden = !on;
      last = '';
      if (on) void refresh();
    },
    dispose: () => {
      disposed = true;
      clearTimeout(timer);
      session.statusChanged.disconnect(onStatus);
      session.kernelChanged.disconnect(onStatus);
    },
  };
}

function isDeadlock({ code }: ObservedFailure): boolean {
  return code === 'SB_DEADLOCK';
}

function section(title: string, content: Node, note = ''): HTMLElement {
  const id = `cluster-${title.toLowerCase()}`;
  return element(
    'section',
    { 'aria-labelledby': id },
    element('h2', { id }, title, ...(note === '' ? [] : [element('span', {}, note)])),
    content,
  );
}

function drawFailures(view: ClusterView, notebook: Notebook): HTMLElement[] {
  const [first] = view.failures;
  if (first === undefined) return [];
  const deadlock = view.failures.find(isDeadlock);
  const lead = deadlock ?? first;
  const [head = '', ...lines] = lead.message.split('\n');
  const rows = lines.filter((line) => line.trim() !== '').map((line) => reportLine(line, notebook));
  const own = deadlock
    ? []
    : view.failures.map((failure) => {
        const at = failure.position;
        const text = `rank ${failure.rank}: ${failure.message.split('\n')[0]}${at === undefined ? '' : ` at ${at.cell}:${at.line}:${at.column}`}`;
        return reportLine(text, notebook);
      });
  return [
    element(
      'section',
      { class: 'sb-failure-report', 'aria-label': deadlock ? 'Deadlock report' : 'Failure report' },
      element(
        'h2',
        {},
        deadlock ? 'Deadlock' : 'The cell failed',
        ...(view.cell === undefined ? [] : [element('span', {}, view.cell)]),
      ),
      element('p', {}, head),
      element('ul', {}, ...(deadlock ? rows : own)),
    ),
  ];
}

/** A line of a report; the places of cells in it are buttons that go there. */
function reportLine(line: string, notebook: Notebook): HTMLElement {
  const text = line.trim().replace(/^note: /, '');
  const item = element('li', {});
  let from = 0;
  for (const place of placesIn(text)) {
    const go = element(
      'button',
      {
        type: 'button',
        class: 'sb-link-button',
        title: 'Go to this line',
        onclick: () => jumpTo(notebook, place),
      },
      `${place.cell}, line ${place.line}`,
    );
    item.append(text.slice(from, place.at), go);
    from = place.at + place.text.length;
  }
  item.append(text.slice(from));
  return item;
}

function drawRanks({ ranks, running }: ClusterView): HTMLElement {
  return element(
    'ul',
    { class: 'sb-cluster-ranks' },
    ...ranks.map(({ rank, state, reason, waits, seen }) =>
      element(
        'li',
        { class: 'sb-rank', 'data-state': state },
        `rank ${rank}: ${waits === undefined ? state : `waits for ${waits}`}${reason === undefined ? '' : `, ${reason}`}`,
        ...(seen === undefined
          ? []
          : [
              element(
                'span',
                { class: 'sb-soft' },
                `${running ? 'this' : 'last'} cell ${milliseconds(seen.took)}`,
              ),
            ]),
      ),
    ),
  );
}

/** A row for each value that ranks have: one where they agree. */
function drawVariables({ ranks }: VariablesView, worldSize: number): HTMLElement {
  const shared = mergeVariables(ranks);
  if (shared.length === 0) return element('p', { class: 'sb-soft' }, 'No variables yet.');
  const rows = shared.flatMap(({ name, variants }) =>
    variants.map(({ variable, ranks: of }, i) =>
      element(
        'tr',
        {},
        element('th', { scope: 'row' }, i === 0 ? name : element('span', { class: 'sb-hidden-text' }, name)),
        element('td', {}, of.length === worldSize ? '' : `rank ${of.join(',')}`),
        element('td', {}, variable.type),
        element('td', { class: 'sb-value', title: variable.value }, variable.value),
      ),
    ),
  );
  const head = ['name', 'ranks', 'type', 'value'].map((text) => element('th', { scope: 'col' }, text));
  return element(
    'table',
    { class: 'sb-variables' },
    element('thead', {}, element('tr', {}, ...head)),
    element('tbody', {}, ...rows),
  );
}

/** Meshes are drawn as tables of ranks: the last two axes as rows and columns, the others in the captions. */
function drawMeshes({ ranks }: ClusterView): HTMLElement {
  const meshes = new Map<string, MeshView>();
  for (const { seen } of ranks) {
    for (const mesh of seen?.meshes ?? []) {
      // A slice differs from rank to rank: each is shown once.
      const key = `${mesh.name}:${mesh.ranks.join(',')}`;
      if (meshes.size < 16) meshes.set(key, mesh);
    }
  }
  if (meshes.size === 0)
    return element('p', { class: 'sb-soft' }, 'No variable holds a mesh yet (initDeviceMesh makes one).');
  return element('div', { class: 'sb-meshes' }, ...[...meshes.values()].flatMap(drawMesh));
}

function drawMesh({ name, shape, dimNames, ranks }: MeshView): HTMLElement[] {
  const axes = shape.map((size, axis) => `${dimNames?.[axis] ?? `axis ${axis}`}=${size}`);
  const columns = shape.at(-1) ?? 1;
  const rows = shape.length > 1 ? shape.at(-2)! : 1;
  const tables: HTMLElement[] = [];
  for (let start = 0; start < ranks.length; start += rows * columns) {
    const lines = Array.from({ length: rows }, (_, row) =>
      element(
        'tr',
        {},
        ...ranks
          .slice(start + row * columns, start + (row + 1) * columns)
          .map((rank) => element('td', {}, String(rank))),
      ),
    );
    const caption =
      start === 0 ? [element('caption', {}, element('code', {}, name), ` (${axes.join(', ')})`)] : [];
    tables.push(element('table', { class: 'sb-mesh' }, ...caption, element('tbody', {}, ...lines)));
  }
  return tables;
}

/** In a fixed order, so that a category keeps its colour from cell to cell. */
const CATEGORIES = [
  'Parameter',
  'Sharded Param',
  'Unsharded Param',
  'Gradient',
  'Sharded Grad',
  'Unsharded Grad',
  'Optstate',
  'Activation',
  'All Gather',
  'Reduce Scatter',
  'All Reduce',
  'All To All',
  'Communication',
  'Buffer',
  'Temp',
  'Other',
];

function drawMemory({ ranks, watching }: ClusterView): HTMLElement {
  const seen = ranks.flatMap((rank) =>
    rank.seen === undefined ? [] : [{ rank: rank.rank, ...rank.seen.memory }],
  );
  if (seen.length === 0)
    return element(
      'p',
      { class: 'sb-soft' },
      watching ? 'Nothing has run yet.' : 'This kernel is not watched.',
    );
  const most = Math.max(1, ...seen.map(({ peak }) => peak.bytes));
  const names = [
    ...new Set(
      seen.flatMap(({ peak, categories }) => [...Object.keys(peak.categories), ...Object.keys(categories)]),
    ),
  ].sort((a, b) => place(a) - place(b) || (a < b ? -1 : 1));
  if (names.length === 0)
    return element('p', { class: 'sb-soft' }, 'The last cell held no tensor that is accounted for.');
  const offloads = seen.some(({ host }) => host !== undefined);
  const rows = seen.map(({ rank, bytes, peak, host }) => {
    const bar = element('div', { class: 'sb-memory-bar' });
    bar.style.width = `${(100 * peak.bytes) / most}%`;
    for (const name of names) {
      const part = peak.categories[name] ?? 0;
      if (part === 0) continue;
      const piece = element('span', {
        title: `${name}: ${bytesText(part)}`,
        'data-color': String(colorOf(name)),
      });
      piece.style.flexGrow = String(part);
      bar.append(piece);
    }
    return element(
      'tr',
      {},
      element('th', { scope: 'row' }, `rank ${rank}`),
      element('td', { class: 'sb-memory-cell' }, bar),
      element('td', { title: `at ${peak.at}` }, bytesText(peak.bytes)),
      element('td', {}, bytesText(bytes)),
      ...(offloads ? [element('td', {}, bytesText(host?.peak.bytes ?? 0))] : []),
    );
  });
  const legend = element(
    'ul',
    { class: 'sb-legend', 'aria-label': 'Categories at the peak, largest rank' },
    ...names.map((name) =>
      element(
        'li',
        { 'data-color': String(colorOf(name)) },
        `${name} ${bytesText(Math.max(...seen.map(({ peak }) => peak.categories[name] ?? 0)))}`,
      ),
    ),
  );
  const columns = ['', 'by category, at the peak', 'peak', 'now', ...(offloads ? ['on the host'] : [])];
  const head = columns.map((text) => element('th', { scope: 'col' }, text));
  return element(
    'div',
    {},
    element(
      'table',
      { class: 'sb-memory' },
      element('thead', {}, element('tr', {}, ...head)),
      element('tbody', {}, ...rows),
    ),
    legend,
  );
}

function place(category: string): number {
  const at = CATEGORIES.indexOf(category);
  return at < 0 ? CATEGORIES.length : at;
}

function colorOf(category: string): number {
  return place(category) % 8;
}
