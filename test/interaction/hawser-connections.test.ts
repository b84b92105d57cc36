// What the transport adds to an interaction: further channels, farewells, resets, connectors, and messages that may be lost.

import { describe, expect, expectTypeOf, test } from 'vitest';
import type { HawserError } from '../../src/base/errors.js';
import type { Farewell, MessageConnection, MessageReceiver } from '../../src/base/message-connection.js';
import { TimingWheel } from '../../src/base/timing-wheel.js';
import { Client, type Connection, reliable, type Server, text, unreliable } from '../../src/index.js';
import { Device, type DeviceOptions } from '../../src/interaction/device.js';
import { InteractionConnection } from '../../src/interaction/interaction-connection.js';
import {
  hawserConnector,
  type InteractionChannels,
  interactionChannels,
  overConnection,
  serveInteraction,
} from '../../src/interaction/over-hawser.js';
import { mintNetcodeToken } from '../../src/token/index.js';
import { next, protocolId, SimulatedWorld, serverKey } from '../transport/support.js';

const channels = { chat: reliable(text()), ...interactionChannels, moves: unreliable() };
type Channels = typeof channels;

const all = { endpoint: 1, feature: 2, attributes: [] } as const;

/** Keeps what it is told, in bytes as numbers. */
class Recorder implements MessageReceiver {
  readonly log: unknown[] = [];
  readonly connection: MessageConnection;

  constructor(connection: MessageConnection) {
    this.connection = connection;
  }

  message(message: Uint8Array): void {
    this.log.push(['message', ...message]);
  }
  unreliableMessage(message: Uint8Array): void {
    this.log.push(['unreliable', ...message]);
  }
  drained(): void {
    this.log.push('drained');
  }
  farewell(farewell: Farewell): void {
    this.log.push(['farewell', farewell]);
  }
  closed(error: HawserError | undefined): void {
    this.log.push(['closed', error?.code]);
  }
}

async function inWorld(run: (world: SimulatedWorld) => Promise<void>): Promise<void> {
  const world = new SimulatedWorld();
  await run(world);
  await world.close();
}

/** A gateway that keeps what each of its peers sends. */
async function recording(
  world: SimulatedWorld,
  options: Parameters<typeof world.listen<InteractionChannels>>[0] = {},
) {
  const server: Server<InteractionChannels> = await world.listen({
    channels: interactionChannels,
    ...options,
  });
  const recorders: Recorder[] = [];
  serveInteraction(server, (connection) => {
    const recorder = new Recorder(connection);
    recorders.push(recorder);
    return recorder;
  });
  return { server, recorders };
}

// ---- Channels ------------------------------------------------------------------------------------------------------

