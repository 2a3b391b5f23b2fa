/** What the outputs of a cell leave on the page. */
import { stripVTControlCharacters } from 'node:util';
import type { CellOutput } from '../session/index.js';

export type ShownOutput =
  | { readonly type: 'text'; text: string }
  | { readonly type: 'data'; readonly id: string | undefined; data: Record<string, unknown> }
  | { readonly type: 'error'; readonly traceback: string };

/** Updates in their place, what was cleared gone, texts that follow each other joined, tracebacks without colours. */
export function shownOutputs(outputs: readonly CellOutput[]): ShownOutput[] {
  const shown: ShownOutput[] = [];
  for (const output of outputs) {
    switch (output.type) {
      case 'stream': {
        const last = shown.at(-1);
        if (last?.type === 'text') last.text += output.text;
        else shown.push({ type: 'text', text: output.text });
        break;
      }
      case 'display_data':
      case 'execute_result':
        shown.push({
          type: 'data',
          id: 'displayId' in output ? output.displayId : undefined,
          data: output.data,
        });
        break;
      case 'update_display_data':
        for (const one of shown)
          if (one.type === 'data' && one.id === output.displayId) one.data = output.data;
        break;
      case 'error':
        shown.push({ type: 'error', traceback: stripVTControlCharacters(output.traceback.join('\n')) });
        break;
      case 'clear_output':
        shown.length = 0;
    }
  }
  return shown;
}
