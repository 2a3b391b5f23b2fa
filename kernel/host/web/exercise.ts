/** An exercise cell: its code is checked by the grader's public checks; feedback and hints stand below it. */
import type { CodeCell } from '@jupyterlab/cells';
import { checkExercise, fetchSolution, nextHint } from './api.js';
import type { CellPart, CellPartsOptions } from './cell-words.js';
import { checkPanel } from './check-panel.js';
import { drawCheckResult } from './check-result.js';
import { element, toast } from './dom.js';
import { showLine } from './jump.js';
import { partButton } from './predict.js';
import { drawMarkdown } from './rendered.js';

export function createExercise(cell: CodeCell, id: string, options: CellPartsOptions): CellPart {
  const hints = element('ol', { class: 'sb-hints', 'aria-label': 'Hints' });
  const solution = element('div', { class: 'sb-solution' });
  const hint = partButton('Hint', showHint);
  const reveal = partButton('Solution', showSolution);
  reveal.hidden = true;
  const panel = checkPanel(cell, {
    name: `Exercise ${id}`,
    title: 'Run the public checks of this exercise on the code of this cell (Alt+C in the cell)',
    running: 'The checks run on ranks of their own…',
    run: async () => {
      await options.save();
      const answer = await checkExercise(id, cell.model.sharedModel.getSource(), options.lesson);
      const passed = answer.verdict === 'pass';
      reveal.hidden = !passed;
      panel.show(passed ? 'pass' : 'fail', ...drawCheckResult(answer, (line) => showLine(cell, line)));
    },
    actions: [hint, reveal],
    below: [hints, solution],
  });
  return { node: panel.node };

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
}
