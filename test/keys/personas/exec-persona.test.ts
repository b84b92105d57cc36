import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { HawserError } from '../../../src/base/errors.js';
import { ExecPersona, type ExecPersonaOptions } from '../../../src/keys/personas/exec-persona.js';
import { contextOf, deviceKey, peer } from './support.js';

const program = fileURLToPath(new URL('children/device.mjs', import.meta.url));
const argument = expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' });

let folder: string;
let log: string;
let count = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hawser-exec-'));
});
beforeEach(() => {
  log = join(folder, `log-${++count}`);
});
afterEach(() => {
  vi.useRealTimers();
});
afterAll(() => rm(folder, { recursive: true }));

function persona(mode = '', options: Partial<ExecPersonaOptions> = {}): ExecPersona {
  const environment = { DEVICE_LOG: log, DEVICE_MODE: mode };
  return new ExecPersona({ command: [process.execPath, program, 'one'], environment, ...options });
}

async function logged(): Promise<Record<string, unknown>[]> {
  const lines = (await readFile(log, 'utf8')).trim().split('\n');
  return lines.map((line): Record<string, unknown> => JSON.parse(line));
}

/** '' before the first line. */
const written = (): Promise<string> => readFile(log, 'utf8').catch(() => '');

/** Whether it has ended, and waits at most for whoever inherited it to ask how. */
function isGone(pid: number): boolean {
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
  return stdout.trim() === '' || stdout.startsWith('Z');
}

async function failure(promise: Promise<unknown>): Promise<HawserError> {
  const error = await promise.then(
    () => undefined,
    (reason: HawserError) => reason,
  );
  expect(error).toMatchObject({ code: 'ERR_HAWSER_DEVICE' });
  return error ?? expect.fail('it did not fail');
}

