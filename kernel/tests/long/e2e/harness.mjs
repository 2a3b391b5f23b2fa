/** Starts `shardbook start` and a browser for a test, counts what passes, and leaves nothing behind. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const here = dirname(fileURLToPath(import.meta.url));
export const root = resolve(here, '../../../..');

const BROWSERS = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];
const BROWSER_FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export function browserPath() {
  return BROWSERS.find((path) => path !== undefined && path !== '' && existsSync(path));
}

/** `spawnShardbook` that must come up. */
export async function startShardbook(args) {
  const shardbook = await spawnShardbook(args);
  expect(shardbook.url, `shardbook did not start: ${shardbook.output}`);
  return shardbook;
}

/** A process of `shardbook start`, its address where it has one, and what it printed. */
export async function spawnShardbook(args) {
  const child = spawn(process.execPath, [join(root, 'dist/cli.js'), 'start', '--no-open', ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const state = { child, output: '', url: undefined, exited: undefined };
  state.exited = new Promise((done) => child.once('exit', (code, signal) => done({ code, signal })));
  const printed = new Promise((done) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        state.output += chunk;
        const url = /Shardbook is at (\S+)/.exec(state.output)?.[1];
        if (url) done(url);
      });
    }
  });
  state.url = await Promise.race([printed, state.exited.then(() => undefined), sleep(60_000)]);
  return state;
}

/** Ctrl-C, and how the process ended; killed when it does not. */
export async function stopShardbook(shardbook) {
  shardbook.child.kill('SIGINT');
  const ended = await Promise.race([shardbook.exited, sleep(10_000)]);
  if (ended === undefined) shardbook.child.kill('SIGKILL');
  return ended;
}

/** A learner's copy of a lesson, as it is on disk. */
export async function notebookOnDisk(workspace, name) {
  return JSON.parse(await readFile(join(workspace, `lessons/${name}.ipynb`), 'utf8'));
}

/** What the server has noted of the lessons; nothing before it does. */
export async function progressOnDisk(workspace) {
  const text = await readFile(join(workspace, 'progress.json'), 'utf8').catch(() => '{"lessons":{}}');
  return JSON.parse(text).lessons;
}

/** `tablet`: a touch screen, without a mouse. */
export async function openBrowser({ tablet = false } = {}) {
  const profile = await mkdtemp(join(tmpdir(), 'shardbook-browser-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: browserPath(),
    headless: true,
    args: BROWSER_FLAGS,
    viewport: tablet ? { width: 1024, height: 768 } : { width: 1280, height: 800 },
    hasTouch: tablet,
    isMobile: tablet,
    colorScheme: 'light',
  });
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(45_000);
  const problems = [];
  watch(page, problems);
  return {
    context,
    page,
    /** Console errors, failed pages and requests to elsewhere, as they come. */
    problems,
    close: async () => {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

function watch(page, problems) {
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => problems.push(`page: ${error.stack ?? error.message}`));
  const outside = (url) => !/^(https?|wss?):\/\/127\.0\.0\.1[:/]|^(data|blob|about):/.test(url);
  page.on('request', (request) => {
    if (outside(request.url())) problems.push(`outside request: ${request.url()}`);
  });
  page.on('websocket', (socket) => {
    if (outside(socket.url())) problems.push(`outside socket: ${socket.url()}`);
  });
}

export class Checks {
  passed = 0;
  failed = 0;

  /** Runs one check; `onFailure` is told its name. */
  async check(name, body, onFailure = async () => {}) {
    const started = performance.now();
    try {
      await body();
      this.passed++;
      console.log(`ok    ${name} (${Math.round(performance.now() - started)} ms)`);
    } catch (error) {
      this.failed++;
      console.log(`FAIL  ${name}\n      ${String(error?.stack ?? error).replaceAll('\n', '\n      ')}`);
      await onFailure(name).catch(() => {});
    }
  }

  /** `check` that takes a picture of what failed. */
  picturing(shot) {
    return (name, body) => this.check(name, body, () => shot(`failed-${this.failed}`));
  }

  finish() {
    console.log(`${this.passed} passed, ${this.failed} failed`);
    return this.failed === 0 ? 0 : 1;
  }
}

export function expect(condition, message) {
  if (!condition) throw new Error(message);
}

/** Polls until `probe` gives something true; its last value is in the error. */
export async function eventually(probe, what, milliseconds = 60_000) {
  const end = Date.now() + milliseconds;
  let last;
  while (Date.now() < end) {
    last = await probe();
    if (last === true) return;
    await sleep(50);
  }
  throw new Error(`Waited ${milliseconds} ms for ${what}; last seen: ${JSON.stringify(last)}`);
}

export function sleep(milliseconds) {
  return new Promise((done) => setTimeout(() => done(undefined), milliseconds).unref());
}
