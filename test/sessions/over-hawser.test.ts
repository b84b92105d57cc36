// Frames between a client and gateways over the transport: simulated, in virtual time, and over real sockets.

import { describe, expect, test } from 'vitest';
import type { MessageConnection, MessageReceiver } from '../../src/base/message-connection.js';
import { Client, type Connection, reliable, type Server, text } from '../../src/index.js';
import type { GatewayTarget } from '../../src/sessions/client/options.js';
import {
  type SessionChannels,
  type SessionConnectorOptions,
  serveSessions,
  sessionChannels,
  sessionConnector,
} from '../../src/sessions/over-hawser.js';
import type { SessionPeer } from '../../src/sessions/server/session.js';
import { heartbeatBytes, maxFrameBytes } from '../../src/sessions/wire/codec.js';
import { mintNetcodeToken } from '../../src/token/index.js';
import {
  freshWorldForEachTest,
  protocolId,
  SimulatedWorld,
  serverKey,
  type World,
  worlds,
} from '../transport/support.js';

const anywhere: GatewayTarget = { first: undefined, last: undefined };

/** One end of a connection: what it was told. */
class End implements MessageReceiver {
  readonly connection: MessageConnection;
  readonly messages: number[] = [];
  readonly unreliable: number[] = [];
  ended: { readonly code: string | undefined } | undefined = undefined;

  constructor(connection: MessageConnection) {
    this.connection = connection;
  }

  message(message: Uint8Array): void {
    this.messages.push(message.length);
  }

  unreliableMessage(message: Uint8Array): void {
    this.unreliable.push(message.length);
  }

  drained(): void {
    // None of these tests sends so much.
  }

  closed(error: { readonly code: string } | undefined): void {
    this.ended = { code: error?.code };
  }
}

interface Gateway {
  readonly server: Server<SessionChannels>;
  readonly ends: End[];
  readonly peers: SessionPeer[];
}

async function gateway(
  world: World,
  options: Parameters<typeof serveSessions<SessionChannels>>[2] = {},
): Promise<Gateway> {
  const server = await world.listen({ channels: sessionChannels });
  const ends: End[] = [];
  const peers: SessionPeer[] = [];
  const accept = (connection: MessageConnection, peer: SessionPeer): End => {
    const end = new End(connection);
    ends.push(end);
    peers.push(peer);
    return end;
  };
  serveSessions(server, { accept }, options);
  return { server, ends, peers };
}

/** Where a client connects. Over real sockets, a process that stands still for a while is not given up. */
function placeOf(world: World): SessionConnectorOptions {
  return world instanceof SimulatedWorld ? { network: world.network } : { timeoutMs: 60_000 };
}

async function meet(
  world: World,
  token: Uint8Array,
  target: GatewayTarget,
  options: SessionConnectorOptions = {},
): Promise<{ end: End; address: string }> {
  const connector = sessionConnector(token, { ...placeOf(world), ...options });
  const order: string[] = [];
  let end: End | undefined;
  let address = '';
  const attach = (connection: MessageConnection): End => {
    order.push('attach');
    end = new End(connection);
    return end;
  };
  const connectedTo = (to: string): void => {
    order.push('connectedTo');
    address = to;
  };
  await world.until(connector(attach, new AbortController().signal, target, connectedTo));
  expect(order).toEqual(['connectedTo', 'attach']);
  if (end === undefined) throw new Error('not attached');
  return { end, address };
}