describe('beside further channels', () => {
  test('each message goes to those whose channel it came by, on both sides', () =>
    inWorld(async (world) => {
      const server: Server<Channels> = await world.listen({ channels });
      const heard: unknown[] = [];
      server.on('message', (peer, value, channel) => {
        expectTypeOf(channel).toEqualTypeOf<'chat' | 'interaction' | 'interactionState' | 'moves'>();
        if (channel !== 'chat') return;
        heard.push(value);
        peer.send('chat', value.toUpperCase());
      });
      const recorders: Recorder[] = [];
      serveInteraction(server, (connection, peer) => {
        expectTypeOf(peer.send<'chat'>).toBeCallableWith('chat', 'text');
        const recorder = new Recorder(connection);
        recorders.push(recorder);
        return recorder;
      });
      const connection: Connection<Channels> = await world.connect(await world.token(server), { channels });
      const mine: unknown[] = [];
      connection.on('message', (value, channel) => {
        if (channel === 'chat') mine.push(value);
      });
      const recorder = overConnection(connection, (own) => new Recorder(own));
      expectTypeOf(recorder).toEqualTypeOf<Recorder>();
      connection.send('chat', 'hello');
      connection.send('moves', Uint8Array.of(9));
      expect(recorder.connection.send(Uint8Array.of(1))).toBe(true);
      recorder.connection.sendUnreliable?.(Uint8Array.of(2));
      await world.settle();
      expect(heard).toEqual(['hello']);
      expect(mine).toEqual(['HELLO']);
      expect(recorders[0]?.log.toSorted()).toEqual([
        ['message', 1],
        ['unreliable', 2],
      ]);
      recorders[0]?.connection.sendUnreliable?.(Uint8Array.of(3));
      await world.settle();
      expect(recorder.log).toEqual([['unreliable', 3]]);
    }));

  test('types refuse whoever lacks one of the two channels', () => {
    const without = { chat: reliable(text()), interaction: interactionChannels.interaction };
    const wrong = { interaction: reliable(text()), interactionState: interactionChannels.interactionState };
    const refused = (server: Server<typeof without>, other: Server<typeof wrong>, link: Connection): void => {
      // @ts-expect-error interactionState is missing
      serveInteraction(server, () => new Recorder({} as MessageConnection));
      // @ts-expect-error interaction carries text
      serveInteraction(other, () => new Recorder({} as MessageConnection));
      // @ts-expect-error neither is there
      overConnection(link, (own) => new Recorder(own));
    };
    expectTypeOf(refused).toBeFunction();
    expectTypeOf(hawserConnector<Channels>)
      .parameter(2)
      .toEqualTypeOf<((connection: Connection<Channels>) => void) | undefined>();
  });

  test('netcode peers are left alone, and a netcode connection is refused', () =>
    inWorld(async (world) => {
      const { server, recorders } = await recording(world, {
        wires: ['hawser', 'netcode'],
        freshKeys: true,
      });
      const token = await mintNetcodeToken({
        protocolId,
        key: serverKey,
        clientId: 7n,
        addresses: server.publicAddresses,
        timeoutMs: 1000,
        now: () => world.clock.wallNow(),
      });
      const connection: Connection<InteractionChannels> = await world.connect(token, {
        channels: interactionChannels,
      });
      // The first unreliable channel is all that netcode has.
      connection.send('interactionState', Uint8Array.of(1));
      await world.settle();
      expect(server.peers.size).toBe(1);
      expect(recorders).toEqual([]);
      expect(() => overConnection(connection, (own) => new Recorder(own))).toThrow(
        expect.objectContaining({ code: 'ERR_HAWSER_WIRE' }),
      );
    }));
});

// ---- The end of a session ------------------------------------------------------------------------------------------

