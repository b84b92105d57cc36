// Gateways in this process over real sockets: opening, views, reloads, drains.

import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadConfig } from '../../src/gateway/config-file.js';
import { gatewayChannels } from '../../src/gateway/layers/channels.js';
import { openGateway } from '../../src/gateway/open-gateway.js';
import { SessionClient, sessionConnector } from '../../src/sessions/index.js';
import { formatKey } from '../../src/token/server-key.js';
import { connect } from '../../src/transport/client.js';
import { temporaryFolder } from '../cli/support.js';
import { key, openTest, otherKey, silentLog, tokenFor } from './support.js';

const folder = temporaryFolder();
let files = 0;
const newPath = (name: string): string => join(folder, `${++files}-${name}`);

test('messages and sessions on one listener and one connection each, and views of both', async () => {
  const layers = ['messages', 'sessions'] as const;
  await using gateway = await openTest({ keys: [formatKey(key)], listeners: [{ layers }], sessions: {} });
  const channels = gatewayChannels(layers);
  await using connection = await connect(await tokenFor(gateway), { channels });
  connection.send('default', Buffer.from('hello'));
  const [echo] = await once(connection, 'message');
  expect(Buffer.from(echo).toString()).toBe('hello');
  const token = await tokenFor(gateway, 'udp', { clientId: 8n });
  const client = new SessionClient({ connector: sessionConnector(token, { channels: channels as never }) });
  await client.connect();
  expect(Buffer.from(await client.request(Buffer.from('again'))).toString()).toBe('again');
  expect(gateway.peers({ order: 'newest' }).peers.map(({ clientId }) => clientId)).toEqual(['8', '7']);
  expect(gateway.peers({ search: '7' })).toMatchObject({
    total: 1,
    peers: [{ clientId: '7', wire: 'hawser' }],
  });
  const found = (search: string): number => gateway.peers({ search }).total;
  expect(['8', '127', '127.0.0.1:', '[', '128', 'udp', '7 ', '0'.repeat(256)].map(found)).toEqual([
    ...[1, 2, 2, 0, 0, 0, 0, 0],
  ]);
  expect(() => gateway.peers({ limit: 0 })).toThrow(/limit must be an integer from 1 to 1000/);
  expect(gateway.peer(gateway.peers().peers[0]?.id ?? '')).toMatchObject({ clientId: '7', keyEpoch: 0 });
  expect(gateway.peer('udp:0:99:1')).toBeUndefined();
  expect(gateway.peer('udp:0:0:1:__proto__')).toBeUndefined();
  expect(gateway.sessions()).toMatchObject({ total: 1, sessions: [{ identity: '8', connected: true }] });
  const snapshot = gateway.snapshot();
  expect(JSON.parse(JSON.stringify(snapshot))).toMatchObject({
    state: 'RUNNING',
    listeners: [{ name: 'udp', layers, peers: 2, peersByWire: { hawser: 2, netcode: 0 } }],
    layers: { sessions: { sessions: 1, store: 'memory', cluster: 'active' } },
  });
  expect(JSON.stringify(snapshot)).not.toContain(formatKey(key).slice(15));
  await client.close();
});

test('a handler that throws, or is given up on, opens nothing', async () => {
  const setup = (): never => {
    throw new Error('no luck');
  };
  await expect(openTest({ handlers: { setup } })).rejects.toThrow('no luck');
  const signal = AbortSignal.abort();
  await expect(openTest({}, { signal })).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
  const handlers = { onRequest: () => ({ result: new Uint8Array() }) };
  await expect(openTest({ handlers })).rejects.toThrow(
    "handlers.onRequest is of the layer 'sessions', which no listener has",
  );
});

test('a reload changes keys and limits while peers stay; a wrong file changes nothing', async () => {
  const file = newPath('hawser.config.json');
  const config = (more: object): void => {
    const common = { admin: false, control: false, log: { events: false, level: 'fatal' } };
    writeFileSync(file, JSON.stringify({ ...common, listeners: [{ address: '127.0.0.1:0' }], ...more }));
  };
  config({ keys: [formatKey(key)], limits: { maxPeers: 2 } });
  await using gateway = await openGateway(await loadConfig(file));
  await using before = await connect(await tokenFor(gateway));

  config({ keys: [formatKey(key)], limits: { maxPeers: 'many' } });
  await expect(gateway.reload()).rejects.toMatchObject({
    code: 'ERR_HAWSER_CONFIG',
    message: `${file}: limits.maxPeers must be an integer from 1 to 1000000; got "many"`,
  });
  config({ keys: ['hawser-key-1:9:short'] });
  await expect(gateway.reload()).rejects.toThrow(/^keys\[0\]: not a server key of the form (?!.*short)/);
  expect(gateway.keys.ids).toEqual([1]);

  config({ keys: [formatKey(otherKey)], limits: { maxPeers: 1 }, name: 'other' });
  expect(await gateway.reload()).toEqual({
    keyIds: [2],
    changed: ['keys', 'limits.maxPeers'],
    needRestart: ['name'],
  });
  before.send(Buffer.from('still here'));
  await once(before, 'message');
  const renewed = await tokenFor(gateway, 'udp', { clientId: 8n, key: otherKey });
  await expect(connect(renewed)).rejects.toThrow(/SERVER_FULL/);

  config({ keys: [formatKey(otherKey)], limits: { maxPeers: 3 } });
  expect(await gateway.reload()).toMatchObject({
    changed: ['limits.maxPeers'],
    needRestart: ['limits.maxPeers'],
  });
  await using _ = await connect(renewed);
  expect(gateway.snapshot().listeners[0]).toMatchObject({ peers: 2, maxPeers: 2 });
});

test('a drain tells the handlers, asks peers to go, and ends at the deadline', async () => {
  const told: string[] = [];
  const gateway = await openTest({
    keys: [formatKey(key)],
    drain: { deadlineMs: 300 },
    handlers: { setup: (_, { signal }) => signal.addEventListener('abort', () => told.push('ending')) },
  });
  gateway.on('state', (state) => told.push(state));
  await using connection = await connect(await tokenFor(gateway));
  connection.on('goaway', () => told.push('goaway'));
  const beganMs = performance.now();
  const drained = gateway.drain();
  expect(gateway.drain()).toBe(drained);
  expect(gateway.snapshot()).toMatchObject({ state: 'DRAINING', drainsUntilMs: expect.any(Number) });
  await expect(gateway.reload()).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
  await drained;
  expect(performance.now() - beganMs).toBeGreaterThan(290);
  expect(told).toEqual(['DRAINING', 'ending', 'goaway', 'STOPPED']);
  expect(gateway.state).toBe('STOPPED');
});

test('close during a drain ends it at once', async () => {
  const gateway = await openTest({ keys: [formatKey(key)], drain: { deadlineMs: 3_600_000 } });
  await using _ = await connect(await tokenFor(gateway));
  const drained = gateway.drain();
  await gateway.close();
  await drained;
  expect(gateway.state).toBe('STOPPED');
});

test('a made key is warned of nowhere, and a secret that all can read is', async () => {
  const file = newPath('key');
  writeFileSync(file, formatKey(key), { mode: 0o644 });
  const log = silentLog();
  await using gateway = await openTest({ keys: [{ file }], log: { logger: log } });
  expect(gateway.keys).toEqual({ ids: [1], made: false });
  expect(log.lines.map(({ message }) => message)).toEqual([
    `keys[0]: every user of this machine can read ${file}; run "chmod 600" on it`,
  ]);
});
