/** What a page, a file or a request from elsewhere must not be able to do. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_BODY_BYTES } from './http.js';
import type { CheckResult, ExerciseProvider, LessonProvider } from './kernel-port.js';
import { type RunningServer, startServer } from './server.js';
import { fakeProvider } from './testing/fake-kernel.js';

const lessons: LessonProvider = {
  curriculum: async () => ({
    layers: [
      {
        id: '0',
        title: 'L',
        summary: '',
        lessons: [
          {
            id: 'first',
            title: 'First',
            layer: '0',
            minutes: 1,
            world: 2,
            teaches: [],
            requires: [],
            cells: ['first-0'],
            predictions: [],
            questions: [],
            exercises: ['sum'],
          },
        ],
      },
    ],
    problems: [],
  }),
  notebook: async (id) =>
    id === 'first' ? { nbformat: 4, nbformat_minor: 5, metadata: {}, cells: [] } : undefined,
};
const passed: CheckResult = {
  verdict: 'pass',
  score: { earned: 3, possible: 3 },
  checks: [],
  types: [],
  notes: [],
  prints: [],
  milliseconds: 1,
  hintsLeft: 0,
};
const exercises: ExerciseProvider = {
  lessonOf: async (id) => (id === 'sum' ? 'first' : undefined),
  check: async () => passed,
  hint: async () => ({ hint: 'h', number: 1, of: 1 }),
  solution: async () => 's',
};

let folder: string;
let workspace: string;
let server: RunningServer;

beforeEach(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'shardbook-security-')));
  workspace = join(folder, 'workspace');
  mkdirSync(join(folder, 'app'), { recursive: true });
  writeFileSync(join(folder, 'app', 'index.html'), '<!doctype html>app');
  writeFileSync(join(folder, 'secret.txt'), 'secret');
  server = await startServer({
    workspace,
    appFolder: join(folder, 'app'),
    kernels: fakeProvider(),
    lessons,
    exercises,
    version: '1.2.3',
    worldSize: 4,
    port: 0,
  });
});
afterEach(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

/** Without fetch's own ideas of headers and paths. */
function send(
  method: string,
  path: string,
  o: { headers?: Record<string, string>; body?: string; token?: boolean } = {},
): Promise<Answer> {
  const headers = {
    ...(o.token === false ? {} : { Authorization: `token ${server.token}` }),
    ...(o.body === undefined ? {} : { 'Content-Type': 'application/json' }),
    ...o.headers,
  };
  return new Promise((done, fail) => {
    const request = httpRequest(
      { host: '127.0.0.1', port: server.port, method, path, headers },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => done({ status: response.statusCode!, headers: response.headers, text }));
        response.on('error', fail);
      },
    );
    request.on('error', fail);
    request.end(o.body);
  });
}

const cookie = () => ({ Cookie: `shardbook-${server.port}=${server.token}` });
const own = () => `http://127.0.0.1:${server.port}`;

describe('requests from elsewhere', () => {
  it('with the cookie change nothing: they must come from our own page', async () => {
    const post = (headers: Record<string, string>) =>
      send('POST', '/api/contents', { token: false, headers: { ...cookie(), ...headers }, body: '{}' });
    expect((await post({})).status, 'no word of where it comes from').toBe(403);
    for (const origin of [
      'http://evil.example',
      'null',
      `http://127.0.0.1:${server.port + 1}`,
      `https://127.0.0.1:${server.port}`,
    ])
      expect((await post({ Origin: origin })).status, origin).toBe(403);
    expect((await post({ 'Sec-Fetch-Site': 'cross-site' })).status).toBe(403);
    expect(
      (await post({ Origin: own(), Host: `rebound.example:${server.port}` })).status,
      're-bound name',
    ).toBe(403);
    expect((await post({ Origin: own() })).status).toBe(201);
    expect((await post({ 'Sec-Fetch-Site': 'same-origin' })).status).toBe(201);
    expect((await send('GET', '/api/contents', { token: false, headers: cookie() })).status).toBe(200);
  });

  it('get no permission by CORS, neither asked for before nor with the answer', async () => {
    const headers = { Origin: 'http://evil.example', 'Access-Control-Request-Method': 'PUT' };
    for (const answer of [
      await send('OPTIONS', '/api/contents/a.txt', { headers }),
      await send('GET', '/api/contents', { headers: { Origin: own() } }),
    ]) {
      const names = Object.keys(answer.headers).filter((name) => name.startsWith('access-control'));
      expect(names).toEqual([]);
    }
  });

  it('as forms are refused', async () => {
    for (const type of ['application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'])
      expect(
        (await send('POST', '/api/contents', { headers: { 'Content-Type': type }, body: '{}' })).status,
      ).toBe(415);
  });
});

