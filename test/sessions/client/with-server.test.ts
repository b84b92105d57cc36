// Clients with real session servers over one store, in virtual time.

import { afterEach, describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import type { MessageConnection, MessageReceiver } from '../../../src/base/message-connection.js';
import { seededRandom } from '../../../src/base/random.js';
import type { SessionClientOptions, SessionConnector } from '../../../src/sessions/client/options.js';
import { SessionClient } from '../../../src/sessions/client/session-client.js';
import { SessionUserError } from '../../../src/sessions/client/session-errors.js';
import type { SessionServerOptions } from '../../../src/sessions/server/options.js';
import { type Gateway, World } from '../server/world.js';
import { codeOf, type Outcome } from './client-world.js';
import { bytesOf, textOf } from './scripted-gateways.js';

const delayMs = 5;

/** One end of a connection between a client and a server. */
class End implements MessageConnection {
  readonly detectsLoss = true;
  readonly #wires: Wires;
  far: End | undefined;
  receiver: MessageReceiver | undefined;
  isOpen = true;

  constructor(wires: Wires) {
    this.#wires = wires;
  }

  send(message: Uint8Array): boolean {
    if (!this.isOpen) throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'it is over');
    const copy = message.slice();
    this.#wires.later(() => {
      if (this.far?.isOpen) this.far.receiver?.message(copy);
    });
    return true;
  }

  sendUnreliable(message: Uint8Array): boolean {
    if (!this.isOpen) throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'it is over');
    if (this.#wires.random() < this.#wires.lossRate) return true;
    const copy = message.slice();
    this.#wires.later(() => {
      if (this.far?.isOpen) this.far.receiver?.unreliableMessage?.(copy);
    });
    return true;
  }

  close(): void {
    if (!this.isOpen) return;
    queueMicrotask(() => this.end(undefined));
    this.#wires.later(() => this.far?.end(undefined));
  }

  end(error: HawserError | undefined): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.receiver?.closed(error);
  }
}

/** What joins clients and gateways. */
class Wires {
  readonly world: World = new World();
  readonly random = seededRandom(7);
  readonly gateways: Gateway[] = [];
  readonly #ends: { readonly gateway: Gateway; readonly near: End; readonly far: End }[] = [];
  readonly #down = new Set<Gateway>();
  lossRate = 0;

  later(run: () => void): void {
    this.world.time.clock.setTimeout(run, delayMs);
  }

  async gateway(name: string, options: Partial<SessionServerOptions> = {}): Promise<Gateway> {
    const gateway = await this.world.gateway(name, options);
    this.gateways.push(gateway);
    return gateway;
  }

