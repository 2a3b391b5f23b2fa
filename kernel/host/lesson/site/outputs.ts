/** What cells put out as HTML. Lessons are their author's own: their HTML is taken as it is, under the page's policy. */
import { escapeHtml } from '../../../runtime/base/index.js';
import type { CellOutput } from '../../session/index.js';

export const PLOTLY = 'application/vnd.plotly.v1+json';
// biome-ignore lint/suspicious/noControlCharactersInRegex: colours of tracebacks
const COLOURS = /\u001b\[[0-9;]*m/g;

/** The outputs of a cell, updates applied, texts that follow each other joined. */
export function outputsHtml(outputs: readonly CellOutput[]): string {
  const parts: { id?: string | undefined; html: string; text?: string }[] = [];
  for (const output of outputs) {
    switch (output.type) {
      case 'stream': {
        const last = parts.at(-1);
        if (last?.text !== undefined) last.text += output.text;
        else parts.push({ html: '', text: output.text });
        break;
      }
      case 'display_data':
      case 'execute_result':
        parts.push({
          id: 'displayId' in output ? output.displayId : undefined,
          html: bundleHtml(output.data),
        });
        break;
      case 'update_display_data':
        for (const part of parts) if (part.id === output.displayId) part.html = bundleHtml(output.data);
        break;
      case 'error':
        parts.push({
          html: `<pre class="error">${escapeHtml(output.traceback.join('\n').replace(COLOURS, ''))}</pre>`,
        });
        break;
      case 'clear_output':
        parts.length = 0;
    }
  }
  return parts
    .map(({ html, text }) => (text === undefined ? html : `<pre>${escapeHtml(text.trimEnd())}</pre>`))
    .join('\n');
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
