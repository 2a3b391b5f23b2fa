/** From what a session says to the outputs that a notebook file keeps (nbformat 4.5). */
import type { CellOutput } from '../session/index.js';

export type NotebookOutput =
  | { output_type: 'stream'; name: 'stdout' | 'stderr'; text: string }
  | { output_type: 'display_data'; data: Record<string, unknown>; metadata: Record<string, unknown> }
  | {
      output_type: 'execute_result';
      data: Record<string, unknown>;
      metadata: Record<string, unknown>;
      execution_count: number;
    }
  | { output_type: 'error'; ename: string; evalue: string; traceback: string[] };

/** Collects the outputs of a notebook's cells: streams are joined, updates reach the cell that showed the output. */
export class OutputCollector {
  readonly #displays = new Map<string, Extract<NotebookOutput, { output_type: 'display_data' }>[]>();
  #outputs: NotebookOutput[] = [];
  #clearNext = false;

  /** Starts a cell; the returned list is filled while it runs. */
  beginCell(): NotebookOutput[] {
    this.#outputs = [];
    this.#clearNext = false;
    return this.#outputs;
  }

  add(output: CellOutput): void {
    if (output.type === 'update_display_data') {
      for (const shown of this.#displays.get(output.displayId) ?? []) {
        shown.data = output.data;
        shown.metadata = output.metadata;
      }
      return;
    }
    if (output.type === 'clear_output') {
      if (output.wait) this.#clearNext = true;
      else this.#outputs.length = 0;
      return;
    }
    if (this.#clearNext) this.#outputs.length = 0;
    this.#clearNext = false;
    this.#append(output);
  }

  #append(output: Exclude<CellOutput, { type: 'update_display_data' | 'clear_output' }>): void {
    const outputs = this.#outputs;
    switch (output.type) {
      case 'stream': {
        const last = outputs.at(-1);
        if (last?.output_type === 'stream' && last.name === output.name) last.text += output.text;
        else outputs.push({ output_type: 'stream', name: output.name, text: output.text });
        return;
      }
      case 'display_data': {
        const shown = {
          output_type: 'display_data' as const,
          data: output.data,
          metadata: output.metadata,
        };
        outputs.push(shown);
        if (output.displayId !== undefined)
          this.#displays.set(output.displayId, [...(this.#displays.get(output.displayId) ?? []), shown]);
        return;
      }
      case 'execute_result':
        outputs.push({
          output_type: 'execute_result',
          data: output.data,
          metadata: output.metadata,
          execution_count: output.executionCount,
        });
        return;
      case 'error':
        outputs.push({
          output_type: 'error',
          ename: output.ename,
          evalue: output.evalue,
          traceback: output.traceback,
        });
    }
  }
}
