import MarkdownIt from 'markdown-it';
import { nearestName } from '../../runtime/index.js';
import { readFrontMatter } from './front-matter.js';
import { lessonProblem } from './problem.js';
import type { CodeCell, ExerciseCell, ExpectedOutput, Lesson, LessonCell, Prediction } from './types.js';

/** Fences that MyST knows and that stay text in a notebook; anything else in braces is a typing error. */
const TEXT_DIRECTIVES = [
  'note',
  'tip',
  'hint',
  'important',
  'warning',
  'caution',
  'admonition',
  'dropdown',
  'figure',
  'image',
  'math',
  'mermaid',
  'glossary',
];
const CELL_DIRECTIVES = ['code-cell', 'output', 'predict', 'exercise'];
const LANGUAGES = ['typescript', 'ts'];
const DIRECTIVE = /^\{([^}]*)\}\s*(.*)$/;
const OPTION = /^:([A-Za-z-]+):\s*(.*)$/;
const CELL_BREAK = /^\+\+\+\s*$/;

interface Fence {
  readonly name: string;
  readonly argument: string;
  readonly options: ReadonlyMap<string, { value: string; line: number }>;
  /** Body without option lines. */
  readonly body: string;
  /** 1-based lines: of the opening fence, of the first body line, and the line after the closing fence. */
  readonly line: number;
  readonly bodyLine: number;
  readonly nextLine: number;
}

/** Parses a MyST lesson. Throws `SB_LESSON_INVALID`, naming `file:line`, for what cannot be a lesson. */
export function parseLesson(text: string, file: string): Lesson {
  const { front, lines: skipped } = readFrontMatter(text, file);
  const cells = parseCells(text, skipped, file);
  if (!cells.some((cell) => cell.kind === 'code'))
    throw lessonProblem(file, skipped + 1, 'it has no code cell', 'Add a block ```{code-cell} typescript');
  return { ...front, file, cells };
}

/** The cells of a MyST text below its first `skipped` lines (its front matter). */
export function parseCells(text: string, skipped: number, file: string): LessonCell[] {
  const lines = text.split(/\r?\n/);
  const fences = readFences(lines, skipped, file);
  const cells: LessonCell[] = [];
  let next = skipped + 1;
  let codeCount = 0;
  const predictions = new Map<Fence, Prediction>();
  for (let i = 0; i < fences.length; i++) {
    const fence = fences[i]!;
    if (fence.name === 'output') throw strayOutput(file, fence);
    cells.push(...textCells(lines, next, fence.line));
    if (fence.name === 'exercise') {
      cells.push(exerciseCell(fence, file));
      next = fence.nextLine;
      continue;
    }
    if (fence.name === 'predict') {
      const asked = fences[i + 1];
      if (asked?.name !== 'code-cell' || !isBlank(lines, fence.nextLine, asked.line)) {
        throw lessonProblem(
          file,
          fence.line,
          'a {predict} block that no code cell follows',
          'Put it right above the cell whose output is to be predicted',
        );
      }
      const predict = prediction(fence, file);
      cells.push({ kind: 'text', text: predictionText(predict), line: fence.bodyLine });
      predictions.set(asked, predict);
      next = fence.nextLine;
      continue;
    }
    const follower = fences[i + 1];
    const output =
      follower?.name === 'output' && isBlank(lines, fence.nextLine, follower.line) ? follower : undefined;
    const predict = predictions.get(fence);
    const cell = codeCell(fence, output, codeCount++, file);
    cells.push(predict === undefined ? cell : { ...cell, predict });
    next = (output ?? fence).nextLine;
    if (output !== undefined) i++;
  }
  cells.push(...textCells(lines, next, lines.length + 1));
  return cells;
}

function readFences(lines: readonly string[], skipped: number, file: string): Fence[] {
  const tokens = new MarkdownIt().parse(lines.slice(skipped).join('\n'), {});
  const fences: Fence[] = [];
  for (const token of tokens) {
    if (token.type !== 'fence' || token.map === null) continue;
    const line = skipped + token.map[0] + 1;
    const nextLine = skipped + token.map[1] + 1;
    const directive = DIRECTIVE.exec(token.info.trim());
    // markdown-it closes an open fence at the end of the file without a word: everything below would be code.
    const closed = (lines[nextLine - 2] ?? '').trim().startsWith(token.markup) && nextLine - 1 > line;
    if (!closed)
      throw lessonProblem(
        file,
        line,
        'the block that begins here is never closed',
        `Close it with ${token.markup}`,
      );
    if (directive === null) continue;
    const name = directive[1]!.trim();
    if (!CELL_DIRECTIVES.includes(name)) {
      if (TEXT_DIRECTIVES.includes(name)) continue;
      const near = nearestName(name, [...CELL_DIRECTIVES, ...TEXT_DIRECTIVES]);
      throw lessonProblem(file, line, `unknown directive "{${name}}"`, near && `Did you mean "{${near}}"?`);
    }
    if (token.level > 0)
      throw lessonProblem(
        file,
        line,
        `"{${name}}" stands inside a list or a quotation`,
        'Move it to the left margin',
      );
    const { options, taken } = readOptions(token.content, line);
    const body = token.content.split('\n').slice(taken).join('\n').replace(/\n$/, '');
    fences.push({ name, argument: directive[2]!, options, body, line, bodyLine: line + 1 + taken, nextLine });
  }
  return fences;
}

