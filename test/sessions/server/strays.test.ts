// What the store carries out when everything that waited for it has been given up.

import { randomUUID } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import { gatewayKey, ownerKey, responseKey } from '../../../src/sessions/store/keys.js';
import { decodeGateway, encodeOwner } from '../../../src/sessions/store/records.js';
import { type Gateway, rejected, World } from './world.js';

let world: World;
let gateway: Gateway;
beforeEach(async () => {
  world = new World();
  gateway = await world.gateway('a');
});

/** An owner record comes into the store: as of a create or a claim of that gateway that was given up. */
async function carryOutLate(name = 'a', epoch?: string): Promise<string> {
  const id = randomUUID();
  const key = gatewayKey(name);
  const [entry] = await world.store.read({ from: key, to: `${key}\0` });
  const present = entry === undefined ? '' : decodeGateway(entry.value).epoch;
  const value = encodeOwner({
    gateway: name,
    epoch: epoch ?? present,
    identity: 'device',
    capabilities: new Map([['hawser', '1']]),
    delivery: 'exactly-once',
    createdAt: 0,
  });
  await world.store.txn({
    compare: [],
    writes: [
      { type: 'put', key: ownerKey(id), value },
      { type: 'put', key: responseKey(id, 1), value: new Uint8Array(1) },
    ],
  });
  await world.settle();
  return id;
}

describe('a session that the store gives to a gateway which does not have it', () => {
  test('expires as any other, and nothing of it stays', async () => {
    const id = await carryOutLate();
    await world.pass(90_000);
    expect(await world.keys('o/')).toEqual([ownerKey(id)]);
    await world.pass(2000);
    expect(gateway.events('sessionEnded')).toMatchObject([[{ sessionId: id }, 'expired']]);
    expect(await world.keys('o/')).toEqual([]);
    expect(await world.keys('r/')).toEqual([]);
  });

  test('can be continued', async () => {
    const id = await carryOutLate();
    const peer = gateway.connect();
    peer.continue(id);
    await world.settle();
    expect(peer.types).toEqual(['SessionContinued']);
  });

  test('is found when the watch has missed it', async () => {
    gateway.cutOff();
    const id = await carryOutLate();
    expect(gateway.server.diagnostics(id)).toBeUndefined();
    gateway.join();
    await world.settle();
    expect(gateway.server.diagnostics(id)).toBeDefined();
  });

  test('is left alone when it is of another gateway, or of an earlier lease', async () => {
    await world.gateway('b');
    await carryOutLate('b');
    await carryOutLate('a', 'earlier');
    expect(gateway.server.stats.sessions).toBe(0);
  });

  test('is left alone once it is gone again', async () => {
    const peer = await gateway.session();
    peer.say({ type: 'CloseSession', reason: 'ClientShutdown' });
    await world.settle();
    // What the watch told before was past by then.
    gateway.store.fault = 'unreachable';
    gateway.store.fault = 'none';
    await world.settle();
    expect(gateway.server.stats).toMatchObject({ sessions: 0, closed: 1, expired: 0 });
  });
});

describe('a server that is being closed', () => {
  test('begins and continues no session', async () => {
    const first = await gateway.session();
    const created = gateway.connect();
    const continued = gateway.connect();
    const closed = gateway.server.close();
    await world.settle();
    created.create(8n);
    continued.continue(first.id, 9n);
    await world.pass(500);
    expect(created.received).toEqual([rejected('Other', 8n)]);
    expect(continued.received).toEqual([rejected('Other', 9n)]);
    await world.pass(1000);
    await closed;
    expect(world.wheel.size).toBe(0);
  });

  test('does not take up what it had begun to claim', async () => {
    const other = await world.gateway('b');
    const { id } = await other.session();
    await other.die();
    const letGo = gateway.store.hold();
    const peer = gateway.connect();
    peer.continue(id);
    await world.settle();
    const closed = gateway.server.close();
    await world.settle();
    letGo();
    await world.pass(2000);
    await closed;
    expect(gateway.server.stats).toMatchObject({ sessions: 0, claimed: 0 });
  });
});
