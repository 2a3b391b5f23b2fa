/** An exercise cell: its code is checked by the grader's public checks; feedback and hints stand below it. */
import type { CodeCell } from '@jupyterlab/cells';
import type { CheckResult, CheckView } from '../server/index.js';
import { checkExercise, fetchSolution, nextHint } from './api.js';
import type { CellPart, CellPartsOptions } from './cell-words.js';
import { element, toast } from './dom.js';
import { showLine } from './jump.js';
import { partButton } from './predict.js';
import { drawMarkdown } from './rendered.js';

export function createExercise(cell: CodeCell, id: string, options: CellPartsOptions): CellPart {
  const result = element('div', {
    class: 'sb-check-result',
    role: 'status',
    'aria-label': 'Result of the checks',
  });
  const hints = element('ol', { class: 'sb-hints', 'aria-label': 'Hints' });
  const solution = element('div', { class: 'sb-solution' });
  const check = partButton('Check', run, true);
  const hint = partButton('Hint', showHint);
  const reveal = partButton('Solution', showSolution);
  check.title = 'Run the public checks of this exercise on the code of this cell (Alt+C in the cell)';
  reveal.hidden = true;
  const node = element(
    'div',
    { class: 'sb-exercise', role: 'group', 'aria-label': `Exercise ${id}` },
    element('div', { class: 'sb-part-actions' }, check, hint, reveal),
    result,
    hints,
    solution,
  );
  cell.addClass('sb-exercise-cell');
  cell.node.addEventListener('keydown', (event) => {
    if (!event.altKey || event.code !== 'KeyC' || check.disabled) return;
    event.preventDefault();
    void run();
  });

  async function run(): Promise<void> {
    check.disabled = true;
    check.textContent = 'Checking…';
    result.dataset['state'] = 'running';
    result.replaceChildren(element('p', { class: 'sb-soft' }, 'The checks run on ranks of their own…'));
    try {
      await options.save();
      const answer = await checkExercise(id, cell.model.sharedModel.getSource(), options.lesson);
      result.dataset['state'] = answer.verdict === 'pass' ? 'pass' : 'fail';
      drawResult(answer);
    } catch (error) {
      result.dataset['state'] = 'error';
      result.replaceChildren(element('p', {}, error instanceof Error ? error.message : String(error)));
    } finally {
      check.disabled = false;
      check.textContent = 'Check';
    }
  }

  function drawResult(answer: CheckResult): void {
    const passed = answer.verdict === 'pass';
    const { earned, possible } = answer.score;
    const head = passed
      ? `All checks pass: ${earned} of ${possible} points`
      : answer.verdict === 'infra-error'
        ? 'The checks could not be run on this machine'
        : `Not there yet: ${earned} of ${possible} points`;
    reveal.hidden = !passed;
    result.replaceChildren(
      element('p', { class: 'sb-part-title' }, head),
      ...(answer.feedback === undefined ? [] : [drawFeedback(answer.feedback)]),
      element('ul', { class: 'sb-checks' }, ...answer.checks.map(drawCheck)),
      ...answer.types.map(({ line, message }) =>
        element('p', { class: 'sb-feedback' }, lineButton(line), ` type: ${message}`),
      ),
      ...answer.notes.map((note) => element('p', { class: 'sb-soft' }, note)),
      ...(answer.prints.length === 0 ? [] : [drawPrints(answer.prints)]),
      ...(passed || answer.hintsLeft === 0
        ? []
        : [
            element(
              'p',
              { class: 'sb-soft' },
              `Stuck? ${answer.hintsLeft} ${answer.hintsLeft === 1 ? 'hint is' : 'hints are'} left.`,
            ),
          ]),
    );
  }

  function drawCheck(view: CheckView): HTMLElement {
    const state =
      view.verdict === 'pass'
        ? 'pass'
        : ['blocked', 'not-attempted'].includes(view.verdict)
          ? 'blocked'
          : 'fail';
    const sign = { pass: '✓', fail: '✗', blocked: '–' }[state];
    return element(
      'li',
      { 'data-state': state },
      element('span', { class: 'sb-check-sign', 'aria-hidden': 'true' }, sign),
      element('span', { class: 'sb-check-title' }, view.title),
      element(
        'span',
        { class: 'sb-check-verdict' },
        state === 'blocked' ? 'waits for the checks above' : view.verdict,
      ),
      ...(view.feedback === undefined || state === 'blocked' ? [] : [drawFeedback(view.feedback)]),
    );
  }

  function drawFeedback(feedback: NonNullable<CheckView['feedback']>): HTMLElement {
    const { message, case: which, mismatch, hypothesis, details, line } = feedback;
    const parts: (Node | string)[] = [element('p', {}, message)];
    if (which !== undefined) parts.push(element('p', { class: 'sb-soft' }, `Case: ${which}`));
    // Where the sentence has the numbers, they are not said twice.
    if (mismatch !== undefined && !message.includes(mismatch.got)) {
      const at = mismatch.index === undefined ? '' : ` at [${mismatch.index.join(', ')}]`;
      parts.push(
        element(
          'p',
          {},
          `Rank ${mismatch.rank}, ${mismatch.tensor}${at}: `,
          element('code', {}, mismatch.got),
          ', expected ',
          element('code', {}, mismatch.expected),
        ),
      );
    }
    if (hypothesis !== undefined) parts.push(element('p', { class: 'sb-guess' }, hypothesis));
    if (details !== undefined && details.length > 0) parts.push(element('pre', {}, details.join('\n')));
    if (line !== undefined) parts.push(lineButton(line));
    return element('div', { class: 'sb-feedback' }, ...parts);
  }

  function lineButton(line: number): HTMLElement {
    const button = partButton(`Line ${line}`, () => showLine(cell, line));
    button.classList.add('sb-link-button');
    return button;
  }

  function drawPrints(prints: CheckResult['prints']): HTMLElement {
    return element(
      'details',
      {},
      element('summary', {}, 'What your code printed'),
      element('pre', {}, prints.map(({ rank, text }) => `[rank ${rank}] ${text.trimEnd()}`).join('\n')),
    );
  }

  async function showHint(): Promise<void> {
    hint.disabled = true;
    try {
      const { hint: text, number, of } = await nextHint(id);
      const seen = hints.querySelector(`[data-number="${number}"]`);
      if (seen === null) {
        hints.append(
          element(
            'li',
            { 'data-number': String(number) },
            element('p', { class: 'sb-part-title' }, `Hint ${number} of ${of}`),
            await markdown(text),
          ),
        );
      } else toast('You have seen all hints.');
      hint.textContent = number < of ? 'Next hint' : 'Hint';
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error));
    } finally {
      hint.disabled = false;
    }
  }

  async function showSolution(): Promise<void> {
    try {
      const { solution: text } = await fetchSolution(id, false);
      solution.replaceChildren(element('p', { class: 'sb-part-title' }, 'A solution'), await markdown(text));
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error));
    }
  }

  function markdown(text: string): Promise<HTMLElement> {
    return drawMarkdown(options.rendermime, text);
  }

  return { node };
}
