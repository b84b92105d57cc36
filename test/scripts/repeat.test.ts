// Repeated runs of the test suite: scripts/lib/repeat.mjs and scripts/test-repeat.mjs.

import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { run } from '../../scripts/lib/process.mjs';
import { parseRepeat, readRecords, recordOf, repeat } from '../../scripts/lib/repeat.mjs';

const folder = mkdtempSync(join(tmpdir(), 'hawser-repeat-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('the arguments', () => {
  test('are a number of runs and a load', () => {
    expect(parseRepeat(['10'])).toEqual({ help: false, runs: 10, load: 0 });
    expect(parseRepeat(['--load', '4', '5'])).toEqual({ help: false, runs: 5, load: 4 });
    expect(parseRepeat(['--help'])).toEqual({ help: true });
  });

  test.each([
    [[], 'one number of runs is needed; got none'],
    [['1', '2'], 'one number of runs is needed; got 1 2'],
    [['0'], 'the number of runs must be an integer from 1 to 1000; got 0'],
    [['1.5'], 'the number of runs must be an integer from 1 to 1000; got 1.5'],
    [['ten'], 'the number of runs must be an integer from 1 to 1000; got ten'],
    [['1', '--load', '65'], '--load must be an integer from 0 to 64; got 65'],
    [['1', '--odd'], "Unknown option '--odd'"],
  ])('%j are refused', (args, message) => {
    expect(() => parseRepeat(args)).toThrow(message);
  });

  test('that are wrong end the command with one line, and --help tells the options', async () => {
    const script = fileURLToPath(new URL('../../scripts/test-repeat.mjs', import.meta.url));
    const outcomeOf = (...args: string[]): Promise<unknown> =>
      new Promise((resolve) => {
        execFile(process.execPath, [script, ...args], (error, stdout, stderr) =>
          resolve({ code: error?.code ?? 0, stdout, stderr }),
        );
      });
    expect(await outcomeOf('x')).toEqual({
      code: 2,
      stdout: '',
      stderr: 'test:repeat: the number of runs must be an integer from 1 to 1000; got x\n',
    });
    expect(await outcomeOf('--help')).toMatchObject({ code: 0, stdout: expect.stringContaining('--load M') });
  });
});

describe('a record', () => {
  const of = { date: '2026-01-31T12:00:00.000Z', commit: 'abc', load: 4, seconds: 481.6 };

  test('has the first line of each message, without colours', () => {
    const failures = [
      { name: '\u001b[31ma > b\u001b[39m', message: '\n\u001b[31mError: no\u001b[39m\n  at x' },
    ];
    expect(recordOf({ passed: 5, failed: 1, skipped: 2, failures }, of)).toEqual({
      ...of,
      seconds: 482,
      passed: 5,
      failed: 1,
      skipped: 2,
      failures: [{ name: 'a > b', message: 'Error: no' }],
    });
  });

  test('of a run without any test is a failure', () => {
    expect(recordOf({ passed: 0, failed: 0, skipped: 3, failures: [] }, of)).toMatchObject({
      failed: 1,
      failures: [{ name: 'vitest', message: 'nothing ran' }],
    });
  });
});

describe('repeating', () => {
  const good = { passed: 3, failed: 0, skipped: 0, failures: [] };
  const bad = { passed: 2, failed: 1, skipped: 0, failures: [{ name: 'a', message: 'no' }] };
  let file = '';
  let files = 0;
  let ran = 0;
  let commit = 'abc';
  beforeEach(() => {
    file = join(folder, `${++files}`, 'results.jsonl');
    ran = 0;
    commit = 'abc';
  });

  function repeated(
    runs: number,
    load: number,
    suite: () => Promise<typeof bad> = async () => good,
    abort = new AbortController(),
  ) {
    const counted = () => {
      ++ran;
      return suite();
    };
    const { signal } = abort;
    return repeat({
      runs,
      load,
      file,
      commit: async () => commit,
      suite: counted,
      signal,
      log: () => undefined,
    });
  }

  test('goes on where the file ends, for each commit and each load', async () => {
    expect(await repeated(2, 0)).toBe(true);
    expect(await repeated(5, 0)).toBe(true);
    expect(ran).toBe(5);
    expect(await repeated(5, 0)).toBe(true);
    expect(ran).toBe(5);
    expect(await repeated(1, 4)).toBe(true);
    commit = 'abc-dirty';
    expect(await repeated(1, 0)).toBe(true);
    const records = readRecords(file);
    expect(records.map((record) => [record.commit, record.load])).toEqual([
      ...new Array(5).fill(['abc', 0]),
      ['abc', 4],
      ['abc-dirty', 0],
    ]);
  });

  test('tells a failure of this commit with any load, also in later calls', async () => {
    expect(await repeated(1, 4, async () => bad)).toBe(false);
    expect(await repeated(2, 0)).toBe(false);
    expect(ran).toBe(3);
    commit = 'def';
    expect(await repeated(1, 0)).toBe(true);
  });

  test('neither records the run that is aborted nor begins another', async () => {
    const abort = new AbortController();
    const suite = async () => {
      if (ran === 2) abort.abort();
      return bad;
    };
    await repeated(5, 0, suite, abort);
    expect(ran).toBe(2);
    expect(readRecords(file)).toHaveLength(1);
  });

  test('does not record a run during which the checkout changed', async () => {
    const suite = async () => {
      commit = 'abc-dirty';
      return good;
    };
    await expect(repeated(1, 0, suite)).rejects.toThrow('was abc before the run and is abc-dirty now');
    expect(readRecords(file)).toEqual([]);
  });

  test('names the line of a file that it cannot read', async () => {
    await repeated(1, 0);
    writeFileSync(file, `${readFileSync(file, 'utf8')}{"commit":\n`);
    await expect(repeated(2, 0)).rejects.toThrow('results.jsonl, line 2 is no result of a run');
  });
});

test.skipIf(process.platform === 'win32')(
  'a command that is aborted ends with the processes that it has started',
  async () => {
    const pids = join(folder, 'pids');
    // Both of them ignore SIGTERM.
    const stay = "process.on('SIGTERM', () => undefined); setInterval(() => undefined, 1000);";
    const program = `
      const { spawn } = require('node:child_process');
      ${stay}
      const child = spawn(process.execPath, ['--eval', ${JSON.stringify(stay)}], { stdio: 'inherit' });
      require('node:fs').writeFileSync(${JSON.stringify(pids)}, process.pid + ' ' + child.pid);
      console.log('ready');
    `;
    const abort = new AbortController();
    const ended = run(process.execPath, ['--eval', program], { signal: abort.signal });
    await expect.poll(() => readFileSync(pids, { encoding: 'utf8', flag: 'a+' })).toMatch(/^\d+ \d+$/);
    const processes = readFileSync(pids, 'utf8').split(' ').map(Number);
    abort.abort();
    expect((await ended).code).not.toBe(0);
    // The parent of the second one has ended: the system may need a moment to reap it.
    for (const pid of processes) await expect.poll(() => isRunning(pid)).toBe(false);
  },
);

/** @returns false for a process that has ended, also before it is reaped. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return true;
  }
}
