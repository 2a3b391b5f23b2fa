/** The ranks behind the notebook with their states, and the world's size to choose. */
import type { ISessionContext } from '@jupyterlab/apputils';
import type { RankView } from '../server/index.js';
import { fetchRanks } from './api.js';
import { element } from './dom.js';

const BUSY_INTERVAL_MS = 250;
const IDLE_INTERVAL_MS = 4000;

export interface RankStatusBar {
  nodes: HTMLElement[];
  /** Asks for the state now. */
  refresh(): void;
  dispose(): void;
}

export function createRankStatus(
  session: ISessionContext,
  setWorld: (size: number) => Promise<void>,
): RankStatusBar {
  const list = element('ul', { class: 'sb-ranks', 'aria-label': 'Ranks' });
  const select = element('select', {
    class: 'sb-select',
    'aria-label': 'World size',
    title: 'World size: how many ranks run the cells',
    onchange: () => void change(),
  });
  let timer: ReturnType<typeof setTimeout> | undefined;
  let shown = '';
  let disposed = false;

  const change = async () => {
    select.disabled = true;
    try {
      await setWorld(Number(select.value));
    } finally {
      select.disabled = false;
      shown = '';
      schedule(0);
    }
  };
  const schedule = (delay: number) => {
    clearTimeout(timer);
    if (!disposed) timer = setTimeout(() => void refresh(), delay);
  };
  const refresh = async () => {
    const kernel = session.session?.kernel;
    let busy = session.kernelDisplayStatus === 'busy';
    if (kernel) {
      try {
        const { ranks } = await fetchRanks(kernel.id);
        busy ||= ranks.some((rank) => rank.state === 'running' || rank.state === 'starting');
        draw(ranks);
      } catch {
        draw([]);
      }
    }
    schedule(busy ? BUSY_INTERVAL_MS : IDLE_INTERVAL_MS);
  };
  const draw = (ranks: readonly RankView[]) => {
    const text = JSON.stringify(ranks);
    if (text === shown || disposed) return;
    shown = text;
    list.replaceChildren(...ranks.map(drawRank));
    drawSizes(select, ranks.length);
  };
  const onStatus = () => schedule(0);
  session.statusChanged.connect(onStatus);
  session.kernelChanged.connect(onStatus);
  drawSizes(select, 0);
  schedule(0);
  return {
    nodes: [element('span', { class: 'sb-ranks-label', 'aria-hidden': 'true' }, 'Ranks'), list, select],
    refresh: () => schedule(0),
    dispose: () => {
      disposed = true;
      clearTimeout(timer);
      session.statusChanged.disconnect(onStatus);
      session.kernelChanged.disconnect(onStatus);
    },
  };
}

function drawRank(rank: RankView): HTMLElement {
  const reason = rank.reason === undefined ? '' : `: ${rank.reason}`;
  const description = `rank ${rank.rank} is ${rank.state}${reason}`;
  return element(
    'li',
    { class: 'sb-rank', 'data-state': rank.state, title: description },
    element('span', { 'aria-hidden': 'true' }, String(rank.rank)),
    element('span', { class: 'sb-hidden-text' }, description),
  );
}

const SIZES = [1, 2, 3, 4, 6, 8, 12, 16];

function drawSizes(select: HTMLSelectElement, current: number): void {
  if (document.activeElement === select && select.value === String(current)) return;
  if (current === 0) {
    select.disabled = true;
    select.replaceChildren(element('option', {}, 'starting'));
    return;
  }
  const sizes = [...new Set([...SIZES, current])].sort((a, b) => a - b);
  select.disabled = false;
  select.replaceChildren(
    ...sizes.map((size) =>
      element(
        'option',
        { value: String(size), selected: size === current },
        size === 1 ? '1 rank' : `${size} ranks`,
      ),
    ),
  );
}
