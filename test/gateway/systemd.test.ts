// What systemd hears, at a socket as it makes one. Node has no Unix datagram sockets: Python reads.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { Systemd } from '../../src/gateway/systemd.js';
import { RunningCommand } from '../cli/support.js';
import { KeptLog } from './admin/fake-gateway.js';

const folder = mkdtempSync(join(tmpdir(), 'hawser-systemd-'));
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => {
  vi.useRealTimers();
});

const python = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';
const reader = `
import json, socket, sys
name = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("\\0" + name[1:] if name.startswith("@") else name)
print("ready", flush=True)
while True: print(json.dumps(s.recv(65536).decode()), flush=True)
`;

class NotifySocket implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #interface: Interface;

  static async open(path: string): Promise<NotifySocket> {
    const child = spawn(python, ['-c', reader, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    const socket = new NotifySocket(child, createInterface({ input: child.stdout }));
    expect((await socket.#lines.next()).value).toBe('ready');
    return socket;
  }

  private constructor(child: ChildProcess, lines: Interface) {
    this.#child = child;
    this.#interface = lines;
    this.#lines = lines[Symbol.asyncIterator]();
  }

  /** The next datagram. */
  async next(): Promise<string> {
    return JSON.parse((await this.#lines.next()).value);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill();
    await ended;
    this.#interface.close();
  }
}

const onLinux = process.platform === 'linux';

test.runIf(onLinux).each([
  ['a path', join(folder, 'notify')],
  ['a name of the abstract namespace', `@hawser-test-${process.pid}`],
])('systemd is told of the whole life of a gateway, over %s', async (_, path) => {
  await using socket = await NotifySocket.open(path);
  const log = new KeptLog();
  const env: NodeJS.ProcessEnv = { NOTIFY_SOCKET: path, OTHER: 'x' };
  const systemd = Systemd.fromEnvironment({ env, log });
  expect(env).toEqual({ OTHER: 'x' });
  systemd?.ready();
  expect(await socket.next()).toBe('READY=1');
  systemd?.status('RUNNING, 12 peers\nREADY=0');
  systemd?.status('RUNNING, 12 peers\nREADY=0');
  // One line, and told once.
  expect(await socket.next()).toBe('STATUS=RUNNING, 12 peers READY=0');
  const before = process.hrtime.bigint() / 1000n;
  systemd?.reloading();
  const after = process.hrtime.bigint() / 1000n;
  const [reloading, monotonic] = (await socket.next()).split('\n');
  expect(reloading).toBe('RELOADING=1');
  const micros = BigInt(/^MONOTONIC_USEC=(\d+)$/.exec(monotonic ?? '')?.[1] ?? 0);
  expect(micros - before).toBeGreaterThanOrEqual(0n);
  expect(after - micros).toBeGreaterThanOrEqual(0n);
  systemd?.stopping(12_000.5);
  expect(await socket.next()).toBe('STOPPING=1\nEXTEND_TIMEOUT_USEC=12000500');
  expect(log.lines).toEqual([]);
});

test.runIf(onLinux)('the watchdog hears of it in half of its time, until the end', async () => {
  const path = join(folder, 'watchdog');
  await using socket = await NotifySocket.open(path);
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: '40000', WATCHDOG_PID: String(process.pid) };
  using systemd = Systemd.fromEnvironment({ env, log: new KeptLog() });
  systemd?.ready();
  expect(await socket.next()).toBe('READY=1');
  // One at a time: the socket holds few, and what finds no room is not told.
  for (let i = 0; i < 3; ++i) {
    vi.advanceTimersByTime(20);
    expect(await socket.next()).toBe('WATCHDOG=1');
  }
  vi.advanceTimersByTime(19);
  systemd?.[Symbol.dispose]();
  vi.advanceTimersByTime(1000);
  systemd?.stopping(0);
  expect(await socket.next()).toContain('STOPPING=1');
});

test.runIf(onLinux)('"hawser gateway" tells of its start, of a reload and of its end', async () => {
  const path = join(folder, 'command');
  await using socket = await NotifySocket.open(path);
  const args = [
    'gateway',
    '--listen=127.0.0.1:0',
    '--http=off',
    '--admin=off',
    '--control-socket=off',
    '--json',
  ];
  const command = new RunningCommand(args, { NOTIFY_SOCKET: path });
  expect(await socket.next()).toBe('READY=1');
  expect(await socket.next()).toBe('STATUS=RUNNING, 0 peers');
  command.kill('SIGHUP');
  expect(await socket.next()).toMatch(/^RELOADING=1\nMONOTONIC_USEC=\d+$/);
  expect(await socket.next()).toBe('READY=1');
  command.kill('SIGTERM');
  expect(await socket.next()).toMatch(/^STOPPING=1\nEXTEND_TIMEOUT_USEC=\d+$/);
  expect((await command.outcome).code).toBe(0);
});

test.each([
  ['none is asked for', {}],
  ['it is another process’s', { WATCHDOG_USEC: '1000', WATCHDOG_PID: '1' }],
  ['its time is none', { WATCHDOG_USEC: '-5' }],
])('there is no watchdog where %s', async (_, watchdog) => {
  const timers: unknown[] = [];
  const { setInterval: original } = globalThis;
  globalThis.setInterval = Object.assign((...args: unknown[]) => timers.push(args), original) as never;
  try {
    const env = { NOTIFY_SOCKET: join(folder, 'nobody'), ...watchdog };
    Systemd.fromEnvironment({ env, log: new KeptLog() })?.ready();
  } finally {
    globalThis.setInterval = original;
  }
  expect(timers).toEqual([]);
});

test('a watchdog of ages is one of the longest time that a timer has', () => {
  const delays: unknown[] = [];
  const { setInterval: original } = globalThis;
  const kept = (_: unknown, ms: number) => ({ unref: () => void delays.push(ms) });
  globalThis.setInterval = Object.assign(kept, original) as never;
  try {
    const env = { NOTIFY_SOCKET: join(folder, 'nobody'), WATCHDOG_USEC: '9007199254740991' };
    Systemd.fromEnvironment({ env, log: new KeptLog() })?.ready();
  } finally {
    globalThis.setInterval = original;
  }
  expect(delays).toEqual([2 ** 31 - 1]);
});

test('where no service manager waits there is nothing to tell', () => {
  expect(Systemd.fromEnvironment({ env: {}, log: new KeptLog() })).toBeUndefined();
  expect(Systemd.fromEnvironment({ env: { NOTIFY_SOCKET: '' }, log: new KeptLog() })).toBeUndefined();
});

test.each(['/nobody/listens/here', 'relative', '@', `/${'x'.repeat(200)}`, 'vsock:2:1234', '/a\0b'])(
  'a socket that cannot be reached (%j) is told once, and ends nothing',
  (path) => {
    const log = new KeptLog();
    const systemd = Systemd.fromEnvironment({ env: { NOTIFY_SOCKET: path }, log });
    systemd?.ready();
    systemd?.stopping(1);
    expect(log.lines.map(({ level }) => level)).toEqual(['warn']);
  },
);
