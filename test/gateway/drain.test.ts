// A gateway that drains: who is let in, what it says, and where the clients of a cluster go on.

import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { EtcdServers, hasEtcd } from '../../scripts/lib/etcd.mjs';
import type { GatewayConfig } from '../../src/gateway/config.js';
import type { Gateway } from '../../src/gateway/gateway.js';
import type { GatewayHandlers } from '../../src/gateway/handlers.js';
import { gatewayChannels } from '../../src/gateway/layers/channels.js';
import { SessionClient, sessionConnector } from '../../src/sessions/index.js';
import { encodeToken, mintToken } from '../../src/token/index.js';
import { formatKey } from '../../src/token/server-key.js';
import type { ChannelMap } from '../../src/transport/channels.js';
import { connect } from '../../src/transport/client.js';
import type { Connection } from '../../src/transport/connection.js';
import { temporaryFolder } from '../cli/support.js';
import { Counting, MeterAgent } from './layer-clients.js';
import { key, openTest, type RecordedLog, silentLog, tokenFor } from './support.js';

const folder = temporaryFolder();

test('from its first moment nobody new is let in, at no listener, and nothing is warned of', async () => {
  const log = silentLog();
  const gateway = await openTest({
    keys: [formatKey(key)],
    listeners: [
      { name: 'chat', layers: ['messages'] },
      { name: 'agents', layers: ['sync'] },
      { name: 'clients', layers: ['sessions'] },
    ],
    sync: { store: 'memory' },
    sessions: { store: `lmdb:${join(folder, 'sessions')}` },
    log: { logger: log },
    drain: { deadlineMs: 30_000 },
  });
  const tokenOf = (name: string, clientId: bigint): Promise<string> => tokenFor(gateway, name, { clientId });
  const connectTo = async (name: string, at: number, clientId: bigint): Promise<Connection<ChannelMap>> => {
    const layers = gateway.snapshot().listeners[at]?.layers ?? [];
    return connect(await tokenOf(name, clientId), { channels: gatewayChannels(layers) });
  };
  const names = ['chat', 'agents', 'clients'];
  // Each has somebody who stays until the others were refused: clients of this package leave.
  const staying = await Promise.all(names.map((name, at) => connectTo(name, at, BigInt(100 + at))));
  await using agent = new MeterAgent(await tokenOf('agents', 1n));
  await agent.client.connect();
  await agent.tell('kitchen', '{}');
  await using counting = new Counting(await tokenOf('clients', 2n));
  await counting.client.connect();
  await counting.say('before');

  log.lines.length = 0;
  const drained = gateway.drain();
  const refusals = names.map((name, at) =>
    expect(connectTo(name, at, BigInt(10 + at)), name).rejects.toThrow(/SHUTTING_DOWN/),
  );
  await Promise.all(refusals);
  expect(gateway.state).toBe('DRAINING');
  await Promise.all(staying.map((connection) => connection.close()));
  await drained;
  expect(counting.redirected).toEqual(['Shutdown']);
  expect(log.lines).toEqual([]);
});

test('a drain that fails is told of in the log and to who waits for it, and the gateway stops all the same', async () => {
  const log = silentLog();
  const gateway = await openTest({
    listeners: [{ name: 'chat', layers: ['messages'] }],
    log: { logger: log },
  });
  const [listener] = gateway.servers;
  if (listener === undefined) expect.fail('there is no listener');
  vi.spyOn(listener.server, 'drain').mockRejectedValue(new Error('broken'));
  await expect(gateway.drain()).rejects.toThrow('broken');
  expect(gateway.state).toBe('STOPPED');
  expect(JSON.stringify(log.lines)).toContain('the drain failed');
});

// ---- Several of them -----------------------------------------------------------------------------------------------

/** Whether a store was waited for in vain, a second long: etcd, or this process, stood still. What it refuses, it refuses at once. */
function tellsOfSlowStore({ message, fields }: RecordedLog['lines'][number]): boolean {
  return message.startsWith('cannot reach the store') || Number(Reflect.get(fields, 'durationMs')) >= 1000;
}

