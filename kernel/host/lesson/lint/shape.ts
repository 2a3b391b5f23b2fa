/** Rules on what a lesson is made of. */
import { codeCells, type Lesson, questions, tasks } from '../types.js';
import type { LintProblem } from './problem.js';
import { headingsOf, passages } from './prose.js';

const LONGEST_CELL = 25;
const SHORTEST_MINUTES = 10;
const LONGEST_MINUTES = 40;
const LARGEST_WORLD = 8;

/** Every cell is checked or says why not, and no cell is long. */
export function lintCells(lesson: Lesson): LintProblem[] {
  const problems: LintProblem[] = [];
  const say = (line: number, rule: string, message: string): void => {
    problems.push({ file: lesson.file, line, rule, message });
  };
  for (const cell of codeCells(lesson)) {
    const lines = cell.source.split('\n').length;
    if (lines > LONGEST_CELL)
      say(cell.line, 'long-cell', `a cell of ${lines} lines, at most ${LONGEST_CELL} are read at once`);
    if (cell.output === undefined && cell.unchecked === undefined)
      say(cell.line, 'unchecked-cell', 'a cell without an {output} block; write it, or :unchecked: REASON');
    if (cell.output?.text.trim() === '')
      say(cell.output.line, 'silent-cell', 'a cell that prints nothing: let it show what it did');
    if (cell.output !== undefined && /^\s*\.\.\.\s*$/.test(cell.output.text))
      say(cell.output.line, 'unchecked-cell', 'an {output} block that takes anything');
    if (cell.predict !== undefined && cell.predict.question.length > 0 && cell.output === undefined)
      say(cell.line, 'unchecked-cell', 'a prediction of an output that is not stated');
  }
  return problems;
}

/** Title, length, world, and the elements that every lesson on the curriculum has. */
export function lintShape(lesson: Lesson): LintProblem[] {
  const problems: LintProblem[] = [];
  const say = (rule: string, message: string, line = 1): void => {
    problems.push({ file: lesson.file, line, rule, message });
  };
  const titles = passages(lesson)
    .flatMap(headingsOf)
    .filter(({ level }) => level === 1);
  if (titles[0]?.text !== lesson.title)
    say(
      'title',
      `the first heading is "${titles[0]?.text ?? ''}", the title "${lesson.title}"`,
      titles[0]?.line,
    );
  if (titles[1] !== undefined) say('title', `a second title "${titles[1].text}"`, titles[1].line);
  if (lesson.minutes < SHORTEST_MINUTES || lesson.minutes > LONGEST_MINUTES)
    say('minutes', `${lesson.minutes} minutes, wanted ${SHORTEST_MINUTES} to ${LONGEST_MINUTES}`);
  if (lesson.world > LARGEST_WORLD) say('world', `a world of ${lesson.world}, laptops take ${LARGEST_WORLD}`);
  if (lesson.teaches.length === 0) say('teaches', 'it does not say what it teaches');
  if (lesson.covers.length === 0) return problems;
  if (!codeCells(lesson).some(({ predict }) => predict !== undefined)) say('predict', 'nothing is predicted');
  if (questions(lesson).length === 0) say('question', 'no question is asked');
  if (tasks(lesson).length === 0 && !lesson.cells.some(({ kind }) => kind === 'exercise'))
    say('task', 'there is nothing to do: no task and no exercise');
  if (!codeCells(lesson).some(({ twin }) => twin !== undefined))
    say('pytorch', 'no cell has its twin in PyTorch');
  return problems;
}
