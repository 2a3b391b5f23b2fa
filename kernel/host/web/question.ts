/** A question of a lesson: answered, checked, tried again with hints, and explained. */
import type { MarkdownCell } from '@jupyterlab/cells';
import { type Answer, answerForm, answerShown, isRight, rightAnswer } from './answer.js';
import { noteProgress } from './api.js';
import { type CellPart, type CellPartsOptions, type Question, setWords, wordsOf } from './cell-words.js';
import { element } from './dom.js';
import { hintLadder } from './hints.js';
import { partButton } from './predict.js';
import { drawMarkdown } from './rendered.js';

export function createQuestion(cell: MarkdownCell, question: Question, options: CellPartsOptions): CellPart {
  const node = element('div', { class: 'sb-question', role: 'group', 'aria-label': 'Your answer' });
  const markdown = (text: string) => drawMarkdown(options.rendermime, text);
  cell.addClass('sb-folds');
  // The form has them.
  cell.toggleClass('sb-choices-below', question.choices !== undefined);
  draw();
  return { node };

  async function commit(answer: Answer, isShown: boolean): Promise<void> {
    const right = !isShown && isRight(question, answer) === true;
    const tries = (wordsOf(cell).answered?.tries ?? 0) + (isShown ? 0 : 1);
    setWords(cell, { answered: { answer, right, tries, ...(isShown ? { shown: true } : {}) } });
    void noteProgress(options.lesson, { answered: { cell: cell.model.id, right } });
    draw();
    await options.save();
  }

  function draw(): void {
    const { answered } = wordsOf(cell);
    const isOver = answered !== undefined && (answered.right || answered.shown === true);
    node.dataset['state'] = answered === undefined ? 'open' : answered.right ? 'right' : 'wrong';
    if (isOver) void drawEnd(answered.answer, answered.right);
    else drawForm(answered?.answer);
  }

  function drawForm(wrong: Answer | undefined): void {
    const check = partButton('Check', () => void commit(form.value()!, false), true);
    check.disabled = true;
    const form = answerForm(question, {
      name: `question-${cell.model.id}`,
      label: question.question,
      onChange: () => {
        check.disabled = form.value() === undefined;
      },
    });
    const [hint, hints] = hintLadder(question.hints ?? [], markdown);
    const show = partButton('Show the answer', () => void commit(rightAnswer(question)!, true));
    node.replaceChildren(
      ...(wrong === undefined
        ? []
        : [
            element(
              'p',
              { role: 'status' },
              element('span', { class: 'sb-wrong' }, 'Not this time'),
              ` ${answerShown(question, wrong)} is not it. Try again${hint === undefined ? '' : ', or take a hint'}.`,
            ),
          ]),
      ...form.nodes,
      element(
        'div',
        { class: 'sb-part-actions' },
        check,
        ...(hint === undefined ? [] : [hint]),
        ...(wrong === undefined ? [] : [show]),
      ),
      ...(hints === undefined ? [] : [hints]),
    );
  }

  async function drawEnd(answer: Answer, right: boolean): Promise<void> {
    const again = partButton('Answer again', () => {
      setWords(cell, { answered: undefined });
      draw();
    });
    node.replaceChildren(
      element(
        'p',
        { class: 'sb-part-title', role: 'status' },
        right ? 'You answered: ' : 'The answer: ',
        element('span', { class: 'sb-said' }, answerShown(question, answer)),
        ...(right ? [element('span', { class: 'sb-right' }, 'Right')] : []),
      ),
      await markdown(question.explain),
      element('div', { class: 'sb-part-actions' }, again),
    );
  }
}
