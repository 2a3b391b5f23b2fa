/** Elements of a lesson that are not cells to run: exercises, predictions, questions, tasks, twins in PyTorch. */
import MarkdownIt from 'markdown-it';
import { ANSWER_OPTIONS, isChecked, readAnswerKey } from './answers.js';
import { type Fence, optionOf, refuseOptions } from './fences.js';
import { lessonProblem } from './problem.js';
import type { ExerciseCell, Prediction, QuestionCell, TaskCell, Twin } from './types.js';

const NAME = /^[a-z0-9]+(-[a-z0-9]+)*$/;
const SEPARATOR = /^-{3,}\s*$/;
const COMPARISONS = ['numbers', 'lines', 'none'] as const;
const TWIN_TOLERANCE = 1e-4;

export function readExercise(fence: Fence, file: string): ExerciseCell {
  refuseOptions(fence, [], file);
  if (!/^[a-z0-9][a-z0-9-]*$/.test(fence.argument))
    throw lessonProblem(
      file,
      fence.line,
      `an exercise named "${fence.argument}"`,
      'Write ```{exercise} NAME-OF-ITS-FOLDER',
    );
  return { kind: 'exercise', exercise: fence.argument, myst: fence.myst, line: fence.line };
}

export function readPrediction(fence: Fence, file: string): Prediction {
  refuseOptions(fence, [...ANSWER_OPTIONS, 'explain'], file);
  const question = fence.body.trim();
  if (question === '') throw lessonProblem(file, fence.line, 'a {predict} block without a question');
  const explain = optionOf(fence, 'explain')?.value;
  return { question, ...readAnswerKey(fence, file), ...(explain === undefined ? {} : { explain }) };
}

export function readQuestion(fence: Fence, file: string): QuestionCell {
  refuseOptions(fence, [...ANSWER_OPTIONS, 'hint'], file, ['hint']);
  const lines = fence.body.split('\n');
  const at = lines.findIndex((line) => SEPARATOR.test(line));
  const question = lines
    .slice(0, at < 0 ? undefined : at)
    .join('\n')
    .trim();
  const explain =
    at < 0
      ? ''
      : lines
          .slice(at + 1)
          .join('\n')
          .trim();
  if (question === '') throw lessonProblem(file, fence.line, 'a {question} block without a question');
  if (explain === '')
    throw lessonProblem(
      file,
      fence.line,
      'a question without an explanation',
      'Write it below a line "---": it is shown after the answer',
    );
  const key = readAnswerKey(fence, file);
  if (!isChecked(key))
    throw lessonProblem(
      file,
      fence.line,
      'a question whose answer is not stated',
      'Give it :choices: and :answer:, or :number:, :holds:, :words:',
    );
  const name = elementName(fence, file);
  const { myst, line } = fence;
  return { kind: 'question', name, question, explain, hints: hintsOf(fence), myst, line, ...key };
}

export function readTask(fence: Fence, file: string): TaskCell {
  refuseOptions(fence, ['hint'], file, ['hint']);
  const parts = new Map<string, { source: string; line: number }>();
  let textEnd = fence.body.split('\n').length;
  for (const token of new MarkdownIt().parse(fence.body, {})) {
    if (token.type !== 'fence' || token.map === null) continue;
    const [language, part = ''] = token.info.trim().split(/\s+/);
    if (language !== 'typescript' || !['starter', 'check', 'solution'].includes(part)) continue;
    const line = fence.bodyLine + token.map[0];
    if (parts.has(part)) throw lessonProblem(file, line, `a second ${part} of the task`);
    parts.set(part, { source: token.content.replace(/\n$/, ''), line: line + 1 });
    textEnd = Math.min(textEnd, token.map[0]);
  }
  const part = (name: string): { source: string; line: number } => {
    const found = parts.get(name);
    if (found === undefined || found.source.trim() === '')
      throw lessonProblem(
        file,
        fence.line,
        `a task without ${name}`,
        `Write an inner fence: \`\`\`typescript ${name} (the task's own fence has four backticks)`,
      );
    return found;
  };
  const text = fence.body.split('\n').slice(0, textEnd).join('\n').trim();
  if (text === '') throw lessonProblem(file, fence.line, 'a task that does not say what to do');
  const [starter, check, solution] = [part('starter'), part('check'), part('solution')];
  return {
    kind: 'task',
    myst: fence.myst,
    name: elementName(fence, file),
    text,
    starter: starter.source,
    check: check.source,
    solution: solution.source,
    hints: hintsOf(fence),
    line: fence.line,
    checkLine: check.line,
    solutionLine: solution.line,
  };
}

export function readTwin(fence: Fence, file: string): Twin {
  refuseOptions(fence, ['compare', 'why', 'tolerance'], file);
  if (fence.body.trim() === '') throw lessonProblem(file, fence.line, 'an empty {pytorch} block');
  const compare = optionOf(fence, 'compare');
  const kind = COMPARISONS.find((known) => known === (compare?.value ?? 'numbers'));
  if (kind === undefined)
    throw lessonProblem(
      file,
      compare!.line,
      `compare is "${compare!.value}", wanted ${COMPARISONS.join(', ')}`,
    );
  const why = optionOf(fence, 'why')?.value;
  if (kind === 'none' && (why ?? '') === '')
    throw lessonProblem(file, fence.line, 'a twin that is not compared, without ":why:"');
  const stated = optionOf(fence, 'tolerance');
  const tolerance = stated === undefined ? TWIN_TOLERANCE : readTolerance(stated.value, stated.line, file);
  return {
    source: fence.body,
    line: fence.bodyLine,
    compare: kind,
    tolerance,
    ...(why === undefined ? {} : { why }),
  };
}

export function readTolerance(value: string, line: number, file: string): number {
  const tolerance = Number(value);
  if (value === '' || !(tolerance >= 0))
    throw lessonProblem(file, line, `tolerance is "${value}", wanted a number such as 1e-4`);
  return tolerance;
}

function elementName(fence: Fence, file: string): string {
  if (NAME.test(fence.argument)) return fence.argument;
  throw lessonProblem(
    file,
    fence.line,
    `a ${fence.name} named "${fence.argument}"`,
    `Write ${'`'.repeat(fence.name === 'task' ? 4 : 3)}{${fence.name}} lower-case-words`,
  );
}

function hintsOf(fence: Fence): string[] {
  return fence.options.filter(({ name }) => name === 'hint').map(({ value }) => value);
}
