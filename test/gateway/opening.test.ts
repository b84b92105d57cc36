// A gateway that cannot open one of its parts has none of them open afterwards, whichever it is.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { createServer, Server as NetServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import type { GatewayConfig } from '../../src/gateway/config.js';
import { openGateway } from '../../src/gateway/open-gateway.js';
import { formatKey } from '../../src/token/server-key.js';
import { Server } from '../../src/transport/server.js';
import { temporaryFolder } from '../cli/support.js';
import { SaeSite } from './sae-site.js';
import { key, silentLog, testConfig } from './support.js';

const folder = temporaryFolder();
const aFile = join(folder, 'a-file');
writeFileSync(aFile, 'no directory');
const control = join(folder, 'control.sock');
let site: SaeSite;
/** Addresses that others have. */
const udp = createSocket('udp4');
const tcp = createServer();
let udpTaken: string;
let tcpTaken: string;

beforeAll(async () => {
  site = await SaeSite.open(join(folder, 'sae'));
  udp.bind(0, '127.0.0.1');
  await once(udp, 'listening');
  udpTaken = `127.0.0.1:${udp.address().port}`;
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  const address = tcp.address();
  tcpTaken = `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
});
afterAll(async () => {
  udp.close();
  tcp.close();
  await site[Symbol.asyncDispose]();
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** With everything that a gateway can open, on stores that only one can have open at a time. */
function everything(): GatewayConfig {
  return testConfig({
    keys: [formatKey(key)],
    listeners: [
      { name: 'all', layers: ['messages', 'interaction', 'sync', 'sessions', 'keys'] },
      { name: 'more', layers: ['messages'] },
    ],
    handlers: { interaction: () => expect.fail('nobody connects') },
    sync: { store: join(folder, 'sync') },
    sessions: { store: `lmdb:${join(folder, 'sessions')}` },
    sae: site.config,
    metrics: { address: '127.0.0.1:0' },
    admin: { address: '127.0.0.1:0' },
    tokens: { address: '127.0.0.1:0' },
    control,
  });
}

/** Whatever listens from now on. */
function watchServers(): { readonly gateways: Server[]; readonly others: Set<NetServer> } {
  const gateways: Server[] = [];
  const others = new Set<NetServer>();
  const listen = Server.listen;
  vi.spyOn(Server, 'listen').mockImplementation(async (options) => {
    const server = await listen.call(Server, options);
    gateways.push(server as never);
    return server as never;
  });
  const bind = NetServer.prototype.listen;
  vi.spyOn(NetServer.prototype, 'listen').mockImplementation(function (this: NetServer, ...args: unknown[]) {
    others.add(this);
    return Reflect.apply(bind, this, args);
  });
  return { gateways, others };
}

const last = { name: 'last', address: '127.0.0.1:0', layers: ['messages'] as const };

test.each<[string, string, () => GatewayConfig]>([
  ['a key', 'ERR_HAWSER_CONFIG', () => ({ keys: [{ file: join(folder, 'none') }] })],
  ['the handlers', 'ERR_HAWSER_CONFIG', () => ({ handlers: join(folder, 'none.js') })],
  ['the address of the metrics', 'ERR_HAWSER_ADDRESS_IN_USE', () => ({ metrics: { address: tcpTaken } })],
  ['the admin server', 'ERR_HAWSER_ADDRESS_IN_USE', () => ({ admin: { address: tcpTaken } })],
  ['the control socket', 'ERR_HAWSER_SYSTEM', () => ({ control: join(aFile, 'control.sock') })],
  ['the store of sync', 'ERR_HAWSER_STORE', () => ({ sync: { store: aFile } })],
  ['the SAE', 'ERR_HAWSER_CONFIG', () => ({ sae: { ...site.config, signingKey: join(folder, 'none') } })],
  ['the store of sessions', 'ERR_HAWSER_STORE', () => ({ sessions: { store: `lmdb:${aFile}` } })],
  [
    'the last listener',
    'ERR_HAWSER_ADDRESS_IN_USE',
    () => ({ listeners: [...(everything().listeners ?? []), { ...last, address: udpTaken }] }),
  ],
  [
    'the setup of the last listener',
    'ERR_HAWSER_ARGUMENT',
    () => ({
      handlers: {
        ...(everything().handlers as object),
        setup: (server, { listener }) => {
          // As a slip in a user's module would be.
          if (listener === 'more') server.setKeys([]);
        },
      },
    }),
  ],
  ['the token endpoint', 'ERR_HAWSER_ADDRESS_IN_USE', () => ({ tokens: { address: tcpTaken } })],
])('%s', async (_, code, wrong) => {
  const { gateways, others } = watchServers();
  await expect(openGateway({ ...everything(), ...wrong() })).rejects.toMatchObject({ code });
  expect(gateways.filter(({ state }) => state !== 'STOPPED')).toEqual([]);
  expect([...others].filter(({ listening }) => listening)).toEqual([]);
  expect(existsSync(control)).toBe(false);
});

test('one that was prepared before it failed has told that it has stopped', async () => {
  const states: string[] = [];
  const opening = openGateway(testConfig({ tokens: { address: tcpTaken } }), {
    prepared: (gateway) => void gateway.on('state', (state) => states.push(state)),
  });
  await expect(opening).rejects.toMatchObject({ code: 'ERR_HAWSER_ADDRESS_IN_USE' });
  expect(states).toEqual(['STOPPED']);
});

test('whoever gives up while it waits for a store has nothing open, either', async () => {
  const { gateways, others } = watchServers();
  const given = new AbortController();
  const sessions = { store: 'etcd://127.0.0.1:9' };
  const log = silentLog();
  const opening = openGateway({ ...everything(), sessions, log: { logger: log } }, { signal: given.signal });
  opening.catch(() => undefined);
  const said = (): readonly string[] => log.lines.map(({ message }) => message);
  await expect.poll(said).not.toEqual([]);
  // Repeated now and then, and nothing else.
  for (const message of said()) expect(message).toMatch(/^cannot reach the store etcd:/);
  given.abort();
  await expect(opening).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
  expect(gateways.filter(({ state }) => state !== 'STOPPED')).toEqual([]);
  expect([...others].filter(({ listening }) => listening)).toEqual([]);
});

test('after all of these the same stores and the same socket can be opened', async () => {
  const { gateways, others } = watchServers();
  await using gateway = await openGateway(everything());
  expect(gateway.state).toBe('RUNNING');
  // So that the tests above look at something.
  expect([gateways.length, others.size]).toEqual([2, 4]);
});

test.each<[string, GatewayConfig, number]>([
  ['a key that others have', { keys: [formatKey(key)] }, 1],
  ['a key that is made for the run', {}, 0],
])('a restart guard shorter than the clock skew is in the log, with %s', async (_, keys, lines) => {
  const log = silentLog();
  const listener = { address: '127.0.0.1:0', restartGuardMs: 20_000 };
  await using gateway = await openGateway(
    testConfig({ ...keys, listeners: [listener], log: { logger: log } }),
  );
  expect(gateway.state).toBe('RUNNING');
  const warnings = log.lines.filter(({ message }) => message.includes('restartGuardMs'));
  expect(warnings).toHaveLength(lines);
  for (const { level, message } of warnings) {
    expect(level).toBe('warn');
    expect(message).toContain('used up to 40000 ms before the restart');
  }
});
