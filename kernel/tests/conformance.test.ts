/** The public corpus of the suites that the runtime claims, through the same runner as `shardbook conform`. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { conformFiles, failureLine } from '../host/conform/index.js';

const folder = new URL('conformance/', import.meta.url);
const claimed = JSON.parse(readFileSync(new URL('claimed.json', folder), 'utf8')) as string[];

test.each(claimed)('suite %s observes what PyTorch observed', { timeout: 300_000 }, async (suite) => {
  const results = await conformFiles([fileURLToPath(new URL(`programs/${suite}.json`, folder))]);
  expect(results.filter((result) => !result.passed).map(failureLine)).toEqual([]);
  expect(results.length).toBeGreaterThan(0);
});
