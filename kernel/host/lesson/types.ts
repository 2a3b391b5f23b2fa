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
export interface Prediction {
  readonly question: string;
  /** Answers to choose from; without them the learner writes one. */
  readonly choices?: readonly string[];
  /** Position of the right choice, from 0. */
  readonly answer?: number;
  /** Shown with the output. */
  readonly explain?: string;
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
  readonly predict?: Prediction;
}

export interface TextCell {
  readonly kind: 'text';
  readonly text: string;
  readonly line: number;
}

/** Where the learner writes the answer to an exercise. */
export interface ExerciseCell {
  readonly kind: 'exercise';
  /** Name of the exercise's folder. */
  readonly exercise: string;
  readonly line: number;
}

export type LessonCell = CodeCell | TextCell | ExerciseCell;

export interface Lesson extends FrontMatter {
  /** Path as given to the parser; used in messages. */
  readonly file: string;
  readonly cells: readonly LessonCell[];
}

export const RAISES_EXCEPTION = 'raises-exception';

/** The code cells of a lesson, in order. */
export function codeCells(lesson: Lesson): CodeCell[] {
  return lesson.cells.filter((cell): cell is CodeCell => cell.kind === 'code');
}
