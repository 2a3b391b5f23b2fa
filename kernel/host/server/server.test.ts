import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ContentsManager, KernelManager, ServerConnection, SessionManager } from '@jupyterlab/services';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import type { LessonProvider } from './kernel-port.js';
import { type RunningServer, startServer } from './server.js';
import { fakeProvider } from './testing/fake-kernel.js';

const lessonNotebook = {
  nbformat: 4,
  nbformat_minor: 5,
  metadata: { shardbook: { lesson: 'first', world: 3 } },
  cells: [],
};
const lessons: LessonProvider = {
  curriculum: async () => ({ layers: [], problems: [] }),
  notebook: async (id) => (id === 'first' ? lessonNotebook : undefined),
};

let folder: string;
let workspace: string;
let provider: ReturnType<typeof fakeProvider>;
let server: RunningServer;

beforeEach(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'shardbook-server-')));
  workspace = join(folder, 'workspace');
  mkdirSync(join(folder, 'app', 'chunks'), { recursive: true });
  writeFileSync(join(folder, 'app', 'index.html'), '<!doctype html>app');
  writeFileSync(join(folder, 'app', 'chunks', 'a.js'), 'export {};');
  provider = fakeProvider();
  server = await start();
});
afterEach(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

function start(port = 0): Promise<RunningServer> {
  return startServer({
    workspace,
    appFolder: join(folder, 'app'),
    kernels: provider,
    lessons,
    version: '1.2.3',
    worldSize: 4,
    port,
  });
}

async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: never }> {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, {
    method,
    headers: { Authorization: `token ${server.token}`, ...headers },
    redirect: 'manual',
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    body: (text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : text) as never,
  };
}

function settings() {
  return ServerConnection.makeSettings({
    baseUrl: `http://127.0.0.1:${server.port}/`,
    wsUrl: `ws://127.0.0.1:${server.port}/`,
    token: server.token,
    appendToken: true,
    WebSocket: WebSocket as never,
  });
}

describe('startServer()', () => {
  it('answers nothing without the token', async () => {
    const base = `http://127.0.0.1:${server.port}`;
    for (const path of ['/api', '/api/contents', '/app/chunks/a.js', '/files/x'])
      expect((await fetch(base + path)).status, path).toBe(401);
    const page = await fetch(`${base}/`);
    expect(page.status).toBe(401);
    expect(await page.text()).toContain('lacks its token');
    expect((await fetch(`${base}/?token=wrong`)).status).toBe(403);
  });

  it('exchanges the token in the address for a cookie', async () => {
    const first = await fetch(server.url, { redirect: 'manual' });
    expect(first.status).toBe(302);
    expect(first.headers.get('location')).toBe('/');
    const cookie = first.headers.get('set-cookie')!;
    expect(cookie).toContain('HttpOnly; SameSite=Lax');
    const page = await fetch(`http://127.0.0.1:${server.port}/`, {
      headers: { Cookie: cookie.split(';')[0]! },
    });
    expect(await page.text()).toBe('<!doctype html>app');
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'");
  });

  it('refuses a re-bound host and a foreign origin', async () => {
    const status = await new Promise((resolve) =>
      httpRequest(
        {
          port: server.port,
          host: '127.0.0.1',
          path: `/api?token=${server.token}`,
          headers: { Host: `evil.example:${server.port}` },
        },
        (response) => resolve(response.statusCode),
      ).end(),
    );
    expect(status).toBe(403);
    expect((await call('POST', '/api/kernels', {}, { Origin: 'http://evil.example' })).status).toBe(403);
    expect(provider.kernels).toHaveLength(0);
  });

  it('survives malformed requests', async () => {
    for (const text of [
      'GET http://evil/ HTTP/1.1\r\nHost: x\r\n\r\n',
      'GET //evil/api HTTP/1.1\r\nHost: x\r\n\r\n',
      'nonsense\r\n\r\n',
    ]) {
      await new Promise<void>((resolve) => {
        const socket: Socket = connect(server.port, '127.0.0.1', () => socket.end(text));
        socket
          .on('close', () => resolve())
          .on('error', () => resolve())
          .resume();
      });
    }
    expect((await call('GET', '/api/contents/%E0%A4%A')).status).toBe(400);
    expect((await call('PUT', '/api/contents/a.txt', 'not json')).status).toBe(400);
    expect((await call('PUT', '/api/contents/a.txt', '[]')).status).toBe(400);
    expect((await call('DELETE', '/api')).status).toBe(405);
    expect((await call('GET', '/nothing')).status).toBe(404);
    expect((await call('GET', '/api')).body).toEqual({ version: '1.2.3' });
  });

  it('says that a port is in use', async () => {
    await expect(start(server.port)).rejects.toThrow(`Cannot serve at port ${server.port}: it is in use`);
  });

  it('takes a free port when none is asked for and the default is taken', async () => {
    const second = await startServer({
      workspace,
      appFolder: join(folder, 'app'),
      kernels: provider,
      lessons,
      version: '0',
      worldSize: 4,
    });
    const third = await startServer({
      workspace,
      appFolder: join(folder, 'app'),
      kernels: provider,
      lessons,
      version: '0',
      worldSize: 4,
    });
    expect(third.port).not.toBe(second.port);
    await Promise.all([second.stop(), third.stop()]);
  });

  it('shuts its kernels down at the end', async () => {
    await call('POST', '/api/kernels', { name: 'shardbook' });
    await server.stop();
    expect(provider.kernels[0]!.calls).toEqual(['shutdown']);
    server = await start();
  });
});

