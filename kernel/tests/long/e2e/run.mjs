/**
 * The app in a real browser, against the built package: `node kernel/tests/long/e2e/run.mjs [--shots DIR] [--only app|learn|newcomer|first]`.
 * Every step is one that a learner takes; nothing may reach another host or write an error to the console.
 */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  browserPath,
  Checks,
  eventually,
  expect,
  here,
  openBrowser,
  root,
  startShardbook,
  stopShardbook,
} from './harness.mjs';
import { testLearning } from './learn.mjs';
import { testNewcomer } from './newcomer.mjs';

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
  expect(shardbook.url, `shardbook did not start: ${shardbook.output}`);
  const origin = new URL(shardbook.url).origin;
  const browser = await openBrowser();
  const { page, problems } = browser;
  const shot = async (name) => {
    if (!shots) return;
    await mkdir(shots, { recursive: true });
    await page.screenshot({ path: join(shots, `${name}.png`) });
  };
  const check = (name, body) => checks.check(name, body, () => shot(`failed-${checks.failed}`));
  const cell = (index) => page.locator('.jp-Notebook .jp-Cell').nth(index);
  const output = (index) => cell(index).locator('.jp-OutputArea').innerText();
  const code = (index) => cell(index).locator('.cm-content').first();
  const onDisk = async () => JSON.parse(await readFile(join(workspace, 'lessons/tour.ipynb'), 'utf8'));
  const replace = async (index, text) => {
    await code(index).click();
    await page.keyboard.press('Control+A');
    await page.keyboard.insertText(text);
  };
  const run = async (index, text) => {
    await replace(index, text);
    await page.keyboard.press('Control+Enter');
  };
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
    await page.waitForSelector('.jp-Notebook .jp-CodeCell .cm-content');
    await page.waitForSelector('.jp-RenderedMarkdown h1');
    expect((await page.title()) === 'A tour of four ranks - Shardbook', await page.title());
    await page.locator('.sb-admonition-note').waitFor();
    await page.locator('mjx-container').first().waitFor();
    await eventually(
      async () => (await page.locator('.sb-ranks .sb-rank[data-state="idle"]').count()) === 4,
      'four idle ranks',
    );
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
      await eventually(
        async () => (await output(LAST)).includes('the last cell ran') || (await output(LAST)),
        'the last output',
      );
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
    await eventually(async () => (await output(SUM)).includes('43') || (await output(SUM)), '43');
    await eventually(async () => {
      const { cells } = await onDisk();
      return (
        (cells[SUM].source === 'base + 3' && JSON.stringify(cells[SUM].outputs).includes('43')) || cells[SUM]
      );
    }, 'the edit on disk');
    await eventually(
      async () => (await page.locator('.sb-save-state').innerText()) === 'Saved',
      'the page to say so',
    );
    expect((await readFile(join(lessons, 'tour.md'), 'utf8')) === before, 'the lesson was changed');
  });

  await check('a reload finds the notebook, its outputs and its kernel again', async () => {
    await page.reload();
    await page.waitForSelector('.jp-Notebook .jp-CodeCell .cm-content');
    expect((await output(SUM)).includes('43'), `the output is gone: ${await output(SUM)}`);
    await run(SUM, 'base + 4');
    await eventually(
      async () => (await output(SUM)).includes('44') || (await output(SUM)),
      'the variable of before',
    );
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
    await eventually(
      async () => (await page.locator('.sb-ranks .sb-rank[data-state="idle"]').count()) === 4,
      'idle ranks',
    );
    await run(SUM, 'base + 5');
    await eventually(
      async () => (await output(SUM)).includes('45') || (await output(SUM)),
      'the variable of before',
    );
  });

  await check('the world size can be chosen', async () => {
    await page.getByLabel('World size').selectOption('2');
    await eventually(
      async () => (await page.locator('.sb-ranks .sb-rank[data-state="idle"]').count()) === 2,
      'two ranks',
    );
    await run(HELLO, 'console.log(`${rank} of ${worldSize}`);');
    await eventually(
      async () => (await output(HELLO)).includes('1 of 2') || (await output(HELLO)),
      'the output of two ranks',
    );
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
    const count = () => page.locator('.jp-Notebook .jp-Cell').count();
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
    const kept = JSON.parse(await readFile(join(workspace, 'lessons/tour.before-reset-1.ipynb'), 'utf8'));
    expect(kept.cells[SUM].source === 'base + 6', `kept: ${kept.cells[SUM].source}`);
  });

  await check('every control has an accessible name', async () => {
    const nameless = await page
      .locator('button:visible, select:visible, input:visible, a:visible')
      .evaluateAll((nodes) =>
        nodes
          .filter((node) => !(node.getAttribute('aria-label') || node.textContent.trim() || node.title))
          .map((node) => node.outerHTML.slice(0, 200)),
      );
    expect(nameless.length === 0, nameless.join('\n'));
  });

  await check('home and back to another lesson, with its own world', async () => {
    await page.getByRole('link', { name: 'Lessons' }).click();
    await page.locator('.sb-tag-started').first().waitFor();
    await page.locator('[data-lesson="after-the-tour"] h3 a').click();
    await page.waitForSelector('.jp-Notebook .jp-CodeCell .cm-content');
    await page.getByRole('button', { name: 'Run all' }).click();
    await eventually(
      async () => (await output(1)).includes('rank 1 of 2') || (await output(1)),
      'the output of two ranks',
    );
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
    const second = await startShardbook(['--port', new URL(origin).port, '--workspace', workspace]);
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
  const shardbook = await startShardbook([
    '--port',
    '0',
    '--workspace',
    join(folder, 'own'),
    '--lessons',
    join(root, 'lessons'),
  ]);
  expect(shardbook.url, `shardbook did not start: ${shardbook.output}`);
  const { page, problems, close } = await openBrowser();
  const shot = async (name) => shots && (await page.screenshot({ path: join(shots, `${name}.png`) }));
  await checks.check(
    "the curriculum's first lesson runs from the first cell to the last",
    async () => {
      await page.goto(shardbook.url);
      await page.locator('.sb-lesson h3 a').first().click();
      await page.waitForSelector('.jp-Notebook .jp-CodeCell .cm-content');
      await shot('first-lesson');
      await page.getByRole('button', { name: 'Run all' }).click();
      const prompts = page.locator('.jp-CodeCell .jp-InputPrompt');
      await eventually(
        async () => {
          const texts = await prompts.allInnerTexts();
          return texts.every((text) => /\[\d+\]/.test(text)) || texts;
        },
        'every cell to have run',
        120_000,
      );
      const path = new URL(page.url()).hash.split('/').at(-1);
      await eventually(
        async () => (await page.locator('.sb-save-state').innerText()) === 'Saved',
        'the notebook to be saved',
      );
      const notebook = JSON.parse(await readFile(join(folder, 'own/lessons', `${path}.ipynb`), 'utf8'));
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
