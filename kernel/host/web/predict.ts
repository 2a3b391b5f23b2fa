/** Predict, then reveal: the output of the cell stays covered until the learner has said what it will be. */
import type { CodeCell } from '@jupyterlab/cells';
import { noteProgress } from './api.js';
import { type CellPart, type CellPartsOptions, type Predict, setWords, wordsOf } from './cell-words.js';
import { element } from './dom.js';

export function createPrediction(cell: CodeCell, predict: Predict, options: CellPartsOptions): CellPart {
  const node = element('div', { class: 'sb-predict', role: 'group', 'aria-label': 'Your prediction' });
  const choices = Array.isArray(predict.choices) && predict.choices.length > 1 ? predict.choices : undefined;
  let hasRun = cell.model.executionCount !== null;

  const commit = async (answer: string | number, skipped = false) => {
    const right =
      choices !== undefined && predict.answer !== undefined ? answer === predict.answer : undefined;
    setWords(cell, {
      predicted: {
        answer,
        ...(right === undefined || skipped ? {} : { right }),
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
    const answer = choices === undefined ? freeAnswer() : choiceAnswer(choices);
    const covered = hasRun ? 'The cell has run; its output is covered until you predict it.' : '';
    node.replaceChildren(
      element('p', { class: 'sb-part-title' }, 'Predict before you look'),
      ...(covered === '' ? [] : [element('p', { class: 'sb-soft', role: 'status' }, covered)]),
      ...answer,
    );
  }

  function freeAnswer(): HTMLElement[] {
    const text: HTMLTextAreaElement = element('textarea', {
      class: 'sb-text',
      rows: '2',
      'aria-label': `Your prediction: ${predict.question}`,
      placeholder: 'What will it put out? A few words are enough.',
      oninput: () => {
        button.disabled = text.value.trim() === '';
      },
    });
    const button = partButton('Predict', () => commit(text.value.trim()), true);
    button.disabled = true;
    return [text, actions(button)];
  }

  function choiceAnswer(choices: readonly string[]): HTMLElement[] {
    const name = `predict-${cell.model.id}`;
    const button = partButton(
      'Predict',
      () => commit(Number(node.querySelector<HTMLInputElement>('input:checked')!.value)),
      true,
    );
    button.disabled = true;
    const list = choices.map((choice, index) =>
      element(
        'label',
        { class: 'sb-choice' },
        element('input', {
          type: 'radio',
          name,
          value: String(index),
          onchange: () => {
            button.disabled = false;
          },
        }),
        element('span', {}, choice),
      ),
    );
    const group = element(
      'div',
      { class: 'sb-choices', role: 'radiogroup', 'aria-label': predict.question },
      ...list,
    );
    return [group, actions(button)];
  }

  function actions(commitButton: HTMLElement): HTMLElement {
    return element(
      'div',
      { class: 'sb-part-actions' },
      commitButton,
      partButton('Show without predicting', () => commit('', true)),
    );
  }

  function drawAnswer(answer: string | number, right: boolean | undefined): void {
    const said = typeof answer === 'number' ? (choices?.[answer] ?? String(answer)) : answer;
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
      if (right === false && choices !== undefined && predict.answer !== undefined)
        lines.push(element('p', {}, `The right answer: ${choices[predict.answer] ?? ''}`));
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
      const typing = node.querySelector('textarea');
      if (typing === null || typing.value === '') draw();
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