describe('overConnection', () => {
  const resetKey = new Uint8Array(32).fill(9);

  test('tells nothing after a reset, and is called again for the session after it', () =>
    inWorld(async (world) => {
      const first = await recording(world, { resetKey, clockSkewMs: 0 });
      const connection: Connection<InteractionChannels> = await world.connect(
        await world.token(first.server),
        {
          channels: interactionChannels,
        },
      );
      let made = 0;
      const make = (own: MessageConnection): Recorder => {
        ++made;
        return new Recorder(own);
      };
      const before = overConnection(connection, make);
      const listeners = connection.listenerCount('message');
      const reconnected = next(connection, 'reconnected');
      world.network.partition(first.server.address, connection.localAddress);
      await world.until(first.server.close());
      world.network.partition(first.server.address, connection.localAddress, false);
      const second = await recording(world, { address: first.server.address, resetKey, clockSkewMs: 0 });
      before.connection.send(Uint8Array.of(1));
      await world.until(reconnected);
      expect([made, before.log]).toEqual([1, [['closed', 'ERR_HAWSER_CONNECTION_LOST']]]);
      // What is left of the old session reaches nobody in the new one.
      expect(() => before.connection.send(Uint8Array.of(2))).toThrow(
        expect.objectContaining({ code: 'ERR_HAWSER_NOT_CONNECTED' }),
      );
      expect(() => before.connection.sendUnreliable?.(Uint8Array.of(2))).toThrow(
        expect.objectContaining({ code: 'ERR_HAWSER_NOT_CONNECTED' }),
      );
      before.connection.close('late');
      const after = overConnection(connection, make);
      expect(connection.listenerCount('message')).toBe(listeners);
      second.recorders[0]?.connection.send(Uint8Array.of(3));
      await world.settle();
      expect([made, before.log.length, after.log]).toEqual([2, 1, [['message', 3]]]);
      expect(connection.connected).toBe(true);
    }));

  test('refuses a connection that has ended, and leaves one alone whose receiver cannot be made', () =>
    inWorld(async (world) => {
      const { server, recorders } = await recording(world);
      const connection: Connection<InteractionChannels> = await world.connect(await world.token(server), {
        channels: interactionChannels,
      });
      const fail = (): never => {
        throw new Error('mine');
      };
      expect(() => overConnection(connection, fail)).toThrow('mine');
      expect(connection.listenerCount('message')).toBe(0);
      expect(connection.connected).toBe(true);
      // It may end the connection as soon as it is made.
      const receiver = overConnection(connection, (own) => {
        own.close('at once');
        return new Recorder(own);
      });
      await world.settle();
      expect(receiver.log).toEqual([['closed', undefined]]);
      // The other side is told why.
      expect(recorders[0]?.log).toEqual([['closed', 'ERR_HAWSER_CONNECTION_LOST']]);
      expect(() => overConnection(connection, (own) => new Recorder(own))).toThrow(
        expect.objectContaining({ code: 'ERR_HAWSER_NOT_CONNECTED' }),
      );
    }));

  test('tells nothing after the end, and the end also when it comes at once', () =>
    inWorld(async (world) => {
      const { server, recorders } = await recording(world);
      const connection: Connection<InteractionChannels> = await world.connect(await world.token(server), {
        channels: interactionChannels,
      });
      const early = overConnection(connection, (own) => {
        connection.emit('reset');
        return new Recorder(own);
      });
      expect(early.log).toEqual([['closed', 'ERR_HAWSER_CONNECTION_LOST']]);
      // Whoever listens before it may end it with the message that it is about to hear.
      connection.once('message', () => connection.emit('reset'));
      const late = overConnection(connection, (own) => new Recorder(own));
      recorders[0]?.connection.send(Uint8Array.of(1));
      await world.settle();
      expect(late.log).toEqual([['closed', 'ERR_HAWSER_CONNECTION_LOST']]);
    }));

  test('tells of a farewell before the end, and of one that ends the connection now', () =>
    inWorld(async (world) => {
      const { server } = await recording(world);
      const connection: Connection<InteractionChannels> = await world.connect(await world.token(server), {
        channels: interactionChannels,
      });
      const { log } = overConnection(connection, (own) => new Recorder(own));
      const drained = server.drain({ deadlineMs: 5000, elsewhere: '192.0.2.1:7', reconnectSpreadMs: 7000 });
      await world.settle();
      const reconnectSpreadMs = 7000;
      expect(log).toEqual([['farewell', { deadlineMs: 5000, elsewhere: '192.0.2.1:7', reconnectSpreadMs }]]);
      await world.until(drained);
      expect(log.slice(1)).toEqual([
        ['farewell', { deadlineMs: 0, elsewhere: undefined, reconnectSpreadMs }],
        ['closed', undefined],
      ]);
    }));

  test('tells whoever was replaced, so that it does not replace its successor in turn', () =>
    inWorld(async (world) => {
      const { server, recorders } = await recording(world);
      const options = { channels: interactionChannels };
      const old: Connection<InteractionChannels> = await world.connect(
        await world.token(server, { clientId: 5n }),
        options,
      );
      const { log } = overConnection(old, (own) => new Recorder(own));
      await world.connect(await world.token(server, { clientId: 5n }), options);
      await world.settle();
      expect(log).toEqual([['closed', 'ERR_HAWSER_REPLACED']]);
      expect(recorders[0]?.log).toEqual([['closed', 'ERR_HAWSER_REPLACED']]);
    }));
});

// ---- Connectors ----------------------------------------------------------------------------------------------------

