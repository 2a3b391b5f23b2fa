/** A notebook in a page, of the app or of JupyterLab: its cells, what they show, and what a learner does to them. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from './harness.mjs';

/** `patience`: milliseconds until a cell must show what it is waited for. */
export function notebookPage(page, { patience = 60_000 } = {}) {
  const cells = page.locator('.jp-Notebook .jp-Cell');
  const cell = (index) => cells.nth(index);
  const code = (index) => cell(index).locator('.cm-content').first();
  const output = async (index) => {
    const areas = cell(index).locator('.jp-OutputArea');
    await areas.first().waitFor({ state: 'attached' });
    return (await areas.allInnerTexts()).join('\n');
  };
  const replace = async (index, text) => {
    await code(index).click();
    await page.keyboard.press('Control+A');
    await page.keyboard.insertText(text);
  };
  /** Runs a cell, with other text where one is given. */
  const run = async (index, text) => {
    if (text === undefined) await code(index).click();
    else await replace(index, text);
    await page.keyboard.press('Control+Enter');
  };
  return {
    cell,
    code,
    output,
    replace,
    run,
    count: () => cells.count(),
    /** What the app draws below a cell: a prediction, a question, an exercise. */
    part: (index) => cell(index).locator('.sb-part'),
    tool: (name) => page.getByRole('toolbar').getByRole('button', { name, exact: true }),
    opened: () => page.waitForSelector('.jp-Notebook .jp-CodeCell .cm-content'),
    shows: (index, text, what = `"${text}"`) =>
      eventually(
        async () => {
          const shown = await output(index);
          return shown.includes(text) || shown;
        },
        what,
        patience,
      ),
    /** Waits for the app to show that many ranks, all idle. */
    idle: (ranks, milliseconds) =>
      eventually(
        async () => (await page.locator('.sb-ranks .sb-rank[data-state="idle"]').count()) === ranks,
        `${ranks} idle ranks`,
        milliseconds,
      ),
    saved: () =>
      eventually(
        async () => (await page.locator('.sb-save-state').innerText()) === 'Saved',
        'the page to say that it is saved',
      ),
    runAll: async (milliseconds) => {
      await page.getByRole('button', { name: 'Run all' }).click();
      await eventually(
        async () => {
          const prompts = await page.locator('.jp-CodeCell .jp-InputPrompt').allInnerTexts();
          return prompts.every((text) => /\[\d+\]/.test(text)) || prompts.join(' ');
        },
        'every cell to have run',
        milliseconds,
      );
    },
  };
}

/** Takes pictures into `folder`, for people; none without one. */
export function camera(page, folder, prefix = '') {
  return async (name) => {
    if (!folder) return;
    await mkdir(folder, { recursive: true });
    await page.screenshot({ path: join(folder, `${prefix}${name}.png`) });
  };
}

/** The controls that a screen reader could not name. */
export function namelessControls(page) {
  return page
    .locator(
      'button:visible, select:visible, input:visible, textarea:visible, a:visible, [role="textbox"]:visible',
    )
    .evaluateAll((nodes) =>
      nodes
        .filter((node) => {
          const labelled =
            node.getAttribute('aria-label') || node.title || node.getAttribute('aria-labelledby');
          return !(labelled || node.textContent.trim() || node.closest('label')?.textContent.trim());
        })
        .map((node) => node.outerHTML.slice(0, 200)),
    );
}