  connector(identity: string): SessionConnector {
    return async (attach, signal, target, connectedTo) => {
      await this.world.time.clock.sleep(2 * delayMs);
      const address = (gateway: Gateway): string => `${gateway.server.gateway}.example:4000`;
      const behind = 1 + this.gateways.findIndex((each) => address(each) === target.last);
      const round = [...this.gateways.slice(behind), ...this.gateways.slice(0, behind)];
      const first = round.filter((each) => address(each) === target.first);
      const gateway = [...first, ...round].find((each) => !this.#down.has(each));
      if (gateway === undefined || signal.aborted)
        throw new HawserError('ERR_HAWSER_TIMED_OUT', 'nobody answers');
      const [near, far] = [new End(this), new End(this)];
      [near.far, far.far] = [far, near];
      this.#ends.push({ gateway, near, far });
      far.receiver = gateway.server.accept(far, { identity });
      connectedTo(address(gateway));
      near.receiver = attach(near);
    };
  }

  /** Its process is gone, and transports find out. */
  async kill(gateway: Gateway): Promise<void> {
    this.#down.add(gateway);
    await gateway.die();
    this.cut(gateway);
  }

  cut(gateway: Gateway): void {
    const error = new HawserError('ERR_HAWSER_CONNECTION_LOST', 'it was cut');
    for (const each of this.#ends.filter((end) => end.gateway === gateway)) {
      each.near.end(error);
      each.far.end(error);
    }
  }
}

const clients: { readonly client: SessionClient; readonly wires: Wires }[] = [];

function clientOf(
  wires: Wires,
  options: Partial<SessionClientOptions> = {},
  identity = 'device',
): SessionClient {
  const client = new SessionClient({
    connector: wires.connector(identity),
    wheel: wires.world.wheel,
    random: seededRandom(3),
    ...options,
  });
  clients.push({ client, wires });
  return client;
}

function watch(promise: Promise<unknown>): Outcome {
  const outcome: Outcome = { state: undefined, value: undefined, atMs: Number.NaN };
  promise.then(
    (value) => Object.assign(outcome, { state: 'resolved', value }),
    (value: unknown) => Object.assign(outcome, { state: 'rejected', value }),
  );
  return outcome;
}

async function connected(wires: Wires, client: SessionClient): Promise<SessionClient> {
  const outcome = watch(client.connect());
  await wires.world.pass(500);
  if (outcome.state !== 'resolved') throw new Error(`it is not connected: ${outcome.value}`);
  return client;
}

afterEach(async () => {
  for (const { client, wires } of clients.splice(0)) {
    void client.close();
    await wires.world.pass(3000);
  }
});

/** Appends what was asked to the value of a key: shows what was carried out, and how often. */
const append: SessionServerOptions['onRequest'] = async ({ payload, get }) => {
  const text = textOf(payload);
  if (text === 'no') return { error: bytesOf('you may not') };
  if (text === 'fail') throw new Error('broken');
  const before = textOf((await get('log')) ?? bytesOf(''));
  const log = bytesOf(before === '' ? text : `${before} ${text}`);
  return { writes: new Map([['log', log]]), result: bytesOf(`did ${text}`) };
};
const read: SessionServerOptions['onQuery'] = async ({ get }) => (await get('log')) ?? bytesOf('');

describe('a client of a real server', () => {
  test('creates a session, asks, and closes it', async () => {
    const wires = new Wires();
    const gateway = await wires.gateway('a', { onRequest: append, onQuery: read });
    const client = await connected(wires, clientOf(wires));
    const calls = ['x', 'y', 'no', 'fail'].map((text) => watch(client.request(bytesOf(text))));
    await wires.world.pass(500);
    expect(calls.map(({ value }) => (value instanceof Uint8Array ? textOf(value) : codeOf(value)))).toEqual([
      'did x',
      'did y',
      'ERR_HAWSER_USER_ERROR',
      'ERR_HAWSER_HANDLER',
    ]);
    const [, , refused] = calls;
    expect(refused?.value).toBeInstanceOf(SessionUserError);
    const log = watch(client.query(bytesOf('')));
    await wires.world.pass(100);
    expect(textOf(log.value as Uint8Array)).toBe('x y');
    expect([...gateway.server.sessions()].map(({ sessionId }) => sessionId)).toEqual([client.sessionId]);
    const left = watch(client.disconnect());
    await wires.world.pass(200);
    expect(left.state).toBe('resolved');
    expect(gateway.server.stats).toMatchObject({ sessions: 0, closed: 1, created: 1 });
  });

  test('case 6: its KeepAlives are answered, and keep the session for as long as it likes', async () => {
    const wires = new Wires();
    const gateway = await wires.gateway('a');
    const client = await connected(wires, clientOf(wires));
    await wires.world.pass(1_000_000);
    expect(client.state).toBe('Connected');
    expect(client.stats).toMatchObject({
      missedResponses: 0,
      droppedStaleResponses: 0,
      unexpectedResponses: 0,
    });
    expect(client.stats.keepAlivesSent).toBe(client.stats.keepAlivesAnswered);
    expect(client.diagnostics?.lastRoundTripTime).toBe(2 * delayMs);
    expect(gateway.server.stats).toMatchObject({ expired: 0, continued: 0, sessions: 1 });
  });

  test('keeps its session over a network that loses a third of all KeepAlives', async () => {
    const wires = new Wires();
    const gateway = await wires.gateway('a');
    const client = await connected(wires, clientOf(wires));
    wires.lossRate = 0.33;
    await wires.world.pass(1_000_000);
    expect(client.state).toBe('Connected');
    expect(client.stats.missedResponses).toBeGreaterThan(10);
    expect(gateway.server.stats).toMatchObject({ expired: 0, continued: 0 });
  });

  test('case 5: continues its session after the connection was lost', async () => {
    const wires = new Wires();
    const gateway = await wires.gateway('a', { onRequest: append });
    const client = await connected(wires, clientOf(wires));
    const { sessionId } = client;
    await wires.world.pass(20_000);
    wires.cut(gateway);
    const request = watch(client.request(bytesOf('x')));
    await wires.world.pass(500);
    expect(client.state).toBe('Connected');
    expect(client.sessionId).toBe(sessionId);
    expect(request.state).toBe('resolved');
    expect(gateway.server.stats).toMatchObject({ created: 1, continued: 1 });
  });

  test('case 20: continues its session at another gateway when its own is gone, and nothing counts twice', async () => {
    const wires = new Wires();
    const held: (() => void)[] = [];
    const a = await wires.gateway('a', {
      onRequest: async (request) => {
        // It has carried out the first when it dies, and not the second.
        if (textOf(request.payload) === 'y') await new Promise<void>((resolve) => held.push(resolve));
        return append(request);
      },
    });
    const b = await wires.gateway('b', { onRequest: append, onQuery: read });
    const client = await connected(wires, clientOf(wires));
    await wires.world.pass(20_000);
    const first = watch(client.request(bytesOf('x')));
    await wires.world.pass(100);
    expect(first.state).toBe('resolved');
    const second = watch(client.request(bytesOf('y')));
    await wires.world.pass(100);
    await wires.kill(a);
    await wires.world.pass(1000);
    expect(client.state).toBe('Connected');
    expect(second.state).toBe('resolved');
    for (const go of held) go();
    const log = watch(client.query(bytesOf('')));
    await wires.world.pass(1000);
    expect(textOf(log.value as Uint8Array)).toBe('x y');
    expect(b.server.stats).toMatchObject({ claimed: 1, committed: 1 });
  });

  test('case 13: in leader mode is sent to the leader, and follows it when it goes', async () => {
    const wires = new Wires();
    const b = await wires.gateway('b', { cluster: 'leader', onRequest: append });
    const a = await wires.gateway('a', { cluster: 'leader', onRequest: append });
    await wires.world.pass(1000);
    // The follower comes first.
    wires.gateways.reverse();
    const client = await connected(wires, clientOf(wires));
    expect(b.server.stats.connected).toBe(1);
    const { sessionId } = client;
    await wires.world.pass(20_000);
    await wires.kill(b);
    const request = watch(client.request(bytesOf('x')));
    await wires.world.pass(60_000);
    expect(client.state).toBe('Connected');
    expect(client.sessionId).toBe(sessionId);
    expect(request.state).toBe('resolved');
    expect(a.server.stats.connected).toBe(1);
  });

  test('case 18: gets server requests once and in order, over a gateway that shuts down', async () => {
    const wires = new Wires();
    const a = await wires.gateway('a');
    const b = await wires.gateway('b');
    const got: string[] = [];
    const client = await connected(
      wires,
      clientOf(wires, {
        onServerRequest: ({ requestId, payload }) => void got.push(`${requestId} ${textOf(payload)}`),
      }),
    );
    const id = client.sessionId ?? '';
    watch(a.server.push(id, bytesOf('one')));
    await wires.world.pass(100);
    // This one is kept, and its client has gone elsewhere when it is sent.
    wires.cut(a);
    watch(b.server.push(id, bytesOf('two')));
    await wires.world.pass(20_000);
    watch(a.server.close());
    await wires.world.pass(5000);
    watch(b.server.push(id, bytesOf('three')));
    await wires.world.pass(5000);
    expect(got).toEqual(['1 one', '2 two', '3 three']);
    expect(client.state).toBe('Connected');
    expect(await wires.world.keys('q/')).toEqual([]);
  });

  test('case 19: hears that its session has expired when it was away for too long', async () => {
    const wires = new Wires();
    const gateway = await wires.gateway('a');
    let isAway = false;
    const connector = wires.connector('device');
    const client = await connected(
      wires,
      clientOf(wires, {
        connector: (attach, signal, target, connectedTo) => {
          if (isAway) return Promise.reject(new HawserError('ERR_HAWSER_TIMED_OUT', 'away'));
          return connector(attach, signal, target, connectedTo);
        },
      }),
    );
    isAway = true;
    wires.cut(gateway);
    await wires.world.pass(95_000);
    const request = watch(client.request(bytesOf('x')));
    isAway = false;
    await wires.world.pass(40_000);
    expect(client.state).toBe('Expired');
    expect(codeOf(request.value)).toBe('ERR_HAWSER_SESSION_EXPIRED');
    expect(gateway.server.stats.expired).toBe(1);
  });

  test('case 19: cannot go on with the session of another identity', async () => {
    const wires = new Wires();
    await wires.gateway('a');
    const client = await connected(wires, clientOf(wires));
    const session = client.snapshot();
    if (session === undefined) throw new Error('it has no session');
    const thief = clientOf(wires, {}, 'thief');
    const outcome = watch(thief.connect({ session }));
    await wires.world.pass(5000);
    expect(codeOf(outcome.value)).toBe('ERR_HAWSER_SESSION_EXPIRED');
    expect(client.state).toBe('Connected');
    expect(client.stats.keepAlivesSent).toBe(1);
  });

  test('case 29: while the store is away KeepAlives are answered, and requests wait until it is back', async () => {
    const wires = new Wires();
    const gateway = await wires.gateway('a', { onRequest: append });
    const client = await connected(wires, clientOf(wires));
    gateway.cutOff();
    await wires.world.pass(20_000);
    const request = watch(client.request(bytesOf('x')));
    await wires.world.pass(100_000);
    expect(client.state).toBe('Connected');
    expect(client.stats.missedResponses).toBe(0);
    expect(request.state).toBeUndefined();
    gateway.join();
    await wires.world.pass(30_000);
    expect(request.state).toBe('resolved');
    expect(client.state).toBe('Connected');
  });

  test('requests without exactly-once are carried out, and those that were lost are told of', async () => {
    const wires = new Wires();
    const gateway = await wires.gateway('a', {
      onRequest: async (request) => {
        if (textOf(request.payload) === 'slow') await new Promise<void>(() => undefined);
        return append(request);
      },
      onQuery: read,
      requestsAtOnce: 10,
    });
    const got: string[] = [];
    const client = await connected(
      wires,
      clientOf(wires, {
        delivery: 'at-most-once',
        onServerRequest: ({ payload }) => void got.push(textOf(payload)),
      }),
    );
    const calls = ['x', 'slow', 'y'].map((text) => watch(client.request(bytesOf(text))));
    watch(gateway.server.push(client.sessionId ?? '', bytesOf('push')));
    await wires.world.pass(20_000);
    expect(calls.map(({ state }) => state)).toEqual(['resolved', undefined, 'resolved']);
    wires.cut(gateway);
    await wires.world.pass(1000);
    expect(codeOf(calls[1]?.value)).toBe('ERR_HAWSER_CONNECTION_LOST');
    const log = watch(client.query(bytesOf('')));
    await wires.world.pass(100);
    expect(textOf(log.value as Uint8Array)).toBe('x y');
    expect(got).toEqual(['push']);
  });
});
