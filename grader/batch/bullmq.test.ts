/** The queue, with Debian's redis-server and workers that are processes. Needs a build. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Queue as QueueType } from 'bullmq';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DOUBLE, writeFiles } from '../fixtures/exercises.js';
import type { Report } from '../report.js';
import { findProgram } from '../sandbox/index.js';
import { BullmqExecutor, findJobs, type Job, Results, runBatch } from './index.js';

const packageRoot = fileURLToPath(new URL('../..', import.meta.url));
const server = findProgram('redis-server');
const children = new Set<ChildProcess>();
let root = '';
let url = '';

function start(
  command: string,
  args: string[],
  said: RegExp,
  env: Record<string, string> = {},
): Promise<ChildProcess> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  children.add(child);
  return new Promise((resolve, reject) => {
    let text = '';
    const hear = (chunk: Buffer): void => {
      text += chunk.toString();
      if (said.test(text)) resolve(child);
    };
    child.stdout?.on('data', hear);
    child.stderr?.on('data', hear);
    child.on('exit', () => reject(new Error(`it ended: ${text}`)));
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}

describe.runIf(server !== undefined)('BullmqExecutor', () => {
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'shardbook-queue-'));
    writeFiles(root, DOUBLE);
    const port = await freePort();
    url = `redis://127.0.0.1:${port}`;
    await start(
      server!,
      ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', root],
      /Ready to accept/,
    );
  }, 60_000);
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(root, { recursive: true, force: true });
  });

  it('loses nothing and grades nothing twice differently when a worker is killed in the middle of a job', async () => {
    // Each takes a moment, so that the worker is inside one when it is killed.
    const slow =
      "import type { Tensor } from 'shardbook';\nexport async function double(t: Tensor) {\n  await new Promise((done) => setTimeout(done, 400));\n  return t.mul(2);\n}\n";
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    writeFiles(
      root,
      Object.fromEntries(
        names.map((name, i) => [
          `handed-in/${name}/double.ts`,
          i === 5 ? slow.replace('mul(2)', 'mul(3)') : `${slow}// ${name}\n`,
        ]),
      ),
    );
    const worker = () =>
      start(
        process.execPath,
        [join(packageRoot, 'dist/cli.js'), 'grade', 'worker', '--redis', url, '--jobs', '1'],
        /taking jobs/,
        { SHARDBOOK_QUEUE_LOCK_MS: '2000' },
      );
    const jobs = findJobs(join(root, 'handed-in'), {
      exercises: join(root, 'exercises'),
      packageRoot,
      seed: 1,
      untrusted: false,
      publicOnly: false,
    });
    const results = new Results(join(root, 'out'));
    const executor = await BullmqExecutor.start({ url, name: 'shardbook' });
    const seen: string[] = [];
    try {
      const victim = await worker();
      const batch = runBatch(jobs, executor, results, {
        onProgress: ({ job }) => void seen.push(job.learner),
      });
      // One is done and the next is under way.
      await expect.poll(() => seen.length, { timeout: 60_000, interval: 20 }).toBeGreaterThan(0);
      await new Promise((done) => setTimeout(done, 150));
      victim.removeAllListeners('exit');
      victim.kill('SIGKILL');
      await worker();
      const { entries, kept } = await batch;
      expect(entries.map(({ learner, verdict }) => `${learner} ${verdict}`)).toEqual(
        names.map((name, i) => `${name} ${i === 5 ? 'wrong' : 'pass'}`),
      );
      expect([kept, [...seen].sort()]).toEqual([0, names]);
    } finally {
      await executor.close();
    }
  }, 180_000);

  it('hands over the result of a job that is done while it is looked at, and fails when that cannot be kept', async () => {
    const { Queue, Worker } = await import('bullmq');
    const { getJob, getJobState } = Queue.prototype;
    let isLookedAt = false;
    vi.spyOn(Queue.prototype, 'getJobState').mockImplementation(async function (this: QueueType, id) {
      const state = await getJobState.call(this, id);
      isLookedAt = true;
      return state;
    });
    vi.spyOn(Queue.prototype, 'getJob').mockImplementation(async function (this: QueueType, id) {
      const read = await getJob.call(this, id);
      isLookedAt = true;
      // What was read before the job was done is looked into afterwards.
      await expect.poll(() => getJobState.call(this, id), { timeout: 60_000 }).toBe('completed');
      return read;
    });
    const executor = await BullmqExecutor.start({ url, name: 'own' });
    const connection = { url, maxRetriesPerRequest: null };
    const worker = new Worker('own', async () => ({ verdict: 'pass' }), { connection, autorun: false });
    worker.on('error', () => {});
    const run = (key: string, onResult: (report: Report) => void): Promise<void> =>
      executor.run([{ key } as Job], (_, report) => onResult(report));
    try {
      const reports: Report[] = [];
      const first = run('first', (report) => void reports.push(report));
      await expect.poll(() => isLookedAt, { timeout: 60_000 }).toBe(true);
      void worker.run();
      await first;
      expect(reports).toEqual([{ verdict: 'pass' }]);
      const full = run('second', () => {
        throw new Error('the disk is full');
      });
      await expect(full).rejects.toThrow('the disk is full');
    } finally {
      vi.restoreAllMocks();
      await worker.close();
      await executor.close();
    }
  }, 180_000);
});

describe('BullmqExecutor.start()', () => {
  it('says that nobody answers', async () => {
    const port = await freePort();
    await expect(BullmqExecutor.start({ url: `redis://127.0.0.1:${port}`, name: 'x' })).rejects.toThrow(
      'Cannot use the queue',
    );
  });
});
