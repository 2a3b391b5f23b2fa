/** What a submission has of `dist` beside collectives, and what an exercise takes away. Needs a build. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Completion, Exchange } from './exchange.js';
import { SHARDED, writeFiles } from './fixtures/exercises.js';
import { type Exercise, gradeSubmission, loadExercise, type Report } from './index.js';
import { partOfRuntime } from './withheld.js';

// Processes are started, several times where the grader tries again: a busy machine may take long over it.
vi.setConfig({ testTimeout: 240_000 });

describe('the store of an exchange', () => {
  const world = (allowed = true) => {
    const done: [number, Completion][] = [];
    const exchange = new Exchange(
      2,
      'buffered',
      (rank, completion) => done.push([rank, completion]),
      allowed,
    );
    const ask: Exchange['store'] = (rank, handle, call) => {
      exchange.store(rank, handle, call);
      exchange.wait(rank, handle);
    };
    return { exchange, done, ask };
  };

  it('answers a wait when all keys are there, and counts what is written', () => {
    const { exchange, done, ask } = world();
    ask(0, 0, { op: 'wait', keys: ['a', 'b'] });
    ask(1, 0, { op: 'set', keys: ['a'], values: ['xyz'] });
    expect(done).toEqual([[1, { handle: 0, value: null }]]);
    ask(1, 1, { op: 'add', keys: ['b'], amount: 2 });
    expect(done.slice(1)).toEqual([
      [0, { handle: 0, value: null }],
      [1, { handle: 1, value: 2 }],
    ]);
    expect(exchange.stored.map(({ rank, op, bytes }) => [rank, op, bytes])).toEqual([
      [1, 'set', 3],
      [1, 'add', 0],
    ]);
  });

  it('sees that nobody can set the key any more', () => {
    const { exchange, ask } = world();
    ask(0, 0, { op: 'wait', keys: ['never'] });
    expect(exchange.deadlock()).toBeUndefined();
    exchange.finish(1);
    expect(exchange.deadlock()).toEqual(['rank 0 waits for "never" in the store', 'rank 1 has returned']);
  });

  it('gives up a wait that has a time of its own', async () => {
    const { exchange, done, ask } = world();
    ask(0, 0, { op: 'wait', keys: ['never'], timeoutMs: 1 });
    exchange.finish(1);
    expect(exchange.deadlock()).toBeUndefined();
    await expect
      .poll(() => done, { timeout: 60_000 })
      .toEqual([
        [0, { handle: 0, code: 'SB_STORE_TIMEOUT', error: expect.stringContaining('nobody set it') }],
      ]);
  });

  it('is refused where the exercise has none, and ends a run that talks nonsense', () => {
    const none = world(false);
    none.ask(0, 0, { op: 'set', keys: ['a'], values: ['1'] });
    expect(none.done).toEqual([
      [0, { handle: 0, code: 'SB_GRADER_STORE', error: expect.stringContaining('Cannot use the store') }],
    ]);
    const { exchange, ask } = world();
    ask(0, 0, { op: 'set', keys: 5 } as never);
    expect(exchange.violation).toBe('rank 0 asked the store for nonsense');
  });
});

describe('an exercise', () => {
  const packageRoot = fileURLToPath(new URL('..', import.meta.url));
  let root = '';
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), 'shardbook-surface-'));
    writeFiles(root, {
      ...SHARDED,
      'exercises/sharded/exercise.yaml': SHARDED['exercises/sharded/exercise.yaml']!.replace(
        'checks:',
        'limits: { caseSeconds: 60, loadSeconds: 60 }\nstore: true\nwithout: [fullyShard, dist.reduce]\nchecks:',
      ),
    });
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  const load = (): Exercise => loadExercise(join(root, 'exercises/sharded'));
  const grade = async (body: string, exercise = load()): Promise<Report> => {
    const file = join(root, 'submission.ts');
    writeFileSync(
      file,
      `import { dist, fullyShard, torch, type Tensor } from 'shardbook';\nexport async function meanOf(t: Tensor): Promise<unknown> {\n${body}\n}`,
    );
    return gradeSubmission({ exercise, file, packageRoot, version: '0', types: false });
  };
  const said = async (body: string): Promise<string> => {
    const exercise = load();
    const { checks } = await grade(`throw new Error(String(await (async () => { ${body} })()));`, {
      ...exercise,
      worlds: [4],
      checks: exercise.checks.slice(0, 1),
      harness: 'export const measure = ({ meanOf }: any, t: any) => meanOf(t);',
    });
    return `${checks[0]!.verdict}: ${checks[0]!.feedback?.message}`;
  };

  it('shares a store between its ranks', async () => {
    expect(
      await said(
        "const s = dist.getStore(); s.set('k' + dist.getRank(), 'v'); s.wait(['k0', 'k1', 'k2', 'k3']); const named = new dist.TCPStore('host', 1, 4); named.add('n', 1); named.barrier('b', 4); return [named.get('n'), s.check(['k2', 'nothing']), s.get('k3')];",
      ),
    ).toMatch(/Rank \d threw: 4,false,v$/);
  });

  it('makes groups of which only the members know', async () => {
    expect(
      await said(
        'const [a, b] = dist.getRank() % 2 ? [1, 3] : [0, 2]; const own = dist.newGroup([a!, b!], { useLocalSynchronization: true }); const t = torch.tensor([dist.getRank()]); dist.allReduce(t, { group: own }); const all = dist.newGroup(); dist.allReduce(t, { group: all }); return [own.size(), t.item()];',
      ),
    ).toMatch(/Rank \d threw: 2,12/);
  });

  it('lacks what it takes out of the runtime', async () => {
    expect(await said('fullyShard({} as never); return "";')).toMatch(/Cannot use fullyShard here/);
    expect(await said('dist.reduce(torch.ones([1]), 0); return "";')).toMatch(/Cannot use dist.reduce here/);
    expect(await said('(fullyShard as unknown as { of(): void }).of(); return "";')).toMatch(
      /Cannot use fullyShard here/,
    );
    const ways =
      "['getBuiltinModule', 'binding', '_linkedBinding', 'dlopen', 'mainModule'].filter((way) => way in process)";
    expect(await said(`return 'ways ' + ${ways};`)).toMatch(/ways $/);
    expect(await said("return eval('1 + 1');")).toMatch(/Code generation from strings disallowed/);
    const { verdict, feedback } = await grade("await import('x' + 'y');");
    expect([verdict, feedback?.message]).toEqual(['compile-error', expect.stringContaining('import() of a')]);
    expect(() => partOfRuntime({ ...load(), without: ['nothing.there'] }, 'file:///x')).toThrow(
      'there is no such name',
    );
  });
});