describe('hawserConnector', () => {
  const never = new AbortController().signal;

  test('makes a connection for each call, with a token of its own', () =>
    inWorld(async (world) => {
      const { server, recorders } = await recording(world);
      let asked = 0;
      const source = (): Promise<Uint8Array> => {
        ++asked;
        return world.token(server);
      };
      const connector = hawserConnector(source, { network: world.network });
      const made: Recorder[] = [];
      const attach = (own: MessageConnection): Recorder => {
        const recorder = new Recorder(own);
        made.push(recorder);
        return recorder;
      };
      await world.until(Promise.all([connector(attach, never), connector(attach, never)]));
      expect([asked, made.length, server.peers.size]).toEqual([2, 2, 2]);
      made[1]?.connection.send(Uint8Array.of(7));
      await world.settle();
      expect(recorders.map(({ log }) => log).toSorted()).toEqual([[], [['message', 7]]]);
      for (const each of made) each.connection.close('done');
      await world.settle();
      expect(server.peers.size).toBe(0);
      expect(made.map(({ log }) => log)).toEqual([[['closed', undefined]], [['closed', undefined]]]);
    }));

  test('shares a client, and shows each connection before it is used', () =>
    inWorld(async (world) => {
      const server: Server<Channels> = await world.listen({ channels });
      const client: Client<Channels> = await Client.open({ channels, network: world.network });
      const seen: Connection<Channels>[] = [];
      const token = await world.token(server);
      const connector = hawserConnector<Channels>(token, { client }, (connection) => seen.push(connection));
      const order: string[] = [];
      await world.until(
        connector((own) => {
          order.push(`attach after ${seen.length}`);
          return new Recorder(own);
        }, never),
      );
      expect([order, client.connections.size]).toEqual([['attach after 1'], 1]);
      await world.until(client.close());
    }));

  test('a reset is a loss, and the connection does not come back by itself', () =>
    inWorld(async (world) => {
      const options = { resetKey: new Uint8Array(32).fill(9), clockSkewMs: 0 };
      const { server } = await recording(world, options);
      const client: Client<InteractionChannels> = await Client.open({
        channels: interactionChannels,
        network: world.network,
      });
      const recorders: Recorder[] = [];
      const connector = hawserConnector(await world.token(server), { client });
      await world.until(
        connector((own) => {
          const recorder = new Recorder(own);
          recorders.push(recorder);
          return recorder;
        }, never),
      );
      world.network.partition(server.address, client.address);
      await world.until(server.close());
      world.network.partition(server.address, client.address, false);
      const again = await recording(world, { ...options, address: server.address });
      recorders[0]?.connection.send(Uint8Array.of(1));
      await world.settle();
      expect(recorders[0]?.log).toEqual([['closed', 'ERR_HAWSER_CONNECTION_LOST']]);
      expect([recorders.length, client.connections.size, again.server.peers.size]).toEqual([1, 0, 0]);
      await world.until(client.close());
    }));

  test('given up at any time, it leaves nothing behind', () =>
    inWorld(async (world) => {
      const { server } = await recording(world);
      const attach = (): never => expect.fail('attached');
      const before = new AbortController();
      before.abort();
      const connector = hawserConnector(() => world.token(server), { network: world.network });
      await expect(connector(attach, before.signal)).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
      const during = new AbortController();
      const connecting = connector(attach, during.signal);
      const outcome = expect(connecting).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
      await world.network.run(5);
      during.abort();
      await outcome;
      // Just when it is connected, and nobody has heard of it yet.
      const after = new AbortController();
      const last = hawserConnector(() => world.token(server), {
        network: world.network,
        onState: (state) => {
          if (state === 'CONNECTED') queueMicrotask(() => after.abort());
        },
      });
      await expect(world.until(last(attach, after.signal))).rejects.toMatchObject({
        code: 'ERR_HAWSER_ABORTED',
      });
      await world.settle();
      await world.settle();
      expect(server.peers.size).toBe(0);
    }));

  test('what the gateway sends as soon as it can arrives', () =>
    inWorld(async (world) => {
      const { server } = await recording(world);
      server.on('connect', (peer) => {
        peer.send('interaction', Uint8Array.of(1));
        peer.send('interaction', Uint8Array.of(2));
      });
      const connector = hawserConnector(await world.token(server), { network: world.network });
      const made: Recorder[] = [];
      const attach = (own: MessageConnection): Recorder => {
        const recorder = new Recorder(own);
        made.push(recorder);
        return recorder;
      };
      await world.until(connector(attach, never));
      await world.settle();
      expect(made[0]?.log).toEqual([
        ['message', 1],
        ['message', 2],
      ]);
    }));

  test('a receiver that cannot be made ends the connection', () =>
    inWorld(async (world) => {
      const { server } = await recording(world);
      const connector = hawserConnector(await world.token(server), { network: world.network });
      const fail = (): never => {
        throw new Error('mine');
      };
      await expect(world.until(connector(fail, never))).rejects.toThrow('mine');
      await world.settle();
      expect(server.peers.size).toBe(0);
    }));
});

