// Each example runs as its first lines say. Node.js 20 runs no TypeScript, so types are removed first, as later versions do.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { hawserConnector, InteractionClient } from '../../src/interaction/index.js';
import { formatKey, generateKey, mintToken } from '../../src/token/index.js';

const folder = fileURLToPath(new URL('../../examples/', import.meta.url));
// Inside the package, so that `hawser` is this package.
const output = fileURLToPath(new URL('../../build/examples/', import.meta.url));

/** A running example whose lines are waited for. */
class Example {
  readonly process: ChildProcess;
  /** The lines that were read so far. */
  readonly read: string[] = [];
  readonly #ended: Promise<unknown>;
  readonly #lines: AsyncIterator<string>;

  constructor(name: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
    this.process = spawn(process.execPath, [`${output}${name}.js`, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const { stdout } = this.process;
    if (stdout === null) throw new Error('no standard output');
    this.#lines = createInterface(stdout)[Symbol.asyncIterator]();
    this.#ended = once(this.process, 'exit');
    running.add(this);
  }

  /** The next line that begins so, without that beginning. */
  async line(beginning: string): Promise<string> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(`it ended without a line that begins with "${beginning}"`);
      this.read.push(value);
      if (value.startsWith(beginning)) return value.slice(beginning.length);
    }
  }

  /** All lines until it ends. */
  async rest(): Promise<string[]> {
    const lines: string[] = [];
    for (let next = await this.#lines.next(); !next.done; next = await this.#lines.next())
      lines.push(next.value);
    this.read.push(...lines);
    return lines;
  }

  async exit(): Promise<number | null> {
    await this.#ended;
    return this.process.exitCode;
  }

  /** As when its machine fails. */
  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.#ended;
  }
}

const running = new Set<Example>();
/** Beside them are folders with configurations. */
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.ts'))
  .map((file) => file.replace(/\.ts$/, ''));

/** Puts a program without its types where {@link Example} runs it. */
function prepare(name: string, source: string): void {
  const compilerOptions = {
    module: ModuleKind.ESNext,
    target: ScriptTarget.ES2023,
    rewriteRelativeImportExtensions: true,
  };
  writeFileSync(`${output}${name}.js`, transpileModule(source, { compilerOptions }).outputText);
}

beforeAll(() => {
  mkdirSync(output, { recursive: true });
  for (const name of names) prepare(name, readFileSync(`${folder}${name}.ts`, 'utf8'));
});

/** Where examples keep things. */
const stores = mkdtempSync(join(tmpdir(), 'hawser-examples-'));
afterAll(() => rmSync(stores, { recursive: true }));

// Nobody writes to the folders any more when they are removed.
afterEach(async () => {
  await Promise.all(Array.from(running, (example) => example.kill()));
  running.clear();
});

test('there is no example without a test', () => {
  expect(names.sort()).toEqual([
    'echo-client',
    'echo-server',
    'sessions-client',
    'sessions-server',
    'sync-agent',
    'sync-manager',
    'thermostat-controller',
    'thermostat-device',
    'thermostat-model',
    'tick-broadcast',
    'token-backend',
  ]);
});

test('echo-client talks to echo-server with the token that it prints', async () => {
  const server = new Example('echo-server');
  const client = new Example('echo-client', [await server.line('token ')]);
  expect(await client.line('connected to ')).toMatch(/^127\.0\.0\.1:\d+$/);
  await client.line('echo 10 after ');
  expect(await client.line('ended: ')).toBe('closed');
  expect(await client.exit()).toBe(0);
  expect(await server.line('client 1 is gone: ')).toBe('disconnected');
  server.process.kill('SIGTERM');
  expect(await server.exit()).toBe(0);
});

test('echo-client gets its token from token-backend', async () => {
  const key = { HAWSER_KEY: formatKey(generateKey()) };
  const server = new Example('echo-server', [], key);
  const address = await server.line('listening on ');
  const backend = new Example('token-backend', ['0'], { ...key, GATEWAYS: address });
  const url = await backend.line('');
  const client = new Example('echo-client', [url]);
  await client.line('echo 10 after ');
  expect(await client.exit()).toBe(0);
  await server.line('client 1 connected');

  const post = async (body: string): Promise<number> => (await fetch(url, { method: 'POST', body })).status;
  expect(await post('{"user": ""}')).toBe(403);
  expect(await post('nonsense')).toBe(400);
  expect((await fetch(url)).status).toBe(404);
});

