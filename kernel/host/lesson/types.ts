import type { AnswerKey } from './answers.js';

/** The parsed form of a lesson. Lines are 1-based lines of the lesson file, so that every message can name them. */
export interface FrontMatter {
  /** Stable name of the lesson, lower case with hyphens. */
  readonly id: string;
  readonly title: string;
  /** Layer of the learning path, 0 to 6. */
  readonly layer: number;
  /** Ids of the curriculum inventory that this lesson answers. */
  readonly covers: readonly string[];
  /** Ids of lessons to have read before. */
  readonly requires: readonly string[];
  /** What the learner will be able to do, one phrase each. */
  readonly teaches: readonly string[];
  readonly minutes: number;
  /** Number of ranks the cells run on. */
  readonly world: number;
}

export interface ExpectedOutput {
  readonly text: string;
  /** Line of the first line of `text`. */
  readonly line: number;
  /** Numbers may differ by `tolerance * max(1, |expected|)`; without it they are compared as text. */
  readonly tolerance: number | undefined;
}

/** A question to answer before a cell is run; it stands in the text above the cell, too. */
export interface Prediction extends AnswerKey {
  readonly question: string;
  /** Shown with the output. */
  readonly explain?: string;
}

/** The same program as a cell in PyTorch. */
export interface Twin {
  readonly source: string;
  /** Line of the first line of `source`. */
  readonly line: number;
  /** What of its output must agree with the cell's: its numbers, its lines, or nothing for the reason `why`. */
  readonly compare: 'numbers' | 'lines' | 'none';
  readonly why?: string;
  readonly tolerance: number;
}

export interface CodeCell {
  readonly kind: 'code';
  /** Position among the code cells, from 0. */
  readonly index: number;
  readonly source: string;
  /** Line of the first line of `source`. */
  readonly line: number;
  /** Tags as in Jupyter; `raises-exception` says that the cell must fail. */
  readonly tags: readonly string[];
  readonly output: ExpectedOutput | undefined;
  /** Why its output cannot be stated. */
  readonly unchecked?: string;
  readonly predict?: Prediction;
  readonly twin?: Twin;
  /** As it stands in the file: the prediction above it, its option lines, the output below it. */
  readonly myst: { readonly predict?: string; readonly options?: string; readonly output?: string };
}

export interface TextCell {
  readonly kind: 'text';
  /** It repeats the question of the cell below, for readers without the app. */
  readonly isPrediction?: true;
  readonly text: string;
  readonly line: number;
}

/** Where the learner writes the answer to an exercise. */
export interface ExerciseCell {
  readonly kind: 'exercise';
  /** Name of the exercise's folder. */
  readonly exercise: string;
  readonly myst: string;
  readonly line: number;
}

/** A question whose answer is checked. */
export interface QuestionCell extends AnswerKey {
  readonly kind: 'question';
  /** Unique in the lesson. */
  readonly name: string;
  readonly question: string;
  /** Shown after the answer. */
  readonly explain: string;
  /** The block as it stands in the file; all elements have it. */
  readonly myst: string;
  readonly hints: readonly string[];
  readonly line: number;
}

/** Something to write, and the code that says whether it is right. */
export interface TaskCell {
  readonly kind: 'task';
  readonly myst: string;
  /** Unique in the lesson. */
  readonly name: string;
  readonly text: string;
  readonly starter: string;
  /** Throws unless the task is solved; runs after the learner's cell. */
  readonly check: string;
  readonly solution: string;
  readonly hints: readonly string[];
  readonly line: number;
  /** Lines of the first lines of `check` and `solution`. */
  readonly checkLine: number;
  readonly solutionLine: number;
}

/** A twin below its cell. */
export interface TwinCell {
  readonly kind: 'twin';
  readonly myst: string;
  readonly twin: Twin;
  readonly line: number;
}

export type LessonCell = CodeCell | TextCell | ExerciseCell | QuestionCell | TaskCell | TwinCell;

export interface Lesson extends FrontMatter {
  /** The front matter as it stands in the file, without its fences. */
  readonly frontText: string;
  /** Path as given to the parser; used in messages. */
  readonly file: string;
  readonly cells: readonly LessonCell[];
  readonly marks: readonly CoverageMark[];
}

/** "This passage does it": an item of the curriculum, named by a comment in the text. */
export interface CoverageMark {
  /** Id of the curriculum entry. */
  readonly id: string;
  readonly kind: 'ask' | 'fix' | 'idea';
  /** Position in the entry's list, from 1. */
  readonly number: number;
  readonly line: number;
}

export const RAISES_EXCEPTION = 'raises-exception';

/** The code cells of a lesson, in order. */
export function codeCells(lesson: Lesson): CodeCell[] {
  return lesson.cells.filter((cell): cell is CodeCell => cell.kind === 'code');
}

/** The tasks of a lesson, in order. */
export function tasks(lesson: Lesson): TaskCell[] {
  return lesson.cells.filter((cell): cell is TaskCell => cell.kind === 'task');
}

/** The questions of a lesson, in order. */
export function questions(lesson: Lesson): QuestionCell[] {
  return lesson.cells.filter((cell): cell is QuestionCell => cell.kind === 'question');
}
