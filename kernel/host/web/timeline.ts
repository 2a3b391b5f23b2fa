/** Collectives and messages of the last cell: a lane per rank, drawn and as a table. */
import { bytesText } from '../../runtime/base/index.js';
import type { ClusterView, ObservedCall } from '../session/types.js';
import { element } from './dom.js';
import { type Place, placesIn } from './jump.js';
import { milliseconds } from './units.js';

const MOST_ROWS = 200;

interface Bar {
  rank: number;
  call: ObservedCall;
  start: number;
  end: number;
}

export function drawTimeline({ ranks, running }: ClusterView, jump: (place: Place) => void): HTMLElement {
  const seen = ranks.flatMap(({ rank, seen }) => (seen === undefined ? [] : [{ rank, seen }]));
  const began = Math.min(...seen.map(({ seen }) => seen.began));
  const bars = seen.flatMap(({ rank, seen }) =>
    seen.calls.map((call): Bar => {
      const start = seen.began - began + call.start;
      const end = call.end === undefined ? seen.began - began + seen.took : seen.began - began + call.end;
      return { rank, call, start, end: Math.max(end, start) };
    }),
  );
  if (bars.length === 0)
    return element(
      'p',
      { class: 'sb-soft' },
      running
        ? 'No collective and no message so far.'
        : 'The last cell called no collective and sent no message.',
    );
  const open = running ? 'under way' : 'never done';
  const first = Math.min(...bars.map(({ start }) => start));
  const span = Math.max(0.001, Math.max(...bars.map(({ end }) => end)) - first);
  const lanes = seen.map(({ rank }) => rank);
  const ops = [...new Set(bars.map(({ call }) => call.op))];
  const lane = (rank: number) =>
    element(
      'div',
      { class: 'sb-lane' },
      element('span', { class: 'sb-lane-name' }, `rank ${rank}`),
      element(
        'div',
        { class: 'sb-lane-track' },
        ...bars.filter((bar) => bar.rank === rank).map((bar) => drawBar(bar, first, span, ops, open, jump)),
      ),
    );
  const order = [...bars].sort((a, b) => a.start - b.start || a.rank - b.rank);
  const truncated = seen.some(({ seen }) => seen.truncated) || order.length > MOST_ROWS;
  const table = element(
    'details',
    { id: 'sb-timeline-table' },
    element('summary', {}, `All ${order.length} calls`),
    element(
      'table',
      { class: 'sb-calls' },
      element(
        'thead',
        {},
        element(
          'tr',
          {},
          ...['rank', 'call', 'tensor', 'bytes', 'start', 'took', 'line'].map((text) =>
            element('th', { scope: 'col' }, text),
          ),
        ),
      ),
      element('tbody', {}, ...order.slice(0, MOST_ROWS).map((bar) => drawRow(bar, first, open, jump))),
    ),
    ...(truncated ? [element('p', { class: 'sb-soft' }, 'Only some of the calls are listed.')] : []),
  );
  return element(
    'div',
    { class: 'sb-timeline' },
    element(
      'div',
      {
        role: 'img',
        'aria-label': `Timeline: ${bars.length} calls on ${lanes.length} ranks in ${milliseconds(span)}`,
      },
      ...lanes.map(lane),
    ),
    element(
      'p',
      { class: 'sb-axis', 'aria-hidden': 'true' },
      element('span', {}, '0'),
      element('span', {}, milliseconds(span)),
    ),
    element(
      'ul',
      { class: 'sb-legend', 'aria-label': 'Calls' },
      ...ops.map((op, index) => element('li', { 'data-color': String(index % 8) }, op)),
    ),
    table,
  );
}

function drawBar(
  bar: Bar,
  first: number,
  span: number,
  ops: readonly string[],
  open: string,
  jump: (place: Place) => void,
): HTMLElement {
  const { call, start, end } = bar;
  const node = element('span', {
    class: 'sb-call',
    title: `${title(call)}: ${call.end === undefined ? open : milliseconds(end - start)}${call.place === undefined ? '' : `, ${call.place}`}`,
    'data-color': String(ops.indexOf(call.op) % 8),
    ...((call.end === undefined && open === 'never done') || call.error !== undefined
      ? { 'data-failed': true }
      : {}),
    onclick: () => {
      const [place] = placesIn(call.place ?? '');
      if (place !== undefined) jump(place);
    },
  });
  node.style.left = `${(100 * (start - first)) / span}%`;
  node.style.width = `max(3px, ${(100 * (end - start)) / span}%)`;
  return node;
}

function drawRow(
  { rank, call, start, end }: Bar,
  first: number,
  open: string,
  jump: (place: Place) => void,
): HTMLElement {
  const [place] = placesIn(call.place ?? '');
  const where =
    place === undefined
      ? (call.place ?? '')
      : element(
          'button',
          { type: 'button', class: 'sb-link-button', onclick: () => jump(place) },
          `${place.cell}:${place.line}`,
        );
  return element(
    'tr',
    {},
    element('td', {}, String(rank)),
    element('td', {}, title(call)),
    element('td', {}, call.tensors.slice(0, 2).join(', ')),
    element('td', {}, bytesText(call.bytes)),
    element('td', {}, milliseconds(start - first)),
    element('td', {}, call.end === undefined ? open : milliseconds(end - start)),
    element('td', {}, where),
  );
}

function title({ op, seq, group, peer }: ObservedCall): string {
  return `${op}${seq > 0 ? ` #${seq}` : ''}${peer === undefined ? '' : ` with ${peer}`}${group === 'world' ? '' : ` (${group})`}`;
}