// ---- Interactions --------------------------------------------------------------------------------------------------

/** A device and a controller, over a network that loses 30 % of everything. */
async function lossy(world: SimulatedWorld, options: Omit<DeviceOptions, 'wheel'>) {
  const server: Server<InteractionChannels> = await world.listen({ channels: interactionChannels });
  const wheel = new TimingWheel(world.clock);
  const device = new Device({ wheel, ...options });
  serveInteraction(server, (connection) => device.accept(connection));
  const connection: Connection<InteractionChannels> = await world.connect(await world.token(server), {
    channels: interactionChannels,
  });
  const controller = overConnection(connection, (own) => new InteractionConnection(own, { wheel }));
  await world.settle();
  world.network.setLink(undefined, undefined, {
    lossRate: 0.3,
    duplicateRate: 0.1,
    reorderRate: 0.2,
    jitterMs: 50,
  });
  return { server, device, connection, controller };
}

test('states that may be lost only become newer, and the last one arrives', () =>
  inWorld(async (world) => {
    let value = 0;
    const { device, controller } = await lossy(world, {
      handlers: { read: () => new Map([[7, value]]) },
      subscriptions: { minIntervalMs: 0, maxIntervalMs: 1000 },
      unreliableState: true,
    });
    const heard: number[] = [];
    await world.until(
      controller.subscribe(all, { notified: ({ changes }) => heard.push(Number(changes.get(7))) }),
    );
    for (value = 1; value < 200; ++value) {
      device.notifyChange(1, 2, 7, value);
      await world.network.run(10);
    }
    await world.network.run(10_000);
    expect(heard[0]).toBe(0);
    expect(heard).toEqual(heard.toSorted((one, other) => one - other));
    expect(new Set(heard).size).toBeGreaterThan(80);
    expect(new Set(heard).size).toBeLessThan(200);
    expect(heard.at(-1)).toBe(199);
    expect(controller.outdatedNotifications).toBeGreaterThan(0);
    expect([controller.misplacedMessages, controller.unknownNotifications]).toEqual([0, 0]);
  }));

test('a device that closes while it serves is heard to the end, though much is lost on the way', () =>
  inWorld(async (world) => {
    const finish: (() => void)[] = [];
    const { device, controller, server } = await lossy(world, {
      handlers: {
        invoke: ({ command }) =>
          new Promise((resolve) => finish.push(() => resolve({ payload: 'x'.repeat(10_000 + command) }))),
      },
    });
    const asked = Array.from({ length: 20 }, (_, command) => controller.invoke(1, 1, command));
    await world.network.run(3000);
    expect(finish).toHaveLength(20);
    const closed = device.close({ drainTimeoutMs: 60_000 });
    await world.network.run(500);
    for (const each of finish) each();
    const answers = await world.until(Promise.all(asked));
    expect(answers.map((each) => String(each).length - 10_000)).toEqual(answers.map((_, command) => command));
    await world.until(closed);
    expect([server.peers.size, controller.open, device.connections]).toEqual([0, false, 0]);
  }));
