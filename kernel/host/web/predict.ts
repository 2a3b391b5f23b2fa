/** Predict, then reveal: the output of the cell stays covered until the learner has said what it will be. */
import type { CodeCell } from '@jupyterlab/cells';
import { type Answer, answerForm, answerShown, isRight, rightAnswer } from './answer.js';
import { noteProgress } from './api.js';
import { type CellPart, type CellPartsOptions, type Predict, setWords, wordsOf } from './cell-words.js';
import { element } from './dom.js';

export function createPrediction(cell: CodeCell, predict: Predict, options: CellPartsOptions): CellPart {
  const node = element('div', { class: 'sb-predict', role: 'group', 'aria-label': 'Your prediction' });
  let hasRun = cell.model.executionCount !== null;
  let typing = false;

  const commit = async (answer: Answer, skipped = false) => {
    const right = skipped ? undefined : isRight(predict, answer);
    typing = false;
    setWords(cell, {
      predicted: {
        answer,
        ...(right === undefined ? {} : { right }),
        ...(skipped ? { skipped } : {}),
      },
    });
    if (!skipped)
      void noteProgress(options.lesson, {
        predicted: { cell: cell.model.id, ...(right === undefined ? {} : { right }) },
      });
    draw();
    void options.save();
  };
  const judge = (right: boolean) => {
    const { predicted } = wordsOf(cell);
    setWords(cell, { predicted: { ...predicted!, right } });
    void noteProgress(options.lesson, { predicted: { cell: cell.model.id, right } });
    draw();
  };

  function draw(): void {
    const { predicted } = wordsOf(cell);
    cell.toggleClass('sb-veiled', predicted === undefined);
    node.dataset['state'] = predicted === undefined ? 'open' : hasRun ? 'revealed' : 'committed';
    if (predicted === undefined) drawQuestion();
    else if (predicted.skipped === true)
      node.replaceChildren(element('p', {}, 'Shown without a prediction.'));
    else drawAnswer(predicted.answer, predicted.right);
  }

  function drawQuestion(): void {
    const button = partButton('Predict', () => commit(form.value()!), true);
    button.disabled = true;
    const form = answerForm(predict, {
      name: `predict-${cell.model.id}`,
      label: `Your prediction: ${predict.question}`,
      onChange: () => {
        button.disabled = form.value() === undefined;
        typing = true;
      },
    });
    const covered = hasRun ? 'The cell has run; its output is covered until you predict it.' : '';
    node.replaceChildren(
      element('p', { class: 'sb-part-title' }, 'Predict before you look'),
      ...(covered === '' ? [] : [element('p', { class: 'sb-soft', role: 'status' }, covered)]),
      ...form.nodes,
      actions(button),
    );
    typing = false;
  }

  function actions(commitButton: HTMLElement): HTMLElement {
    return element(
      'div',
      { class: 'sb-part-actions' },
      commitButton,
      partButton('Show without predicting', () => commit('', true)),
    );
  }

  function drawAnswer(answer: Answer, right: boolean | undefined): void {
    const said = answerShown(predict, answer);
    const wanted = rightAnswer(predict);
    const lines: HTMLElement[] = [
      element(
        'p',
        { class: 'sb-part-title' },
        'You predicted: ',
        element('span', { class: 'sb-said' }, said),
        ...(hasRun && right !== undefined
          ? [element('span', { class: right ? 'sb-right' : 'sb-wrong' }, right ? 'Right' : 'Not this time')]
          : []),
      ),
    ];
    if (!hasRun) {
      lines.push(
        element(
          'div',
          { class: 'sb-part-actions' },
          partButton('Run and compare', () => options.run(cell), true),
        ),
      );
    } else {
      if (right === false && wanted !== undefined)
        lines.push(element('p', {}, `The right answer: ${answerShown(predict, wanted)}`));
      if (predict.explain !== undefined) lines.push(element('p', { class: 'sb-soft' }, predict.explain));
      if (right === undefined) {
        lines.push(
          element(
            'div',
            { class: 'sb-part-actions', role: 'group', 'aria-label': 'Compare with the output' },
            element('span', { class: 'sb-soft' }, 'Compare with the output:'),
            partButton('I was right', () => judge(true)),
            partButton('I was off', () => judge(false)),
          ),
        );
      }
    }
    node.replaceChildren(...lines);
  }

  draw();
  return {
    node,
    ran: () => {
      hasRun = true;
      // What is being typed must not be lost to a run.
      if (!typing) draw();
    },
  };
}

export function partButton(label: string, action: () => unknown, primary = false): HTMLButtonElement {
  return element(
    'button',
    {
      type: 'button',
      class: primary ? 'sb-button sb-button-primary' : 'sb-button sb-button-plain',
      onclick: () => void action(),
    },
    label,
  );
}
