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
  },
});