describe('contents', () => {
  it('serves the JupyterLab client: save, read, list, rename, checkpoint, delete', async () => {
    const contents = new ContentsManager({ serverSettings: settings() });
    await contents.save('a b.ipynb', { type: 'notebook', format: 'json', content: lessonNotebook });
    expect((await contents.get('a b.ipynb')).content).toEqual(lessonNotebook);
    const { id } = await contents.createCheckpoint('a b.ipynb');
    await contents.save('a b.ipynb', {
      type: 'notebook',
      format: 'json',
      content: { ...lessonNotebook, nbformat_minor: 4 },
    });
    await contents.restoreCheckpoint('a b.ipynb', id);
    expect((await contents.get('a b.ipynb')).content.nbformat_minor).toBe(5);
    expect(await contents.listCheckpoints('a b.ipynb')).toHaveLength(1);
    await contents.rename('a b.ipynb', 'c.ipynb');
    await contents.newUntitled({ type: 'notebook' });
    await contents.save('note.txt', { type: 'file', format: 'text', content: 'é' });
    await contents.save('bytes.bin', {
      type: 'file',
      format: 'base64',
      content: Buffer.from([255, 0]).toString('base64'),
    });
    const listed = (await contents.get('')).content.map(
      (entry: { path: string; type: string }) => `${entry.type} ${entry.path}`,
    );
    expect(listed).toEqual([
      'notebook Untitled.ipynb',
      'file bytes.bin',
      'notebook c.ipynb',
      'file note.txt',
    ]);
    expect(await contents.get('note.txt')).toMatchObject({ format: 'text', content: 'é' });
    expect(await contents.get('bytes.bin')).toMatchObject({ format: 'base64', content: '/wA=' });
    await contents.delete('note.txt');
    expect((await call('GET', '/api/contents/note.txt')).status).toBe(404);
    contents.dispose();
  });

  it('stays inside the workspace', async () => {
    writeFileSync(join(folder, 'secret.txt'), 'secret');
    symlinkSync(folder, join(workspace, 'out'));
    for (const path of [
      '..%2Fsecret.txt',
      '%2e%2e/secret.txt',
      'out/secret.txt',
      'x/..%2f..%2fsecret.txt',
      '.ipynb_checkpoints/x',
    ]) {
      for (const method of ['GET', 'PUT', 'DELETE']) {
        const { status } = await call(
          method,
          `/api/contents/${path}`,
          method === 'PUT' ? { type: 'file', format: 'text', content: 'x' } : undefined,
        );
        // A URL parser may itself fold `%2e%2e`: then the file is simply not there.
        expect([403, 404], `${method} ${path}`).toContain(status);
      }
      expect([403, 404]).toContain((await call('GET', `/files/${path}`)).status);
    }
    expect((await call('PATCH', '/api/contents/out', { path: '../moved' })).status).toBe(403);
    expect(readFileSync(join(folder, 'secret.txt'), 'utf8')).toBe('secret');
    expect(((await call('GET', '/api/contents')).body as { content: unknown[] }).content).toEqual([]);
  });

  it('shows files without running them', async () => {
    writeFileSync(join(workspace, 'page.html'), '<script>1</script>');
    const response = await fetch(`http://127.0.0.1:${server.port}/files/page.html?token=${server.token}`);
    expect(response.headers.get('content-security-policy')).toMatch(/^sandbox; default-src 'none'/);
  });

  it('refuses a notebook that is none', async () => {
    expect(
      (await call('PUT', '/api/contents/a.ipynb', { type: 'notebook', format: 'json', content: 3 })).status,
    ).toBe(400);
    writeFileSync(join(workspace, 'bad.ipynb'), '{');
    const { status, body } = await call('GET', '/api/contents/bad.ipynb');
    expect(status).toBe(400);
    expect((body as { message: string }).message).toContain('Cannot open "bad.ipynb": it is not a notebook');
  });
});

