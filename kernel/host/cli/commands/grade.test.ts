import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../paths.js';
import { command } from './grade.js';

const ring = join(packageRoot(), 'exercises/ring-all-reduce');

describe('shardbook grade', () => {
  it.each([
    [
      [ring, '--submission', 'a.ts', '--jobs', '2'],
      '--jobs is for many submissions and "grade worker", not for one',
    ],
    [
      [ring, '--submission', 'a.ts', '--out', 'x'],
      '--out is for many submissions and "grade merge", not for one',
    ],
    [['handed-in', '--out', 'x', '--gradescope', 'y'], '--gradescope is for one submission, not for many'],
    [['handed-in', '--out', 'x', '--no-types'], '--no-types is for one submission, not for many'],
    [
      ['merge', 'a', '--out', 'x', '--jobs', '2'],
      '--jobs is for many submissions and "grade worker", not for "grade merge"',
    ],
    [
      ['worker', '--redis', 'x', '--public'],
      '--public is for one submission and many submissions, not for "grade worker"',
    ],
    [[ring], 'no submission is named'],
    [['handed-in'], 'many submissions want --out'],
  ])('%j is refused', async (args, words) => {
    await expect(Promise.resolve().then(() => command.run(args))).rejects.toThrow(words);
  });
});
