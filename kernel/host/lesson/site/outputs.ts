/** What cells put out as HTML. Lessons are their author's own: their HTML is taken as it is, under the page's policy. */
import { escapeHtml } from '../../../runtime/base/index.js';
import type { CellOutput } from '../../session/index.js';
import { type ShownOutput, shownOutputs } from '../outputs.js';

const PLOTLY = 'application/vnd.plotly.v1+json';

/** The outputs of a cell as they stand at its end. */
export function outputsHtml(outputs: readonly CellOutput[]): string {
  return shownOutputs(outputs).map(outputHtml).join('\n');
}

function outputHtml(output: ShownOutput): string {
  if (output.type === 'text') return `<pre>${escapeHtml(output.text.trimEnd())}</pre>`;
  if (output.type === 'error') return `<pre class="error">${escapeHtml(output.traceback)}</pre>`;
  return bundleHtml(output.data);
}

function bundleHtml(data: Record<string, unknown>): string {
  const plot = data[PLOTLY];
  const plain = data['text/plain'];
  const text = typeof plain === 'string' ? plain : '';
  if (plot !== undefined)
    return `<div class="plot" role="img" aria-label="${escapeHtml(text.split('\n')[0] ?? 'plot')}" data-plot="${escapeHtml(JSON.stringify(plot))}"><pre>${escapeHtml(text)}</pre></div>`;
  const html = data['text/html'] ?? data['image/svg+xml'];
  if (typeof html === 'string') return `<div class="rich">${html}</div>`;
  for (const type of ['image/png', 'image/jpeg', 'image/gif']) {
    const image = data[type];
    if (typeof image === 'string')
      return `<img src="data:${type};base64,${image}" alt="${escapeHtml(text)}">`;
  }
  return `<pre>${escapeHtml(text)}</pre>`;
}
