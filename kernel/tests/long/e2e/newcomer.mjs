/** A newcomer's way through 0.1 and 0.2: predict, run, be wrong, take a hint, check, come back after a restart. */
import { join } from 'node:path';
import {
  expect,
  notebookOnDisk,
  openBrowser,
  progressOnDisk,
  startShardbook,
  stopShardbook,
} from './harness.mjs';
import { camera, notebookPage } from './notebook-page.mjs';

const FIRST = 'what-is-fsdp2';
const SECOND = 'adopting-fsdp2';

export async function testNewcomer({ folder, checks, shots }) {
  const workspace = join(folder, 'newcomer');
  let shardbook = await startShardbook(['--port', '0', '--workspace', workspace]);
  const origin = new URL(shardbook.url).origin;
  const browser = await openBrowser();
  const { page, problems } = browser;
  const { cell, part, replace, opened, idle, saved, runAll } = notebookPage(page);
  const shot = camera(page, shots, 'newcomer-');
  const inTheDark = async (name) => {
    await page.emulateMedia({ colorScheme: 'dark' });
    await shot(`${name}-dark`);
    await page.emulateMedia({ colorScheme: 'light' });
  };
  const check = checks.picturing(shot);
  /** Cells of a lesson by what their metadata says. */
  const find = async (lesson, wanted) => {
    const notebook = await notebookOnDisk(workspace, lesson);
    const at = notebook.cells.findIndex(({ metadata }) => wanted(metadata.shardbook ?? {}));
    expect(at >= 0, `no such cell in ${lesson}`);
    return { at, words: notebook.cells[at].metadata.shardbook };
  };
  const press = (index, name) => part(index).getByRole('button', { name, exact: true }).click();
  const open = async (lesson) => {
    await page.goto(`${origin}/#/lesson/${lesson}`);
    await page.waitForSelector(`[data-shown="#/lesson/${lesson}"]`);
    await opened();
    await idle(4, 90_000);
  };
  await check('0.1 opens from the map, runs, and covers what is to be predicted', async () => {
    await page.goto(shardbook.url);
    await page.locator(`[data-lesson="${FIRST}"] h3 a`).click();
    await opened();
    await shot('first');
    await inTheDark('first');
    await runAll(180_000);
    const { at } = await find(FIRST, ({ predict }) => predict !== undefined);
    await cell(at).scrollIntoViewIfNeeded();
    expect(
      !(await cell(at).locator('.jp-OutputArea-output').first().isVisible()),
      'the output is not covered',
    );
  });

  await check('a wrong number is said to be wrong, with the right one and why', async () => {
    const { at, words } = await find(FIRST, ({ predict }) => predict?.number !== undefined);
    await part(at).getByRole('textbox').fill('5');
    await press(at, 'Predict');
    await part(at).getByText('Not this time').waitFor();
    const text = await part(at).innerText();
    expect(text.includes(String(words.predict.number)) && text.includes(words.predict.explain), text);
    await cell(at).scrollIntoViewIfNeeded();
    await shot('wrong-prediction');
  });

  await check('a wrong answer brings a hint; the right one its explanation', async () => {
    const { at, words } = await find(FIRST, ({ question }) => question?.name === 'cluster-total');
    await cell(at).scrollIntoViewIfNeeded();
    expect(!(await cell(at).locator('details').first().isVisible()), 'the answer can be unfolded');
    await part(at).getByRole('textbox').fill('17');
    await press(at, 'Check');
    await part(at).getByText('Not this time').waitFor();
    await press(at, 'Hint');
    await part(at).getByText(words.question.hints[0]).waitFor();
    await shot('hint');
    await part(at).getByRole('textbox').fill('134,348,800 bytes');
    await press(at, 'Check');
    await part(at).getByText('Right').waitFor();
    await part(at).getByText('33,587,200').first().waitFor();
  });

  await check('who holds what is drawn, and judged', async () => {
    const { at } = await find(FIRST, ({ question }) => question?.name === 'flat-pieces');
    for (const box of ['rank 0 holds a', 'rank 1 holds a', 'rank 2 holds b', 'rank 2 holds c'])
      await part(at).getByRole('button', { name: box }).click();
    await press(at, 'Check');
    await part(at).getByText('Not this time').waitFor();
    for (const box of [
      'rank 0 holds a',
      'rank 1 holds a',
      'rank 2 holds b',
      'rank 2 holds c',
      'rank 3 holds c',
    ])
      await part(at).getByRole('button', { name: box }).click();
    await cell(at).scrollIntoViewIfNeeded();
    await shot('drawing');
    await inTheDark('drawing');
    await press(at, 'Check');
    await part(at).getByText('Right').waitFor();
  });

  await check('the check of a task refuses the starter with a reason, and takes the solution', async () => {
    const { at, words } = await find(FIRST, ({ task }) => typeof task === 'object');
    await cell(at).scrollIntoViewIfNeeded();
    await press(at, 'Check');
    await part(at).getByText('Not there yet').waitFor();
    expect(
      (await part(at).locator('.sb-feedback').innerText()).includes('16 bytes per parameter'),
      'no reason',
    );
    await press(at, 'Hint');
    await part(at).getByText(words.task.hints[0]).waitFor();
    await shot('task');
    await replace(at, words.task.solution);
    await press(at, 'Check');
    await part(at).getByText('Solved').waitFor();
  });

  await check('0.2 runs, with a prediction by choice', async () => {
    await open(SECOND);
    await runAll(180_000);
    const { at, words } = await find(SECOND, ({ predict }) => predict?.choices !== undefined);
    await part(at).getByLabel(words.predict.choices[words.predict.answer]).check();
    await press(at, 'Predict');
    await part(at).getByText('Right').waitFor();
    await cell(at).scrollIntoViewIfNeeded();
    await shot('second');
    await inTheDark('second');
  });

  await check('progress is kept over a restart of the server', async () => {
    await saved();
    const before = await progressOnDisk(workspace);
    expect(
      Object.values(before[FIRST].predicted).some(({ right }) => right === false),
      JSON.stringify(before),
    );
    expect(
      Object.values(before[FIRST].answered).filter(({ right }) => right).length === 2,
      JSON.stringify(before),
    );
    expect(before[FIRST].checked['task-half-on-two'].passed, JSON.stringify(before));
    await page.goto('about:blank');
    await stopShardbook(shardbook);
    shardbook = await startShardbook(['--port', new URL(origin).port, '--workspace', workspace]);
    await page.goto(shardbook.url);
    const bar = page.locator(`[data-lesson="${FIRST}"]`).getByRole('progressbar');
    await bar.waitFor();
    const label = await bar.getAttribute('aria-label');
    expect(/1 of \d outputs predicted, 2 of 4 questions answered, 1 of 1 task passed/.test(label), label);
    await shot('home');
    await inTheDark('home');
    await open(FIRST);
    const { at } = await find(FIRST, ({ question }) => question?.name === 'cluster-total');
    await part(at).getByText('Right').waitFor();
  });

  await check('nothing was wrong in the console of the newcomer', async () => {
    const unmeant = problems.filter(
      (problem) => !/WebSocket|ERR_CONNECTION_REFUSED|Failed to fetch/.test(problem),
    );
    expect(unmeant.length === 0, unmeant.join('\n'));
  });
  await browser.close();
  await stopShardbook(shardbook);
}
