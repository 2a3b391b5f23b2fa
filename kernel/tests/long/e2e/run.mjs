/**
 * The app in a real browser, against the built package: `node kernel/tests/long/e2e/run.mjs [--shots DIR] [--only app|learn|newcomer|first]`.
 * Every step is one that a learner takes; nothing may reach another host or write an error to the console.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  browserPath,
  Checks,
  eventually,
  expect,
  here,
  notebookOnDisk,
  openBrowser,
  root,
  spawnShardbook,
  startShardbook,
  stopShardbook,
} from './harness.mjs';
import { testLearning } from './learn.mjs';
import { testNewcomer } from './newcomer.mjs';
import { camera, namelessControls, notebookPage } from './notebook-page.mjs';

const shots = process.argv.includes('--shots')
  ? process.argv[process.argv.indexOf('--shots') + 1]
  : undefined;
const only = process.argv.includes('--only') ? process.argv[process.argv.indexOf('--only') + 1] : undefined;
if (browserPath() === undefined) {
  console.log('Cannot run the browser test: no Chromium (apt-get install chromium, or name one in CHROMIUM)');
  console.log('0 passed, 1 failed');
  process.exit(1);
}
const folder = await mkdtemp(join(tmpdir(), 'shardbook-e2e-'));
const checks = new Checks();
try {
  if (only === undefined || only === 'app') await testApp();
  if (only === undefined || only === 'learn') await testLearning({ folder, checks, shots });
  if (only === undefined || only === 'newcomer') await testNewcomer({ folder, checks, shots });
  if (only === undefined || only === 'first') await testFirstLesson();
} finally {
  await rm(folder, { recursive: true, force: true });
}
process.exit(checks.finish());

async function testApp() {
  const workspace = join(folder, 'workspace');
  const lessons = join(here, 'lessons');
  const shardbook = await startShardbook(['--port', '0', '--workspace', workspace, '--lessons', lessons]);
  const origin = new URL(shardbook.url).origin;
  const browser = await openBrowser();
  const { page, problems } = browser;
  const { cell, code, output, replace, run, count, opened, idle, saved, shows } = notebookPage(page);
  const shot = camera(page, shots);
  const check = checks.picturing(shot);
  const HELLO = 1;
  const BASE = 2;
  const SUM = 3;
  const PLOT = 4;
  const FAILS = 5;
  const LAST = 6;

  await check('a wrong token is refused with what to do', async () => {
    const response = await page.goto(`${origin}/?token=wrong`);
    expect(response.status() === 403, `status ${response.status()}`);
    expect((await page.innerText('body')).includes('npm start'), 'the page does not say what to do');
    expect(
      (await page.request.get(`${origin}/api/contents`)).status() === 401,
      'the API answered without the token',
    );
    // Chromium reports the refused page itself as an error.
    problems.length = 0;
  });

  await check('the home page lists layers and lessons', async () => {
    await page.goto(shardbook.url);
    await page.waitForSelector('.sb-lesson');
    expect(page.url() === `${origin}/`, `the token stayed in the address: ${page.url()}`);
    const text = await page.innerText('main');
    for (const part of [
      'What the page must show',
      '2 lessons, 1 h 20 min',
      'A tour of four ranks',
      'see a plot',
      '1 h 15 min',
      '4 ranks',
      'After: A tour of four ranks',
    ]) {
      expect(text.includes(part), `"${part}" is not on the page:\n${text}`);
    }
    await shot('home');
  });

  await check('search narrows the list', async () => {
    await page.getByLabel('Search lessons').fill('go home');
    await eventually(async () => (await page.locator('.sb-lesson').count()) === 1, 'one lesson');
    await page.getByLabel('Search lessons').fill('zzz');
    await page.getByText('No lesson matches "zzz"').waitFor();
    await page.getByLabel('Search lessons').fill('');
  });

  await check('a lesson opens as a notebook', async () => {
    await page.locator('[data-lesson="tour"] h3 a').click();
    await opened();
    await page.waitForSelector('.jp-RenderedMarkdown h1');
    expect((await page.title()) === 'A tour of four ranks - Shardbook', await page.title());
    await page.locator('.sb-admonition-note').waitFor();
    await page.locator('mjx-container').first().waitFor();
    await idle(4);
  });

  await check('TypeScript is highlighted', async () => {
    await eventually(async () => {
      const line = cell(BASE).locator('.cm-line').first();
      const colors = await line
        .locator('span')
        .evaluateAll((nodes) => new Set(nodes.map((node) => getComputedStyle(node).color)).size);
      return colors >= 2 || `${colors} colours`;
    }, 'colours in a cell');
  });

  await check(
    'run all shows the outputs of four ranks, a result, a plot, and the rank that failed',
    async () => {
      await page.getByRole('button', { name: 'Run all' }).click();
      await shows(LAST, 'the last cell ran', 'the last output');
      const hello = await output(HELLO);
      for (const rank of [0, 1, 2, 3])
        expect(hello.includes(`hello from rank ${rank}`), `no output of rank ${rank}: ${hello}`);
      expect((await output(SUM)).includes('42'), `42 expected: ${await output(SUM)}`);
      const error = await output(FAILS);
      expect(
        error.includes('rank two is out') && error.includes('2'),
        `the error should name rank 2: ${error}`,
      );
      await cell(PLOT).locator('.sb-plot svg.main-svg').first().waitFor();
      expect((await cell(PLOT).locator('.sb-plot .bars .point').count()) === 4, 'four bars expected');
      await shot('lesson');
      await cell(PLOT).scrollIntoViewIfNeeded();
      await shot('plot');
    },
  );

  await check('edits are saved to the workspace, with outputs, and the lesson stays as it was', async () => {
    const before = await readFile(join(lessons, 'tour.md'), 'utf8');
    await run(SUM, 'base + 3');
    await shows(SUM, '43');
    await eventually(async () => {
      const { cells } = await notebookOnDisk(workspace, 'tour');
      return (
        (cells[SUM].source === 'base + 3' && JSON.stringify(cells[SUM].outputs).includes('43')) || cells[SUM]
      );
    }, 'the edit on disk');
    await saved();
    expect((await readFile(join(lessons, 'tour.md'), 'utf8')) === before, 'the lesson was changed');
  });

  await check('a reload finds the notebook, its outputs and its kernel again', async () => {
    await page.reload();
    await opened();
    expect((await output(SUM)).includes('43'), `the output is gone: ${await output(SUM)}`);
    await run(SUM, 'base + 4');
    await shows(SUM, '44', 'the variable of before');
  });

  await check('Tab completes from the kernel', async () => {
    await replace(LAST, 'base.toFi');
    await page.keyboard.press('Tab');
    await eventually(async () => {
      const text = await code(LAST).innerText();
      const menu = page.locator('.jp-Completer:visible .jp-Completer-item');
      return (
        text.includes('base.toFixed') ||
        (await menu.allInnerTexts()).some((item) => item.includes('toFixed')) ||
        text
      );
    }, 'toFixed');
    await page.keyboard.press('Escape');
  });

  await check('interrupt stops a loop and keeps the variables', async () => {
    await run(LAST, 'while (true) {}');
    await page.locator('.sb-ranks .sb-rank[data-state="running"]').first().waitFor();
    await page.getByRole('button', { name: 'Interrupt' }).click();
    await eventually(async () => (await output(LAST)).length > 0, 'the error of the interrupt');
    await idle(4);
    await run(SUM, 'base + 5');
    await shows(SUM, '45', 'the variable of before');
  });

  await check('the world size can be chosen', async () => {
    await page.getByLabel('World size').selectOption('2');
    await idle(2);
    await run(HELLO, 'console.log(`${rank} of ${worldSize}`);');
    await shows(HELLO, '1 of 2', 'the output of two ranks');
    expect(!(await output(HELLO)).includes('3 of'), 'there should be no rank 3');
  });

  await check('restart asks, and begins with fresh ranks', async () => {
    await page.getByRole('button', { name: 'Restart' }).click();
    await page.locator('.jp-Dialog').getByRole('button', { name: 'Restart' }).click();
    await eventually(
      async () => (await page.locator('.sb-ranks .sb-rank[data-state="idle"]').count()) >= 1,
      'idle ranks',
    );
    await run(SUM, 'base + 6');
    await eventually(
      async () => /base/.test(await output(SUM)) || (await output(SUM)),
      'an error that names "base"',
    );
  });

  await check('keys work as in JupyterLab', async () => {
    const before = await count();
    await code(LAST).click();
    await page.keyboard.press('Escape');
    await page.keyboard.press('b');
    await eventually(async () => (await count()) === before + 1, 'a cell more');
    await page.keyboard.press('d');
    await page.keyboard.press('d');
    await eventually(async () => (await count()) === before, 'a cell less');
  });

  await check('reset gives the lesson back and keeps the edits aside', async () => {
    await page.getByRole('button', { name: 'Reset lesson' }).click();
    await page.locator('.jp-Dialog').getByRole('button', { name: 'Reset' }).click();
    await eventually(
      async () => (await code(SUM).innerText()) === 'base + 2' || (await code(SUM).innerText()),
      'the text of the lesson',
    );
    const kept = await notebookOnDisk(workspace, 'tour.before-reset-1');
    expect(kept.cells[SUM].source === 'base + 6', `kept: ${kept.cells[SUM].source}`);
  });

  await check('every control has an accessible name', async () => {
    const nameless = await namelessControls(page);
    expect(nameless.length === 0, nameless.join('\n'));
  });

  await check('home and back to another lesson, with its own world', async () => {
    await page.getByRole('link', { name: 'Lessons' }).click();
    await page.locator('.sb-tag-started').first().waitFor();
    await page.locator('[data-lesson="after-the-tour"] h3 a').click();
    await opened();
    await page.getByRole('button', { name: 'Run all' }).click();
    await shows(1, 'rank 1 of 2', 'the output of two ranks');
  });

  await check('dark colours follow the system', async () => {
    await page.emulateMedia({ colorScheme: 'dark' });
    await eventually(async () => {
      const [r, g, b] = await page.evaluate(() =>
        getComputedStyle(document.querySelector('.sb-notebook-host'))
          .backgroundColor.match(/\d+/g)
          .map(Number),
      );
      return r + g + b < 200 || `the background is ${r}, ${g}, ${b}`;
    }, 'a dark background');
    await shot('dark');
    await page.emulateMedia({ colorScheme: 'light' });
  });

  await check('nothing was wrong in the console, nothing asked of another host', async () => {
    expect(problems.length === 0, problems.join('\n'));
  });

  await check('a port in use is said clearly', async () => {
    const second = await spawnShardbook(['--port', new URL(origin).port, '--workspace', workspace]);
    const { code: status } = await second.exited;
    expect(status === 2 && second.output.includes('it is in use'), `${status}: ${second.output}`);
  });

  await check('Ctrl-C stops it while a cell runs, with nothing left behind', async () => {
    await run(1, 'for (;;) {}');
    await page.locator('.sb-ranks .sb-rank[data-state="running"]').first().waitFor();
    await browser.close();
    const ended = await stopShardbook(shardbook);
    expect(ended?.code === 0, `ended with ${JSON.stringify(ended)}:\n${shardbook.output}`);
    const answer = await fetch(origin).then(
      () => 'it still answers',
      () => 'gone',
    );
    expect(answer === 'gone', answer);
    expect(!/error|unhandled/i.test(shardbook.output), shardbook.output);
  });
}

/** The curriculum's own first lesson: every cell runs as its author meant. */
async function testFirstLesson() {
  const workspace = join(folder, 'own');
  const lessons = join(root, 'lessons');
  const shardbook = await startShardbook(['--port', '0', '--workspace', workspace, '--lessons', lessons]);
  const { page, problems, close } = await openBrowser();
  const { opened, saved, runAll } = notebookPage(page);
  const shot = camera(page, shots);
  await checks.check(
    "the curriculum's first lesson runs from the first cell to the last",
    async () => {
      await page.goto(shardbook.url);
      await page.locator('.sb-lesson h3 a').first().click();
      await opened();
      await shot('first-lesson');
      await runAll(120_000);
      const path = new URL(page.url()).hash.split('/').at(-1);
      await saved();
      const notebook = await notebookOnDisk(workspace, path);
      const unmeant = notebook.cells.filter(
        (cell) =>
          cell.outputs?.some((output) => output.output_type === 'error') &&
          !cell.metadata.tags?.includes('raises-exception'),
      );
      expect(
        unmeant.length === 0,
        unmeant.map((cell) => `${cell.source}\n${JSON.stringify(cell.outputs)}`).join('\n'),
      );
      await shot('first-lesson-run');
      expect(problems.length === 0, problems.join('\n'));
    },
    () => shot('first-lesson-failed'),
  );
  await close();
  await stopShardbook(shardbook);
}