describe('lessons', () => {
  it('are copied once, keep the edits, and are reset on request with the edits kept aside', async () => {
    expect((await call('POST', '/api/shardbook/lessons/first/open')).body).toEqual({
      path: 'lessons/first.ipynb',
    });
    const edited = {
      ...lessonNotebook,
      cells: [{ cell_type: 'raw', id: 'x', metadata: {}, source: 'mine' }],
    };
    await call('PUT', '/api/contents/lessons/first.ipynb', {
      type: 'notebook',
      format: 'json',
      content: edited,
    });
    await call('POST', '/api/shardbook/lessons/first/open');
    expect(read('lessons/first.ipynb')).toEqual(edited);
    const { body } = await call('POST', '/api/shardbook/lessons/first/reset');
    expect(body).toEqual({ path: 'lessons/first.ipynb', kept: 'lessons/first.before-reset-1.ipynb' });
    expect(read('lessons/first.ipynb')).toEqual(lessonNotebook);
    expect(read('lessons/first.before-reset-1.ipynb')).toEqual(edited);
  });

  it('are refused when unknown', async () => {
    expect((await call('POST', '/api/shardbook/lessons/other/open')).status).toBe(404);
    expect((await call('POST', '/api/shardbook/lessons/..%2F..%2Fx/open')).status).toBe(404);
  });

  it('have a scratch notebook beside them, kept as theirs are', async () => {
    expect((await call('POST', '/api/shardbook/lessons/scratch/open')).body).toEqual({
      path: 'lessons/scratch.ipynb',
    });
    expect(read('lessons/scratch.ipynb')).toMatchObject({
      metadata: { title: 'Scratch notebook' },
      nbformat: 4,
    });
    const { body } = await call('POST', '/api/shardbook/lessons/scratch/reset');
    expect(body).toEqual({ path: 'lessons/scratch.ipynb', kept: 'lessons/scratch.before-reset-1.ipynb' });
  });

  const read = (path: string): unknown => JSON.parse(readFileSync(join(workspace, path), 'utf8'));
});

