/** Runs the cells of a notebook one after the other, as a reader would, and keeps what they put out. */
import { RAISES_EXCEPTION } from '../lesson/index.js';
import type { ExecuteResult, SessionApi } from '../session/index.js';
import { type FileCell, type NotebookFile, notebookError, sourceOf, tagsOf } from './file.js';
import { OutputCollector } from './outputs.js';

export interface RunOptions {
  /** Values for the cell tagged `parameters`, as TypeScript expressions. */
  parameters?: Readonly<Record<string, string>>;
  /** Goes on after a cell that fails. */
  allowErrors?: boolean;
  /** Seconds that a cell may take; it is interrupted then. */
  timeoutSeconds?: number;
  /** Called before and after every cell that runs. */
  onCell?: (event: CellEvent) => void;
}

export interface CellEvent {
  /** From 1, counting code cells. */
  number: number;
  total: number;
  state: 'start' | 'ok' | 'error';
  seconds: number;
  result?: ExecuteResult;
}

export interface RunReport {
  ran: number;
  failed: number[];
}

/** Tags that notebook tools agree on. */
const SKIP = 'skip-execution';
const PARAMETERS = 'parameters';
const INJECTED = 'injected-parameters';

export async function runNotebook(
  notebook: NotebookFile,
  file: string,
  session: SessionApi,
  options: RunOptions = {},
): Promise<RunReport> {
  injectParameters(notebook, file, options.parameters ?? {});
  const collector = new OutputCollector();
  const cells = notebook.cells.filter((cell) => cell.cell_type === 'code');
  // Old outputs would pass for this run's where it stops early.
  for (const cell of cells) Object.assign(cell, { outputs: [], execution_count: null });
  const report: RunReport = { ran: 0, failed: [] };
  for (const [index, cell] of cells.entries()) {
    const source = sourceOf(cell);
    if (source.trim() === '' || tagsOf(cell).includes(SKIP)) continue;
    const event = { number: index + 1, total: cells.length };
    options.onCell?.({ ...event, state: 'start', seconds: 0 });
    const started = performance.now();
    cell.outputs = collector.beginCell();
    const result = await runCell(session, source, collector, options.timeoutSeconds);
    cell.execution_count = result.executionCount;
    report.ran += 1;
    const wrong = result.status === 'error' && !tagsOf(cell).includes(RAISES_EXCEPTION);
    const seconds = (performance.now() - started) / 1000;
    options.onCell?.({ ...event, state: wrong ? 'error' : 'ok', seconds, result });
    if (!wrong) continue;
    report.failed.push(index + 1);
    if (!options.allowErrors) break;
  }
  return report;
}

async function runCell(
  session: SessionApi,
  source: string,
  collector: OutputCollector,
  timeoutSeconds: number | undefined,
): Promise<ExecuteResult> {
  const timer =
    timeoutSeconds === undefined
      ? undefined
      : setTimeout(() => {
          const text = `The cell ran longer than ${timeoutSeconds} s and was interrupted.\n`;
          collector.add({ type: 'stream', name: 'stderr', text, ranks: [] });
          void session.interrupt();
        }, timeoutSeconds * 1000);
  try {
    return await session.execute(source, { onOutput: (output) => collector.add(output) });
  } finally {
    clearTimeout(timer);
  }
}

/** Puts a cell with the given values behind the one tagged `parameters` (or at the top), in place of an earlier one. */
function injectParameters(
  notebook: NotebookFile,
  file: string,
  parameters: Readonly<Record<string, string>>,
): void {
  const names = Object.keys(parameters);
  if (names.length === 0) return;
  for (const name of names)
    if (!/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(name))
      throw notebookError(file, `"${name}" is no name for a parameter`);
  const source = ['// Parameters', ...names.map((name) => `var ${name} = ${parameters[name]};`)].join('\n');
  const cell: FileCell = {
    cell_type: 'code',
    id: INJECTED,
    metadata: { tags: [INJECTED] },
    source,
    execution_count: null,
    outputs: [],
  };
  notebook.cells = notebook.cells.filter((other) => !tagsOf(other).includes(INJECTED));
  notebook.cells.splice(notebook.cells.findIndex((other) => tagsOf(other).includes(PARAMETERS)) + 1, 0, cell);
}
