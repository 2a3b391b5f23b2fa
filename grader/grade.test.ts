/** Broken and hostile submissions, each with the exact verdict. Needs a build: the ranks are processes. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  type Exercise,
  exitCode,
  formatReport,
  gradeSubmission,
  loadExercise,
  type Report,
} from './index.js';
import { neutralize } from './reports/index.js';

// Processes are started, several times where the grader tries again: a busy machine may take long over it.
vi.setConfig({ testTimeout: 240_000 });

const root = fileURLToPath(new URL('..', import.meta.url));
const full = loadExercise(join(root, 'exercises/ring-all-reduce'));
// Small and impatient: these submissions show what they are at once.
const exercise: Exercise = {
  ...full,
  worlds: [1, 2],
  limits: { caseSeconds: 4, loadSeconds: 4, memoryMb: 200, outputKb: 64 },
  checks: full.checks.slice(0, 2),
};

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'shardbook-submissions-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function grade(source: string | Uint8Array, of: Exercise = exercise, types = false): Promise<Report> {
  const file = join(folder, 'ring.ts');
  writeFileSync(file, source);
  return gradeSubmission({
    exercise: { ...of, checks: of.checks },
    file,
    packageRoot: root,
    version: '0.0.0',
    types,
  });
}

const body = (code: string): string => `export function ringAllReduce(t: any, comm: any): any {\n${code}\n}`;
const asyncBody = (code: string): string => body(code).replace('function', 'async function');
/** An import that intake does not see. */
const sneak = (name: string): string => `await import(${[...name].map((c) => `'${c}'`).join('+')} as any)`;

const SUBMISSIONS: [name: string, source: string | Uint8Array, verdict: string, says: string][] = [
  [
    'does not parse',
    'export function ringAllReduce(t { return 1',
    'compile-error',
    'The file does not parse',
  ],
  ['is not UTF-8', new Uint8Array([0xff, 0xfe, 0]), 'compile-error', 'not UTF-8'],
  ['turns the direction of text', `// \u202e\n${body('return t;')}`, 'compile-error', 'change the direction'],
  ['imports a file', "import './other.js';", 'compile-error', '"./other.js" cannot be imported here'],
  [
    'imports a module of Node',
    "export * from 'node:fs';",
    'compile-error',
    '"node:fs" cannot be imported here',
  ],
  ['is too long', `//${'x'.repeat(300_000)}`, 'compile-error', 'at most 262144'],
  ['is empty', '', 'load-error', 'it exports nothing'],
  ['exports something else', 'export const ringAllReduce = 3;', 'load-error', 'wanted a function'],
  ['throws at import', "throw new Error('not today');", 'load-error', 'not today'],
  ['returns nothing', body(''), 'wrong', 'Rank 0 returned undefined'],
  ['returns a number', body('return 3;'), 'wrong', 'Rank 0 returned a number'],
  ['returns too many', body('return [t.clone(), t.clone()];'), 'wrong', '2 tensors'],
  ['throws', body("\n  throw new TypeError('boom');"), 'runtime-error', 'TypeError: boom'],
  [
    'throws what cannot be read',
    body('throw { get message() { throw 1; }, toString() { throw 2; } };'),
    'runtime-error',
    'cannot be read',
  ],
  ['recurses', body('return ringAllReduce(t, comm);'), 'runtime-error', 'Maximum call stack'],
  [
    'leaves a rejection',
    body("Promise.reject(new Error('later')); return new Promise(() => {});"),
    'runtime-error',
    'later',
  ],
  ['sends to itself', body('comm.send(t, comm.rank); return t.clone();'), 'runtime-error', 'the rank itself'],
  [
    'sends to nobody',
    body('comm.send(t, 99); return t.clone();'),
    'runtime-error',
    'rank 99 is not in a world of 1',
  ],
  ['sends no tensor', body('comm.send([1], 0);'), 'runtime-error', 'Cannot send an array'],
  ['loops', body('for (;;);'), 'timeout', 'had not returned after 4 s'],
  ['loops at import', 'for (;;);', 'timeout', 'had not loaded'],
  [
    'sleeps in Atomics.wait',
    body('Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);'),
    'timeout',
    'had not returned',
  ],
  ['never settles', body('return new Promise(() => {});'), 'never-settled', 'never settles'],
  ['returns a thenable that never calls', body('return { then() {} };'), 'never-settled', 'never settles'],
  [
    'waits for what never comes',
    body('if (comm.worldSize === 1) return t.clone(); comm.recv(t, 1 - comm.rank);'),
    'deadlock',
    'All ranks wait',
  ],
  [
    'fills the heap',
    body('const a: any[] = []; for (;;) a.push(new Array(1e6).fill(1));'),
    'memory-limit',
    '200 MiB',
  ],
  [
    'fills buffers',
    body('const a: any[] = []; for (;;) a.push(new Uint8Array(3e7).fill(1));'),
    'memory-limit',
    '200 MiB',
  ],
  ['floods its output', body("for (;;) console.log('x'.repeat(1000));"), 'output-limit', '64 KiB'],
  ['exits at import', 'process.exit(0);', 'crashed', 'exit code 0'],
  ['exits in the call', body('process.exit(0);'), 'crashed', 'exit code 0'],
  ['kills itself', body("process.kill(process.pid, 'SIGKILL'); for (;;);"), 'crashed', 'SIGKILL'],
  ['sends without end', body('for (;;) comm.isend(t, 0);'), 'protocol-error', 'More than 20000'],
  [
    'writes nonsense to the pipe',
    asyncBody(`(${sneak('fs')}).writeSync(3, 'x'.repeat(64)); for (;;);`),
    'protocol-error',
    'a frame of',
  ],
  [
    'reads files',
    asyncBody(`return (${sneak('fs')}).readFileSync('/etc/passwd');`),
    'runtime-error',
    'restricted',
  ],
  [
    'starts a process',
    asyncBody(`return (${sneak('child_process')}).execSync('id');`),
    'runtime-error',
    'restricted',
  ],
];

