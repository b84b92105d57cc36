import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // An addon with threads and process-wide state is loaded once per process, as users load it.
    pool: 'forks',
    maxWorkers: availableParallelism(),
    // The long form (HAWSER_TEST_DEEP=1) runs thousands of seeds in one test.
    testTimeout: process.env.HAWSER_TEST_DEEP === '1' ? 30 * 60_000 : 120_000,
    hookTimeout: 60_000,
  },
});
