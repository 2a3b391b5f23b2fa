/** Elements as Markdown that every front end shows: the fall-back of what the app draws, and the text of the site. */

import { ADMONITIONS, admonitionTitle } from './admonitions.js';
import { type AnswerKey, answerText } from './answers.js';
import type { QuestionCell, TaskCell, Twin } from './types.js';

/** "**Predict.** How many?", with the choices below. */
export function questionText(word: string, question: string, key: AnswerKey): string {
  const list = (key.choices ?? []).map((choice) => `- ${choice}`).join('\n');
  return `**${word}.** ${question}${list === '' ? '' : `\n\n${list}`}`;
}

/** A question with its hints and answer folded away. */
export function questionCellText(cell: QuestionCell): string {
  const answer = `**${answerText(cell) ?? ''}**\n\n${cell.explain}`;
  return [
    questionText('Question', cell.question, cell),
    ...hintTexts(cell.hints),
    folded('Answer', answer),
  ].join('\n\n');
}

/** A task with its hints and its solution folded away. */
export function taskText(cell: TaskCell): string {
  const solution = folded('A solution', fenced('typescript', cell.solution));
  return [`**Task.** ${cell.text}`, ...hintTexts(cell.hints), solution].join('\n\n');
}

export function twinText(twin: Twin): string {
  const note = twin.compare === 'none' ? `\n\nNot compared: ${twin.why}.` : '';
  return folded('In PyTorch', fenced('python', twin.source) + note);
}

const OPENING = /^(`{3,}|~{3,})\{([a-z]+)\}[ \t]*(.*)$/;

/** Admonitions as quotations: readable where their directive is unknown. */
export function plainAdmonitions(text: string): string {
  const out: string[] = [];
  const lines = text.split('\n');
  for (let i = 0; i < lines.length; i++) {
    const open = OPENING.exec(lines[i]!);
    const name = ADMONITIONS.find((known) => known === open?.[2]);
    const end = name === undefined ? -1 : lines.indexOf(open![1]!, i + 1);
    if (name === undefined || end < 0) {
      out.push(lines[i]!);
      continue;
    }
    const [first = '', ...rest] = lines.slice(i + 1, end);
    out.push(
      `> **${admonitionTitle(name, open![3]!)}.** ${first}`.trimEnd(),
      ...rest.map((line) => `> ${line}`.trimEnd()),
    );
    i = end;
  }
  return out.join('\n');
}

function hintTexts(hints: readonly string[]): string[] {
  return hints.map((hint, index) => folded(hints.length === 1 ? 'Hint' : `Hint ${index + 1}`, hint));
}

function folded(title: string, body: string): string {
  return `<details><summary>${title}</summary>\n\n${body}\n\n</details>`;
}

function fenced(language: string, source: string): string {
  return `\`\`\`${language}\n${source}\n\`\`\``;
}
