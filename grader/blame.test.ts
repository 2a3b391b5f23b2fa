/** Whose mistake it is: what a check stumbles over, what the compiling thread dies of. Needs a build. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DOUBLE, writeFiles } from './fixtures/exercises.js';
import { type Exercise, gradeSubmission, loadExercise, type Report } from './index.js';
import { compileFiles } from './intake/index.js';

const packageRoot = fileURLToPath(new URL('..', import.meta.url));
let root = '';
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'shardbook-blame-'));
  writeFiles(root, {
    ...DOUBLE,
    'solutions/double/checks.ts': DOUBLE['solutions/double/checks.ts']!.replace(
      'doubles: async (context) => {',
      `doubles: async (context) => {
      const { ranks } = await context.run(work(context.seed, 'b', [2]));
      for (const { value } of ranks) (value as { values: Float64Array }).values.map((v) => v);`,
    ),
  });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

function grade(source: string, exercise: Exercise): Promise<Report> {
  const file = join(root, 'submission.ts');
  writeFileSync(file, source);
  return gradeSubmission({ exercise, file, packageRoot, version: '0', types: false });
}

function exercise(): Exercise {
  const loaded = loadExercise(join(root, 'exercises/double'));
  return { ...loaded, limits: { ...loaded.limits, caseSeconds: 60, loadSeconds: 60 } };
}

// Processes are started, several times where the grader tries again: a busy machine may take long over it.
vi.setConfig({ testTimeout: 240_000 });

describe('a check that stumbles', () => {
  it('over the answers of a submission alone calls them wrong', async () => {
    const { verdict, checks } = await grade('export const double = (): null => null;', exercise());
    expect([verdict, checks[0]?.feedback?.message]).toEqual([
      'wrong',
      'What came back has another form than the task asks for: the check cannot read it',
    ]);
  });

  it('over the answers of the reference as well is an infrastructure failure', async () => {
    writeFiles(root, { 'solutions/double/reference.ts': 'export const double = (): null => null;\n' });
    const { verdict } = await grade('export const double = (): null => null;', exercise());
    expect(verdict).toBe('infra-error');
  });
});

describe('compileFiles', () => {
  it('compiles what waits behind a source that its thread dies of', async () => {
    const compile = (text: string) =>
      compileFiles(packageRoot, { files: [{ name: 'a.ts', text }], addresses: {}, exports: [] });
    // Nested so deeply that the thread runs out of stack or memory, beside sources that are right.
    const deep = `export const a = ${'('.repeat(100_000)}1${')'.repeat(100_000)};`;
    const results = await Promise.allSettled([
      compile('export const a = 1;'),
      compile(deep),
      compile('export const b = 2;'),
      compile('export const c: number = 3;'),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
  });
});
