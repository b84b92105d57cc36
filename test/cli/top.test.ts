// `hawser top`, `reload` and `drain` against a gateway of the test's process.

import { mkdirSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import type { ControlServer } from '../../src/base/control-socket.js';
import { HawserError } from '../../src/base/errors.js';
import { TopApp } from '../../src/cli/top-app.js';
import { defaultControlPath } from '../../src/gateway/control/control-path.js';
import { openGatewayControl } from '../../src/gateway/control/control-socket.js';
import { FakeGateway } from '../gateway/admin/fake-gateway.js';
import { hawserHere } from './in-process.js';
import { ansiEscape } from './support.js';

const folder = mkdtempSync(join(tmpdir(), 'hawser-top-'));
const { XDG_RUNTIME_DIR: runtimeBefore } = process.env;
afterAll(async () => {
  if (runtimeBefore === undefined) delete process.env.XDG_RUNTIME_DIR;
  else process.env.XDG_RUNTIME_DIR = runtimeBefore;
  await rm(folder, { recursive: true });
});

let runs = 0;
const controls: ControlServer[] = [];

beforeEach(() => {
  const runtime = join(folder, String(++runs));
  mkdirSync(runtime);
  process.env.XDG_RUNTIME_DIR = runtime;
});
afterEach(async () => {
  for (const control of controls.splice(0)) await control.close();
});

async function start(gateway: FakeGateway, name: string = gateway.name): Promise<string> {
  const path = defaultControlPath(name);
  controls.push(await openGatewayControl(gateway, path));
  return path;
}

test.each(['top', 'reload', 'drain', 'capture'])(
  'without a gateway "hawser %s" says what to do',
  async (command) => {
    const { code, stderr } = await hawserHere(command);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^hawser \w+: no gateway of this user runs; start one with "hawser gateway", or /);
    const named = await hawserHere(command, 'north');
    expect(named.stderr).toMatch(/no gateway listens at .*north\.sock: it does not run, /);
    expect((await hawserHere(command, join(folder, 'other.sock'))).stderr).toContain('other.sock');
  },
);

test('of several gateways one has to be named', async () => {
  await start(new FakeGateway(), 'north');
  const south = new FakeGateway();
  await start(south, 'south');
  for (const command of ['top', 'reload', 'drain', 'capture']) {
    const { code, stderr } = await hawserHere(command);
    const message = `hawser ${command}: several gateways run: say which, one of north, south\n`;
    expect([code, stderr]).toEqual([1, message]);
  }
  expect((await hawserHere('reload', 'south')).code).toBe(0);
  expect(south.reloads).toBe(1);
});

test('a reload prints what it did, and what is wrong with the configuration', async () => {
  const gateway = new FakeGateway();
  await start(gateway);
  expect(await hawserHere('reload')).toEqual({
    code: 0,
    stdout: 'keys     1\nchanged  limits.maxPeers\n',
    stderr: '',
  });
  expect(JSON.parse((await hawserHere('reload', '--json')).stdout)).toEqual({
    keyIds: [1],
    changed: ['limits.maxPeers'],
    needRestart: [],
  });
  gateway.reloadError = new HawserError('ERR_HAWSER_CONFIG', `listeners must be ${ansiEscape}[2J`);
  const { code, stderr } = await hawserHere('reload');
  expect([code, stderr]).toEqual([1, 'hawser reload: listeners must be \\u{1b}[2J\n']);
});

test('a drain returns when it has begun; with --wait when nobody listens there any more', async () => {
  const gateway = new FakeGateway();
  await start(gateway);
  expect(await hawserHere('drain')).toEqual({ code: 0, stdout: 'draining\n', stderr: '' });
  expect(gateway.drains).toBe(1);
  // A process that there is not.
  const { snapshot } = gateway;
  gateway.snapshot = () => ({ ...snapshot.call(gateway), pid: 2 ** 30 });
  let hasEnded = false;
  const waiting = hawserHere('drain', '--wait').then((outcome) => {
    expect(hasEnded).toBe(true);
    return outcome;
  });
  await expect.poll(() => gateway.drains, { interval: 5 }).toBe(2);
  await expect.poll(() => gateway.snapshots, { interval: 5 }).toBeGreaterThan(3);
  hasEnded = true;
  await controls.pop()?.close();
  expect(await waiting).toEqual({ code: 0, stdout: 'draining\nstopped\n', stderr: '' });
});

