// What the source document shows, with its defaults, through all of this layer: a client, its connection and a server.

import { describe, expect, test } from 'vitest';
import { codeOf } from './client/client-world.js';
import { Meeting } from './meeting.js';
import { type Gateway, startWallMs, World } from './server/world.js';

const noBytes = new Uint8Array(0);
const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** When the only session of a gateway expires, in virtual milliseconds. */
function expiresAtMs({ server }: Gateway): number | undefined {
  const [session] = server.sessions();
  const diagnostics = session && server.diagnostics(session.sessionId);
  return diagnostics && diagnostics.currentExpiredAt - startWallMs;
}

describe('a normal exchange of heartbeats', () => {
  test('the response echoes the timestamp, puts expiry off by the timeout, and gives the client its round trip', async () => {
    const meeting = new Meeting();
    const gateway = await meeting.gateway('north');
    const client = meeting.client();
    const roundTrips: number[] = [];
    client.on('roundTrip', (ms) => roundTrips.push(ms));
    void client.connect();
    await meeting.world.pass(1000);
    const [keepAlive, ...more] = meeting.messages('KeepAlive');
    const [response] = meeting.messages('KeepAliveResponse');
    if (keepAlive?.message.type !== 'KeepAlive' || response?.message.type !== 'KeepAliveResponse') {
      throw new Error('no exchange');
    }
    expect(more).toEqual([]);
    expect(keepAlive.message.timestamp).toBe(startWallMs + keepAlive.atMs);
    expect(response).toEqual({
      atMs: keepAlive.atMs + meeting.delayMs,
      gateway: 'north',
      from: 'server',
      message: { type: 'KeepAliveResponse', timestamp: keepAlive.message.timestamp },
    });
    expect(expiresAtMs(gateway)).toBe(response.atMs + 90_000);
    expect(roundTrips).toEqual([2 * meeting.delayMs]);
    await client.close({ keepSession: true });
  });

  test('the response leaves in the turn of the event loop in which the KeepAlive came', async () => {
    const world = new World();
    const peer = await (await world.gateway('north')).session();
    peer.keepAlive(undefined, true);
    await new Promise<void>((resolve) => queueMicrotask(resolve));
    expect(peer.lossy.map(({ type }) => type)).toEqual(['KeepAliveResponse']);
  });
});

describe('the timing flow', () => {
  test('heartbeats at T0, T0+30 s and T0+60 s: the session expires within a second after T0+150 s, and not before', async () => {
    const meeting = new Meeting();
    meeting.delayMs = 0;
    const gateway = await meeting.gateway('north');
    const client = await meeting.connected();
    await meeting.world.pass(1);
    const [first] = meeting.messages('KeepAlive');
    const t0 = first?.atMs ?? Number.NaN;
    const until = (ms: number): Promise<void> => meeting.world.pass(t0 + ms - meeting.nowMs);
    expect(expiresAtMs(gateway)).toBe(t0 + 90_000);
    await until(30_001);
    expect(expiresAtMs(gateway)).toBe(t0 + 120_000);
    await until(60_001);
    expect(expiresAtMs(gateway)).toBe(t0 + 150_000);

    meeting.arrives = () => false;
    await until(150_000);
    expect(gateway.server.stats).toMatchObject({ sessions: 1, expired: 0, warnings: 1 });
    await until(151_001);
    expect(gateway.server.stats).toMatchObject({ sessions: 0, expired: 1 });
    expect(await meeting.world.keys('o/')).toEqual([]);

    meeting.arrives = () => true;
    const expired: string[] = [];
    client.on('expired', ({ code }) => expired.push(code));
    await until(300_000);
    expect(expired).toEqual(['ERR_HAWSER_SESSION_EXPIRED']);
    expect(client.state).toBe('Expired');
  });
});

