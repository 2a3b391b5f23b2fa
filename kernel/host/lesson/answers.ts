/** Answers that a learner can be asked for: how a lesson states the right one. What is right is judged where it is given. */
import { type Fence, optionOf } from './fences.js';
import { lessonProblem } from './problem.js';

/** The right answer. At most one of `choices`, `number`, `holds` and `words` is there; without one it is free text. */
export interface AnswerKey {
  /** Answers to choose from. */
  readonly choices?: readonly string[];
  /** Position of the right choice, from 0. */
  readonly answer?: number;
  readonly number?: number;
  /** A number may be off by this much, absolutely; 0 when it is missing. */
  readonly within?: number;
  readonly unit?: string;
  /** By rank, the parts that it holds. */
  readonly holds?: readonly (readonly string[])[];
  /** All parts there are, in the order in which they are drawn. */
  readonly parts?: readonly string[];
  /** Any of these. */
  readonly words?: readonly string[];
}

export const ANSWER_OPTIONS = ['choices', 'answer', 'number', 'within', 'unit', 'holds', 'parts', 'words'];
const KINDS = ['choices', 'number', 'holds', 'words'];

export function readAnswerKey(fence: Fence, file: string): AnswerKey {
  const kinds = KINDS.filter((kind) => optionOf(fence, kind) !== undefined);
  const second = kinds[1];
  if (second !== undefined)
    throw lessonProblem(
      file,
      optionOf(fence, second)!.line,
      `":${second}:" beside ":${kinds[0]}:"`,
      'A question has one kind of answer',
    );
  refuseStray(fence, 'answer', 'choices', file);
  refuseStray(fence, 'within', 'number', file);
  refuseStray(fence, 'unit', 'number', file);
  refuseStray(fence, 'parts', 'holds', file);
  switch (kinds[0]) {
    case 'choices':
      return choices(fence, file);
    case 'number':
      return numeric(fence, file);
    case 'holds':
      return holdings(fence, file);
    case 'words':
      return { words: listed(fence, 'words', '|', 1, file) };
    default:
      return {};
  }
}

/** Whether a key says what is right. */
export function isChecked(key: AnswerKey): boolean {
  return (
    key.answer !== undefined || key.number !== undefined || key.holds !== undefined || key.words !== undefined
  );
}

/** The right answer as a reader would write it; undefined for free text. */
export function answerText(key: AnswerKey): string | undefined {
  if (key.answer !== undefined) return key.choices![key.answer];
  if (key.number !== undefined) return key.unit === undefined ? `${key.number}` : `${key.number} ${key.unit}`;
  if (key.holds !== undefined)
    return key.holds
      .map((parts, rank) => `rank ${rank}: ${parts.length === 0 ? 'nothing' : parts.join(' ')}`)
      .join('; ');
  return key.words?.[0];
}

function choices(fence: Fence, file: string): AnswerKey {
  const all = listed(fence, 'choices', '|', 2, file);
  const answer = optionOf(fence, 'answer');
  if (answer === undefined) return { choices: all };
  const at = Number(answer.value);
  if (!(Number.isInteger(at) && at >= 1 && at <= all.length))
    throw lessonProblem(
      file,
      answer.line,
      `answer is "${answer.value}", wanted the number of a choice, from 1 to ${all.length}`,
    );
  return { choices: all, answer: at - 1 };
}

function numeric(fence: Fence, file: string): AnswerKey {
  const within = optionOf(fence, 'within');
  const unit = optionOf(fence, 'unit')?.value;
  return {
    number: readNumber(fence, 'number', file),
    ...(within === undefined ? {} : { within: readNumber(fence, 'within', file) }),
    ...(unit === undefined ? {} : { unit }),
  };
}

function holdings(fence: Fence, file: string): AnswerKey {
  const stated = optionOf(fence, 'holds')!;
  const holds = stated.value.split('|').map((part) => {
    const words = part.trim().split(/\s+/);
    return words.length === 1 && words[0] === '-' ? [] : words.filter((word) => word !== '');
  });
  if (holds.length < 2)
    throw lessonProblem(
      file,
      stated.line,
      'a drawing of one rank',
      'Part the ranks by "|": :holds: a b | c | -',
    );
  const parts =
    optionOf(fence, 'parts') === undefined
      ? [...new Set(holds.flat())]
      : listed(fence, 'parts', /\s+/, 1, file);
  const unknown = holds.flat().find((part) => !parts.includes(part));
  if (unknown !== undefined)
    throw lessonProblem(file, stated.line, `a rank holds "${unknown}", which is none of the parts`);
  return { holds, parts };
}

function refuseStray(fence: Fence, name: string, needs: string, file: string): void {
  const stray = optionOf(fence, name);
  if (stray === undefined || optionOf(fence, needs) !== undefined) return;
  throw lessonProblem(file, stray.line, `":${name}:" without ":${needs}:"`);
}

function listed(fence: Fence, name: string, by: string | RegExp, atLeast: number, file: string): string[] {
  const option = optionOf(fence, name)!;
  const all = option.value.split(by).map((item) => item.trim());
  if (all.length >= atLeast && !all.includes('')) return all;
  const problem =
    name === 'choices' ? 'fewer than two choices, or an empty one' : `an empty item in ":${name}:"`;
  throw lessonProblem(
    file,
    option.line,
    problem,
    name === 'choices' ? 'Write :choices: 1 | 4 | 16' : undefined,
  );
}

function readNumber(fence: Fence, name: string, file: string): number {
  const { value, line } = optionOf(fence, name)!;
  const number = Number(value.replace(/,/g, ''));
  if (value === '' || !Number.isFinite(number) || (name === 'within' && number < 0))
    throw lessonProblem(file, line, `${name} is "${value}", wanted a number such as 43.75`);
  return number;
}
