/**
 * Seeded nonsense for everything that reads what comes from outside: the WebSocket frames and the REST API. Nothing may be
 * answered with a failure of the server itself, nothing may be thrown where nobody catches it, and the workspace's
 * surroundings stay as they were. `SHARDBOOK_FUZZ_CASES` and `SHARDBOOK_FUZZ_SEED` say how much and which.
 */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ShardbookError } from '../../runtime/base/index.js';
import { decodeDefault, decodeV1, encodeDefault, encodeV1 } from './framing.js';
import type { WireMessage } from './kernel-port.js';
import { startServer } from './server.js';
import { fakeProvider } from './testing/fake-kernel.js';

const SEED = Number(process.env['SHARDBOOK_FUZZ_SEED'] ?? 1);
const REST_CASES = Number(process.env['SHARDBOOK_FUZZ_CASES'] ?? 400);
const WIRE_CASES = Math.max(10_000, REST_CASES);

/** Mulberry32: the same cases on every machine. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

class Source {
  readonly #next: () => number;
  constructor(seed: number) {
    this.#next = random(seed);
  }
  below(n: number): number {
    return Math.floor(this.#next() * n);
  }
  chance(p: number): boolean {
    return this.#next() < p;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  bytes(most: number): Buffer {
    return Buffer.from(Array.from({ length: this.below(most) }, () => this.below(256)));
  }
}

const header = {
  msg_id: 'id',
  msg_type: 'execute_request',
  session: 's',
  username: 'u',
  date: '2026-01-01T00:00:00Z',
  version: '5.4',
};
const message: WireMessage = {
  channel: 'shell',
  header,
  parent_header: {},
  metadata: {},
  content: { code: '1 + 1', deep: [{ a: null }] },
  buffers: [new Uint8Array([1, 2, 3]), new Uint8Array(0)],
};

describe('wire frames', () => {
  it(`${WIRE_CASES} damaged frames are refused with a coded error, or read`, () => {
    const source = new Source(SEED);
    const whole = [Buffer.from(encodeV1(message) as Uint8Array), encodeDefault(message)];
    const outcomes = { read: 0, refused: 0 };
    for (let i = 0; i < WIRE_CASES; i++) {
      const original = source.pick(whole);
      let bytes: Buffer = Buffer.from(original as Uint8Array);
      if (source.chance(0.1)) bytes = source.bytes(200);
      else {
        for (let n = source.below(6); n >= 0; n--) {
          if (bytes.length > 0)
            bytes[source.below(source.chance(0.5) ? Math.min(96, bytes.length) : bytes.length)] =
              source.below(256);
        }
        if (source.chance(0.3)) bytes = bytes.subarray(0, source.below(bytes.length + 1));
        if (source.chance(0.1)) bytes = Buffer.concat([bytes, source.bytes(64)]);
      }
      const readers = [
        () => decodeV1(bytes),
        () => decodeDefault(bytes),
        () => decodeDefault(bytes.toString('utf8')),
      ];
      try {
        const read = source.pick(readers)();
        expect(typeof read.header.msg_type).toBe('string');
        outcomes.read++;
      } catch (error) {
        if (!(error instanceof ShardbookError)) throw new Error(`seed ${SEED}, case ${i}`, { cause: error });
        outcomes.refused++;
      }
    }
    expect(outcomes.read).toBeGreaterThan(0);
    expect(outcomes.refused).toBeGreaterThan(WIRE_CASES / 4);
  }, 60_000);
});

const METHODS = ['GET', 'GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS', 'PROPFIND'];
const PLACES = [
  '/',
  '/api',
  '/api/status',
  '/api/me',
  '/api/kernelspecs',
  '/api/kernels',
  '/api/sessions',
  '/api/contents',
  '/files',
  '/app',
  '/api/shardbook/curriculum',
  '/api/shardbook/progress',
  '/api/shardbook/lessons',
  '/api/shardbook/exercises',
  '/api/shardbook/kernels',
];
const WORDS = [
  'a.txt',
  'n.ipynb',
  'folder',
  'first',
  'open',
  'reset',
  'progress',
  'check',
  'hint',
  'solution',
  'checkpoints',
  'checkpoint',
  'channels',
  'interrupt',
  'restart',
  'ranks',
  'cluster',
  'sum',
  '..',
  '.',
  '%2e%2e',
  '..%2f..',
  '%00',
  '%',
  '%zz',
  '%ff%fe',
  '\\',
  'C:',
  '~',
  'nul',
  '.hidden',
  '__proto__',
  'constructor',
  '%F0%9F%90%9F',
  'x'.repeat(300),
  '',
];
const VALUES: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1e308,
  '',
  'file',
  'notebook',
  'directory',
  'json',
  'text',
  'base64',
  '..',
  'a.txt',
  '../secret.txt',
  'shardbook',
  [],
  {},
  { cells: [] },
  { cells: 3 },
  {
    cells: [
      null,
      1,
      { cell_type: 'code', outputs: 3 },
      { cell_type: 'code', metadata: 'x', outputs: [null] },
    ],
  },
  { id: 'x', name: 'y' },
  ['first-0', '__proto__'],
  { cell: 'a', right: 'x' },
  '\u0000\ud800',
  'é'.repeat(500),
];
const KEYS = [
  'type',
  'format',
  'content',
  'path',
  'name',
  'kernel',
  'copy_from',
  'ext',
  'run',
  'predicted',
  'source',
  'reveal',
  'lesson',
  '__proto__',
];

describe('REST', () => {
  it(`${REST_CASES} odd requests get an answer that is not a failure of the server`, async () => {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'shardbook-fuzz-')));
    const workspace = join(folder, 'workspace');
    mkdirSync(join(folder, 'app'));
    writeFileSync(join(folder, 'app', 'index.html'), '<!doctype html>app');
    writeFileSync(join(folder, 'secret.txt'), 'secret');
    const logged: string[] = [];
    const loose: unknown[] = [];
    const onLoose = (error: unknown) => loose.push(error);
    process.on('unhandledRejection', onLoose);
    const server = await startServer({
      workspace,
      appFolder: join(folder, 'app'),
      kernels: fakeProvider(),
      lessons: {
        curriculum: async () => ({ layers: [], problems: [] }),
        notebook: async (id) =>
          id === 'first' ? { nbformat: 4, nbformat_minor: 5, metadata: {}, cells: [] } : undefined,
      },
      exercises: {
        lessonOf: async (id) => (id === 'sum' ? 'first' : undefined),
        check: async () => ({
          verdict: 'wrong',
          score: { earned: 0, possible: 1 },
          checks: [],
          types: [],
          notes: [],
          prints: [],
          milliseconds: 1,
          hintsLeft: 0,
        }),
        hint: async () => ({ hint: '', number: 1, of: 1 }),
        solution: async () => '',
      },
      version: '0',
      worldSize: 2,
      port: 0,
      log: (line) => logged.push(line),
    });
    const agent = new Agent({ keepAlive: true, maxSockets: 8 });
    const source = new Source(SEED);
    const kernels: string[] = [];
    const statuses = new Map<number, number>();
    const one = (index: number) =>
      new Promise<void>((done) => {
        const parts = [source.pick(PLACES)];
        for (let n = source.below(4); n > 0; n--)
          parts.push(kernels.length > 0 && source.chance(0.1) ? source.pick(kernels) : source.pick(WORDS));
        const query = source.chance(0.3)
          ? `?content=${source.pick(['0', '1', '%', ''])}&type=${source.pick(WORDS)}`
          : '';
        const method = source.pick(METHODS);
        const body: Record<string, unknown> = {};
        for (let n = source.below(5); n > 0; n--)
          Object.defineProperty(body, source.pick(KEYS), {
            value: source.pick(VALUES),
            enumerable: true,
            configurable: true,
          });
        let text = JSON.stringify(body);
        if (source.chance(0.15)) text = text.slice(0, source.below(text.length));
        if (source.chance(0.05)) text = source.bytes(100).toString('latin1');
        const headers: Record<string, string> = {
          ...(source.chance(0.95) ? { Authorization: `token ${server.token}` } : {}),
          ...(source.chance(0.1)
            ? { Origin: source.pick(['null', 'http://x', `http://127.0.0.1:${server.port}`]) }
            : {}),
          ...(source.chance(0.1)
            ? { 'Content-Type': source.pick(['text/plain', 'multipart/form-data', '']) }
            : {}),
          ...(source.chance(0.05) ? { Cookie: source.pick(['=', ';;', `shardbook-${server.port}=`]) } : {}),
          ...(source.chance(0.05) ? { Upgrade: 'websocket', Connection: 'Upgrade' } : {}),
        };
        const path = parts.join('/').replaceAll('//', source.chance(0.5) ? '//' : '/') + query;
        const request = httpRequest(
          { host: '127.0.0.1', port: server.port, method, path, headers, agent, timeout: 30_000 },
          (response) => {
            const status = response.statusCode!;
            statuses.set(status, (statuses.get(status) ?? 0) + 1);
            let answer = '';
            response.setEncoding('latin1');
            response.on('data', (chunk: string) => {
              if (answer.length < 65_536) answer += chunk;
            });
            response.on('end', () => {
              if (status >= 500 && status !== 503)
                loose.push(`case ${index}: ${method} ${path} ${text}: ${status} ${answer}`);
              if (answer.includes('secret') && !path.includes('secret') && !text.includes('secret'))
                loose.push(`case ${index}: ${method} ${path} gave the secret`);
              const id = /^\{"id":"([0-9a-f-]{36})"/.exec(answer)?.[1];
              if (id !== undefined && kernels.length < 20) kernels.push(id);
              done();
            });
            response.on('error', () => done());
          },
        );
        request.on('timeout', () => {
          loose.push(`case ${index}: ${method} ${path}: no answer`);
          request.destroy();
        });
        request.on('upgrade', (_response, socket) => {
          socket.destroy();
          done();
        });
        request.on('error', () => done());
        request.end(method === 'GET' || method === 'HEAD' ? undefined : text);
      });
    try {
      for (let index = 0; index < REST_CASES; index += 8)
        await Promise.all(Array.from({ length: Math.min(8, REST_CASES - index) }, (_, i) => one(index + i)));
      expect(loose).toEqual([]);
      expect(logged).toEqual([]);
      expect(readdirSync(folder).sort()).toEqual(['app', 'secret.txt', 'workspace']);
      expect(readFileSync(join(folder, 'secret.txt'), 'utf8')).toBe('secret');
      expect([...statuses.keys()].some((status) => status < 300)).toBe(true);
      expect([...statuses.keys()].filter((status) => status >= 400).length).toBeGreaterThan(2);
    } finally {
      process.off('unhandledRejection', onLoose);
      agent.destroy();
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  }, 600_000);
});
