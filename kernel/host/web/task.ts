/** A task of a lesson: the learner's cell is run on the lesson's own ranks, then the task's check says whether it is right. */
import type { CodeCell } from '@jupyterlab/cells';
import { noteProgress } from './api.js';
import { type CellPart, type CellPartsOptions, setWords, type Task, wordsOf } from './cell-words.js';
import { element } from './dom.js';
import { hintLadder } from './hints.js';
import { partButton } from './predict.js';
import { drawMarkdown } from './rendered.js';

export function createTask(cell: CodeCell, task: Task, options: CellPartsOptions): CellPart {
  const result = element('div', {
    class: 'sb-check-result',
    role: 'status',
    'aria-label': 'Result of the check',
  });
  const solution = element('div', { class: 'sb-solution' });
  const markdown = (text: string) => drawMarkdown(options.rendermime, text);
  const [hint, hints] = hintLadder(task.hints ?? [], markdown);
  const check = partButton('Check', run, true);
  check.title = 'Run this cell, then the check of the task (Alt+C in the cell)';
  const reveal = partButton('Solution', async () => {
    reveal.hidden = true;
    solution.replaceChildren(
      element('p', { class: 'sb-part-title' }, 'A solution'),
      await markdown(`\`\`\`typescript\n${task.solution}\n\`\`\``),
    );
  });
  const node = element(
    'div',
    { class: 'sb-exercise', role: 'group', 'aria-label': `Task ${task.name}` },
    element('div', { class: 'sb-part-actions' }, check, ...(hint === undefined ? [] : [hint]), reveal),
    result,
    ...(hints === undefined ? [] : [hints]),
    solution,
  );
  cell.addClass('sb-exercise-cell');
  cell.node.addEventListener('keydown', (event) => {
    if (!event.altKey || event.code !== 'KeyC' || check.disabled) return;
    event.preventDefault();
    void run();
  });
  const { passed } = wordsOf(cell);
  reveal.hidden = passed === undefined;
  if (passed === true) draw('pass', 'Solved');
  return { node };

  async function run(): Promise<void> {
    check.disabled = true;
    check.textContent = 'Checking…';
    result.dataset['state'] = 'running';
    result.replaceChildren(element('p', { class: 'sb-soft' }, 'The cell runs, then its check…'));
    try {
      const ran = await options.run(cell);
      const problem =
        ran === false ? 'The cell failed: what it says stands below it.' : await options.judge(task.check);
      const passed = problem === undefined;
      setWords(cell, { passed });
      void noteProgress(options.lesson, { task: { name: task.name, passed } });
      if (passed) draw('pass', 'Solved');
      else draw('fail', 'Not there yet', problem);
      reveal.hidden = false;
      await options.save();
    } catch (error) {
      draw('error', error instanceof Error ? error.message : String(error));
    } finally {
      check.disabled = false;
      check.textContent = 'Check';
    }
  }

  function draw(state: 'pass' | 'fail' | 'error', title: string, message = ''): void {
    result.dataset['state'] = state;
    result.replaceChildren(
      element('p', { class: 'sb-part-title' }, title),
      ...(message === '' ? [] : [element('div', { class: 'sb-feedback' }, element('pre', {}, message))]),
    );
  }
}
