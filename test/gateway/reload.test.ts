// What a reload changes while a gateway runs, what takes a restart, and that a configuration that is wrong anywhere changes nothing.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { GatewayConfig } from '../../src/gateway/config.js';
import { loadConfig } from '../../src/gateway/config-file.js';
import type { Gateway } from '../../src/gateway/gateway.js';
import { openGateway } from '../../src/gateway/open-gateway.js';
import { decodeToken } from '../../src/token/index.js';
import { formatKey } from '../../src/token/server-key.js';
import { connect } from '../../src/transport/client.js';
import type { GoawayInfo } from '../../src/transport/results.js';
import { temporaryFolder } from '../cli/support.js';
import { ask } from './admin/http-client.js';
import { key, otherKey, tokenFor } from './support.js';

const folder = temporaryFolder();
let files = 0;

/** A gateway of a file that can be written anew. */
class Reloaded implements AsyncDisposable {
  readonly gateway: Gateway;
  readonly #file: string;

  static async open(config: GatewayConfig): Promise<Reloaded> {
    const file = join(folder, `${++files}.json`);
    write(file, config);
    return new Reloaded(await openGateway(await loadConfig(file)), file);
  }

  private constructor(gateway: Gateway, file: string) {
    this.gateway = gateway;
    this.#file = file;
  }

