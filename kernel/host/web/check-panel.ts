/** What exercises and tasks have below their cell: a Check button (Alt+C in the cell too), its result, and what else helps. */
import type { CodeCell } from '@jupyterlab/cells';
import { element } from './dom.js';
import { partButton } from './predict.js';

export type CheckState = 'running' | 'pass' | 'fail' | 'error';

export interface CheckPanelOptions {
  /** What is checked, for those who listen: `Exercise ring-all-reduce`. */
  readonly name: string;
  readonly title: string;
  /** Shown while it runs. */
  readonly running: string;
  /** Runs the check and shows its result; what it throws is shown. */
  readonly run: () => Promise<void>;
  /** Beside the button. */
  readonly actions: readonly HTMLElement[];
  /** Below the result. */
  readonly below: readonly HTMLElement[];
}

export interface CheckPanel {
  readonly node: HTMLElement;
  show(state: CheckState, ...content: readonly Node[]): void;
}

export function checkPanel(cell: CodeCell, options: CheckPanelOptions): CheckPanel {
  const result = element('div', {
    class: 'sb-check-result',
    role: 'status',
    'aria-label': 'Result of the check',
  });
  const check = partButton('Check', run, true);
  check.title = options.title;
  const node = element(
    'div',
    { class: 'sb-exercise', role: 'group', 'aria-label': options.name },
    element('div', { class: 'sb-part-actions' }, check, ...options.actions),
    result,
    ...options.below,
  );
  cell.addClass('sb-exercise-cell');
  cell.node.addEventListener('keydown', (event) => {
    if (!event.altKey || event.code !== 'KeyC' || check.disabled) return;
    event.preventDefault();
    void run();
  });
  return { node, show };

  function show(state: CheckState, ...content: readonly Node[]): void {
    result.dataset['state'] = state;
    result.replaceChildren(...content);
  }

  async function run(): Promise<void> {
    check.disabled = true;
    check.textContent = 'Checking…';
    show('running', element('p', { class: 'sb-soft' }, options.running));
    try {
      await options.run();
    } catch (error) {
      show('error', element('p', {}, error instanceof Error ? error.message : String(error)));
    } finally {
      check.disabled = false;
      check.textContent = 'Check';
    }
  }
}
