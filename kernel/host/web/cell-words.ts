/** What the metadata of a cell says to the app (`metadata.shardbook`), and what a part inside a cell is. */
import type { Cell, CodeCell } from '@jupyterlab/cells';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';

/** `metadata.shardbook.predict` of a cell. */
export interface Predict {
  question: string;
  choices?: readonly string[];
  /** Position of the right choice. */
  answer?: number;
  explain?: string;
}

export interface CellPartsOptions {
  lesson: string;
  rendermime: IRenderMimeRegistry;
  /** Runs one cell. */
  run(cell: CodeCell): Promise<unknown>;
  save(): Promise<void>;
}

/** What `metadata.shardbook` of a code cell may hold. */
export interface CellWords {
  predict?: Predict;
  /** What the learner said. */
  predicted?: { answer: string | number; right?: boolean; skipped?: boolean };
  /** Id of the exercise whose answer this cell is. */
  exercise?: string;
}

/** A part that lives between a cell's input and its output. */
export interface CellPart {
  node: HTMLElement;
  /** The cell has run. */
  ran?(): void;
}

export function wordsOf(cell: Cell): CellWords {
  const words: unknown = cell.model.getMetadata('shardbook');
  return typeof words === 'object' && words !== null ? (words as CellWords) : {};
}

export function setWords(cell: Cell, words: CellWords): void {
  cell.model.setMetadata('shardbook', { ...wordsOf(cell), ...words });
}