describe.each(worlds)('sessions %s', (_, makeWorld) => {
  let world: World;
  freshWorldForEachTest(makeWorld, (fresh) => {
    world = fresh;
  });

  test('carry frames both ways, on the channel that they are sent on', async () => {
    const { server, ends } = await gateway(world);
    const { end } = await meet(world, await world.token(server), anywhere);
    end.connection.send(new Uint8Array(100));
    end.connection.sendUnreliable?.(new Uint8Array(heartbeatBytes));
    await world.settle();
    ends[0]?.connection.send(new Uint8Array(200));
    ends[0]?.connection.sendUnreliable?.(new Uint8Array(heartbeatBytes));
    await world.settle();
    expect(ends.map(({ messages, unreliable }) => [messages, unreliable])).toEqual([
      [[100], [heartbeatBytes]],
    ]);
    expect([end.messages, end.unreliable]).toEqual([[200], [heartbeatBytes]]);
    end.connection.close('');
    await world.settle();
    expect(ends[0]?.ended).toEqual({ code: undefined });
  });

  test('know the client by its token, and its clock once that has settled', async () => {
    const { server, peers } = await gateway(world);
    const { end } = await meet(world, await world.token(server, { clientId: 2n ** 64n - 1n }), anywhere);
    await world.settle();
    const [peer] = peers;
    expect(peer?.identity).toBe('18446744073709551615');
    if (world instanceof SimulatedWorld) {
      expect(peer?.remoteTimeMs?.()).toBeUndefined();
      await world.network.run(10_000);
      const before = peer?.remoteTimeMs?.() ?? Number.NaN;
      await world.network.run(1000);
      expect((peer?.remoteTimeMs?.() ?? Number.NaN) - before).toBeCloseTo(1000, 0);
    }
    end.connection.close('');
  });

  test('know the client as the gateway says, and refuse who has no name', async () => {
    const errors: unknown[] = [];
    const { server, peers } = await gateway(world, {
      identityOf: ({ clientId }) => (clientId === 5n ? 'device é' : ''),
    });
    server.on('listenerError', (error) => errors.push(error));
    const { end } = await meet(world, await world.token(server, { clientId: 5n }), anywhere);
    const { end: nameless } = await meet(world, await world.token(server, { clientId: 6n }), anywhere);
    await world.settle();
    expect(peers.map(({ identity }) => identity)).toEqual(['device é']);
    expect(nameless.ended).toEqual({ code: 'ERR_HAWSER_CONNECTION_LOST' });
    expect(end.ended).toBeUndefined();
    expect(errors).toEqual([expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' })]);
    end.connection.close('');
  });

  test('have a connector that rejects when it is given up, and for a client without the channels', async () => {
    const { server } = await gateway(world);
    const token = await world.token(server);
    const place = placeOf(world);
    const attach = (connection: MessageConnection): End => new End(connection);
    const given = new AbortController();
    given.abort();
    const connect = sessionConnector(token, place);
    await expect(world.until(connect(attach, given.signal, anywhere, () => undefined))).rejects.toMatchObject(
      { code: 'ERR_HAWSER_ABORTED' },
    );
    const channels = { ...sessionChannels, session: reliable(text()) };
    const other = sessionConnector(token, { ...place, channels } as unknown as SessionConnectorOptions);
    await expect(
      world.until(other(attach, new AbortController().signal, anywhere, () => undefined)),
    ).rejects.toMatchObject({ code: 'ERR_HAWSER_DENIED' });
  });
});

describe('sessions', () => {
  test('begin at the gateway that is named first, and otherwise behind the one that was lost', async () => {
    // Where no machine is so busy that an answer takes 300 ms.
    const world = new SimulatedWorld();
    const gateways = [await gateway(world), await gateway(world), await gateway(world)];
    const addresses = gateways.map(({ server }) => server.address);
    const [a = '', b = '', c = ''] = addresses;
    const [{ server }] = gateways as [Gateway];
    const token = await world.token(server, { addresses });
    const at = async (first: string | undefined, last?: string): Promise<string> =>
      (await meet(world, token, { first, last })).address;
    expect(await at(undefined)).toBe(a);
    expect(await at(c)).toBe(c);
    expect(await at(undefined, a)).toBe(b);
    expect(await at(undefined, c)).toBe(a);
    expect(await at(a, b)).toBe(a);
    // Whatever a server may say.
    expect(await at('192.0.2.9:9')).toBe(a);
    expect(await at('node-2', 'nowhere')).toBe(a);
    expect(await at('')).toBe(a);
    await world.close();
  });

  test('are one thing among others that a connection carries', async () => {
    const world = new SimulatedWorld();
    const channels = { chat: reliable(text()), ...sessionChannels };
    const server = await world.listen({ channels });
    const ends: End[] = [];
    const heard: unknown[] = [];
    const accept = (connection: MessageConnection): End => {
      const end = new End(connection);
      ends.push(end);
      return end;
    };
    serveSessions(server, { accept });
    server.on('message', (peer, value, channel) => {
      if (channel !== 'chat') return;
      heard.push(value);
      peer.send('chat', 'and you');
    });
    const client = await Client.open({ channels, network: world.network });
    const connections: Connection<typeof channels>[] = [];
    const connector = sessionConnector(await world.token(server), { client }, (connection) => {
      connections.push(connection);
    });
    let end: End | undefined;
    const attach = (connection: MessageConnection): End => {
      end = new End(connection);
      return end;
    };
    await world.until(connector(attach, new AbortController().signal, anywhere, () => undefined));
    connections[0]?.on('message', (value, channel) => {
      if (channel === 'chat') heard.push(value);
    });
    connections[0]?.send('chat', 'hello');
    end?.connection.send(new Uint8Array(30));
    await world.settle();
    expect(heard).toEqual(['hello', 'and you']);
    expect(ends[0]?.messages).toEqual([30]);
    await world.until(client.close());
    await world.close();
  });

  test('carry the longest frame there is, and nothing longer', async () => {
    const world = new SimulatedWorld();
    const server = await world.listen({ channels: sessionChannels });
    const ends: End[] = [];
    serveSessions(server, {
      accept(connection) {
        const end = new End(connection);
        ends.push(end);
        return end;
      },
    });
    const connector = sessionConnector(await world.token(server), { network: world.network });
    let connection: MessageConnection | undefined;
    const attach = (made: MessageConnection): End => {
      connection = made;
      return new End(made);
    };
    await world.until(connector(attach, new AbortController().signal, anywhere, () => undefined));
    expect(() => connection?.send(new Uint8Array(maxFrameBytes + 1))).toThrow(
      /^a message of the channel 'session' must be at most/,
    );
    connection?.send(new Uint8Array(maxFrameBytes));
    for (let turn = 0; turn < 200 && ends[0]?.messages.length === 0; ++turn) await world.network.run(1000);
    expect(ends[0]?.messages).toEqual([maxFrameBytes]);
    await world.close();
  });

  test('refuse what is no token, no server or no function at once', async () => {
    expect(() => sessionConnector('nonsense')).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_TOKEN_INVALID' }),
    );
    const acceptor = { accept: (connection: MessageConnection) => new End(connection) };
    expect(() => serveSessions({} as Server<SessionChannels>, acceptor)).toThrow(/^server must be/);
    const world = new SimulatedWorld();
    const server = await world.listen({ channels: sessionChannels });
    expect(() => serveSessions(server, acceptor, { identityOf: 'name' as never })).toThrow(
      /^identityOf must be/,
    );
    await world.close();
  });

  test('are refused for a netcode token, which has no reliable channels', async () => {
    const world = new SimulatedWorld();
    const server = await world.listen({
      channels: sessionChannels,
      wires: ['hawser', 'netcode'],
      freshKeys: true,
    });
    const accepted: End[] = [];
    serveSessions(server, {
      accept(connection) {
        const end = new End(connection);
        accepted.push(end);
        return end;
      },
    });
    const token = await mintNetcodeToken({
      protocolId,
      key: serverKey,
      clientId: 7n,
      addresses: server.publicAddresses,
      timeoutMs: 1000,
      now: () => world.clock.wallNow(),
    });
    const connect = sessionConnector(token, { network: world.network });
    const attach = (connection: MessageConnection): End => new End(connection);
    const target = { first: server.address, last: undefined };
    await expect(
      world.until(connect(attach, new AbortController().signal, target, () => undefined)),
    ).rejects.toMatchObject({ code: 'ERR_HAWSER_WIRE' });
    expect(accepted).toEqual([]);
    await world.close();
  });
});
