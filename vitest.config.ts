import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // An addon with threads and process-wide state is loaded once per process, as users load it.
    pool: 'forks',
    // Tests of processes and sockets wait more than they work.
    maxWorkers: availableParallelism() + 1,
    // The long form (HAWSER_TEST_DEEP=1) runs thousands of seeds in one test.
    // Otherwise only to fail rather than to hang: processes of a test have taken 90 s on a machine with ten times its load.
    testTimeout: process.env.HAWSER_TEST_DEEP === '1' ? 30 * 60_000 : 240_000,
    hookTimeout: 120_000,
    // A second, as it is without this, is less than a loaded machine may take.
    expect: { poll: { timeout: 30_000 } },
  },
});
