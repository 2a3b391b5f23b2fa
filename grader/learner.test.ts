/** The learner's side. Needs a build. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DOUBLE, writeFiles } from './fixtures/exercises.js';
import { checkWork, loadExercise, nextHint, solutionText, startExercise } from './index.js';

const packageRoot = fileURLToPath(new URL('..', import.meta.url));
let root = '';
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'shardbook-learner-'));
  writeFiles(root, DOUBLE);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('the way of a learner', () => {
  it('goes from the starter over hints to the solution', async () => {
    const exercise = loadExercise(join(root, 'exercises/double'));
    const workspace = join(root, 'work');
    const ask = () => checkWork({ exercise, workspace, packageRoot, version: '0' });
    await expect(ask()).rejects.toThrow('Cannot check "double"');
    const { folder, file } = startExercise(exercise, workspace);
    expect(() => startExercise(exercise, workspace)).toThrow('your work is in');
    expect(() => startExercise(exercise, root)).toThrow('the exercises themselves are there');
    const first = await ask();
    expect([first.report.verdict, first.advice]).toEqual([
      'not-attempted',
      '2 hints are left: shardbook check double --hint',
    ]);
    expect(
      [nextHint(exercise, workspace), nextHint(exercise, workspace), nextHint(exercise, workspace)].map(
        ({ number }) => number,
      ),
    ).toEqual([1, 2, 2]);
    expect(() => solutionText(exercise, workspace, false)).toThrow('its checks have not passed here');
    expect(solutionText(exercise, workspace, true)).toContain('t.mul(2)');
    writeFileSync(join(folder, file), DOUBLE['solutions/double/alternatives/add.ts']!);
    const { report, advice } = await ask();
    expect([report.verdict, report.checks.length, advice]).toEqual([
      'pass',
      1,
      expect.stringContaining('exercise solution double'),
    ]);
    expect(solutionText(exercise, workspace, false)).toContain('One line.');
    const { kept } = startExercise(exercise, workspace, true);
    expect(readFileSync(kept!, 'utf8')).toContain('t.add(t)');
  });
});
