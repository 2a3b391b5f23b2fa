import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: { alias: { shardbook: new URL('./kernel/runtime/index.ts', import.meta.url).pathname } },
  test: {
    include: ['kernel/**/*.test.ts', 'grader/**/*.test.ts', 'lessons/**/*.test.ts', 'exercises/**/*.test.ts'],
    exclude: ['node_modules', 'dist', 'kernel/tests/long/**'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A shared machine can stall for longer than a limit under test; what fails twice is broken. Retries are reported.
    retry: process.env['CI'] === undefined ? 0 : 1,
  },
});