describe('the exec persona', () => {
  test('gives the action as the last argument, ids in the environment, and the key on standard input only', async () => {
    const key = deviceKey('key 1');
    await persona().preConfigure(key, contextOf());
    expect(await logged()).toEqual([
      {
        rest: ['one', 'preconfigure'],
        action: 'preconfigure',
        keyId: 'key 1',
        peer,
        role: 'slave',
        session: contextOf().sessionId,
        input: Buffer.from(key.material.bytes).toString('hex'),
        names: expect.not.arrayContaining(['HOME']),
      },
    ]);
  });

  test('gives the key in base64, as one line, if asked to', async () => {
    const key = deviceKey('key 1', 31);
    await persona('', { encoding: 'base64' }).rotate(key, contextOf());
    const line = `${Buffer.from(key.material.bytes).toString('base64')}\n`;
    expect(await logged()).toMatchObject([{ action: 'rotate', input: Buffer.from(line).toString('hex') }]);
  });

  test('calls it for everything that a device does, without a key where none is wanted', async () => {
    const device = persona();
    await device.rotate(undefined, contextOf({ sessionId: undefined }));
    await device.deleteKey('key 1', contextOf());
    await device.failClosed(contextOf());
    expect(await device.testConnection(contextOf())).toBe(true);
    expect(await device.status(contextOf())).toEqual({ connected: true, service: 'operational' });
    const actions = ['rotate-none', 'delete', 'fail-closed', 'test', 'status'];
    const calls = await logged();
    expect(calls.map(({ action }) => action)).toEqual(actions);
    expect(calls.map(({ input }) => input)).toEqual(['', '', '', '', '']);
    expect(calls.map(({ session }) => session === '')).toEqual([true, false, false, false, false]);
  });

  test('no argument or id is ever read by a shell', async () => {
    const device = persona('', { command: [process.execPath, program, '$(id); `id`'] });
    await device.deleteKey('"; rm -rf x; #\n', contextOf());
    expect(await logged()).toMatchObject([{ rest: ['$(id); `id`', 'delete'], keyId: '"; rm -rf x; #\n' }]);
  });

  test('an id with a zero character, which no environment can have, is a failure and not a crash', async () => {
    await failure(persona().deleteKey('a\0b', contextOf()));
  });

  test('a program that hangs is told to end, then killed, and the call fails', async () => {
    const ending = new AbortController();
    // Each poll lets 10 ms of this time pass. It must not be over before the program has heard of the end.
    const device = persona('hang', { killAfterMs: 60_000 });
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const call = failure(device.rotate(deviceKey('key 1'), contextOf({ signal: ending.signal })));
    await expect.poll(written, { interval: 10 }).toMatch(/\n/);
    ending.abort();
    await expect.poll(written, { interval: 10 }).toMatch(/\nSIGTERM\n/);
    const [pid] = (await written()).split('\n');
    expect(isGone(Number(pid))).toBe(false);
    vi.advanceTimersByTime(60_000);
    expect((await call).message).toContain('took too long');
    expect(isGone(Number(pid))).toBe(true);
  });

  test('a program that is called when the time is over fails', async () => {
    const device = persona('hang', { killAfterMs: 1 });
    const error = await failure(device.deleteKey('key 1', contextOf({ signal: AbortSignal.abort() })));
    expect(error.message).toContain('took too long');
  });

  test('what a program has started does not outlive a call that takes too long', async () => {
    const ending = new AbortController();
    const script = '(trap "" TERM; exec sleep 1000) & echo $! > "$DEVICE_LOG"; wait';
    const device = persona('', { command: ['/bin/sh', '-c', script], killAfterMs: 60_000 });
    const call = failure(device.deleteKey('key 1', contextOf({ signal: ending.signal })));
    await expect.poll(written, { interval: 10 }).toMatch(/\n/);
    ending.abort();
    await call;
    const started = Number(await written());
    await expect.poll(() => isGone(started), { interval: 10 }).toBe(true);
  });

  test('of 10 MB of output the beginning is kept, and the rest is read all the same', async () => {
    const error = await failure(persona('flood').deleteKey('key 1', contextOf()));
    expect(error.message).toContain('ended with 3');
    expect(error.message.length).toBeLessThan(500);
  });

  test('an end by a signal is a failure', async () => {
    const error = await failure(persona('signal').deleteKey('key 1', contextOf()));
    expect(error.message).toContain('SIGKILL');
  });

  test('what a program says is one line without anything that a terminal obeys', async () => {
    const error = await failure(persona('terminal').deleteKey('key 1', contextOf()));
    expect(error.message).toMatch(/: no \[2Jsuch device$/);
  });

  test.each(['echo base64', 'echo hex', 'echo binary'])(
    'an output with the key in it (%s) is withheld',
    async (mode) => {
      const key = deviceKey('key 1');
      const error = await failure(persona(mode).rotate(key, contextOf()));
      expect(error.message).toContain('withheld');
      const shown = inspect(error, { depth: 9 });
      expect(shown).not.toContain(Buffer.from(key.material.bytes).toString('base64').slice(0, 12));
      expect(shown.toLowerCase()).not.toContain(Buffer.from(key.material.bytes).toString('hex').slice(0, 12));
    },
  );

  test('a program that is not there is a failure', async () => {
    const device = new ExecPersona({ command: [join(folder, 'none')] });
    await failure(device.preConfigure(deviceKey('key 1'), contextOf()));
    await failure(device.status(contextOf()));
  });

  test('a program that ends without reading its input, with 0, has done it', async () => {
    const device = new ExecPersona({ command: ['true'] });
    await device.rotate(deviceKey('key 1', (1024 * 3) / 4), contextOf());
  });

  test.each([
    [{ command: [] }],
    [{ command: [''] }],
    [{ command: ['a\0b'] }],
    [{ command: ['a'], encoding: 'hex' }],
    [{ command: ['a'], environment: { HAWSER_ACTION: 'x' } }],
    [{ command: ['a'], environment: { 'A=B': 'x' } }],
    [{ command: ['a'], maxOutputBytes: 1 }],
    [{ command: ['a'], shell: true }],
  ])('refuses %j', (options) => {
    // As a configuration file might have it.
    const given: ExecPersonaOptions = JSON.parse(JSON.stringify(options));
    expect(() => new ExecPersona(given)).toThrow(argument);
  });
});