describe('kernels', () => {
  it('run for the JupyterLab client: sessions, messages, interrupt, restart, shutdown', async () => {
    await call('POST', '/api/shardbook/lessons/first/open');
    const kernels = new KernelManager({ serverSettings: settings() });
    const manager = new SessionManager({ serverSettings: settings(), kernelManager: kernels });
    const session = await manager.startNew({
      path: 'lessons/first.ipynb',
      name: 'first',
      type: 'notebook',
      kernel: { name: 'shardbook' },
    });
    const [fake] = provider.kernels;
    expect(fake!.options).toEqual({ cwd: join(workspace, 'lessons'), worldSize: 3 });
    const kernel = session.kernel!;
    const seen: string[] = [];
    const future = kernel.requestExecute({ code: 'hello' });
    future.onIOPub = (message) => {
      if (message.header.msg_type === 'stream') seen.push((message.content as { text: string }).text);
    };
    expect((await future.done).content.status).toBe('ok');
    expect(seen).toEqual(['hello\n']);
    const { body } = await call('GET', `/api/shardbook/kernels/${kernel.id}/ranks`);
    expect((body as { ranks: unknown[] }).ranks).toHaveLength(3);
    await kernel.interrupt();
    await kernel.restart();
    expect(fake!.calls).toEqual(expect.arrayContaining(['interrupt', 'restart']));
    expect((await kernel.requestExecute({ code: 'again' }).done).content.status).toBe('ok');
    await session.shutdown();
    expect(fake!.calls.at(-1)).toBe('shutdown');
    expect((await call('GET', '/api/sessions')).body).toEqual([]);
    manager.dispose();
    kernels.dispose();
  });

  it('are found again by the path of their notebook', async () => {
    const open = () =>
      call('POST', '/api/sessions', {
        path: 'x.ipynb',
        name: 'x',
        type: 'notebook',
        kernel: { name: 'shardbook' },
      });
    const [first, second] = [await open(), await open()];
    expect(second.body).toEqual(first.body);
    expect(provider.kernels).toHaveLength(1);
  });

  it('give replies to the asker only, broadcasts to all, and outlive bad frames', async () => {
    const { id } = (await call('POST', '/api/kernels', {})).body as { id: string };
    const [a, b] = [await openSocket(id), await openSocket(id)];
    a.socket.send('nonsense');
    a.socket.send(Buffer.from([1, 2, 3]));
    a.socket.send(
      JSON.stringify({
        channel: 'shell',
        header: { msg_id: 'm', msg_type: 'execute_request', session: 's' },
        parent_header: {},
        metadata: {},
        content: { code: '1' },
      }),
    );
    await expect.poll(() => a.seen).toContain('shell execute_reply');
    await expect.poll(() => b.seen.filter((line) => line === 'iopub status')).toHaveLength(2);
    expect(b.seen).not.toContain('shell execute_reply');
    a.socket.close();
    b.socket.close();
  });

  it('refuse WebSockets without token, from other origins, and for kernels that are not there', async () => {
    const { id } = (await call('POST', '/api/kernels', {})).body as { id: string };
    const base = `ws://127.0.0.1:${server.port}/api`;
    const refused = (url: string, headers = {}) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url, { headers });
        socket.on('open', () => resolve('open')).on('error', (error) => resolve(error.message));
      });
    expect(await refused(`${base}/kernels/${id}/channels`)).toContain('401');
    expect(
      await refused(`${base}/kernels/${id}/channels?token=${server.token}`, {
        Origin: 'http://evil.example',
      }),
    ).toContain('403');
    expect(await refused(`${base}/kernels/nothing/channels?token=${server.token}`)).toContain('404');
    expect(await refused(`${base}/other?token=${server.token}`)).toContain('404');
  });

  it('start in the folder and world of their notebook though JupyterLab names it only afterwards', async () => {
    await call('POST', '/api/shardbook/lessons/first/open');
    await call('POST', '/api/sessions', {
      path: 'lessons/3f1c-made-up',
      name: 'first.ipynb',
      type: 'notebook',
      kernel: { name: 'shardbook' },
    });
    expect(provider.kernels[0]!.options).toEqual({ cwd: join(workspace, 'lessons'), worldSize: 3 });
    await call('POST', '/api/sessions', { path: '../x', name: '../../y', type: 'notebook', kernel: {} });
    expect(provider.kernels[1]!.options).toEqual({ cwd: workspace, worldSize: 4 });
  });

  it('are shut down when many were left behind, the longest unused first', async () => {
    for (let count = 0; count < 7; count++) {
      const { id } = (await call('POST', '/api/kernels', {})).body as { id: string };
      (await openSocket(id)).socket.close();
      await expect.poll(async () => (await connections(id)) === 0).toBe(true);
    }
    const ended = provider.kernels.map((kernel) => kernel.calls.includes('shutdown'));
    expect(ended).toEqual([true, true, false, false, false, false, false]);
  });

  async function connections(id: string): Promise<number> {
    return ((await call('GET', `/api/kernels/${id}`)).body as { connections: number }).connections;
  }

  it('refuse a kernelspec that is not there', async () => {
    expect((await call('POST', '/api/kernels', { name: 'python3' })).status).toBe(400);
  });

  async function openSocket(id: string): Promise<{ socket: WebSocket; seen: string[] }> {
    const socket = new WebSocket(
      `ws://127.0.0.1:${server.port}/api/kernels/${id}/channels?token=${server.token}`,
    );
    const seen: string[] = [];
    socket.on('message', (data) => {
      const { channel, header } = JSON.parse(String(data)) as {
        channel: string;
        header: { msg_type: string };
      };
      seen.push(`${channel} ${header.msg_type}`);
    });
    await new Promise((resolve) => socket.on('open', resolve));
    return { socket, seen };
  }
});
