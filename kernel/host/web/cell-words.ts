/** What the metadata of a cell says to the app (`metadata.shardbook`), and what a part inside a cell is. */
import type { Cell, CodeCell } from '@jupyterlab/cells';
import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { AnswerKey } from '../lesson/answers.js';
import type { Answer } from './answer.js';

/** `metadata.shardbook.predict` of a cell. */
export interface Predict extends AnswerKey {
  question: string;
  explain?: string;
}

/** `metadata.shardbook.question` of a text cell. */
export interface Question extends AnswerKey {
  name: string;
  question: string;
  explain: string;
  hints?: readonly string[];
}

/** `metadata.shardbook.task` of a code cell; of the text above it, the task's name. */
export interface Task {
  name: string;
  /** Throws unless the task is solved. */
  check: string;
  solution: string;
  hints?: readonly string[];
}

export interface CellPartsOptions {
  lesson: string;
  rendermime: IRenderMimeRegistry;
  /** Runs one cell; false when it failed. */
  run(cell: CodeCell): Promise<unknown>;
  /** Runs code on all ranks without a trace in the notebook; what it threw, undefined when it did not. */
  judge(code: string): Promise<string | undefined>;
  save(): Promise<void>;
}

/** What `metadata.shardbook` of a cell may hold. */
export interface CellWords {
  predict?: Predict;
  /** What the learner said. */
  predicted?: { answer: Answer; right?: boolean; skipped?: boolean };
  question?: Question;
  /** What the learner answered last, how often, and whether the answer was shown instead. */
  answered?: { answer: Answer; right: boolean; tries: number; shown?: boolean } | undefined;
  task?: Task | string;
  /** Whether the task's check passed when it last ran. */
  passed?: boolean;
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