describe('every answer', () => {
  it('carries a policy without outside hosts and without inline scripts', async () => {
    for (const path of ['/', '/api', '/api/nowhere', '/app/none.js']) {
      const { headers } = await send('GET', path);
      const policy = String(headers['content-security-policy']);
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("script-src 'self';");
      expect(policy).not.toMatch(/https?:|\*|unsafe-eval/);
      expect(headers['x-content-type-options']).toBe('nosniff');
    }
  });
});

describe('files', () => {
  it('of the workspace are not given as scripts, styles or frames of a page', async () => {
    writeFileSync(join(workspace, 'x.js'), 'alert(1)');
    const get = (use: string) => send('GET', '/files/x.js', { headers: { 'Sec-Fetch-Dest': use } });
    for (const use of ['script', 'style', 'worker', 'serviceworker', 'iframe', 'object'])
      expect((await get(use)).status, use).toBe(403);
    expect((await get('document')).headers['content-security-policy']).toMatch(/^sandbox/);
  });

  it('outside are out of reach through links, also hidden ones that the server follows itself', async () => {
    symlinkSync(folder, join(workspace, 'out'));
    symlinkSync(join(folder, 'secret.txt'), join(workspace, 'secret'));
    symlinkSync(join(folder, 'made'), join(workspace, 'dangling'));
    for (const path of ['out/secret.txt', 'secret', 'dangling']) {
      expect((await send('GET', `/api/contents/${path}`)).status, path).toBe(403);
      const body = JSON.stringify({ type: 'file', format: 'text', content: 'x' });
      expect((await send('PUT', `/api/contents/${path}`, { body })).status, path).toBe(403);
      expect((await send('GET', `/files/${path}`)).status, path).toBe(403);
      expect((await send('DELETE', `/api/contents/${path}`)).status, path).toBe(403);
      expect((await send('PATCH', '/api/contents/a', { body: JSON.stringify({ path }) })).status, path).toBe(
        403,
      );
      expect(
        (await send('POST', '/api/contents', { body: JSON.stringify({ copy_from: path }) })).status,
        path,
      ).toBe(403);
    }
    writeFileSync(join(workspace, 'a.txt'), 'a');
    mkdirSync(join(folder, 'elsewhere'));
    symlinkSync(join(folder, 'elsewhere'), join(workspace, '.ipynb_checkpoints'));
    expect((await send('POST', '/api/contents/a.txt/checkpoints')).status).toBe(403);
    expect(readdirSync(join(folder, 'elsewhere'))).toEqual([]);
    expect(readFileSync(join(folder, 'secret.txt'), 'utf8')).toBe('secret');
    expect(existsSync(join(folder, 'made'))).toBe(false);
  });

  it('outside are out of reach by their names', async () => {
    for (const path of [
      '../secret.txt',
      '..%2fsecret.txt',
      '%2e%2e/secret.txt',
      '..%5csecret.txt',
      'a/../../secret.txt',
      '.shardbook-trust.json',
      'C:/x',
      '%00',
    ])
      expect((await send('GET', `/api/contents/${path}`)).status, path).toBeGreaterThanOrEqual(400);
  });

  it('without end or too large are refused', async () => {
    writeFileSync(join(workspace, 'large.bin'), '');
    truncateSync(join(workspace, 'large.bin'), 65 * 1024 * 1024);
    expect((await send('GET', '/api/contents/large.bin')).status).toBe(413);
    if (process.platform === 'win32') return;
    execFileSync('mkfifo', [join(workspace, 'pipe')]);
    expect((await send('GET', '/api/contents/pipe')).status).toBe(400);
    expect((await send('POST', '/api/contents/pipe/checkpoints')).status).toBe(400);
  });

  it('saved have a limit too', async () => {
    const { status } = await send('PUT', '/api/contents/a.txt', {
      body: 'x'.repeat(MAX_BODY_BYTES + 1),
    }).catch(() => ({ status: 413 }));
    expect(status).toBe(413);
    expect((await send('GET', '/api')).status).toBe(200);
  });
});