  /** @param config all of it; what every test here has is added. */
  reload(config: GatewayConfig): ReturnType<Gateway['reload']> {
    write(this.#file, config);
    return this.gateway.reload();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.gateway.close();
  }
}

function write(file: string, config: GatewayConfig): void {
  const common = {
    keys: [formatKey(key)],
    listeners: [{ address: '127.0.0.1:0' }],
    admin: false,
    control: false,
    log: { level: 'fatal' },
    drain: { deadlineMs: 100 },
  };
  writeFileSync(file, JSON.stringify({ ...common, ...config }));
}

const both = [formatKey(key), formatKey(otherKey)];

test('a key is rolled: added behind, then first, then alone; peers stay through all of it', async () => {
  const tokens = { address: '127.0.0.1:0' };
  await using reloaded = await Reloaded.open({ tokens });
  const { gateway } = reloaded;
  await using before = await connect(await tokenFor(gateway));
  let clientId = 10n;
  /** Nobody waits for each of them. */
  const leaving: Promise<void>[] = [];
  const enter = async (used: typeof key): Promise<void> => {
    const token = await tokenFor(gateway, 'udp', { key: used, clientId: ++clientId });
    leaving.push((await connect(token)).close());
  };
  const unknownKeys = (): number => gateway.snapshot().listeners[0]?.drops.unknownKey ?? 0;
  /** Whoever shows a token of an unknown key is not answered. */
  const isRefused = async (used: typeof key): Promise<void> => {
    const before = unknownKeys();
    const token = await tokenFor(gateway, 'udp', { key: used, clientId: ++clientId });
    await expect(connect(token, { timeoutMs: 300 })).rejects.toThrow('answered in time');
    await expect.poll(unknownKeys).toBeGreaterThan(before);
  };
  /** The key that the endpoint seals tokens with. */
  const mintedWith = async (): Promise<number> => {
    const { text } = await ask(gateway.urls.tokens ?? '', '/token', { method: 'POST' });
    const { token }: { token: string } = JSON.parse(text);
    leaving.push((await connect(token)).close());
    const decoded = decodeToken(token);
    return 'keyId' in decoded ? Number(decoded.keyId) : -1;
  };
  await isRefused(otherKey);
  expect(await reloaded.reload({ tokens, keys: both })).toMatchObject({ keyIds: [1, 2], changed: ['keys'] });
  await enter(key);
  await enter(otherKey);
  expect(await mintedWith()).toBe(1);
  expect(await reloaded.reload({ tokens, keys: both.toReversed() })).toMatchObject({ keyIds: [2, 1] });
  // Tokens that are still about open, new ones are of the new key.
  await enter(key);
  expect(await mintedWith()).toBe(2);
  await reloaded.reload({ tokens, keys: [formatKey(otherKey)] });
  await isRefused(key);
  expect(before.state).toBe('CONNECTED');
  expect(await reloaded.reload({ tokens, keys: [formatKey(otherKey)] })).toMatchObject({ changed: [] });
  await Promise.all(leaving);
});

test.each(['maxPacketsPerSecondPerPeer', 'maxBytesPerSecondPerPeer'] as const)(
  'limits.%s holds back a peer that was there before, until it is lifted',
  async (name) => {
    await using reloaded = await Reloaded.open({});
    const { gateway } = reloaded;
    await using connection = await connect(await tokenFor(gateway));
    const [listener] = gateway.servers;
    const taken = (): number => listener?.server.stats.counters.messagesReceived ?? 0;
    const dropped = (): number => listener?.server.stats.drops.peerCeiling ?? 0;
    const send = (): void => {
      // One in a packet each.
      for (let n = 0; n < 40; ++n) connection.send(Buffer.alloc(1000));
    };
    expect(await reloaded.reload({ limits: { [name]: 1 } })).toMatchObject({
      changed: [`limits.${name}`],
      needRestart: [],
    });
    send();
    await expect.poll(dropped).toBeGreaterThanOrEqual(20);
    expect(await reloaded.reload({})).toMatchObject({ changed: [`limits.${name}`] });
    // What was on its way is looked at first.
    await expect.poll(() => taken() + dropped()).toBeGreaterThanOrEqual(40);
    const before = { taken: taken(), dropped: dropped() };
    send();
    await expect.poll(taken).toBeGreaterThanOrEqual(before.taken + 40);
    expect(dropped()).toBe(before.dropped);
  },
);

test.concurrent('the token of the admin server is another from then on', async () => {
  const admin = (token: string): GatewayConfig => ({ admin: { address: '127.0.0.1:0', token } });
  await using reloaded = await Reloaded.open(admin('a'.repeat(20)));
  const statusWith = async (token: string): Promise<number> => {
    const headers = { authorization: `Bearer ${token}` };
    return (await ask(reloaded.gateway.urls.admin ?? '', '/api/snapshot', { headers })).status;
  };
  expect(await statusWith('a'.repeat(20))).toBe(200);
  expect(await reloaded.reload(admin('b'.repeat(20)))).toMatchObject({
    changed: ['admin.token'],
    needRestart: [],
  });
  expect(await statusWith('a'.repeat(20))).toBe(401);
  expect(await statusWith('b'.repeat(20))).toBe(200);
});

test.concurrent('the level of the log and the way of a drain are those of the last reload', async () => {
  await using reloaded = await Reloaded.open({ drain: { deadlineMs: 3_600_000 } });
  const { gateway } = reloaded;
  expect(gateway.log).toMatchObject({ level: 'fatal' });
  expect(
    await reloaded.reload({
      log: { level: 'error', events: false },
      drain: { deadlineMs: 1_800_000, elsewhere: '127.0.0.1:9' },
    }),
  ).toMatchObject({ changed: ['log.level', 'drain'], needRestart: ['log.events'] });
  expect(gateway.log).toMatchObject({ level: 'error' });
  await using connection = await connect(await tokenFor(gateway));
  const asked = new Promise<GoawayInfo>((resolve) => connection.once('goaway', resolve));
  const drained = gateway.drain();
  const { elsewhere, deadlineMs } = await asked;
  expect(elsewhere).toBe('127.0.0.1:9');
  expect(deadlineMs).toBeLessThanOrEqual(1_800_000);
  expect(deadlineMs).toBeGreaterThan(0);
  // The drain ends when the last peer has left.
  await connection.close();
  await drained;
});

test.concurrent('a configuration that is wrong in its last part changes nothing of the others', async () => {
  const admin = { address: '127.0.0.1:0', token: 'a'.repeat(20) };
  await using reloaded = await Reloaded.open({ admin });
  const { gateway } = reloaded;
  const good: GatewayConfig = { admin, keys: both, limits: { maxPeers: 5 }, log: { level: 'error' } };
  const wrong: GatewayConfig[] = [
    { ...good, admin: { ...admin, token: { file: join(folder, 'no-such-file') } } },
    { ...good, admin: { ...admin, token: { env: 'HAWSER_NO_SUCH_VARIABLE' } } },
    { ...good, keys: [...both, { env: 'HAWSER_NO_SUCH_VARIABLE' }] },
    { ...good, drain: { deadlineMs: -1 } },
  ];
  for (const config of wrong) {
    await expect(reloaded.reload(config)).rejects.toMatchObject({ code: 'ERR_HAWSER_CONFIG' });
  }
  expect(gateway.keys.ids).toEqual([1]);
  expect(gateway.snapshot().listeners[0]?.maxPeers).toBe(10_000);
  expect(gateway.log).toMatchObject({ level: 'fatal' });
  expect(await reloaded.reload(good)).toMatchObject({ changed: ['keys', 'limits.maxPeers', 'log.level'] });
});

test.concurrent('what takes a restart is named, and stays as it was', async () => {
  await using reloaded = await Reloaded.open({ sync: { store: 'memory' } });
  const { address } = reloaded.gateway.servers[0]?.server ?? expect.fail('no listener');
  const { changed, needRestart } = await reloaded.reload({
    name: 'other',
    protocolId: 2,
    listeners: [{ address: '127.0.0.1:1', layers: ['messages', 'sync'], maxHalfOpen: 5 }],
    handlers: './handlers.js',
    sync: { store: 'elsewhere' },
    tokens: true,
    admin: { address: '127.0.0.1:2' },
    metrics: { address: '127.0.0.1:3' },
    control: 'there.sock',
    openTelemetry: true,
    limits: { maxPeers: 20_000 },
  });
  expect(changed).toEqual([]);
  expect([...needRestart].sort()).toEqual([
    'admin',
    'control',
    'handlers',
    'limits.maxPeers',
    'listeners[0].address',
    'listeners[0].channels',
    'listeners[0].layers',
    'listeners[0].options',
    'metrics',
    'name',
    'openTelemetry',
    'protocolId',
    'sync',
    'tokens',
  ]);
  expect(reloaded.gateway.servers[0]?.server.address).toBe(address);
  expect((await reloaded.reload({ sync: { store: 'memory' }, sessions: {} })).needRestart).toEqual([
    'sessions',
    'listeners[0].layers',
    'listeners[0].channels',
  ]);
});
