/** The browser app: first paint, and when a lesson's notebook can be used, in headless Chromium on this machine. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { distEntry, packageRoot } from '../host/world/index.js';
import { median, round } from './stats.js';

const LOADS = 5;
const BROWSERS = [
  process.env['CHROMIUM'],
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];

export async function benchApp(): Promise<Record<string, unknown>> {
  const browser = BROWSERS.find((path) => path !== undefined && path !== '' && existsSync(path));
  if (browser === undefined) return { skipped: 'no Chromium' };
  const { chromium } = await import('playwright-core');
  const folder = await mkdtemp(join(tmpdir(), 'shardbook-bench-app-'));
  const { url, stop } = await startServer(join(folder, 'workspace'));
  const context = await chromium.launchPersistentContext(join(folder, 'browser'), {
    executablePath: browser,
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
    viewport: { width: 1280, height: 800 },
  });
  try {
    const page = context.pages()[0] ?? (await context.newPage());
    const paint = () =>
      page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0);
    await page.goto(url);
    await page.waitForSelector('.sb-lesson h3 a');
    const lesson = await page.locator('.sb-lesson h3 a').first().getAttribute('href');
    const paints: number[] = [];
    const fresh: number[] = [];
    const again: number[] = [];
    for (let i = 0; i < LOADS; i++) {
      await page.goto(new URL('/#/', url).href);
      await page.reload();
      await page.waitForSelector('.sb-lesson');
      paints.push(await paint());
      // The first load starts the notebook's kernel, the second finds it.
      await shutDownKernels(page);
      for (const samples of [fresh, again]) {
        await page.goto(new URL(`/${lesson}`, url).href);
        await page.reload();
        await page.waitForFunction(() => performance.getEntriesByName('shardbook-usable').length > 0);
        samples.push(
          await page.evaluate(() => performance.getEntriesByName('shardbook-usable')[0]?.startTime ?? 0),
        );
      }
    }
    const figures = {
      firstPaintMs: round(median(paints)),
      notebookUsableMs: round(median(fresh)),
      notebookUsableWithItsKernelMs: round(median(again)),
    };
    const target = 1500;
    return {
      ...figures,
      targets: Object.fromEntries(
        Object.entries(figures).map(([name, value]) => [name, { value, target, met: value <= target }]),
      ),
    };
  } finally {
    await context.close();
    await stop();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Page {
  evaluate<R>(body: () => Promise<R>): Promise<R>;
}

async function shutDownKernels(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const sessions = (await (await fetch('/api/sessions')).json()) as { id: string }[];
    for (const { id } of sessions) await fetch(`/api/sessions/${id}`, { method: 'DELETE' });
  });
}

async function startServer(workspace: string): Promise<{ url: string; stop(): Promise<void> }> {
  const child = spawn(
    process.execPath,
    [distEntry('cli.js'), 'start', '--no-open', '--port', '0', '--workspace', workspace],
    { cwd: packageRoot(), stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const exited = new Promise<void>((done) => child.once('exit', () => done()));
  const url = await new Promise<string>((resolve, reject) => {
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const found = /Shardbook is at (\S+)/.exec(said)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => reject(new Error(`shardbook did not start: ${said}`)));
  });
  return {
    url,
    stop: async () => {
      child.kill('SIGINT');
      await exited;
    },
  };
}
