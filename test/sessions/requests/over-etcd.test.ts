// Requests over a real etcd: two gateways, each with a store of its own.

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { EtcdServers, hasEtcd } from '../../../scripts/lib/etcd.mjs';
import { systemClock } from '../../../src/base/clock.js';
import { TimingWheel } from '../../../src/base/timing-wheel.js';
import type { RequestContext, RequestOutcome } from '../../../src/sessions/server/handler.js';
import { openEtcdStore } from '../../../src/sessions/store/etcd-store.js';
import { prefixes, prefixRange } from '../../../src/sessions/store/keys.js';
import { patience, patient, startMs } from '../etcd/real-etcd.js';
import { FaultyStore } from './faulty-store.js';
import { TestGateway, textOf } from './test-gateway.js';
import { countUp } from './world.js';

/** Only to fail rather than to hang. */
const waitMs = 100_000;

/** Counts, and tells an administrator. */
async function handle(context: RequestContext): Promise<RequestOutcome> {
  const text = `${context.sessionId} ${context.requestId}`;
  return {
    ...(await countUp(context)),
    serverRequests: [{ sessionId: 'admin', payload: Buffer.from(text) }],
  };
}

describe.skipIf(!hasEtcd)('over a real etcd', () => {
  let servers: EtcdServers;
  beforeAll(async () => {
    servers = await EtcdServers.start({ nodes: 1, args: patience });
  }, startMs);
  afterAll(async () => {
    await servers?.kill();
  });

  async function start(name: string): Promise<TestGateway> {
    const store = await openEtcdStore({ hosts: servers.urls, ...patient });
    const time = { clock: systemClock, wheel: new TimingWheel(systemClock) };
    const gateway = new TestGateway(time, new FaultyStore(store, systemClock), {
      gateway: name,
      onRequest: handle,
    });
    await gateway.start();
    return gateway;
  }

  test('requests that contend count once each, their server requests come in order, and an end leaves nothing', {
    timeout: 3 * waitMs,
  }, async () => {
    const gateways = [await start('first'), await start('second')] as const;
    const [first, second] = gateways;
    const admin = await first.create('admin');
    const heard: string[] = [];
    for (const gateway of gateways) {
      gateway.onSend = (session, message) => {
        // The other gateway was faster each time.
        if (message.type === 'RequestError') gateway.request(session, message.requestId);
      };
    }
    const again = first.onSend;
    first.onSend = (session, message) => {
      again(session, message);
      if (session !== admin || message.type !== 'ServerRequest') return;
      if (message.requestId === heard.length + 1) heard.push(textOf(message.payload));
      first.acknowledge(admin, message.requestId);
    };
    for (const [index, gateway] of gateways.entries()) {
      for (let count = 0; count < 5; ++count) {
        const session = await gateway.create(`session-${index}-${count}`);
        for (const id of [1, 2, 2]) gateway.request(session, id);
      }
    }
    await vi.waitFor(() => expect(new Set(heard).size).toBe(20), { timeout: waitMs });
    expect(heard).toHaveLength(20);
    const written = await second.store.read(prefixRange(prefixes.application));
    expect(written.map(({ key, value }) => `${key} = ${textOf(value)}`)).toEqual(['a/count = 20']);

    const moved = [...second.sessions.values()][0];
    if (moved === undefined) throw new Error('there is no session to claim');
    const claimed = await first.claim(moved.id, moved);
    first.request(claimed, 2);
    await vi.waitFor(() => expect(first.sent.get(claimed.id) ?? []).toHaveLength(1), { timeout: waitMs });
    expect(first.executor.counts.repeated).toBeGreaterThan(0);

    for (const session of [...first.sessions.values()]) await first.executor.remove(session, 'closed');
    for (const session of [...second.sessions.values()].filter(({ id }) => id !== moved.id)) {
      await second.executor.remove(session, 'closed');
    }
    for (const prefix of ['o/', 'p/', 'n/', 'r/', 'q/']) {
      expect(await first.store.read(prefixRange(prefix))).toEqual([]);
    }
    for (const gateway of gateways) {
      gateway.kill();
      await gateway.store.close();
    }
  });
});