describe('gradeSubmission()', () => {
  it.each(SUBMISSIONS)('judges a submission that %s', async (_name, source, verdict, says) => {
    const report = await grade(source);
    const failing = report.checks.find((check) => check.verdict !== 'pass');
    expect([report.verdict, (report.feedback ?? failing?.feedback)?.message]).toEqual([
      verdict,
      expect.stringContaining(says),
    ]);
    expect(exitCode(report)).toBe(1);
  });

  it('lets nobody pass by breaking the prototypes', async () => {
    const broken = body("JSON.stringify = () => '{}'; Array.prototype.map = () => []; return t;");
    expect((await grade(broken)).verdict).not.toBe('pass');
  });

  it('names the line of the submission', async () => {
    const thrown = await grade(body("\n  throw new Error('boom');"));
    expect(thrown.checks[0]?.feedback?.line).toBe(3);
    const parsed = await grade('const a = 1;\nconst b = ;');
    expect(parsed.feedback?.line).toBe(2);
  });

  it('names for a deadlock who waits for whom, and the line', async () => {
    const stuck = body('if (comm.worldSize === 1) return t.clone();\ncomm.recv(t, 1 - comm.rank);');
    const feedback = (await grade(stuck)).checks[1]?.feedback;
    expect(feedback?.details).toEqual([
      'rank 0 waits in recv(f32[8], 1) for rank 1, line 3',
      'rank 1 waits in recv(f32[8], 0) for rank 0, line 3',
    ]);
  });

  it('calls the untouched starter not attempted', async () => {
    expect((await grade(exercise.starter)).verdict).toBe('not-attempted');
  });

  it('shows first mismatch, guess and seed', async () => {
    const feedback = (await grade(body('return t.clone();'))).checks[1]?.feedback;
    expect(feedback).toMatchObject({
      case: 'world 2, f32[8], scale 1, buffered sends',
      seed: 1,
      hypothesis: "equals this rank's own input: did nothing arrive?",
      mismatch: { kind: 'values', rank: 0, tensor: 'result', index: [0], share: 1 },
    });
  });

  it('tells of a hidden check only its authored sentence', async () => {
    const hidden: Exercise = {
      ...exercise,
      checks: [{ ...full.checks[1]!, visibility: 'hidden', message: 'Try other sizes' }],
    };
    const table = { ...hidden, checks: [full.checks[0]!, ...hidden.checks] };
    const report = await grade(body('return t.clone();'), table);
    expect(report.checks[1]).toMatchObject({ verdict: 'wrong', feedback: { message: 'Try other sizes' } });
    expect(Object.keys(report.checks[1]!.feedback!)).toEqual(['message']);
  });

  it('says where a mistake stands in what was handed in: the cell, the file of a folder', async () => {
    const at = async (name: string): Promise<unknown> => {
      const file = join(folder, name);
      const report = await gradeSubmission({ exercise, file, packageRoot: root, version: '0', types: false });
      const { file: where, line } =
        report.feedback ?? report.checks.find(({ verdict }) => verdict !== 'pass')!.feedback!;
      return [report.verdict, where, line];
    };
    const cells = ['1', `// exercise: ring-all-reduce\n${body('return (')}`].map((source) => ({
      cell_type: 'code',
      source,
    }));
    writeFileSync(join(folder, 'hw.ipynb'), JSON.stringify({ nbformat: 4, cells }));
    expect(await at('hw.ipynb')).toEqual(['compile-error', 'hw.ipynb, cell 2', 4]);
    mkdirSync(join(folder, 'hw/lib'), { recursive: true });
    writeFileSync(join(folder, 'hw/index.ts'), "export { fail as ringAllReduce } from './lib/index.js';\n");
    writeFileSync(
      join(folder, 'hw/lib/index.ts'),
      "\nexport function fail(): void {\n  throw new Error('x');\n}\n",
    );
    expect(await at('hw')).toEqual(['runtime-error', 'lib/index.ts', 3]);
    writeFileSync(join(folder, 'submission.mjs'), body('return t;'));
    expect(await at('submission.mjs')).toEqual(['wrong', undefined, undefined]);
  });

  it('cuts what a submission makes it say', async () => {
    const report = await grade(body("throw new Error(('x'.repeat(5000) + '\\n').repeat(100));"));
    expect(JSON.stringify(report).length).toBeLessThan(100_000);
  });

  it('leaves no folder behind', async () => {
    const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith('shardbook-grade-'));
    // Others may grade at the same time: what this grading leaves is what came and stayed.
    const before = new Set(folders());
    await grade(body('return t.clone();'));
    const left = folders().filter((name) => !before.has(name));
    await expect.poll(() => left.filter((name) => folders().includes(name)), { timeout: 30_000 }).toEqual([]);
  });

  it('keeps what was printed apart, by rank and without control characters', async () => {
    const report = await grade(body("console.log('hello \u001b[31m', comm.rank); return t.clone();"));
    expect(report.prints.map(({ rank, text }) => [rank, text.includes('hello')])).toEqual([
      [0, true],
      [1, true],
    ]);
    expect(formatReport(report)).toContain('| hello \u00b7[31m 0');
  });
});

describe('neutralize()', () => {
  it('takes the power from escape sequences and workflow commands', () => {
    expect(neutralize('a\u001b[2Jb\u202e')).toBe('a\u00b7[2Jb\u00b7');
    expect(neutralize('  ::error::x')).toBe('  : :error::x');
  });
});
