/** The tools above a lesson. */
import { type Notebook, NotebookActions } from '@jupyterlab/notebook';
import { element } from './dom.js';
import type { LessonActions } from './lesson-actions.js';
import type { SidePanels } from './side-panels.js';
import { toolButton } from './tool-button.js';

const ICONS = {
  run: 'M7 4l12 8-12 8z',
  runAll: 'M4 5l8 7-8 7zM13 5l8 7-8 7z',
  interrupt: 'M6 6h12v12H6z',
  restart: 'M4 12a8 8 0 1 0 2.5-5.8M4 4v4.5h4.5',
  add: 'M12 5v14M5 12h14',
  keys: 'M3 7h18v10H3zM7 11h.01M11 11h.01M15 11h.01M8 14h8',
  reset: 'M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13',
};

export function createToolbar(
  notebook: Notebook,
  actions: LessonActions,
  ranks: readonly HTMLElement[],
  sides: SidePanels,
): HTMLElement {
  const { run, interrupt, restart, reset, showKeys } = actions;
  const tools = element('div', { class: 'sb-tools', role: 'toolbar', 'aria-label': 'Notebook' });
  tools.append(
    sides.contents.button,
    element('span', { class: 'sb-separator' }),
    toolButton('Run', 'Run the cell and go to the next (Shift+Enter)', ICONS.run, () =>
      run(NotebookActions.runAndAdvance),
    ),
    toolButton(
      'Run all',
      'Run all cells',
      ICONS.runAll,
      () => run(NotebookActions.runAll),
      'sb-button-primary',
    ),
    toolButton('Interrupt', 'Stop what runs; variables are kept (I, I)', ICONS.interrupt, interrupt),
    toolButton('Restart', 'Start all ranks afresh; variables are lost (0, 0)', ICONS.restart, restart),
    toolButton('Cell', 'Insert a cell below (B)', ICONS.add, () => NotebookActions.insertBelow(notebook)),
    toolButton('Reset lesson', 'Begin the lesson again from its text', ICONS.reset, reset),
    toolButton('Keys', 'What the keys do (Ctrl+Shift+H)', ICONS.keys, showKeys),
    ...ranks,
    sides.cluster.button,
  );
  return tools;
}
