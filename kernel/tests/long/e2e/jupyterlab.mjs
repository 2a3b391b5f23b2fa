/**
 * The kernel in a real JupyterLab 4: opens a notebook in headless Chromium, runs cells, completes, interrupts, restarts.
 * Skipped, with the reason, where there is no `jupyter lab` of version 4 (SHARDBOOK_JUPYTER names one) or no Chromium.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { browserPath, Checks, eventually, openBrowser, root } from './harness.mjs';
import { camera, notebookPage } from './notebook-page.mjs';

const jupyter = process.env.SHARDBOOK_JUPYTER ?? 'jupyter';
const { status, stdout } = spawnSync(jupyter, ['lab', '--version'], { encoding: 'utf8' });
const version = status === 0 ? stdout.trim() : undefined;
if (version === undefined || !/^4\./.test(version)) {
  console.log(
    version === undefined
      ? `skipped: "${jupyter} lab" is not installed here (pip install jupyterlab)`
      : `skipped: JupyterLab ${version}, wanted 4`,
  );
  process.exit(0);
}
if (browserPath() === undefined) {
  console.log('skipped: no Chromium');
  process.exit(0);
}
const folder = await mkdtemp(join(tmpdir(), 'shardbook-jupyterlab-'));
const checks = new Checks();
try {
  await testJupyterLab();
} finally {
  await rm(folder, { recursive: true, force: true });
}
process.exit(checks.finish());

async function testJupyterLab() {
  console.log(`JupyterLab ${version}`);
  const prefix = join(folder, 'prefix');
  const install = ['kernel', 'install', '--prefix', prefix, '--world', '2'];
  spawnSync(process.execPath, [join(root, 'dist/cli.js'), ...install], { stdio: 'ignore' });
  const codeCell = (source) => ({
    cell_type: 'code',
    metadata: {},
    source,
    outputs: [],
    execution_count: null,
    id: `c${source.length}`,
  });
  const notebook = {
    nbformat: 4,
    nbformat_minor: 5,
    metadata: {
      kernelspec: { name: 'shardbook', display_name: 'TypeScript (Shardbook)', language: 'typescript' },
    },
    cells: [
      'const base = 40;',
      'base + 2',
      'console.log("rank", rank)',
      "import { half } from './helper.ts';\nconst inner = { deep: [rank, half(8)] };\nconst second = base * 2;\nconsole.log(second, inner);\nsecond + 1",
      "console.log('begun'); for (;;) {}",
    ].map(codeCell),
  };
  await writeFile(join(folder, 'work.ipynb'), JSON.stringify(notebook));
  await writeFile(
    join(folder, 'helper.ts'),
    'export function half(x: number): number {\n  const result = x / 2;\n  return result;\n}\n',
  );
  const server = startJupyter(
    [
      'lab',
      '--no-browser',
      '--allow-root',
      '--port=0',
      '--IdentityProvider.token=shardbook',
      `--ServerApp.root_dir=${folder}`,
    ],
    {
      JUPYTER_PATH: join(prefix, 'share/jupyter'),
      JUPYTER_CONFIG_DIR: join(folder, 'config'),
      JUPYTER_DATA_DIR: join(folder, 'data'),
      JUPYTER_RUNTIME_DIR: join(folder, 'runtime'),
    },
  );
  const { page, close } = await openBrowser();
  const { cell, code, run, shows } = notebookPage(page, { patience: 120_000 });
  /** Of what is checked, into the folder that SHARDBOOK_SCREENSHOTS names. */
  const picture = camera(page, process.env.SHARDBOOK_SCREENSHOTS);
  const idle = () =>
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').waitFor({ timeout: 120_000 });
  try {
    await checks.check('JupyterLab opens the notebook with the kernel', async () => {
      await eventually(
        async () => /http:\/\/127\.0\.0\.1:\d+/.test(server.said()) || server.said().slice(-300),
        'the address',
        120_000,
      );
      const [origin] = /http:\/\/127\.0\.0\.1:\d+/.exec(server.said());
      await page.goto(`${origin}/lab/tree/work.ipynb?token=shardbook`);
      await page.waitForSelector('.jp-Notebook .jp-CodeCell .cm-content', { timeout: 120_000 });
      await page.locator('.jp-Toolbar-kernelName', { hasText: 'Shardbook' }).waitFor({ timeout: 120_000 });
      // JupyterLab throws away what is run before it is connected.
      await idle();
    });
    await checks.check('cells run on all ranks, with results and prints', async () => {
      await run(0);
      await run(1);
      await shows(1, '42');
      await run(2);
      await shows(2, '[rank 1] rank 1');
      await run(3);
      await shows(3, '81');
    });
    await checks.check(
      'the debugger stops at a breakpoint, shows stack and variables, steps, goes on',
      async () => {
        const button = page.locator('.jp-DebuggerBugButton:not([disabled])');
        await button.click();
        const stopped = cell(3);
        // Each gutter begins with an invisible element.
        const gutter = stopped.locator('.cm-gutter.cm-breakpoint-gutter .cm-gutterElement');
        await gutter.nth(4).click();
        await page.locator('.jp-DebuggerBreakpoint', { hasText: '4' }).waitFor();
        await page.locator('.jp-DebuggerKernelSource-source', { hasText: 'helper.ts' }).waitFor();
        await run(3);
        const stack = page.locator('.jp-DebuggerCallstack');
        const variables = page.locator('.jp-DebuggerVariables');
        const includes = (part, text) =>
          eventually(
            async () => (await part.innerText()).includes(text) || (await part.innerText()),
            `"${text}"`,
            120_000,
          );
        await includes(stack, 'cell');
        await includes(stack, '[rank 0]');
        await includes(stack, '[rank 1]');
        await includes(stack, ':4');
        await includes(variables, 'second');
        await includes(variables, '80');
        await stopped.locator('.jp-DebuggerEditor-highlight', { hasText: 'console.log' }).waitFor();
        await picture('stopped');
        await page.locator('[data-command="debugger:next"]').click();
        await includes(stack, ':5');
        await stopped.locator('.jp-DebuggerEditor-highlight', { hasText: 'second + 1' }).waitFor();
        await picture('stepped');
        await page.locator('[data-command="debugger:continue"]').click();
        await idle();
        await shows(3, '81');
        await includes(variables, 'base');
        await picture('went on');
        await gutter.nth(4).click();
        await page.locator('.jp-DebuggerBreakpoint').waitFor({ state: 'detached' });
        await button.click();
        await stopped.locator('.cm-breakpoint-gutter').first().waitFor({ state: 'detached' });
      },
    );
    await checks.check('Tab completes', async () => {
      await code(1).click();
      await page.keyboard.press('Control+A');
      await page.keyboard.insertText('base.toFi');
      let asked = 0;
      await eventually(async () => {
        // JupyterLab gives a completer one second, which the first completion may take on a busy machine.
        if (asked++ % 100 === 0) await page.keyboard.press('Tab');
        const text = await code(1).innerText();
        const items = await page.locator('.jp-Completer:visible .jp-Completer-item').allInnerTexts();
        return text.includes('toFixed') || items.some((item) => item.includes('toFixed')) || text;
      }, 'toFixed');
      await picture('completed');
      await page.keyboard.press('Escape');
      await page.keyboard.press('Control+A');
      await page.keyboard.insertText('base + 3');
    });
    await checks.check('an interrupt ends an endless cell and keeps the variables', async () => {
      await run(4);
      await cell(4).locator('.jp-InputPrompt', { hasText: '[*]' }).waitFor();
      // The loop has begun when its first print is there.
      await shows(4, 'begun');
      await page.keyboard.press('Escape');
      await page.keyboard.press('i');
      await page.keyboard.press('i');
      await shows(4, 'nterrupted');
      await run(1);
      await shows(1, '43');
    });
    await checks.check('a restart forgets them', async () => {
      await page.keyboard.press('Escape');
      await page.keyboard.press('0');
      await page.keyboard.press('0');
      await page.evaluate(() => {
        const indicator = document.querySelector('.jp-Notebook-ExecutionIndicator');
        const observer = new MutationObserver(() => {
          globalThis.sawRestart ||= indicator.dataset.status.endsWith('restarting');
        });
        observer.observe(indicator, { attributes: true });
      });
      await page.locator('.jp-Dialog .jp-mod-accept').click();
      await page.waitForFunction(() => globalThis.sawRestart, undefined, { timeout: 120_000 });
      await idle();
      await run(1);
      await shows(1, 'base');
    });
  } finally {
    await close();
    await server.stop();
  }
}

/**
 * Jupyter under a shell that ends it, and removes the folder, when our end of its input closes: also when this check
 * is killed. Its kernels end with it.
 */
function startJupyter(args, env) {
  const script =
    '"$@" < /dev/null & server=$!; cat > /dev/null; kill $server; wait $server; rm -rf "$FOLDER"';
  const child = spawn('sh', ['-c', script, 'sh', jupyter, ...args], {
    env: { ...process.env, ...env, FOLDER: folder },
    stdio: 'pipe',
    // A signal for our group is not theirs: the shell ends Jupyter in order.
    detached: true,
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      said += chunk;
    });
  }
  const exited = new Promise((done) => child.once('exit', done));
  return {
    said: () => said,
    stop: async () => {
      child.stdin.end();
      await exited;
    },
  };
}