describe('a connection that drops', () => {
  test('leaves the session Disconnected, and the client reconnects at once and continues it', async () => {
    const meeting = new Meeting();
    const gateway = await meeting.gateway('north');
    const client = await meeting.connected();
    const { sessionId } = client;
    meeting.cut();
    await meeting.world.settle();
    expect(gateway.server.stats).toMatchObject({ sessions: 1, connected: 0 });
    await meeting.world.pass(1000);
    expect(gateway.server.stats).toMatchObject({ sessions: 1, connected: 1, continued: 1, created: 1 });
    expect([client.state, client.sessionId]).toEqual(['Connected', sessionId]);
    expect(expiresAtMs(gateway)).toBeGreaterThan(meeting.nowMs + 89_000);
    await client.close({ keepSession: true });
  });

  test('without a word is noticed by the client within one interval of the last KeepAlive, and the session continued elsewhere', async () => {
    const meeting = new Meeting();
    await meeting.gateway('north');
    const south = await meeting.gateway('south');
    const client = await meeting.connected();
    const { sessionId } = client;
    const disconnectedMs: number[] = [];
    client.on('disconnected', () => disconnectedMs.push(meeting.nowMs));
    await meeting.world.pass(1000);
    meeting.arrives = ({ gateway }) => gateway !== 'north';
    await meeting.world.pass(60_000);
    const unanswered = meeting.messages('KeepAlive').filter(({ gateway }) => gateway === 'north')[1];
    expect(disconnectedMs).toHaveLength(1);
    expect(disconnectedMs[0]).toBeLessThan((unanswered?.atMs ?? Number.NaN) + 30_000);
    expect(south.server.stats).toMatchObject({ claimed: 1, connected: 1 });
    expect([client.state, client.sessionId]).toEqual(['Connected', sessionId]);
    await client.close({ keepSession: true });
  });
});

describe('what a client knows of its heartbeats', () => {
  test('has the fields of the source document', async () => {
    const meeting = new Meeting();
    await meeting.gateway('north');
    const client = await meeting.connected();
    await meeting.world.pass(40_000);
    const timestamps = meeting
      .messages('KeepAlive')
      .map(({ message }) => (message.type === 'KeepAlive' ? message.timestamp : Number.NaN));
    expect(timestamps).toHaveLength(2);
    expect(client.diagnostics).toEqual({
      sessionId: client.sessionId,
      lastHeartbeats: timestamps,
      currentExpiredAt: (timestamps[1] ?? Number.NaN) + 90_000,
      averageRoundTripTime: 40,
      lastRoundTripTime: 40,
      droppedStaleResponses: 0,
      intervalJitterMs: 0,
    });
    await client.close({ keepSession: true });
  });
});

describe('ten thousand sessions', () => {
  // Much work, for which a busy machine takes its time.
  test('have all their heartbeats answered, expire when these end, and continue all at once', {
    timeout: 600_000,
  }, async () => {
    const count = 10_000;
    const world = new World();
    const gateway = await world.gateway('north', { createsPerSecond: count });
    const peers = Array.from({ length: count }, (_, index) => gateway.connect(`device ${index}`));
    for (const peer of peers) peer.create();
    await world.pass(1000);
    expect(gateway.server.stats).toMatchObject({ sessions: count, connected: count });
    for (let round = 0; round < 2; ++round) {
      await world.pass(80_000);
      for (const peer of peers) peer.keepAlive();
    }
    await world.pass(1000);
    expect(gateway.server.stats).toMatchObject({ sessions: count, keepAlives: 2 * count, expired: 0 });
    expect(peers.every(({ last }) => last?.type === 'KeepAliveResponse')).toBe(true);

    for (const peer of peers) peer.lose();
    const again = peers.map(({ identity, id }) => {
      const peer = gateway.connect(identity);
      peer.continue(id);
      return peer;
    });
    await world.pass(1000);
    expect(again.every(({ last }) => last?.type === 'SessionContinued')).toBe(true);
    expect(gateway.server.stats).toMatchObject({
      connected: count,
      continued: count,
      rejected: { Other: 0 },
    });
    await world.pass(92_000);
    expect(gateway.server.stats).toMatchObject({ sessions: 0, expired: count });
    expect(await world.keys('o/')).toEqual([]);
  });
});

