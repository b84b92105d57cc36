// npm run test:repeat -- N [--load M]: the vitest stage N times, to find tests that fail now and then. `--help` tells the rest.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { buildRoot } from './lib/native.mjs';
import { run } from './lib/process.mjs';
import { parseRepeat, repeat } from './lib/repeat.mjs';
import { vitest } from './lib/stages.mjs';

const file = join(buildRoot, 'test-repeat.jsonl');
const help = `Runs all vitest tests N times in a row and appends each result to ${file}.

Usage: npm run test:repeat -- N [--load M]

  N         runs in all, 1 to 1000: those that are recorded for this commit and load count, and only the missing ones run
  --load M  busy processes next to each run, 0 to 64 (default: 0)
  --help    show this

Each line of the file is JSON: date, commit (with -dirty behind it if the work tree has changes), load, passed, failed, skipped,
seconds, failures. Ctrl-C ends the run that goes on without recording it. The exit code is 1 if a recorded run of this commit
failed, with any load, and 130 after Ctrl-C.
`;
/** Uses one processor until its standard input ends, which it does with this process. */
const busy = `
  process.stdin.on('end', () => process.exit()).resume();
  const spin = () => {
    const end = performance.now() + 20;
    while (performance.now() < end);
    setImmediate(spin);
  };
  spin();
`;

/** @returns {Promise<string>} the commit of the checkout, with `-dirty` behind it if files have changed */
async function commit() {
  const [head, status] = await Promise.all([
    run('git', ['rev-parse', '--short=12', 'HEAD']),
    run('git', ['status', '--porcelain']),
  ]);
  if (head.code !== 0 || status.code !== 0) {
    throw new Error(`git does not tell the commit: ${(head.output + status.output).trim()}`);
  }
  return `${head.output.trim()}${status.output === '' ? '' : '-dirty'}`;
}

/** @param {string[]} args @returns {Promise<number>} the exit code */
async function main(args) {
  const wanted = parseRepeat(args);
  if (wanted.help) {
    process.stdout.write(help);
    return 0;
  }
  const { runs, load } = wanted;
  const abort = new AbortController();
  const { signal } = abort;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => abort.abort());
  // In groups of their own, so that a Ctrl-C is for this process to pass on.
  const processes = Array.from({ length: load }, () =>
    spawn(process.execPath, ['--eval', busy], { stdio: ['pipe', 'ignore', 'inherit'], detached: true }),
  );
  try {
    const suite = () => vitest({ signal });
    const passed = await repeat({ runs, load, file, commit, suite, signal, log: console.log });
    if (signal.aborted) return 130;
    return passed ? 0 : 1;
  } finally {
    for (const child of processes) child.kill('SIGKILL');
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`test:repeat: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 2;
}
