/** Notebook files: .ipynb as they are, MyST .md as the notebook that they stand for. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { ShardbookError } from '../../runtime/index.js';
import { cellsToNotebook, parseCells } from '../lesson/index.js';
import type { NotebookOutput } from './outputs.js';

/** What running a notebook reads and writes; whatever else the file holds stays as it is. */
export interface NotebookFile {
  nbformat: number;
  nbformat_minor: number;
  metadata: Record<string, unknown>;
  cells: FileCell[];
}

export interface FileCell {
  cell_type: string;
  source: string | string[];
  metadata: Record<string, unknown>;
  execution_count?: number | null;
  outputs?: NotebookOutput[];
  [key: string]: unknown;
}

export function notebookError(file: string, problem: string, help?: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_NOTEBOOK',
    message: `Cannot run "${file}": ${problem}`,
    ...(help === undefined ? {} : { help }),
  });
}

export function readNotebook(file: string): NotebookFile {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw notebookError(file, `the file cannot be read (${(cause as NodeJS.ErrnoException).code})`);
  }
  if (path.extname(file) === '.md') return readMyst(text, file);
  let parsed: NotebookFile;
  try {
    parsed = JSON.parse(text) as NotebookFile;
  } catch {
    throw notebookError(file, 'it is no JSON, wanted a notebook (.ipynb) or a MyST notebook (.md)');
  }
  if (parsed === null || typeof parsed !== 'object' || !Array.isArray(parsed.cells) || parsed.nbformat !== 4)
    throw notebookError(
      file,
      `its format is ${String(parsed?.nbformat ?? 'unknown')}, wanted nbformat 4`,
      'older notebooks: jupyter nbconvert --to notebook',
    );
  return parsed;
}

/** Any MyST notebook: a lesson, or what Jupytext writes. */
function readMyst(text: string, file: string): NotebookFile {
  const front = /^---[ \t]*\r?\n([\s\S]*?)\r?\n---[ \t]*(?:\r?\n|$)/.exec(text);
  let world: unknown;
  try {
    world = front ? (parse(front[1]!) as { world?: unknown } | null)?.world : undefined;
  } catch (cause) {
    throw notebookError(file, `its front matter is no YAML (${(cause as Error).message.split('\n')[0]})`);
  }
  const skipped = front ? front[0].replace(/\n$/, '').split('\n').length : 0;
  const name = path.basename(file, '.md').replace(/[^A-Za-z0-9_-]/g, '-');
  const metadata = Number.isInteger(world) ? { shardbook: { world } } : {};
  const notebook = cellsToNotebook(parseCells(text, skipped, file), name, metadata);
  return { ...notebook, cells: notebook.cells.map((cell) => ({ ...cell })) };
}

/** The number of ranks that the notebook was written for, if it says so. */
export function worldOf(notebook: NotebookFile): number | undefined {
  const { shardbook } = (notebook.metadata ?? {}) as { shardbook?: { world?: unknown } };
  return typeof shardbook?.world === 'number' ? shardbook.world : undefined;
}

export function sourceOf(cell: FileCell): string {
  return Array.isArray(cell.source) ? cell.source.join('') : cell.source;
}

export function tagsOf(cell: FileCell): readonly string[] {
  const tags = (cell.metadata as { tags?: unknown } | undefined)?.tags;
  return Array.isArray(tags) ? tags.filter((tag) => typeof tag === 'string') : [];
}

/** Writes beside the file first, so that an interrupted run never leaves half a notebook. */
export function writeNotebook(file: string, notebook: NotebookFile): void {
  const draft = `${file}.${process.pid}.tmp`;
  writeFileSync(draft, `${JSON.stringify(notebook, undefined, 1)}\n`);
  renameSync(draft, file);
}
