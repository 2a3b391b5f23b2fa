/** What the grader's public checks said, drawn. */
import type { CheckResult, CheckView } from '../server/index.js';
import { element } from './dom.js';
import { partButton } from './predict.js';

/** `toLine` shows a line of the learner's cell. */
export function drawCheckResult(answer: CheckResult, toLine: (line: number) => void): HTMLElement[] {
  const passed = answer.verdict === 'pass';
  const { earned, possible } = answer.score;
  const head = passed
    ? `All checks pass: ${earned} of ${possible} points`
    : answer.verdict === 'infra-error'
      ? 'The checks could not be run on this machine'
      : `Not there yet: ${earned} of ${possible} points`;
  const drawn: HTMLElement[] = [element('p', { class: 'sb-part-title' }, head)];
  if (answer.feedback !== undefined) drawn.push(drawFeedback(answer.feedback, toLine));
  drawn.push(
    element('ul', { class: 'sb-checks' }, ...answer.checks.map((view) => drawCheck(view, toLine))),
    ...answer.types.map(({ line, message }) =>
      element('p', { class: 'sb-feedback' }, lineButton(line, toLine), ` type: ${message}`),
    ),
    ...answer.notes.map((note) => element('p', { class: 'sb-soft' }, note)),
  );
  if (answer.prints.length > 0) drawn.push(drawPrints(answer.prints));
  if (!passed && answer.hintsLeft > 0) {
    const left = `${answer.hintsLeft} ${answer.hintsLeft === 1 ? 'hint is' : 'hints are'} left`;
    drawn.push(element('p', { class: 'sb-soft' }, `Stuck? ${left}.`));
  }
  return drawn;
}

function drawCheck(view: CheckView, toLine: (line: number) => void): HTMLElement {
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
    ...(view.feedback === undefined || state === 'blocked' ? [] : [drawFeedback(view.feedback, toLine)]),
  );
}

function drawFeedback(
  feedback: NonNullable<CheckView['feedback']>,
  toLine: (line: number) => void,
): HTMLElement {
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
  if (line !== undefined) parts.push(lineButton(line, toLine));
  return element('div', { class: 'sb-feedback' }, ...parts);
}

function lineButton(line: number, toLine: (line: number) => void): HTMLElement {
  const button = partButton(`Line ${line}`, () => toLine(line));
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