test('elsewhere than on a terminal one view is printed, with --json the snapshot as it is', async () => {
  const gateway = new FakeGateway();
  await start(gateway);
  const { code, stdout } = await hawserHere('top', '--order', 'lost');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^test {2}RUNNING {2}up /);
  expect(stdout).toContain('peers by lost  1 to 1 of 1');
  expect(stdout).not.toContain(ansiEscape);
  expect(gateway.queries).toEqual([{ order: 'lost', limit: 20 }]);
  const json = await hawserHere('top', '--json', '--once');
  expect(JSON.parse(json.stdout)).toEqual({ ...gateway.snapshot(), timeMs: expect.any(Number) });
});

test('one peer is printed in full by its client id, or by what the gateway calls it', async () => {
  const gateway = new FakeGateway();
  await start(gateway);
  for (const id of ['42', 'udp:0:1:2']) {
    const { code, stdout } = await hawserHere('top', '--peer', id);
    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/^peer 42 {2}udp:0:1:2\n {2}address +127\.0\.0\.1:5000 /),
    ]);
  }
  expect(gateway.queries).toEqual([{ search: '42', limit: 1000, order: 'newest' }]);
  const json = await hawserHere('top', '--peer', '42', '--json');
  expect(JSON.parse(json.stdout)).toEqual(gateway.peer('udp:0:1:2'));
  for (const id of ['4', '421', 'udp:0:1:3']) {
    const { code, stderr } = await hawserHere('top', '--peer', id);
    expect([code, stderr]).toEqual([1, `hawser top: no peer ${id} is connected to this gateway\n`]);
  }
});

test('an order that is none is wrong usage', async () => {
  expect((await hawserHere('top', '--order', 'size')).code).toBe(2);
});

/** A terminal of 100 columns that keeps what is on it. */
class KeptTerminal {
  readonly columns = 100;
  readonly rows = 40;
  written = '';

  write(text: string): void {
    this.written += text;
  }

  /** The last picture. */
  get picture(): string {
    return stripVTControlCharacters(this.written.slice(this.written.lastIndexOf('\x1b[?2026h')));
  }
}

test('on a terminal keys are followed at once, and at the end all is as before', async () => {
  const gateway = new FakeGateway();
  const path = await start(gateway);
  const terminal = new KeptTerminal();
  const app = new TopApp(path, 'rtt', { output: terminal, paint: (_, text) => text });
  const ended = app.run(new AbortController().signal);
  const shows = (text: string): Promise<void> =>
    expect.poll(() => terminal.picture, { interval: 5 }).toContain(text);
  await shows('peers by rtt  1 to 1 of 1');
  app.type('o');
  await shows('peers by lost');
  await expect.poll(() => gateway.queries.at(-1)?.order, { interval: 5 }).toBe('lost');
  app.type('/4');
  await shows('beginning with 4▏');
  await expect.poll(() => gateway.queries.at(-1)?.search, { interval: 5 }).toBe('4');
  app.type('\r\r');
  await shows('peer 42  udp:0:1:2');
  app.type('q');
  await shows('peers by lost');
  app.type('q');
  await ended;
  expect(terminal.written.startsWith('\x1b[?1049h')).toBe(true);
  expect(terminal.written.endsWith('\x1b[?25h\x1b[?1049l')).toBe(true);
});

test('a gateway that is gone is waited for', async () => {
  const gateway = new FakeGateway();
  const path = await start(gateway);
  const terminal = new KeptTerminal();
  const app = new TopApp(path, 'rtt', { output: terminal, paint: (_, text) => text });
  const end = new AbortController();
  const ended = app.run(end.signal);
  const shows = (text: string): Promise<void> =>
    expect.poll(() => terminal.picture, { interval: 10 }).toContain(text);
  await shows('o O order');
  await controls.pop()?.close();
  await shows('the gateway does not run; waiting for it');
  await start(gateway);
  await shows('o O order');
  end.abort();
  await ended;
});
