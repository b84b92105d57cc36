// Runs a command in the process of the test, which costs no start of another.

import { vi } from 'vitest';
import { main } from '../../src/cli/run.js';
import type { Outcome } from './support.js';

/** What is written in this process is that of one command at a time. */
let turn: Promise<unknown> = Promise.resolve();

/** What `hawser` with these arguments does and prints, in this process: for what is over soon. One waits for the other. */
export function hawserHere(...args: readonly string[]): Promise<Outcome> {
  const outcome = turn.then(() => runHere(args));
  turn = outcome.catch(() => undefined);
  return outcome;
}

async function runHere(args: readonly string[]): Promise<Outcome> {
  const written = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      written[name] += String(text);
      return true;
    });
  }
  // Each call listens for errors of the stream, as is right for a process that makes one.
  vi.spyOn(process.stdout, 'on').mockReturnThis();
  vi.stubEnv('HAWSER_KEY', undefined);
  try {
    return { code: await main(args), ...written };
  } finally {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  }
}