function readOptions(content: string, fenceLine: number): { options: Fence['options']; taken: number } {
  const options = new Map<string, { value: string; line: number }>();
  let taken = 0;
  for (const line of content.split('\n')) {
    const option = OPTION.exec(line);
    if (option === null) break;
    taken++;
    options.set(option[1]!, { value: option[2]!.trim(), line: fenceLine + taken });
  }
  return { options, taken };
}

function codeCell(fence: Fence, output: Fence | undefined, index: number, file: string): CodeCell {
  if (!LANGUAGES.includes(fence.argument)) {
    throw lessonProblem(
      file,
      fence.line,
      `a code cell in "${fence.argument}", wanted typescript`,
      'Write ```{code-cell} typescript',
    );
  }
  refuseOptions(fence, ['tags'], file);
  if (fence.body.trim() === '') throw lessonProblem(file, fence.line, 'an empty code cell');
  const tags = (fence.options.get('tags')?.value ?? '').replace(/^\[|\]$/g, '');
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
  };
}

function exerciseCell(fence: Fence, file: string): ExerciseCell {
  refuseOptions(fence, [], file);
  if (!/^[a-z0-9][a-z0-9-]*$/.test(fence.argument))
    throw lessonProblem(
      file,
      fence.line,
      `an exercise named "${fence.argument}"`,
      'Write ```{exercise} NAME-OF-ITS-FOLDER',
    );
  return { kind: 'exercise', exercise: fence.argument, line: fence.line };
}

function prediction(fence: Fence, file: string): Prediction {
  refuseOptions(fence, ['choices', 'answer', 'explain'], file);
  const question = fence.body.trim();
  if (question === '') throw lessonProblem(file, fence.line, 'a {predict} block without a question');
  const choices = fence.options
    .get('choices')
    ?.value.split('|')
    .map((choice) => choice.trim());
  if (choices !== undefined && (choices.length < 2 || choices.includes('')))
    throw lessonProblem(
      file,
      fence.line,
      'fewer than two choices, or an empty one',
      'Write :choices: 1 | 4 | 16',
    );
  const answer = fence.options.get('answer');
  const at = answer === undefined ? undefined : Number(answer.value);
  if (at !== undefined && !(Number.isInteger(at) && at >= 1 && at <= (choices?.length ?? 0))) {
    throw lessonProblem(
      file,
      answer!.line,
      `answer is "${answer!.value}", wanted the number of a choice, from 1 to ${choices?.length ?? 0}`,
    );
  }
  const explain = fence.options.get('explain')?.value;
  return {
    question,
    ...(choices === undefined ? {} : { choices }),
    ...(at === undefined ? {} : { answer: at - 1 }),
    ...(explain === undefined ? {} : { explain }),
  };
}

/** Front ends that know nothing of predictions show the question all the same. */
function predictionText({ question, choices }: Prediction): string {
  const list = (choices ?? []).map((choice) => `- ${choice}`).join('\n');
  return `**Predict.** ${question}${list === '' ? '' : `\n\n${list}`}`;
}

function expectedOutput(fence: Fence, file: string): ExpectedOutput {
  refuseOptions(fence, ['tolerance'], file);
  const stated = fence.options.get('tolerance');
  const tolerance = stated === undefined ? undefined : Number(stated.value);
  if (stated !== undefined && !(stated.value !== '' && tolerance! >= 0)) {
    throw lessonProblem(file, stated.line, `tolerance is "${stated.value}", wanted a number such as 1e-4`);
  }
  return { text: fence.body, line: fence.bodyLine, tolerance };
}

function refuseOptions(fence: Fence, known: readonly string[], file: string): void {
  for (const [name, { line }] of fence.options) {
    if (known.includes(name)) continue;
    throw lessonProblem(
      file,
      line,
      `unknown option ":${name}:" of "{${fence.name}}"`,
      `It takes ${known.map((k) => `:${k}:`).join(', ')}`,
    );
  }
}

function strayOutput(file: string, fence: Fence): Error {
  return lessonProblem(
    file,
    fence.line,
    'an {output} block that does not follow a code cell',
    'Put it right under its cell',
  );
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