test('echo-client says in one line why it cannot connect', async () => {
  const client = new Example('echo-client', ['no-token']);
  const { stderr } = client.process;
  const [line] = await once(createInterface(stderr ?? expect.fail('no standard error')), 'line');
  expect(line).toBe(
    'ERR_HAWSER_TOKEN_INVALID: the connect token is invalid: 6 bytes instead of 1119 to 1720',
  );
  expect(await client.exit()).toBe(1);
});

test('tick-broadcast tells every player about every tick', async () => {
  // Not the last tick: whoever is late may not hear that one any more.
  const game = new Example('tick-broadcast', ['3', '30']);
  expect(await game.line('tick 20: ')).toMatch(/^1 at \d\.\d\d, 2 at \d\.\d\d, 3 at \d\.\d\d$/);
  const heard = Number((await game.line('30 ticks, 3 players; each heard at least ')).trim());
  expect(heard).toBeGreaterThan(0);
  expect(await game.exit()).toBe(0);
});

test('thermostat-controller has thermostat-device heat, and hears when it is warm', async () => {
  const device = new Example('thermostat-device');
  const controller = new Example('thermostat-controller', [await device.line('token ')]);
  expect(await controller.line('it is ')).toMatch(/^\d+(\.\d)? degrees, and is to be 21$/);
  await controller.line('it heats until ');
  await controller.line('it is warm');
  expect(await controller.exit()).toBe(0);
  expect(await device.line('the target is ')).toMatch(/degrees now$/);
  device.process.kill('SIGTERM');
  expect(await device.exit()).toBe(0);
});

test('a thermostat-device that is killed and started again is found again, and its values heard anew', async () => {
  const serverKey = generateKey();
  const key = { HAWSER_KEY: formatKey(serverKey) };
  const device = new Example('thermostat-device', [], key);
  const address = await device.line('listening on ');
  // It is lost when it was killed, not when its process stands still for a while.
  const user = { protocolId: 1n, key: serverKey, clientId: 1n, timeoutMs: 10_000 };
  const token = await mintToken({ ...user, addresses: [address] });
  const client = new InteractionClient({ connector: hawserConnector(token), resubscribe: true });
  const heard: string[] = [];
  let tell: () => void = () => undefined;
  const next = (what: string): Promise<void> =>
    new Promise((resolve) => {
      tell = () => heard.at(-1) === what && resolve();
      tell();
    });
  const hear = (what: string): void => {
    if (heard.at(-1) !== what) heard.push(what);
    tell();
  };
  try {
    await client.connect();
    const listener = { notified: ({ kind }: { kind: string }) => hear(kind), stale: hear };
    await client.subscribe({ endpoint: 1, feature: 2, attributes: [1], minIntervalMs: 0 }, listener);
    await next('change');
    await device.kill();
    await next('connectionLost');
    const again = new Example('thermostat-device', [address], key);
    await next('change');
    expect(heard).toEqual(['priming', 'change', 'connectionLost', 'priming', 'change']);
    again.process.kill('SIGTERM');
    expect(await again.exit()).toBe(0);
  } finally {
    await client.close();
  }
});

test('sync-agent tells sync-manager its readings', async () => {
  const manager = new Example('sync-manager', [join(stores, 'store')]);
  const agent = new Example('sync-agent', [await manager.line('token '), join(stores, 'queue'), '3']);
  expect(await agent.line('0 items wait ')).toBe('from before');
  // Of one reading, or of those that were there before the connection was.
  expect(await agent.line('the manager has ')).toMatch(/^[246] items on its disk$/);
  expect(await agent.line("the manager's documents: ")).toBe('valid');
  expect(await agent.exit()).toBe(0);
  await manager.line('agent 1, CHECK: Ok');
  expect(await manager.line('  meters/cellar ')).toBe('{"kWh":0.18}');
  expect(await manager.line('  meters/kitchen ')).toBe('{"kWh":3.6}');
  manager.process.kill('SIGTERM');
  expect(await manager.exit()).toBe(0);
});

