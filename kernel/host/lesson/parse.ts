import { readExercise, readPrediction, readQuestion, readTask, readTolerance, readTwin } from './elements.js';
import { type Fence, optionOf, readFences, refuseOptions } from './fences.js';
import { readFrontMatter } from './front-matter.js';
import { readMarks } from './marks.js';
import { lessonProblem } from './problem.js';
import { questionText } from './text.js';
import type { CodeCell, ExpectedOutput, Lesson, LessonCell, Prediction } from './types.js';

const LANGUAGES = ['typescript', 'ts'];
const CELL_BREAK = /^\+\+\+\s*$/;

/** Parses a MyST lesson. Throws `SB_LESSON_INVALID`, naming `file:line`, for what cannot be a lesson. */
export function parseLesson(text: string, file: string): Lesson {
  const { front, lines: skipped } = readFrontMatter(text, file);
  const cells = parseCells(text, skipped, file);
  if (!cells.some((cell) => cell.kind === 'code'))
    throw lessonProblem(file, skipped + 1, 'it has no code cell', 'Add a block ```{code-cell} typescript');
  refuseSecondNames(cells, file);
  const frontText = text
    .split(/\r?\n/)
    .slice(1, skipped - 1)
    .join('\n');
  return { ...front, frontText, file, cells, marks: readMarks(text, skipped, file) };
}

/** The cells of a MyST text below its first `skipped` lines (its front matter). */
export function parseCells(text: string, skipped: number, file: string): LessonCell[] {
  const lines = text.split(/\r?\n/);
  const fences = readFences(lines, skipped, file);
  const cells: LessonCell[] = [];
  let next = skipped + 1;
  let codeCount = 0;
  let asked: { predict: Prediction; myst: string } | undefined;
  for (let i = 0; i < fences.length; i++) {
    const fence = fences[i]!;
    const follows = (name: string): Fence | undefined => {
      const follower = fences[i + 1];
      return follower?.name === name && isBlank(lines, fences[i]!.nextLine, follower.line)
        ? follower
        : undefined;
    };
    cells.push(...textCells(lines, next, fence.line));
    next = fence.nextLine;
    switch (fence.name) {
      case 'output':
        throw stray(file, fence, 'an {output} block that does not follow a code cell');
      case 'pytorch':
        throw stray(file, fence, 'a {pytorch} block that does not follow a code cell and its output');
      case 'exercise':
        cells.push(readExercise(fence, file));
        break;
      case 'question':
        cells.push(readQuestion(fence, file));
        break;
      case 'task':
        cells.push(readTask(fence, file));
        break;
      case 'predict':
        if (follows('code-cell') === undefined)
          throw lessonProblem(
            file,
            fence.line,
            'a {predict} block that no code cell follows',
            'Put it right above the cell whose output is to be predicted',
          );
        asked = { predict: readPrediction(fence, file), myst: fence.myst };
        cells.push({
          kind: 'text',
          isPrediction: true,
          text: questionText('Predict', asked.predict.question, asked.predict),
          line: fence.bodyLine,
        });
        break;
      case 'code-cell': {
        const output = follows('output');
        if (output !== undefined) i++;
        const twinFence = follows('pytorch');
        if (twinFence !== undefined) i++;
        const twin = twinFence && readTwin(twinFence, file);
        cells.push({
          ...codeCell(fence, output, asked?.myst, codeCount++, file),
          ...(asked === undefined ? {} : { predict: asked.predict }),
          ...(twin === undefined ? {} : { twin }),
        });
        if (twin !== undefined)
          cells.push({ kind: 'twin', twin, myst: twinFence!.myst, line: twinFence!.line });
        asked = undefined;
        next = (twinFence ?? output ?? fence).nextLine;
      }
    }
  }
  cells.push(...textCells(lines, next, lines.length + 1));
  return cells;
}

function codeCell(
  fence: Fence,
  output: Fence | undefined,
  predict: string | undefined,
  index: number,
  file: string,
): CodeCell {
  if (!LANGUAGES.includes(fence.argument)) {
    throw lessonProblem(
      file,
      fence.line,
      `a code cell in "${fence.argument}", wanted typescript`,
      'Write ```{code-cell} typescript',
    );
  }
  refuseOptions(fence, ['tags', 'unchecked'], file);
  if (fence.body.trim() === '') throw lessonProblem(file, fence.line, 'an empty code cell');
  const tags = (optionOf(fence, 'tags')?.value ?? '').replace(/^\[|\]$/g, '');
  const unchecked = optionOf(fence, 'unchecked');
  if (unchecked?.value === '')
    throw lessonProblem(
      file,
      unchecked.line,
      'an unchecked cell without a reason',
      'Write :unchecked: REASON',
    );
  if (unchecked !== undefined && output !== undefined)
    throw lessonProblem(file, unchecked.line, 'an unchecked cell that states its output');
  return {
    kind: 'code',
    index,
    source: fence.body,
    line: fence.bodyLine,
    tags: tags
      .split(',')
      .map((tag) => tag.trim())
      .filter((tag) => tag !== ''),
    output: output && expectedOutput(output, file),
    myst: {
      ...(predict === undefined ? {} : { predict }),
      ...(fence.options.length === 0
        ? {}
        : { options: fence.options.map(({ name, value }) => `:${name}: ${value}`).join('\n') }),
      ...(output === undefined ? {} : { output: output.myst }),
    },
    ...(unchecked === undefined ? {} : { unchecked: unchecked.value }),
  };
}

function expectedOutput(fence: Fence, file: string): ExpectedOutput {
  refuseOptions(fence, ['tolerance'], file);
  const stated = optionOf(fence, 'tolerance');
  const tolerance = stated === undefined ? undefined : readTolerance(stated.value, stated.line, file);
  return { text: fence.body, line: fence.bodyLine, tolerance };
}

function stray(file: string, fence: Fence, problem: string): Error {
  return lessonProblem(file, fence.line, problem, 'Put it right under its cell');
}

/** Answers and checks are kept by name. */
function refuseSecondNames(cells: readonly LessonCell[], file: string): void {
  const seen = new Set<string>();
  for (const cell of cells) {
    if (cell.kind !== 'question' && cell.kind !== 'task') continue;
    const key = `${cell.kind} "${cell.name}"`;
    if (seen.has(key)) throw lessonProblem(file, cell.line, `a second ${key}`);
    seen.add(key);
  }
}

/** The text from line `from` up to but without line `to`, as one cell per part between "+++" breaks. */
function textCells(lines: readonly string[], from: number, to: number): LessonCell[] {
  const cells: LessonCell[] = [];
  let start = from;
  const flush = (end: number): void => {
    let first = start;
    while (first < end && lines[first - 1]!.trim() === '') first++;
    const text = lines
      .slice(first - 1, end - 1)
      .join('\n')
      .trimEnd();
    if (text !== '') cells.push({ kind: 'text', text, line: first });
  };
  for (let line = from; line < to; line++) {
    if (!CELL_BREAK.test(lines[line - 1]!)) continue;
    flush(line);
    start = line + 1;
  }
  flush(to);
  return cells;
}

function isBlank(lines: readonly string[], from: number, to: number): boolean {
  return lines.slice(from - 1, to - 1).every((line) => line.trim() === '');
}