describe('trust', () => {
  const cell = (trusted?: boolean) => ({
    cell_type: 'code',
    id: 'a',
    source: '1',
    execution_count: 1,
    metadata: trusted === undefined ? {} : { trusted },
    outputs: [{ output_type: 'display_data', metadata: {}, data: { 'text/html': '<b>x</b>' } }],
  });
  const notebook = (trusted?: boolean) => ({
    nbformat: 4,
    nbformat_minor: 5,
    metadata: {},
    cells: [cell(trusted)],
  });
  const trusted = async (path: string) =>
    (
      JSON.parse((await send('GET', `/api/contents/${path}`)).text) as {
        content: { cells: { metadata: { trusted?: boolean } }[] };
      }
    ).content.cells[0]!.metadata.trusted;
  const save = (path: string, content: object) =>
    send('PUT', `/api/contents/${path}`, {
      body: JSON.stringify({ type: 'notebook', format: 'json', content }),
    });

  it('is not what a file says of itself', async () => {
    writeFileSync(join(workspace, 'download.ipynb'), JSON.stringify(notebook(true)));
    expect(await trusted('download.ipynb')).toBeUndefined();
  });

  it('belongs to what the page saved with its own outputs, until somebody changes it', async () => {
    await save('mine.ipynb', notebook(true));
    expect(readFileSync(join(workspace, 'mine.ipynb'), 'utf8')).not.toContain('trusted');
    expect(await trusted('mine.ipynb')).toBe(true);
    await send('PATCH', '/api/contents/mine.ipynb', { body: JSON.stringify({ path: 'renamed.ipynb' }) });
    expect(await trusted('renamed.ipynb')).toBe(true);
    writeFileSync(join(workspace, 'renamed.ipynb'), JSON.stringify(notebook()));
    expect(await trusted('renamed.ipynb')).toBeUndefined();
    await save('foreign.ipynb', notebook());
    expect(await trusted('foreign.ipynb')).toBeUndefined();
  });
});

describe('progress', () => {
  const note = (body: object, id = 'first') =>
    send('POST', `/api/shardbook/lessons/${id}/progress`, { body: JSON.stringify(body) });
  const file = () => join(workspace, 'progress.json');

  it('is kept by lesson: cells, predictions, exercises; a reset forgets the first two', async () => {
    expect((await note({ run: ['first-0'] })).status, 'never opened').toBe(404);
    await send('POST', '/api/shardbook/lessons/first/open');
    await Promise.all([note({ run: ['first-0'] }), note({ predicted: { cell: 'first-0', right: true } })]);
    await send('POST', '/api/shardbook/exercises/sum/check', { body: JSON.stringify({ source: '' }) });
    const saved = JSON.parse(readFileSync(file(), 'utf8'));
    expect(saved.format).toBe('shardbook.progress/1');
    expect(saved.lessons.first).toMatchObject({
      run: { 'first-0': expect.any(String) },
      predicted: { 'first-0': { right: true } },
      checked: { sum: { verdict: 'pass', earned: 3, possible: 3, passed: true } },
    });
    const { text } = await send('GET', '/api/shardbook/curriculum');
    expect(JSON.parse(text).progress.first.run).toHaveProperty('first-0');
    await send('POST', '/api/shardbook/lessons/first/reset');
    expect(JSON.parse(readFileSync(file(), 'utf8')).lessons.first).toMatchObject({
      run: {},
      predicted: {},
      checked: { sum: { passed: true } },
    });
  });

  it('refuses what is no progress', async () => {
    await send('POST', '/api/shardbook/lessons/first/open');
    for (const body of [
      { run: 'x' },
      { run: ['../x'] },
      { run: [1] },
      { predicted: { cell: '__proto__' } },
      { predicted: null },
    ])
      expect((await note(body)).status, JSON.stringify(body)).toBe(400);
    expect((await note({}, '..%2f..')).status).toBe(404);
    expect(
      (await send('POST', '/api/shardbook/exercises/..%2fx/check', { body: '{"source":""}' })).status,
    ).toBe(404);
    expect((await send('POST', '/api/shardbook/exercises/sum/check', { body: '{}' })).status).toBe(400);
  });

  it('that cannot be read is put aside, that of a newer version is left alone', async () => {
    await send('POST', '/api/shardbook/lessons/first/open');
    writeFileSync(file(), '{ broken');
    const { problems } = JSON.parse((await send('GET', '/api/shardbook/curriculum')).text);
    expect(problems).toEqual([expect.stringContaining('is kept as progress.unreadable-')]);
    expect(readdirSync(workspace).some((name) => name.startsWith('progress.unreadable-'))).toBe(true);
    const newer = '{"format":"shardbook.progress/2"}';
    writeFileSync(file(), newer);
    expect((await note({ run: ['first-0'] })).status).toBe(200);
    expect(readFileSync(file(), 'utf8')).toBe(newer);
  });
});