test('sync-agent and sync-manager that are killed and started again go on', async () => {
  const key = { HAWSER_KEY: formatKey(generateKey()) };
  const store = join(stores, 'killed-store');
  const queue = join(stores, 'killed-queue');
  const manager = new Example('sync-manager', [store], key);
  const address = await manager.line('listening on ');
  const token = await manager.line('token ');
  const agent = new Example('sync-agent', [token, queue], key);
  await agent.line('the manager has ');
  await manager.kill();
  await agent.line('no manager: ');
  // It goes on reading its meters until it is killed.
  const [, told = ''] = /^(\d+) items wait: /.exec(await agent.line('')) ?? [];
  expect(Number(told)).toBeGreaterThan(0);
  await agent.kill();
  const again = new Example('sync-manager', [store, address], key);
  await again.line('token ');
  const second = new Example('sync-agent', [token, queue, '1']);
  const [, found = ''] = /^(\d+) items wait from before$/.exec(await second.line('')) ?? [];
  expect(Number(found)).toBeGreaterThanOrEqual(Number(told));
  expect(await second.line("the manager's documents: ")).toBe('valid');
  expect(await second.exit()).toBe(0);
  again.process.kill('SIGTERM');
  expect(await again.exit()).toBe(0);
});

test('sessions-server that is killed and started again goes on with the session of sessions-client, and counts once', async () => {
  const key = { HAWSER_KEY: formatKey(generateKey()) };
  const store = join(stores, 'sessions');
  const server = new Example('sessions-server', [store], key);
  const address = await server.line('listening on ');
  // More than it can count to before the server is killed.
  const requests = 100;
  const client = new Example('sessions-client', [await server.line('token '), `${requests}`]);
  await client.line('a new session');
  await client.line('counted to 2');
  await server.kill();
  await client.line('disconnected');
  const again = new Example('sessions-server', [store, address], key);
  await client.line('the session goes on');
  expect((await client.rest()).some((line) => line.startsWith('counted to '))).toBe(true);
  const counted = client.read.flatMap((line) => /^counted to (\d+)$/.exec(line)?.[1] ?? []).map(Number);
  expect(counted).toEqual(Array.from({ length: requests }, (_, n) => n + 1));
  expect(client.read).toContain('the server says: 10 already');
  expect(await client.exit()).toBe(0);
  await again.line('client 1 goes on with its session');
  await again.line('the session of client 1 closed');
  again.process.kill('SIGTERM');
  expect(await again.exit()).toBe(0);
});

test('the programs of docs/sessions.md run', async () => {
  const page = readFileSync(new URL('../../docs/sessions.md', import.meta.url), 'utf8');
  const [server, client] = Array.from(page.matchAll(/```ts\n(import .*?)```/gs), ([, program]) => program);
  // Where tests keep things.
  const store = `openSessionStore(${JSON.stringify(join(stores, 'docs-sessions'))})`;
  prepare(
    'docs-sessions-server',
    server?.replace("openSessionStore('sessions')", store) ?? expect.fail('no server'),
  );
  prepare('docs-sessions-client', client ?? expect.fail('no client'));
  const running = new Example('docs-sessions-server');
  const counter = new Example('docs-sessions-client', [await running.line('')]);
  expect(await counter.rest()).toEqual(['1', '2', '3']);
  expect(await counter.exit()).toBe(0);
  expect(await running.line('created ')).toMatch(/^[\da-f-]{36} 1$/);
});

test('the program of docs/transport.md about channels runs', async () => {
  const page = readFileSync(new URL('../../docs/transport.md', import.meta.url), 'utf8');
  prepare('docs-channels', /## Channels.*?```ts\n(.*?)```/s.exec(page)?.[1] ?? expect.fail('no program'));
  const program = new Example('docs-channels');
  const lines = [await program.line(''), await program.line('')];
  expect(lines.sort()).toEqual(['7: HELLO', 'the server has it']);
  expect(await program.exit()).toBe(0);
});

test('the program of docs/testing.md runs, and each time alike', async () => {
  const page = readFileSync(new URL('../../docs/testing.md', import.meta.url), 'utf8');
  prepare('docs-testing', /```ts\n(.*?)```/s.exec(page)?.[1] ?? expect.fail('no program'));
  const echoed = await new Example('docs-testing').line('');
  expect(echoed).toMatch(/^[5-9]\d of 100 came back$/);
  expect(await new Example('docs-testing').line('')).toBe(echoed);
});