/** Counts the requests of each session, in the store: what is lost or counts twice shows in every later answer. */
const handlers: GatewayHandlers = {
  onRequest: async ({ sessionId, get }) => {
    const name = `count/${sessionId}`;
    const count = Number(Buffer.from((await get(name)) ?? []).toString()) + 1;
    const result = Buffer.from(`${count}`);
    return { result, writes: new Map([[name, result]]) };
  },
};

/** Has a gateway count, one request after another. */
class Counter implements AsyncDisposable {
  readonly client: SessionClient;
  readonly redirected: unknown[] = [];
  /** Where it is connected, or was last. First that is the first of the addresses, and it is told of no other: it would not wait for it long. */
  address = '';
  counted = 0;
  #isOver = false;
  #counting: Promise<void> = Promise.resolve();

  constructor(clientId: bigint, addresses: readonly string[]) {
    const token = async (): Promise<string> => {
      const known = this.address === '' ? addresses.slice(0, 1) : addresses;
      const minted = { protocolId: 1n, key, clientId, addresses: known, timeoutMs: 60_000 };
      return encodeToken(await mintToken(minted));
    };
    const connector = sessionConnector(token);
    this.client = new SessionClient({
      connector: (attach, signal, target, connectedTo) =>
        connector(attach, signal, target, (address) => {
          this.address = address;
          connectedTo(address);
        }),
      reconnection: { backoff: { initialMs: 50, maxMs: 500 } },
    });
    this.client.on('redirected', (reason) => this.redirected.push(reason));
  }

  async start(): Promise<void> {
    await this.client.connect();
    this.#counting = this.#count();
    this.#counting.catch(() => undefined);
  }

  async #count(): Promise<void> {
    while (!this.#isOver) {
      const answer = Buffer.from(await this.client.request(Buffer.from('count'))).toString();
      expect(answer).toBe(`${++this.counted}`);
    }
  }

  /** Once what it asked is answered. @throws what went wrong with any request. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#counting;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await this.client.close();
  }
}

describe.skipIf(!hasEtcd)('two gateways with one etcd', () => {
  let etcd: EtcdServers;
  const opened: AsyncDisposable[] = [];
  beforeAll(async () => {
    etcd = await EtcdServers.start({ nodes: 1 });
  });
  afterEach(async () => {
    for (const each of opened.splice(0).reverse()) await each[Symbol.asyncDispose]();
  });
  afterAll(() => etcd.kill());

  async function open(log = silentLog()): Promise<Gateway> {
    const config: GatewayConfig = {
      keys: [formatKey(key)],
      listeners: [{ layers: ['sessions'] }],
      sessions: { store: `etcd://${etcd.node.url.replace('http://', '')}` },
      handlers,
      log: { logger: log },
      drain: { deadlineMs: 10_000 },
    };
    const gateway = await openTest(config);
    opened.push(gateway);
    return gateway;
  }

  test('one that drains under load: its clients go on at the other, no request is lost and none counts twice', async () => {
    const log = silentLog();
    const [first, second] = [await open(log), await open()];
    const addresses = [first, second].map(({ servers }) => servers[0]?.server.address ?? '');
    const counters = Array.from({ length: 12 }, (_, n) => {
      const counter = new Counter(BigInt(n + 1), n % 2 === 0 ? addresses : addresses.toReversed());
      opened.push(counter);
      return counter;
    });
    await Promise.all(counters.map((counter) => counter.start()));
    const moving = counters.filter(({ address }) => address === addresses[0]);
    expect(moving).toHaveLength(6);
    const ids = counters.map(({ client }) => client.sessionId);
    await expect.poll(() => counters.every(({ counted }) => counted >= 3)).toBe(true);

    await first.drain();
    const before = counters.map(({ counted }) => counted);
    await expect.poll(() => counters.every(({ counted }, at) => counted >= (before[at] ?? 0) + 3)).toBe(true);
    await Promise.all(counters.map((counter) => counter.stop()));
    expect(counters.map(({ client }) => client.sessionId)).toEqual(ids);
    expect(counters.map(({ address }) => address)).toEqual(counters.map(() => addresses[1]));
    expect(moving.map(({ redirected }) => redirected)).toEqual(moving.map(() => ['Shutdown']));
    expect(second.sessions()?.total).toBe(12);
    expect(log.lines.filter((line) => !tellsOfSlowStore(line))).toEqual([]);
  });
});
