/** Exercises as instructors write them: checks in solutions/ID/checks.ts, a harness, `dist` over processes. Needs a build. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DOUBLE, FSDP, SHARDED, writeFiles } from './fixtures/exercises.js';
import { type Exercise, gradeSubmission, loadExercise, type Report } from './index.js';

// Processes are started, several times where the grader tries again: a busy machine may take long over it.
vi.setConfig({ testTimeout: 240_000 });

const packageRoot = fileURLToPath(new URL('..', import.meta.url));
let root = '';
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'shardbook-contract-'));
  writeFiles(root, { ...DOUBLE, ...SHARDED });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const load = (id: string): Exercise => loadExercise(join(root, 'exercises', id));
async function grade(
  exercise: Exercise,
  source: string,
  name = 'submission.ts',
  more: object = {},
): Promise<Report> {
  const file = join(root, name);
  writeFileSync(file, source);
  return gradeSubmission({ exercise, file, packageRoot, version: '0', types: false, ...more });
}
const verdicts = ({ checks }: Report): string[] => checks.map(({ id, verdict }) => `${id} ${verdict}`);
const sharded = (body: string): string =>
  `import { dist, torch, type Tensor } from 'shardbook';\nexport function meanOf(t: Tensor): Tensor {\n${body}\n}`;

describe('an exercise over dist', () => {
  it('passes what does the same as the reference in another way', async () => {
    const report = await grade(
      load('sharded'),
      sharded(
        'const all = Array.from({ length: dist.getWorldSize() }, () => torch.zerosLike(t));\ndist.allGather(all, t);\nreturn torch.stack(all).mean(0);',
      ),
    );
    expect(verdicts(report)).toEqual(['mean pass', 'once pass', 'schedules pass']);
  });

  it('gives partial credit, and counts collectives where the submission cannot reach', async () => {
    const report = await grade(
      load('sharded'),
      sharded('dist.barrier();\ndist.allReduce(t);\nreturn t.div(dist.getWorldSize());'),
    );
    expect(verdicts(report)).toEqual(['mean pass', 'once wrong', 'schedules pass']);
    expect(report.checks[1]).toMatchObject({
      earned: 0.5,
      feedback: { message: expect.stringContaining('barrier, allReduce') },
    });
    expect(report.score).toEqual({ earned: 3.5, possible: 4 });
  });

  it('guesses at the mistake for a tensor inside a value', async () => {
    const { checks } = await grade(load('sharded'), sharded('dist.allReduce(t);\nreturn t;'));
    expect(checks[0]!.feedback).toMatchObject({
      message: expect.stringContaining('result.mean'),
      hypothesis: expect.stringContaining('is a division by the world size missing?'),
    });
  });

  it('names ranks, calls and lines of a deadlock', async () => {
    const report = await grade(
      load('sharded'),
      sharded(
        'if (dist.getWorldSize() === 1 || dist.getRank() === 0) dist.allReduce(t);\nreturn t.div(dist.getWorldSize());',
      ),
    );
    expect(report.checks[0]).toMatchObject({
      verdict: 'deadlock',
      feedback: {
        line: 3,
        details: [
          expect.stringMatching(
            /^rank 0 waits in allReduce\(f32\[3\], .*\) #1 of group world for rank 1, line 3/,
          ),
          'rank 1 has returned',
        ],
        hypothesis: expect.stringContaining('rank 1 has returned while others wait'),
      },
    });
  });

  it('names both sides of collectives that do not match', async () => {
    const report = await grade(
      load('sharded'),
      sharded('if (dist.getRank() === 0) dist.allReduce(t); else dist.broadcast(t, 0);\nreturn t;'),
    );
    expect(report.checks[0]).toMatchObject({
      verdict: 'runtime-error',
      feedback: { message: expect.stringContaining('its ranks call allReduce(f32[3]') },
    });
  });

  it('runs sub-groups, messages, objects and what is waited for later', async () => {
    const source = sharded(`  const n = dist.getWorldSize();
  const rank = dist.getRank();
  const group = dist.newGroup([...Array(n).keys()]);
  const sum = torch.zerosLike(t);
  for (let src = 0; src < n; src++) {
    const part = t.clone();
    dist.broadcast(part, { src, group, asyncOp: true })!.wait();
    sum.add_(part);
  }
  const objects: unknown[] = Array(n).fill(null);
  dist.allGatherObject(objects, { rank });
  if (objects.some((o, i) => (o as { rank: number }).rank !== i)) throw new Error('objects');
  if (n > 1) {
    const got = torch.zerosLike(t);
    const works = dist.batchIsendIrecv([new dist.P2POp(dist.isend, t, (rank + 1) % n), new dist.P2POp(dist.irecv, got, (rank + n - 1) % n)]);
    for (const work of works) work.wait();
    const back = torch.zerosLike(t);
    const outs = Array.from({ length: n }, () => torch.zerosLike(t));
    dist.allToAll(outs, outs.map(() => got.clone()));
    back.copy_(outs[(rank + 1) % n]!);
    if (!torch.equal(back, t)) throw new Error('messages');
  }
  return sum.div(n);`);
    const report = await grade(load('sharded'), source);
    expect([verdicts(report)[0], report.checks[0]?.feedback]).toEqual(['mean pass', undefined]);
  });
});

describe('FSDP under the grader', () => {
  it('trains over processes, and its all-gathers and reduce-scatters are counted outside', async () => {
    writeFiles(root, FSDP);
    const report = await grade(load('fsdp'), FSDP['solutions/fsdp/reference.ts']!);
    expect(verdicts(report)).toEqual(['sharded pass', 'traffic pass']);
    const root_only = FSDP['solutions/fsdp/reference.ts']!.replace('fullyShard(model.at(0), { mesh });', '');
    const lazy = await grade(load('fsdp'), root_only);
    expect(verdicts(lazy)).toEqual(['sharded pass', 'traffic wrong']);
    expect(lazy.checks[1]?.feedback?.message).toContain('1 all-gathers');
  });
});

describe('checks.ts of an exercise', () => {
  it('compares with the reference, and hides what hidden checks know', async () => {
    const passed = await grade(load('double'), DOUBLE['solutions/double/reference.ts']!);
    expect([passed.verdict, passed.score]).toEqual(['pass', { earned: 4, possible: 4 }]);
    const halved = await grade(
      load('double'),
      "import type { Tensor } from 'shardbook';\nexport const double = (t: Tensor) => t;",
    );
    expect(halved.checks[0]?.feedback).toMatchObject({
      hypothesis: expect.stringContaining('equals expected / 2'),
      case: 'two ranks, f32[4]',
      seed: 1,
    });
    const narrow = await grade(
      load('double'),
      "import type { Tensor } from 'shardbook';\nexport const double = (t: Tensor) => (t.shape.length === 1 ? t.mul(2) : t);",
    );
    expect(narrow.checks[1]).toMatchObject({ verdict: 'wrong', feedback: { message: 'Try other numbers' } });
    expect(Object.keys(narrow.checks[1]!.feedback!)).toEqual(['message']);
  });

  it('changes the numbers of hidden checks with a secret, and only those', async () => {
    const said =
      "import type { Tensor } from 'shardbook';\nexport const double = (t: Tensor) => { console.log(t.sum().item()); return t.mul(2); };";
    const printed = async (secret: string): Promise<string[]> =>
      (await grade(load('double'), said, 'submission.ts', { secret })).prints[0]!.text.trim().split('\n');
    const [plain, first, again] = [await printed(''), await printed('x'), await printed('x')];
    expect(first).toEqual(again);
    expect([first[0] === plain[0], first[1] === plain[1]]).toEqual([true, false]);
  });

  it('runs only what learners see when asked to', async () => {
    const report = await grade(load('double'), DOUBLE['solutions/double/reference.ts']!, 'submission.ts', {
      publicOnly: true,
    });
    expect(verdicts(report)).toEqual(['doubles pass']);
  });

  it('makes a mistake in a check an infrastructure failure, not a zero', async () => {
    const broken = {
      ...DOUBLE,
      'solutions/double/checks.ts':
        "export default () => ({ doubles: async () => { throw new TypeError('oops'); }, other: async () => {} });",
    };
    writeFiles(join(root, 'broken'), broken);
    const report = await grade(
      loadExercise(join(root, 'broken/exercises/double')),
      DOUBLE['solutions/double/reference.ts']!,
    );
    expect([report.verdict, report.checks[0]?.feedback?.message]).toEqual([
      'infra-error',
      'The check "doubles" failed itself: oops',
    ]);
  });

  it('may ask the reference in processes of their own, again and again', async () => {
    const measured = DOUBLE['solutions/double/checks.ts']!.replace(
      'doubles: async (context) => {',
      `doubles: async (context) => {
      for (const label of ['x', 'y']) await context.reference({ ...work(context.seed, label, [2]), memory: true });`,
    );
    writeFiles(join(root, 'measured'), { ...DOUBLE, 'solutions/double/checks.ts': measured });
    const exercise = loadExercise(join(root, 'measured/exercises/double'));
    const report = await grade(exercise, DOUBLE['solutions/double/reference.ts']!);
    expect(verdicts(report)).toEqual(['doubles pass', 'other pass']);
  });

  it('refuses a tolerance that is looser than the default without a reason', async () => {
    const loose = DOUBLE['solutions/double/checks.ts']!.replaceAll(
      "tolerance: 'exact'",
      'tolerance: { rtol: 0.1 }',
    );
    writeFiles(join(root, 'loose'), { ...DOUBLE, 'solutions/double/checks.ts': loose });
    const report = await grade(
      loadExercise(join(root, 'loose/exercises/double')),
      DOUBLE['solutions/double/reference.ts']!,
    );
    expect(report.checks[0]?.feedback?.message).toContain('no reason is written');
  });
});

describe('type errors', () => {
  it('block only where the exercise says so', async () => {
    const source =
      "import type { Tensor } from 'shardbook';\nexport function double(t: Tensor): Tensor {\n  const n: string = 2;\n  return t.mul(n as any);\n}";
    const noted = await grade(load('double'), source.replace('mul(n as any)', 'mul(3)'), 'submission.ts', {
      types: true,
    });
    expect([noted.verdict, noted.types[0]?.line]).toEqual(['wrong', 3]);
    const strict: Exercise = { ...load('double'), typesBlock: true };
    const blocked = await grade(strict, source);
    expect([blocked.verdict, blocked.feedback?.line]).toEqual(['compile-error', 3]);
    expect((await grade(strict, DOUBLE['solutions/double/reference.ts']!)).verdict).toBe('pass');
  });
});

describe('a folder and a notebook', () => {
  it('run with files of their own, and with the names that a cell has', async () => {
    writeFiles(join(root, 'folder'), {
      'double.ts':
        "import type { Tensor } from 'shardbook';\nimport { twice } from './lib/twice.js';\nexport const double = (t: Tensor) => twice(t);",
      'lib/twice.ts':
        "import type { Tensor } from 'shardbook';\nexport const twice = (t: Tensor) => t.mul(2);",
      'package.json': '{ "type": "commonjs", "imports": { "#x": "./evil.js" } }',
    });
    const exercise = load('double');
    const report = await gradeSubmission({ exercise, file: join(root, 'folder'), packageRoot, version: '0' });
    expect([report.verdict, report.notes[0]]).toEqual(['pass', 'Not taken: package.json']);
    const cells = [
      {
        cell_type: 'code',
        metadata: {},
        source: '// exercise: double\nfunction double(t) {\n  return torch.add(t, t);\n}',
      },
    ];
    const notebook = await grade(
      exercise,
      JSON.stringify({ nbformat: 4, nbformat_minor: 5, metadata: {}, cells }),
      'hw.ipynb',
    );
    expect([notebook.verdict, notebook.submission.kind]).toEqual(['pass', 'notebook']);
    const thrown = await grade(
      exercise,
      JSON.stringify({
        nbformat: 4,
        cells: [
          { ...cells[0], source: `${cells[0]!.source.replace('return', "throw new Error('no'); return")}` },
        ],
      }),
      'hw.ipynb',
    );
    expect(thrown.checks[0]?.feedback).toMatchObject({ line: 3, file: 'hw.ipynb, cell 1' });
  });
});
