// A device and a controller over the transport: simulated, in virtual time, and over real sockets.

import { describe, expect, test } from 'vitest';
import { TimingWheel } from '../../src/base/timing-wheel.js';
import type { Connection, Peer, Server } from '../../src/index.js';
import { Device, type DeviceHandlers } from '../../src/interaction/device.js';
import { hawserCodec } from '../../src/interaction/hawser-codec.js';
import { InteractionConnection } from '../../src/interaction/interaction-connection.js';
import { mashCodec } from '../../src/interaction/mash-codec.js';
import type { Notification } from '../../src/interaction/messages.js';
import {
  type InteractionChannels,
  interactionChannels,
  overConnection,
  serveInteraction,
} from '../../src/interaction/over-hawser.js';
import type { Value } from '../../src/interaction/values.js';
import { freshWorldForEachTest, next, type World, worlds } from '../transport/support.js';
import { endpoint, feature, limitId, powerId, thermostat } from './thermostat.js';

const codecs = { hawser: hawserCodec, mash: mashCodec };

describe.each(worlds)('an interaction %s', (_, make) => {
  let world: World;
  freshWorldForEachTest(make, (fresh) => {
    world = fresh;
  });

  /** Waits until it is so, as long as that may take over real sockets of a busy machine. */
  async function soon(isSo: () => boolean): Promise<void> {
    for (let turns = 0; turns < 1000 && !isSo(); ++turns) await world.settle();
  }

  async function meet(codec: keyof typeof codecs, handlers: DeviceHandlers) {
    const server: Server<InteractionChannels> = await world.listen({ channels: interactionChannels });
    const wheel = new TimingWheel(world.clock);
    const device = new Device({
      wheel,
      handlers,
      subscriptions: { minIntervalMs: 0 },
      connections: { codec: codecs[codec]() },
    });
    const accepted: InteractionConnection[] = [];
    const peers: Peer<InteractionChannels>[] = [];
    serveInteraction(server, (connection, peer) => {
      const interaction = device.accept(connection);
      accepted.push(interaction);
      peers.push(peer);
      return interaction;
    });
    const token = await world.token(server);
    const connection: Connection<InteractionChannels> = await world.connect(token, {
      channels: interactionChannels,
    });
    const controller = overConnection(
      connection,
      (link) => new InteractionConnection(link, { wheel, codec: codecs[codec]() }),
    );
    await soon(() => accepted.length === 1);
    return { server, device, accepted, peers, connection, controller };
  }

  test.each(['hawser', 'mash'] as const)('%s: reads, writes and invokes', async (codec) => {
    const values = new Map<number, Value>([
      [powerId, 5],
      [limitId, 10],
    ]);
    const { controller } = await meet(codec, thermostat(values));
    expect(await world.until(controller.read(endpoint, feature))).toEqual(values);
    expect(await world.until(controller.read(endpoint, feature, [limitId]))).toEqual(
      new Map([[limitId, 10]]),
    );
    await world.until(controller.write(endpoint, feature, new Map([[limitId, 12]])));
    expect(values.get(limitId)).toBe(12);
    const parameters = new Map([['limit', 3]]);
    expect(await world.until(controller.invoke(endpoint, feature, 9, parameters))).toEqual(parameters);
    await expect(world.until(controller.read(7, feature))).rejects.toMatchObject({
      code: 'ERR_HAWSER_STATUS',
      status: 'INVALID_ENDPOINT',
    });
    await expect(
      world.until(controller.write(endpoint, feature, new Map([[powerId, 1]]))),
    ).rejects.toMatchObject({
      status: 'READ_ONLY',
    });
    expect(controller.pending).toBe(0);
  });

  test.each(['hawser', 'mash'] as const)(
    '%s: a subscriber hears the values once, then changes, and nothing after it has left',
    async (codec) => {
      const values = new Map<number, Value>([[powerId, 5]]);
      const { device, controller } = await meet(codec, thermostat(values));
      const heard: Notification[] = [];
      const subscription = await world.until(
        controller.subscribe(
          { endpoint, feature, attributes: [] },
          { notified: (notification) => heard.push(notification) },
        ),
      );
      device.notifyChange(endpoint, feature, powerId, 6);
      device.notifyChange(endpoint, feature, powerId, 7);
      await soon(() => heard.length >= 3);
      expect(heard.map(({ kind, changes }) => [kind, changes.get(powerId)])).toEqual([
        ['priming', 5],
        ['change', 6],
        ['change', 7],
      ]);
      await world.until(subscription.unsubscribe());
      device.notifyChange(endpoint, feature, powerId, 8);
      await world.settle();
      expect(heard).toHaveLength(3);
      expect(device.subscriptions).toBe(0);
    },
  );

  test('requests that wait when the connection ends are rejected, and subscriptions are stale', async () => {
    const never = new Promise<never>(() => undefined);
    const { server, device, controller } = await meet('hawser', {
      ...thermostat(new Map([[powerId, 5]])),
      invoke: () => never,
    });
    let stale = 0;
    const listener = { notified: () => undefined, stale: () => ++stale };
    await world.until(controller.subscribe({ endpoint, feature, attributes: [] }, listener));
    const waiting = controller.invoke(endpoint, feature, 1);
    waiting.catch(() => undefined);
    await world.settle();
    await world.until(server.close());
    await expect(world.until(waiting)).rejects.toMatchObject({
      code: 'ERR_HAWSER_CONNECTION_LOST',
      cause: { code: 'ERR_HAWSER_TIMED_OUT' },
    });
    expect([stale, controller.open, device.subscriptions]).toEqual([1, false, 0]);
    await expect(controller.read(endpoint, feature)).rejects.toMatchObject({
      code: 'ERR_HAWSER_NOT_CONNECTED',
    });
  });

  test('whoever sends what is no message is left, and nobody else', async () => {
    const values = new Map<number, Value>([[powerId, 5]]);
    const { server, accepted, connection } = await meet('hawser', thermostat(values));
    const other: Connection<InteractionChannels> = await world.connect(await world.token(server), {
      channels: interactionChannels,
    });
    const wheel = new TimingWheel(world.clock);
    const good = overConnection(other, (link) => new InteractionConnection(link, { wheel }));
    await soon(() => accepted.length === 2);
    const ended = next(connection, 'disconnect');
    connection.send('interaction', Uint8Array.of(0xff, 0xff));
    const [info] = await world.until(ended);
    expect(info.result).toBe('disconnected');
    expect(accepted.map(({ open }) => open)).toEqual([false, true]);
    expect(await world.until(good.read(endpoint, feature))).toEqual(values);
  });

  test('more requests than are answered at a time get BUSY, and each gets an answer', async () => {
    const finish: (() => void)[] = [];
    const { controller } = await meet('hawser', {
      invoke: () => new Promise((resolve) => finish.push(() => resolve({ payload: undefined }))),
    });
    const all = Array.from({ length: 100 }, () => controller.invoke(endpoint, feature, 1));
    const outcomes = Promise.allSettled(all);
    await soon(() => finish.length >= 64);
    // Nor are more of them served when all have come.
    await world.settle();
    expect(finish).toHaveLength(64);
    for (const each of finish) each();
    const settled = await world.until(outcomes);
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(64);
    for (const each of settled) {
      if (each.status === 'rejected') expect(each.reason).toMatchObject({ status: 'BUSY' });
    }
  });

  test('a handler that throws is answered for, and its error told', async () => {
    const { controller, accepted } = await meet('hawser', {
      read: () => {
        throw new Error('broken');
      },
    });
    const errors: unknown[] = [];
    accepted[0]?.on('listenerError', (error, source) => errors.push([(error as Error).message, source]));
    await expect(world.until(controller.read(endpoint, feature))).rejects.toMatchObject({ status: 'BUSY' });
    await expect(world.until(controller.invoke(endpoint, feature, 1))).rejects.toMatchObject({
      status: 'UNSUPPORTED',
    });
    expect(errors).toEqual([['broken', 'serve']]);
  });

  test('a peer that connected before it is served is served too', async () => {
    const server: Server<InteractionChannels> = await world.listen({ channels: interactionChannels });
    const arrived = next(server, 'connect');
    const connection = await world.connect(await world.token(server), { channels: interactionChannels });
    await world.until(arrived);
    const wheel = new TimingWheel(world.clock);
    const device = new Device({ wheel, handlers: thermostat(new Map([[powerId, 5]])) });
    serveInteraction(server, (link) => device.accept(link));
    const controller = overConnection(connection, (link) => new InteractionConnection(link, { wheel }));
    expect(await world.until(controller.read(endpoint, feature, [powerId]))).toEqual(new Map([[powerId, 5]]));
  });

  test('a peer that is not accepted is disconnected, and the error told', async () => {
    const server: Server<InteractionChannels> = await world.listen({ channels: interactionChannels });
    const errors: unknown[] = [];
    server.on('listenerError', (error, source) => errors.push([(error as Error).message, source]));
    serveInteraction(server, () => {
      throw new Error('no room');
    });
    const ended = next(server, 'disconnect');
    // It may be connected before it hears of the end, or not.
    await Promise.allSettled([world.connect(await world.token(server), { channels: interactionChannels })]);
    const [, info] = await world.until(ended);
    expect([info.result, info.reason]).toEqual(['closed', 'not accepted']);
    expect(errors).toEqual([['no room', 'connect']]);
  });
});
