import { defineConfig } from 'vitest/config';

/** Tests that take minutes: `npx vitest run --config kernel/tests/long/vitest.config.ts`. */
export default defineConfig({
  root: new URL('../../..', import.meta.url).pathname,
  resolve: { alias: { shardbook: new URL('../../runtime/index.ts', import.meta.url).pathname } },
  test: {
    include: ['grader/**/*.long.ts'],
    pool: 'forks',
    maxWorkers: 1,
    maxConcurrency: 2,
    testTimeout: 180_000,
  },
});
