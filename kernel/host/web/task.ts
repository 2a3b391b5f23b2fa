/** A task of a lesson: the learner's cell is run on the lesson's own ranks, then the task's check says whether it is right. */
import type { CodeCell } from '@jupyterlab/cells';
import { noteProgress } from './api.js';
import { type CellPart, type CellPartsOptions, setWords, type Task, wordsOf } from './cell-words.js';
import { type CheckState, checkPanel } from './check-panel.js';
import { element } from './dom.js';
import { hintLadder } from './hints.js';
import { partButton } from './predict.js';
import { drawMarkdown } from './rendered.js';

export function createTask(cell: CodeCell, task: Task, options: CellPartsOptions): CellPart {
  const solution = element('div', { class: 'sb-solution' });
  const markdown = (text: string) => drawMarkdown(options.rendermime, text);
  const [hint, hints] = hintLadder(task.hints ?? [], markdown);
  const reveal = partButton('Solution', async () => {
    reveal.hidden = true;
    solution.replaceChildren(
      element('p', { class: 'sb-part-title' }, 'A solution'),
      await markdown(`\`\`\`typescript\n${task.solution}\n\`\`\``),
    );
  });
  const panel = checkPanel(cell, {
    name: `Task ${task.name}`,
    title: 'Run this cell, then the check of the task (Alt+C in the cell)',
    running: 'The cell runs, then its check…',
    run,
    actions: [...(hint === undefined ? [] : [hint]), reveal],
    below: [...(hints === undefined ? [] : [hints]), solution],
  });
  const { passed } = wordsOf(cell);
  reveal.hidden = passed === undefined;
  if (passed === true) draw('pass', 'Solved');
  return { node: panel.node };

  async function run(): Promise<void> {
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
  }

  function draw(state: CheckState, title: string, message?: string): void {
    const said =
      message === undefined ? [] : [element('div', { class: 'sb-feedback' }, element('pre', {}, message))];
    panel.show(state, element('p', { class: 'sb-part-title' }, title), ...said);
  }
}