describe('the open questions of the original protocol', () => {
  test('case 29: heartbeats go on while the store is away and others elect, and nothing expires', async () => {
    const meeting = new Meeting();
    const gateway = await meeting.gateway('north');
    const client = await meeting.connected();
    const silent = await gateway.session('silent');
    gateway.cutOff();
    await meeting.world.pass(300_000);
    expect(gateway.server.stats).toMatchObject({
      sessions: 2,
      expired: 0,
      leaseValid: false,
      serving: false,
    });
    // One may be under way.
    expect(client.stats.keepAlivesAnswered).toBeGreaterThanOrEqual(meeting.messages('KeepAlive').length - 1);
    expect(client.stats).toMatchObject({ missedResponses: 0 });
    gateway.join();
    await meeting.world.pass(20_000);
    // The one that was silent all the time has its end now; the other goes on.
    expect(gateway.server.stats).toMatchObject({ sessions: 1, expired: 1, serving: true });
    expect(gateway.server.diagnostics(silent.id)).toBeUndefined();
    expect(client.state).toBe('Connected');
    await client.close({ keepSession: true });
  });

  test('case 29: a client whose interval is longer than the timeout of its server expires, and hears so', async () => {
    const meeting = new Meeting();
    const gateway = await meeting.gateway('north', { keepAliveIntervalMs: 10_000 });
    const client = await meeting.connected({ intervals: { idleMs: 120_000, busyMs: 120_000 } });
    const expired: string[] = [];
    client.on('expired', ({ code }) => expired.push(code));
    await meeting.world.pass(29_000);
    expect(expired).toEqual([]);
    await meeting.world.pass(3000);
    expect(gateway.server.stats).toMatchObject({ sessions: 0, expired: 1 });
    expect(expired).toEqual(['ERR_HAWSER_SESSION_EXPIRED']);
  });

  test('case 29: a client that sends again sooner than its request is carried out is answered once carried out', async () => {
    const meeting = new Meeting();
    const { clock } = meeting.world;
    let calls = 0;
    await meeting.gateway('north', {
      onRequest: async ({ payload }) => {
        ++calls;
        await new Promise<void>((resolve) => void clock.setTimeout(resolve, 5500));
        return { result: bytesOf(`${textOf(payload)} is done`) };
      },
    });
    const client = await meeting.connected({ requestResendMs: 1000 });
    const answer = client.request(bytesOf('it'));
    await meeting.world.pass(7000);
    expect(textOf(await answer)).toBe('it is done');
    expect(calls).toBe(1);
    expect(client.stats).toMatchObject({ requestsSent: 1, requestsResent: 5, pending: 0 });
    await client.close({ keepSession: true });
  });

  test('case 29: without most of the store a request is not answered, and once it is back it is answered once', async () => {
    const meeting = new Meeting();
    let calls = 0;
    const gateway = await meeting.gateway('north', {
      onRequest: () => {
        ++calls;
        return { result: noBytes, writes: new Map([['calls', bytesOf(`${calls}`)]]) };
      },
    });
    const client = await meeting.connected();
    gateway.cutOff();
    await meeting.world.pass(15_000);
    let outcome = 'none';
    client.request(noBytes).then(
      () => {
        outcome = 'answered';
      },
      (error: unknown) => {
        outcome = codeOf(error);
      },
    );
    await meeting.world.pass(30_000);
    expect([outcome, calls]).toEqual(['none', 0]);
    gateway.join();
    await meeting.world.pass(20_000);
    expect([outcome, calls]).toEqual(['answered', 1]);
    expect(await meeting.world.keys('a/')).toEqual(['a/calls']);
    await client.close({ keepSession: true });
  });

  test('case 29: responses that come late, after the request was sent again, complete it once and are the same', async () => {
    const meeting = new Meeting();
    let calls = 0;
    await meeting.gateway('north', { onRequest: () => ({ result: bytesOf(`${++calls}`) }) });
    const client = await meeting.connected({ requestResendMs: 1000 });
    meeting.delayMs = 1250;
    const answers: string[] = [];
    const asked = client.request(noBytes).then((result) => void answers.push(textOf(result)));
    await meeting.world.pass(10_000);
    await asked;
    const responses = meeting.messages('ClientResponse').map(({ message }) => message);
    expect(responses.length).toBeGreaterThan(1);
    expect(new Set(responses.map((each) => JSON.stringify(each))).size).toBe(1);
    expect([answers, calls, client.stats.undecodable]).toEqual([['1'], 1, 0]);
    await client.close({ keepSession: true });
  });
});
