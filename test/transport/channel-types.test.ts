// What the compiler knows of channels. The bodies run too, so that none of it is only said.

import { describe, expect, expectTypeOf, test } from 'vitest';
import {
  type BroadcastOptions,
  type Channel,
  type ChannelName,
  type ChannelValue,
  type Client,
  type ClientOptions,
  type Connection,
  type ConnectionEvents,
  connect,
  type DefaultChannels,
  json,
  type Peer,
  type ReliableChannelName,
  reliable,
  reliableUnordered,
  Server,
  type ServerEvents,
  type ServerOptions,
  sequenced,
  text,
  unreliable,
} from '../../src/index.js';

interface Chat {
  readonly from: string;
  readonly words: string;
}

const channels = {
  chat: reliable(json<Chat>()),
  moves: unreliable(),
  state: sequenced(text()),
  files: reliableUnordered(undefined, { maxMessageBytes: 1_000_000 }),
};
type Game = typeof channels;

describe('the types of channels', () => {
  test('are those of their codecs', () => {
    expectTypeOf(channels.chat).toEqualTypeOf<Channel<Chat, 'reliable'>>();
    expectTypeOf(channels.moves).toEqualTypeOf<Channel<Uint8Array, 'unreliable'>>();
    expectTypeOf<ChannelName<Game>>().toEqualTypeOf<'chat' | 'moves' | 'state' | 'files'>();
    expectTypeOf<ReliableChannelName<Game>>().toEqualTypeOf<'chat' | 'files'>();
    expectTypeOf<ChannelValue<Game, 'chat'>>().toEqualTypeOf<Chat>();
    expectTypeOf<ChannelValue<Game, 'state'>>().toEqualTypeOf<string>();
    expect(Object.keys(channels)).toEqual(['chat', 'moves', 'state', 'files']);
  });

  test('go from the options into server, peers, client and connection', () => {
    const listen = (options: ServerOptions<Game>): Promise<Server<Game>> => Server.listen(options);
    expectTypeOf(listen).returns.resolves.toEqualTypeOf<Server<Game>>();
    const inferred = (): Promise<unknown> => {
      const listening = Server.listen({ protocolId: 1n, keys: [], channels });
      expectTypeOf(listening).resolves.toEqualTypeOf<Server<Game>>();
      const connecting = connect('', { channels });
      expectTypeOf(connecting).resolves.toEqualTypeOf<Connection<Game>>();
      return Promise.allSettled([listening, connecting]);
    };
    expectTypeOf<Client<Game>['connect']>().returns.resolves.toEqualTypeOf<Connection<Game>>();
    expectTypeOf<ClientOptions<Game>['channels']>().toEqualTypeOf<Game | undefined>();
    expectTypeOf<BroadcastOptions<Game>['peers']>().toEqualTypeOf<Iterable<Peer<Game>> | undefined>();
    return inferred();
  });

  test('are those of one channel of bytes for who declares none', () => {
    const listen = (): Promise<unknown> => {
      const listening = Server.listen({ protocolId: 1n, keys: [] });
      expectTypeOf(listening).resolves.toEqualTypeOf<Server>();
      expectTypeOf(listening).resolves.toEqualTypeOf<Server<DefaultChannels>>();
      return Promise.allSettled([listening]);
    };
    expectTypeOf<ServerEvents['message']>().toEqualTypeOf<
      [peer: Peer, value: Uint8Array, channel: 'default']
    >();
    expectTypeOf<ConnectionEvents['message']>().toEqualTypeOf<[value: Uint8Array, channel: 'default']>();
    return listen();
  });

  test('let the name of a channel tell what its value is', () => {
    const seen: string[] = [];
    const listen = (server: Server<Game>, connection: Connection<Game>): void => {
      server.on('message', (peer, value, channel) => {
        expectTypeOf(peer).toEqualTypeOf<Peer<Game>>();
        if (channel === 'chat') expectTypeOf(value).toEqualTypeOf<Chat>();
        else if (channel === 'state') expectTypeOf(value).toEqualTypeOf<string>();
        else expectTypeOf(value).toEqualTypeOf<Uint8Array>();
        seen.push(channel);
      });
      connection.on('message', (value, channel) => {
        if (channel === 'chat') expectTypeOf(value.words).toEqualTypeOf<string>();
        // @ts-expect-error there is no such channel
        if (channel === 'nowhere') seen.push(channel);
      });
    };
    expectTypeOf(listen).parameters.toEqualTypeOf<[Server<Game>, Connection<Game>]>();
    expect(seen).toEqual([]);
  });

  test('let through what fits, and nothing else', () => {
    const send = (peer: Peer<Game>, server: Server<Game>, lone: Peer<{ chat: Channel<Chat> }>): void => {
      expectTypeOf(peer.send('chat', { from: 'ann', words: 'hello' })).toEqualTypeOf<boolean>();
      expectTypeOf(peer.send('state', 'up')).toEqualTypeOf<boolean>();
      const chat: Chat = { from: 'ann', words: 'hello' };
      expectTypeOf(peer.send('chat', chat, { ttlMs: 5 })).toEqualTypeOf<boolean>();
      expectTypeOf(peer.send('chat', chat, { confirm: true })).toEqualTypeOf<Promise<void>>();
      expectTypeOf(lone.send(chat)).toEqualTypeOf<boolean>();
      expectTypeOf(server.broadcast('state', 'down')).toEqualTypeOf<number>();
      // @ts-expect-error a value of another channel
      peer.send('chat', 'words');
      // @ts-expect-error no such channel
      peer.send('chats', chat);
      // @ts-expect-error only messages of reliable channels are confirmed
      peer.send('state', 'up', { confirm: true });
      // @ts-expect-error or expire
      peer.send('moves', new Uint8Array(), { ttlMs: 5 });
      // @ts-expect-error types cannot tell which of several channels is the first
      peer.send(chat);
      // @ts-expect-error only reliable channels can be paused
      peer.pause('moves');
      // @ts-expect-error a value of another channel
      server.broadcast('moves', 'down');
    };
    expectTypeOf(send).returns.toEqualTypeOf<void>();
  });
});
