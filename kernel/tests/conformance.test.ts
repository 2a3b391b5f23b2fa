/**
 * The public corpus of the suites that the runtime claims, through the same runner as `shardbook conform`. Programs whose
 * recording contradicts the definition of their own operations are listed in `known-wrong.json`, each with its reason;
 * they run too, and one that begins to pass has to leave the list. `own/` has programs of ours, recorded from PyTorch by the same
 * recorder: each once found something.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { conformFiles, failureLine, type ProgramResult } from '../host/conform/index.js';

const folder = new URL('conformance/', import.meta.url);
const read = <T>(name: string): T => JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as T;
const claimed = read<string[]>('claimed.json');
const knownWrong = read<Record<string, string>>('known-wrong.json');
const key = ({ suite, name }: ProgramResult): string => `${suite}/${name}`;

test.each(claimed)('suite %s observes what PyTorch observed', { timeout: 900_000 }, async (suite) => {
  const results = await conformFiles([fileURLToPath(new URL(`programs/${suite}.json`, folder))]);
  const failed = results.filter((result) => !result.passed);
  expect(failed.filter((result) => !(key(result) in knownWrong)).map(failureLine)).toEqual([]);
  const excused = failed.map(key).filter((name) => name in knownWrong);
  for (const name of excused) console.log(`known to be wrong: ${name}: ${knownWrong[name]}`);
  expect(excused.sort()).toEqual(
    Object.keys(knownWrong)
      .filter((name) => name.startsWith(`${suite}/`))
      .sort(),
  );
  expect(results.length).toBeGreaterThan(0);
});

test.each(readdirSync(new URL('own/', folder)))('own/%s observes what PyTorch observed', {
  timeout: 900_000,
}, async (file) => {
  const results = await conformFiles([fileURLToPath(new URL(`own/${file}`, folder))]);
  expect(results.filter((result) => !result.passed).map(failureLine)).toEqual([]);
  expect(results.length).toBeGreaterThan(0);
});
