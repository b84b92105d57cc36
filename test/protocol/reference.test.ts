// The reference implementation against itself, by hand and over real sockets: what the vectors and the interop tests rest on.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { concat, fromHex, Reader, Refused, toHex, u8, u16, utf8, varint } from '../reference/bytes.js';
import {
  type ChannelOptions,
  type Endpoint,
  fromEndpoint,
  ReferenceClient,
  ReferenceServer,
  type ReferenceServerOptions,
  toEndpoint,
} from '../reference/endpoints.js';
import { decodeFrames, disconnectCode, encodeFrame, type Frame } from '../reference/frames.js';
import * as reference from '../reference/hawser1.js';
import type { ReferenceSession } from '../reference/session.js';

const protocolId = 5n;
const keyId = 9;
const serverKey = new Uint8Array(32).fill(0x5a);
const serverEndpoint: Endpoint = { host: '192.0.2.1', port: 4433 };
const clientEndpoint: Endpoint = { host: '198.51.100.7', port: 50_000 };
const limits: reference.Limits = { maxDatagram: 1472, credit: 100_000, channelCredit: 20_000 };

beforeAll(() => reference.ready);

interface TokenOptions {
  readonly clientId?: bigint;
  readonly flags?: number;
  readonly addresses?: readonly Endpoint[];
  readonly protocolId?: bigint;
  readonly createTime?: bigint;
  readonly key?: Uint8Array;
}

function mint(options: TokenOptions = {}): Uint8Array {
  const createTime = options.createTime ?? BigInt(Date.now());
  return reference.mintToken(
    options.key ?? serverKey,
    {
      protocolId: options.protocolId ?? protocolId,
      keyId,
      flags: options.flags ?? 0,
      createTime,
      expireTime: createTime + 60_000n,
      nonce: reference.random(24),
    },
    {
      clientId: options.clientId ?? 1n,
      timeout: 5000,
      addresses: (options.addresses ?? [serverEndpoint]).map(fromEndpoint),
      c2s: reference.random(32),
      s2c: reference.random(32),
      userData: utf8('level 7'),
    },
  );
}

/** A client and a server joined by a wire that a test can cut, copy and bend. */
class Pair {
  readonly wire: { readonly towards: 'client' | 'server'; readonly datagram: Uint8Array }[] = [];
  readonly server: ReferenceServer;
  readonly client: ReferenceClient;
  /** Every datagram ever sent. */
  readonly log: Uint8Array[] = [];

  constructor(
    token: Uint8Array = mint(),
    options: Partial<ReferenceServerOptions> = {},
    clientOptions: ChannelOptions = {},
  ) {
    this.server = new ReferenceServer({
      protocolId,
      keys: new Map([[keyId, serverKey]]),
      addresses: [serverEndpoint],
      sendDatagram: (datagram) => this.#put('client', datagram),
      ...options,
    });
    this.client = new ReferenceClient({
      token,
      sendDatagram: (datagram) => this.#put('server', datagram),
      ...clientOptions,
    });
  }

  #put(towards: 'client' | 'server', datagram: Uint8Array): void {
    this.wire.push({ towards, datagram });
    this.log.push(datagram);
  }

  /** Delivers one datagram, in order. */
  step(): void {
    const next = this.wire.shift();
    if (next?.towards === 'server') this.server.receive(next.datagram, clientEndpoint);
    if (next?.towards === 'client') this.client.receive(next.datagram, serverEndpoint);
  }

  run(): void {
    while (this.wire.length > 0) this.step();
  }

  connect(): this {
    this.client.start();
    this.run();
    return this;
  }
}

describe('handshake by hand', () => {
  test('connects in the datagrams of section 7, of the sizes of section 3', () => {
    const pair = new Pair();
    pair.client.start();
    const states = [pair.client.state];
    for (let step = 0; step < 6; ++step) {
      pair.step();
      states.push(pair.client.state);
    }
    expect(states).toEqual([
      'REQUESTING',
      'REQUESTING',
      'RESPONDING',
      'RESPONDING',
      'CONFIRMING',
      'CONFIRMING',
      'CONNECTED',
    ]);
    expect(pair.log.slice(0, 4).map((datagram) => [datagram[0], datagram.length])).toEqual([
      [0xa0, 1200],
      [0xa1, 94],
      [0xa2, 1198],
      [0xa3, 137],
    ]);
    for (const datagram of pair.log) expect((datagram[0] ?? 0) >> 5).toBe(0b101);
    expect(pair.server.peers).toMatchObject([{ clientId: 1n, userData: utf8('level 7'), confirmed: true }]);
  });

  test('both sides hold the same exported keys, and two connections of one token do not', () => {
    const token = mint();
    const [first, second] = [new Pair(token).connect(), new Pair(token).connect()];
    const keys = [first, second].map((pair) => {
      const key = toHex(pair.client.session?.exportKey('chat') ?? new Uint8Array(0));
      expect(key).toBe(toHex(pair.server.peers[0]?.session.exportKey('chat') ?? new Uint8Array(1)));
      return key;
    });
    expect(keys[0]).not.toBe(keys[1]);
    expect(first.client.session?.exportKey('other')).not.toEqual(first.client.session?.exportKey('chat'));
  });

  test('messages go both ways, each once, and spare ids are exchanged and acknowledged', () => {
    const pair = new Pair().connect();
    pair.server.echo = true;
    const sizes = [0, 1, 64, 1158];
    for (const size of sizes) pair.client.sendMessage(new Uint8Array(size).fill(size));
    pair.run();
    expect(pair.client.session?.messages.map((data) => data.length)).toEqual(sizes);
    expect(pair.client.session?.peerIds.size).toBe(3);
    expect(pair.server.peers[0]?.session.peerIds.size).toBe(3);
    expect(pair.client.session?.unacknowledgedFrames).toEqual([]);
    expect(pair.server.peers[0]?.session.unacknowledgedFrames).toEqual([]);
    for (const datagram of pair.log) expect(datagram.length).toBeLessThanOrEqual(1200);
  });

  test('a retired id is replaced by a fresh one and packets go to the next', () => {
    const pair = new Pair().connect();
    const session = pair.client.session;
    session?.retirePeerId(0n);
    session?.flush();
    pair.run();
    expect([...(session?.peerIds.keys() ?? [])]).toEqual([1n, 2n, 3n]);
    pair.client.sendMessage(utf8('still here'));
    pair.run();
    expect(pair.server.peers[0]?.session.messages).toEqual([utf8('still here')]);
  });

  test.each<[string, Frame]>([
    ['a RETIRE_ID of the id that its packet was sent to', { type: 'RETIRE_ID', sequence: 0n }],
    ['a RETIRE_ID of an id never issued', { type: 'RETIRE_ID', sequence: 3n }],
    [
      'a third spare id',
      { type: 'NEW_ID', sequence: 3n, id: new Uint8Array(8), resetToken: new Uint8Array(16) },
    ],
    [
      'a second NEW_ID with another id',
      { type: 'NEW_ID', sequence: 1n, id: new Uint8Array(8), resetToken: new Uint8Array(16) },
    ],
    ['an ACK of a number never sent', { type: 'ACK', delay: 0n, ranges: [{ smallest: 99n, largest: 99n }] }],
  ])('a breach of the rules: %s', (reason, frame) => {
    const pair = new Pair().connect();
    pair.client.session?.sendPacket([frame]);
    pair.run();
    expect(pair.server.drops).toEqual([reason]);
  });

  test('a lost ACCEPT is sent again for the same RESPONSE only', () => {
    const pair = new Pair();
    pair.client.start();
    for (let step = 0; step < 3; ++step) pair.step();
    const accept = pair.wire.shift();
    pair.client.resend();
    pair.step();
    expect(pair.wire[0]?.datagram).toEqual(accept?.datagram);
    const other = reference.sealResponse(
      reference.handshakeKeys(pair.client.token).response,
      pair.client.request,
      pair.client.response.slice(1073, 1094),
      { features: 0, connectionId: reference.random(8), ...limits, channels: new Uint8Array(16) },
    );
    pair.server.receive(other, clientEndpoint);
    expect(pair.server.drops).toEqual(['cookieConsumed']);
    pair.run();
    expect(pair.client.state).toBe('CONNECTED');
    pair.server.receive(pair.client.response, clientEndpoint);
    expect(pair.server.drops).toEqual(['cookieConsumed', 'cookieConsumed']);
    expect(pair.server.peers).toHaveLength(1);
  });

  test('a cookie is bound to the address it was made for', () => {
    const pair = new Pair();
    pair.client.start();
    pair.step();
    pair.step();
    pair.wire.length = 0;
    pair.server.receive(pair.client.response, { ...clientEndpoint, port: 50_001 });
    pair.server.receive(pair.client.response, { ...clientEndpoint, host: '198.51.100.8' });
    expect(pair.server.drops).toEqual(['cookieInvalid', 'cookieInvalid']);
    expect(pair.wire).toEqual([]);
  });

  test.each<[string, TokenOptions]>([
    ['protocol', { protocolId: 6n }],
    ['tokenExpired', { createTime: BigInt(Date.now()) - 3_600_000n }],
    ['tokenFuture', { createTime: BigInt(Date.now()) + 3_600_000n }],
    ['the tag does not verify', { key: new Uint8Array(32) }],
    ['wrongAddress', { addresses: [{ host: '203.0.113.1', port: 1 }] }],
    ['unknown flags', { flags: 2 }],
  ])('silence: %s', (reason, options) => {
    const pair = new Pair();
    const token = options.flags === undefined ? mint(options) : mint();
    if (options.flags !== undefined) token[20] = options.flags;
    pair.server.receive(reference.encodeRequest(token, reference.keyPair().share), clientEndpoint);
    expect(pair.server.drops).toEqual([reason]);
    expect(pair.wire).toEqual([]);
  });

  test('a full server denies, and the next address is asked', () => {
    const other: Endpoint = { host: '2001:db8::2', port: 4433 };
    const pair = new Pair(mint({ addresses: [serverEndpoint, other] }), { maxPeers: 0 });
    const asked: Endpoint[] = [];
    const client = new ReferenceClient({
      token: mint({ addresses: [serverEndpoint, other] }),
      sendDatagram: (datagram, to) => {
        asked.push(to);
        pair.server.receive(datagram, clientEndpoint);
      },
    });
    client.start();
    client.receive(pair.wire[0]?.datagram ?? new Uint8Array(0), serverEndpoint);
    expect(client.denied).toEqual([reference.deniedReason.SERVER_FULL]);
    expect(asked.map(({ host }) => host)).toEqual(['192.0.2.1', '2001:0db8:0000:0000:0000:0000:0000:0002']);
    client.receive(pair.wire[1]?.datagram ?? new Uint8Array(0), other);
    expect(client.state).toBe('DISCONNECTED');
  });

  test('a single-use token is used up by confirmation', () => {
    const token = mint({ flags: 1 });
    const pair = new Pair(token).connect();
    pair.client.disconnect();
    pair.run();
    const again = new ReferenceClient({
      token,
      sendDatagram: (datagram) => pair.server.receive(datagram, clientEndpoint),
    });
    again.start();
    again.receive(pair.wire[0]?.datagram ?? new Uint8Array(0), serverEndpoint);
    expect(again.denied).toEqual([reference.deniedReason.TOKEN_USED]);
  });

  test('disconnect is acknowledged and tells its code', () => {
    const pair = new Pair().connect();
    pair.client.disconnect(0x10001, 'done');
    pair.run();
    expect(pair.client.state).toBe('DISCONNECTED');
    expect(pair.server.peers[0]?.session.ended).toEqual({ by: 'peer', code: 0x10001 });
    const other = new Pair().connect();
    other.server.peers[0]?.session.disconnect(disconnectCode.REPLACED);
    other.run();
    expect(other.client.state).toBe('DISCONNECTED');
    expect(other.client.session?.ended).toEqual({ by: 'peer', code: 2 });
  });

  test('a restarted server resets, and only its own reset token counts', () => {
    const resetKey = reference.random(32);
    const pair = new Pair(mint(), { resetKey }).connect();
    const restarted = new Pair(mint(), { resetKey });
    pair.client.sendMessage(new Uint8Array(20));
    restarted.server.receive(pair.wire.shift()?.datagram ?? new Uint8Array(0), clientEndpoint);
    const reset = restarted.wire[0]?.datagram ?? new Uint8Array(0);
    expect(reset).toHaveLength(25);
    pair.client.receive(reset.with(24, (reset[24] ?? 0) ^ 1), serverEndpoint);
    pair.client.receive(reset, { ...serverEndpoint, port: 1 });
    expect(pair.client.state).toBe('CONNECTED');
    pair.client.receive(reset, serverEndpoint);
    expect(pair.client).toMatchObject({ state: 'DISCONNECTED', wasReset: true });
  });

  test('replayed and altered packets change nothing', () => {
    const pair = new Pair().connect();
    pair.client.sendMessage(utf8('once'));
    const packet = pair.wire[0]?.datagram ?? new Uint8Array(0);
    pair.run();
    const session = pair.server.peers[0]?.session;
    pair.server.receive(packet, clientEndpoint);
    for (let index = 9; index < packet.length; ++index) {
      pair.server.receive(packet.with(index, (packet[index] ?? 0) ^ 1), clientEndpoint);
    }
    expect(session?.messages).toEqual([utf8('once')]);
    expect(session?.drops[0]).toBe('replayed');
    expect(session?.drops).toHaveLength(packet.length - 9 + 1);
  });
});

describe('channels by hand', () => {
  const { channelMode, feature } = reference;
  const channels: readonly reference.ChannelDeclaration[] = [
    { mode: channelMode.unreliable, maxMessageBytes: 0, name: 'moves', codec: 'bytes' },
    { mode: channelMode.sequenced, maxMessageBytes: 8000, name: 'state', codec: 'bytes' },
    { mode: channelMode.reliable, maxMessageBytes: 8000, name: 'chat', codec: 'json' },
    { mode: channelMode.reliableUnordered, maxMessageBytes: 8000, name: 'tiles', codec: '' },
  ];
  const [moves, state, chat, tiles] = [0, 1, 2, 3];
  const both = { features: feature.channels, channels, limits };

  const connect = (server: ChannelOptions = both, client: ChannelOptions = both): Pair =>
    new Pair(mint(), server, client).connect();

  /** What a server makes of these frames, one packet each. */
  function served(frames: readonly Frame[], options: ChannelOptions = both): ReferenceSession {
    const pair = connect(options, options);
    const session = pair.server.peers[0]?.session ?? expect.fail('no peer');
    for (const frame of frames) pair.client.session?.sendPacket([frame]);
    pair.run();
    expect(pair.server.drops).toEqual([]);
    return session;
  }

  function refused(frames: readonly Frame[], options: ChannelOptions = both): string | undefined {
    const pair = connect(options, options);
    for (const frame of frames) pair.client.session?.sendPacket([frame]);
    pair.run();
    expect(pair.server.drops.length).toBeLessThanOrEqual(1);
    return pair.server.drops[0];
  }

  const whole = (channel: number, first: bigint, ...messages: readonly string[]): Frame => ({
    type: 'RELIABLE',
    channel,
    first,
    messages: messages.map(utf8),
    withLength: true,
  });
  const part = (
    type: 'FRAGMENT' | 'SEQUENCED',
    channel: number,
    number: bigint,
    total: number,
    offset: number,
    data: string,
  ): Frame => ({ type, channel, number, part: { total, offset }, data: utf8(data), withLength: true });
  const sequencedOne = (number: bigint, data: string): Frame => ({
    type: 'SEQUENCED',
    channel: state,
    number,
    data: utf8(data),
    withLength: true,
  });
  const expired = (channel: number, number: bigint, length: number): Frame => ({
    type: 'EXPIRED',
    channel,
    number,
    length,
  });
  const texts = (session: ReferenceSession): string[] =>
    session.messages.map((data) => new TextDecoder().decode(data));

  test('messages of each mode and of every size go both ways', () => {
    const pair = connect();
    pair.server.echo = true;
    const sent: { channel: number; data: Uint8Array }[] = [];
    for (const channel of [moves, state, chat, tiles]) {
      for (const size of channel === moves ? [0, 1, 1158] : [0, 1, 64, 1100, 1101, 8000]) {
        const data = Uint8Array.from({ length: size }, (_, index) => index * 7 + size);
        pair.client.sendMessage(data, channel);
        sent.push({ channel, data });
        pair.run();
      }
    }
    expect(pair.server.peers[0]?.session.delivered).toEqual(sent);
    expect(pair.client.session?.delivered).toEqual(sent);
    expect([...pair.client.drops, ...pair.server.drops]).toEqual([]);
    expect(pair.client.session?.unacknowledgedFrames).toEqual([]);
    for (const datagram of pair.log) expect(datagram.length).toBeLessThanOrEqual(1200);
  });

  test('what is lost arrives in the end, in order, once', () => {
    const pair = connect();
    const session = pair.server.peers[0]?.session;
    const all = Array.from({ length: 20 }, (_, index) => utf8(`message ${index} `.repeat(1 + index * 8)));
    for (const [index, data] of all.entries()) {
      pair.client.sendMessage(data, chat);
      if (index % 3 === 0) pair.wire.shift();
      if (index % 5 === 0) pair.wire.reverse();
      pair.step();
      if (index % 4 === 0) pair.client.resend();
    }
    for (let round = 0; round < 3; ++round) {
      pair.run();
      pair.client.resend();
    }
    pair.run();
    expect(session?.messages).toEqual(all);
    expect(session?.channels.repeated).toBeGreaterThan(0);
  });

  test('credit is given back as messages are taken, so that more than the first limit can be sent', () => {
    const pair = connect();
    for (let index = 0; index < 100; ++index) {
      pair.client.sendMessage(new Uint8Array(3000).fill(index), index % 2 === 0 ? chat : tiles);
      pair.run();
    }
    expect(pair.server.peers[0]?.session.messages).toHaveLength(100);
    expect(pair.client.session?.received.map(({ type }) => type)).toContain('CREDIT');
  });

  test('a reliable channel delivers by number, a reliable-unordered one as messages come', () => {
    const frames = (channel: number): Frame[] => [
      whole(channel, 2n, 'c', 'd'),
      part('FRAGMENT', channel, 1n, 2, 1, 'y'),
      expired(channel, 4n, 9),
      whole(channel, 0n, 'a'),
      part('FRAGMENT', channel, 1n, 2, 0, 'x'),
      whole(channel, 5n, 'f'),
    ];
    expect(texts(served(frames(chat)))).toEqual(['a', 'xy', 'c', 'd', 'f']);
    expect(texts(served(frames(tiles)))).toEqual(['c', 'd', 'a', 'xy', 'f']);
  });

  test('bytes that are there already are ignored, and so is what was delivered or expired', () => {
    const session = served([
      part('FRAGMENT', chat, 0n, 4, 1, 'bc'),
      part('FRAGMENT', chat, 0n, 4, 0, 'aXX'),
      part('FRAGMENT', chat, 0n, 4, 2, 'Xd'),
      whole(chat, 0n, 'again'),
      expired(chat, 1n, 0),
      whole(chat, 1n, 'too late', 'next'),
    ]);
    expect(texts(session)).toEqual(['abcd', 'next']);
    expect(session.channels.repeated).toBe(2);
  });

  test('a sequenced channel delivers what is newer than before, of the parts those of one message', () => {
    const session = served([
      sequencedOne(0n, 'a'),
      sequencedOne(2n, 'c'),
      sequencedOne(1n, 'outdated'),
      sequencedOne(2n, 'outdated'),
      part('SEQUENCED', state, 4n, 2, 0, 'e'),
      sequencedOne(3n, 'd'),
      part('SEQUENCED', state, 4n, 2, 1, 'e'),
      part('SEQUENCED', state, 5n, 2, 0, 'replaced'.slice(0, 2)),
      part('SEQUENCED', state, 6n, 3, 0, 'x'),
      part('SEQUENCED', state, 7n, 3, 2, 'g'),
      part('SEQUENCED', state, 6n, 3, 1, 'xx'),
      part('SEQUENCED', state, 7n, 3, 0, 'gg'),
    ]);
    expect(texts(session)).toEqual(['a', 'c', 'd', 'ee', 're', 'ggg']);
    expect(session.channels.outdated).toBe(4);
  });

  test.each<[string, readonly Frame[]]>([
    ['a channel that is not declared', [whole(4, 0n, 'a')]],
    ['a frame that does not belong to the mode of its channel', [whole(state, 0n, 'a')]],
    ['a frame that does not belong to the mode of its channel', [expired(moves, 0n, 1)]],
    [
      'a frame that does not belong to the mode of its channel',
      [{ type: 'MESSAGE', channel: chat, acknowledged: false, data: utf8('a'), withLength: true }],
    ],
    [
      'a frame that does not belong to the mode of its channel',
      [{ type: 'CHANNEL_CREDIT', channel: state, limit: 5n, ahead: 0n }],
    ],
    ['a message longer than the maximum of its channel', [part('FRAGMENT', chat, 0n, 8001, 0, 'a')]],
    ['a message longer than the maximum of its channel', [part('SEQUENCED', state, 0n, 8001, 0, 'a')]],
    ['a message longer than the maximum of its channel', [expired(chat, 0n, 8001)]],
    [
      'parts of one message with different totals',
      [part('FRAGMENT', chat, 0n, 9, 0, 'a'), part('FRAGMENT', chat, 0n, 8, 1, 'b')],
    ],
    [
      'parts of one message with different totals',
      [part('SEQUENCED', state, 0n, 9, 0, 'a'), part('SEQUENCED', state, 0n, 8, 1, 'b')],
    ],
    ['EXPIRED with another length', [part('FRAGMENT', chat, 0n, 9, 0, 'a'), expired(chat, 0n, 8)]],
    // 20,000 is the channel's first limit, of which each costs 8,064.
    [
      'more than the credit allows',
      [1n, 2n, 3n].map((number) => part('FRAGMENT', chat, number, 8000, 0, 'a')),
    ],
    ['a number further ahead than credit allows', [whole(chat, 313n, 'a')]],
  ])('a breach of the rules: %s', (reason, frames) => {
    expect(refused(frames)).toBe(reason);
  });

  test('a number as far ahead as credit allows is taken', () => {
    expect(refused([whole(chat, 312n, 'a')])).toBeUndefined();
  });

  test.each<Frame>([
    whole(0, 0n, 'a'),
    part('FRAGMENT', 0, 0n, 2, 0, 'a'),
    sequencedOne(0n, 'a'),
    expired(0, 0n, 0),
    { type: 'CREDIT', limit: 1n },
    { type: 'CHANNEL_CREDIT', channel: 0, limit: 1n, ahead: 0n },
    {
      type: 'ACK',
      delay: 0n,
      ranges: [{ smallest: 0n, largest: 0n }],
      ecn: { ect0: 1n, ect1: 0n, ce: 0n },
    },
    { type: 'KEY_UPDATE_REFUSED', sequence: 1, reason: 1 },
    { type: 'PATH_CHALLENGE', data: new Uint8Array(8) },
    { type: 'MTU_PROBE' },
  ])('$type is unknown without its feature', (frame) => {
    expect(refused([frame], {})).toBe(`unknown frame ${frame.type}`);
  });

  test('sides that declare different channels do not meet', () => {
    const other = channels.with(2, {
      mode: channelMode.reliable,
      maxMessageBytes: 8000,
      name: 'chat',
      codec: '',
    });
    for (const client of [{ ...both, channels: other }, { features: feature.channels }, {}]) {
      const pair = connect(both, client);
      expect(pair.client.denied).toEqual([reference.deniedReason.CHANNELS_MISMATCH]);
      expect(pair.server.peers).toEqual([]);
    }
    expect(connect({}, both).client.denied).toEqual([reference.deniedReason.CHANNELS_MISMATCH]);
  });

  test('what is used is what both know', () => {
    expect(connect({}, { features: 0x0f }).client.state).toBe('CONNECTED');
    expect(connect({ features: 0x0f }, {}).client.state).toBe('CONNECTED');
    const pair = connect({ ...both, features: 0 }, both);
    expect(pair.client.drops).toContain('a server without the channels that were declared');
    expect(pair.client.state).toBe('RESPONDING');
  });
});

describe('every bit of a handshake datagram matters to who opens it', () => {
  function flips(datagram: Uint8Array, from: number, open: (altered: Uint8Array) => unknown): void {
    expect(() => open(datagram)).not.toThrow();
    for (let bit = from * 8; bit < datagram.length * 8; ++bit) {
      const index = bit >> 3;
      const altered = datagram.with(index, (datagram[index] ?? 0) ^ (1 << (bit & 7)));
      expect(() => open(altered)).toThrow(Refused);
    }
    for (let length = 0; length < datagram.length; ++length) {
      expect(() => open(datagram.subarray(0, length))).toThrow(Refused);
    }
  }

  const key = new Uint8Array(32).fill(1);
  const attempt = { tokenId: new Uint8Array(32).fill(2), clientShare: new Uint8Array(32).fill(3) };

  test('CHALLENGE', () => {
    const challenge = { cookie: new Uint8Array(21), serverShare: new Uint8Array(32) };
    flips(reference.sealChallenge(key, attempt, challenge), 0, (each) =>
      reference.openChallenge(key, attempt, each),
    );
  });

  test('RESPONSE', () => {
    const request = reference.encodeRequest(mint(), reference.random(32));
    const body = {
      features: 0,
      connectionId: reference.random(8),
      ...limits,
      channels: reference.random(16),
    };
    const response = reference.sealResponse(key, request, new Uint8Array(21), body);
    flips(response, 1, (each) => reference.openResponse(key, each));
    for (const maxDatagram of [0, 1199, 65_508, 65_535]) {
      const bad = reference.sealResponse(key, request, new Uint8Array(21), { ...body, maxDatagram });
      expect(() => reference.openResponse(key, bad)).toThrow(Refused);
    }
  });

  test('ACCEPT', () => {
    const response = reference.random(1198);
    const body = {
      features: 0,
      connectionId: reference.random(16),
      random: reference.random(32),
      resetToken: reference.random(16),
      ...limits,
    };
    flips(reference.sealAccept(key, response, body), 0, (each) => reference.openAccept(key, response, each));
    for (const maxDatagram of [0, 1199, 65_508, 65_535]) {
      const bad = reference.sealAccept(key, response, { ...body, maxDatagram });
      expect(() => reference.openAccept(key, response, bad)).toThrow(Refused);
    }
    expect(() =>
      reference.openAccept(key, reference.random(1198), reference.sealAccept(key, response, body)),
    ).toThrow(Refused);
  });

  test('DENIED', () => {
    flips(reference.sealDenied(key, attempt, 1), 0, (each) => reference.openDenied(key, attempt, each));
  });
});

test('an all-zero shared result is refused', () => {
  expect(() => reference.x25519(reference.random(32), new Uint8Array(32))).toThrow(Refused);
});

describe('codecs', () => {
  test.each([
    ['c2197c5eff14e88c', 151_288_809_941_952_652n],
    ['9d7f3e7d', 494_878_333n],
    ['7bbd', 15_293n],
    ['25', 37n],
  ])('varint %s of RFC 9000 appendix A.1', (hex, value) => {
    expect(toHex(varint(value))).toBe(hex);
    expect(new Reader(fromHex(hex)).varint()).toBe(value);
  });

  test('varints round trip, and non-minimal ones are accepted', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 62n - 1n }), (value) => {
        expect(new Reader(varint(value)).varint()).toBe(value);
      }),
    );
    expect(new Reader(fromHex('4025')).varint()).toBe(37n);
  });

  test.each([
    // RFC 9000 appendix A.3 for 32 bits, at the edges: of two equally near numbers it takes the higher.
    [0n, 0, 0n],
    [0n, 0xffff_ffff, 0xffff_ffffn],
    [1n << 32n, 0xffff_ffff, 0xffff_ffffn],
    [1n << 32n, 0, 1n << 32n],
    [(1n << 32n) - 1n, 0, 1n << 32n],
    [(1n << 31n) - 1n, 0, 0n],
    [1n << 31n, 0, 1n << 32n],
    [(1n << 31n) + 1n, 1, (1n << 32n) + 1n],
    [(1n << 31n) + 1n, 2, 2n],
    [(1n << 32n) + (1n << 31n), 0, 1n << 33n],
    [(1n << 32n) + (1n << 31n) - 1n, 0, 1n << 32n],
  ])('expansion: expected %s, truncated %s', (expected, truncated, number) => {
    expect(reference.expandPacketNumber(expected, truncated)).toBe(number);
  });

  test('a number within 2^31 of the expected one is found again', () => {
    const near = fc.bigInt({ min: -(1n << 31n) + 1n, max: (1n << 31n) - 1n });
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 63n) - 1n }), near, (expected, distance) => {
        const number = expected + distance;
        fc.pre(number >= 0n);
        expect(reference.expandPacketNumber(expected, Number(number & 0xffff_ffffn))).toBe(number);
      }),
    );
  });

  test('the replay window agrees with its definition', () => {
    fc.assert(
      fc.property(fc.array(fc.bigInt({ min: 0n, max: 4000n }), { maxLength: 200 }), (numbers) => {
        const window = new reference.ReplayWindow();
        const seen = new Set<bigint>();
        let highest = -1n;
        for (const number of numbers) {
          const verdict = highest - number >= 1024n ? 'tooOld' : seen.has(number) ? 'replayed' : 'fresh';
          expect(window.verdict(number)).toBe(verdict);
          if (verdict !== 'fresh') continue;
          window.accept(number);
          seen.add(number);
          if (number > highest) highest = number;
        }
      }),
    );
  });

  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const sequence = fc.bigInt({ min: 0n, max: 2n ** 62n - 1n });
  const bytesOf = (size: number): fc.Arbitrary<Uint8Array> =>
    fc.uint8Array({ minLength: size, maxLength: size });
  const anyChannel = fc.integer({ min: 0, max: 1023 });
  const anyFrame: fc.Arbitrary<Frame> = fc.oneof(
    fc.record({ type: fc.constant('PING' as const), sequence: fc.integer({ min: 0, max: 0xffff }) }),
    fc.record({
      type: fc.constant('PONG' as const),
      sequence: fc.integer({ min: 0, max: 0xffff }),
      receiveTime: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      delay: u32,
    }),
    fc.record({
      type: fc.constant('ACK' as const),
      delay: sequence,
      ranges: fc
        .uniqueArray(fc.bigInt({ min: 0n, max: 500n }), { minLength: 1, maxLength: 40 })
        .map((numbers) =>
          numbers.map((number) => ({ smallest: number * 3n, largest: number * 3n + (number & 1n) })),
        )
        .map((ranges) => ranges.toSorted((a, b) => (a.largest > b.largest ? -1 : 1))),
    }),
    fc.record({
      type: fc.constant('DISCONNECT' as const),
      code: u32,
      reconnectSpread: u32,
      reason: fc.uint8Array({ maxLength: 256 }),
    }),
    fc.record({ type: fc.constant('GOAWAY' as const), reason: u32, deadline: u32, reconnectSpread: u32 }),
    fc.record({
      type: fc.constant('NEW_ID' as const),
      sequence,
      id: fc.uint8Array({ minLength: 4, maxLength: 16 }),
      resetToken: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    }),
    fc.record({ type: fc.constant('RETIRE_ID' as const), sequence }),
    fc.record({
      type: fc.constant('MESSAGE' as const),
      channel: fc.integer({ min: 0, max: 1023 }),
      acknowledged: fc.boolean(),
      data: fc.uint8Array({ maxLength: 1158 }),
      withLength: fc.constant(true),
    }),
    fc.constant<Frame>({ type: 'PADDING' }),
    fc.constant<Frame>({ type: 'MTU_PROBE' }),
    fc.record({
      type: fc.constant('ACK' as const),
      delay: sequence,
      ranges: fc.constant([{ smallest: 3n, largest: 9n }]),
      ecn: fc.record({ ect0: sequence, ect1: sequence, ce: sequence }),
    }),
    fc.record({
      type: fc.constant('KEY_UPDATE' as const),
      epoch: u32,
      sequence: u32,
      share: bytesOf(32),
      secretId: bytesOf(16),
      mac: bytesOf(16),
    }),
    fc.record({
      type: fc.constant('KEY_UPDATE_REPLY' as const),
      epoch: u32,
      share: bytesOf(32),
      mac: bytesOf(16),
    }),
    fc.record({
      type: fc.constant('KEY_UPDATE_REFUSED' as const),
      sequence: u32,
      reason: fc.integer({ min: 0, max: 255 }),
    }),
    fc.record({ type: fc.constantFrom('PATH_CHALLENGE' as const, 'PATH_RESPONSE'), data: bytesOf(8) }),
    fc.record({ type: fc.constant('CREDIT' as const), limit: sequence }),
    fc.record({
      type: fc.constant('CHANNEL_CREDIT' as const),
      channel: anyChannel,
      limit: sequence,
      ahead: sequence,
    }),
    fc.record({
      type: fc.constant('SEQUENCED' as const),
      channel: anyChannel,
      number: sequence,
      data: fc.uint8Array({ maxLength: 100 }),
      withLength: fc.constant(true),
    }),
    fc.record({
      type: fc.constantFrom('SEQUENCED' as const, 'FRAGMENT'),
      channel: anyChannel,
      number: sequence,
      part: fc.record({
        total: fc.integer({ min: 2100, max: 16_777_216 }),
        offset: fc.integer({ min: 0, max: 2000 }),
      }),
      data: fc.uint8Array({ minLength: 1, maxLength: 100 }),
      withLength: fc.constant(true),
    }),
    fc.record({
      type: fc.constant('RELIABLE' as const),
      channel: anyChannel,
      first: fc.bigInt({ min: 0n, max: 2n ** 62n - 20n }),
      messages: fc.array(fc.uint8Array({ maxLength: 100 }), { minLength: 1, maxLength: 20 }),
      withLength: fc.constant(true),
    }),
    fc.record({
      type: fc.constant('EXPIRED' as const),
      channel: anyChannel,
      number: sequence,
      length: fc.integer({ min: 0, max: 16_777_216 }),
    }),
    fc.constant<Frame>({
      type: 'GOAWAY',
      reason: 3,
      deadline: 1000,
      reconnectSpread: 2000,
      address: { ip: Uint8Array.of(192, 0, 2, 1), port: 5 },
    }),
  );

  test('frames round trip, bundled', () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { minLength: 1, maxLength: 8 }), fc.uint8Array(), (frames, data) => {
        const last: Frame = { type: 'MESSAGE', channel: 0, acknowledged: false, data, withLength: false };
        const all = [...frames, last];
        expect(decodeFrames(concat(...all.map(encodeFrame)))).toEqual(all);
      }),
    );
  });

  test.each<[string, Uint8Array]>([
    ['no frame', new Uint8Array(0)],
    ['an unknown type', u8(0x1d)],
    ['a type behind MTU_PROBE', u8(0x21)],
    ['a type behind the last', u8(0x34)],
    ['a RELIABLE without a message', concat(u8(0x18), varint(0), varint(0))],
    ['a number of 2^62', concat(u8(0x18), varint(0), varint(2n ** 62n - 1n), u8(0), u8(0))],
    ['an empty part', concat(u8(0x1a), ...[0, 0, 9, 0].map(varint))],
    ['a part beyond its message', concat(u8(0x1a), ...[0, 0, 1, 0].map(varint), u16(0))],
    ['a message above 16 MiB', concat(u8(0x1a), ...[0, 0, 16_777_217, 0].map(varint), u8(0))],
    ['half a PING', Uint8Array.of(1, 0)],
    ['an ACK below zero', concat(u8(3), varint(5), varint(0), varint(0), varint(6))],
    ['an ACK whose second range is below zero', concat(u8(3), ...[5, 0, 1, 4, 0, 0].map(varint))],
    ['an ACK of more ranges than there are', concat(u8(3), ...[500, 0, 2n ** 62n - 1n, 0].map(varint))],
    ['a reason of 257 bytes', concat(u8(5), new Uint8Array(8), varint(257), new Uint8Array(257))],
    ['a GOAWAY with 2', concat(u8(6), new Uint8Array(12), u8(2))],
    ['a GOAWAY to port 0', concat(u8(6), new Uint8Array(12), u8(1), Uint8Array.of(1, 1, 2, 3, 4), u16(0))],
    ['an id of 3 bytes', concat(u8(7), varint(1), u8(3), new Uint8Array(19))],
    ['an id of 17 bytes', concat(u8(7), varint(1), u8(17), new Uint8Array(33))],
    ['channel 1,024', concat(u8(0x11), varint(1024))],
    ['a message beyond the end', concat(u8(0x12), varint(2), u8(0))],
  ])('refused: %s', (_, plaintext) => {
    expect(() => decodeFrames(plaintext)).toThrow(Refused);
  });
});

describe('over node:dgram', () => {
  async function bind(): Promise<{ socket: Socket; endpoint: Endpoint }> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return { socket, endpoint: { host: '127.0.0.1', port: socket.address().port } };
  }

  test('connect, echo, disconnect', async () => {
    const [near, far] = [await bind(), await bind()];
    const sendFrom =
      (socket: Socket) =>
      (datagram: Uint8Array, to: Endpoint): void =>
        socket.send(datagram, to.port, to.host);
    const server = new ReferenceServer({
      protocolId,
      keys: new Map([[keyId, serverKey]]),
      addresses: [far.endpoint],
      sendDatagram: sendFrom(far.socket),
    });
    server.echo = true;
    const client = new ReferenceClient({
      token: mint({ addresses: [far.endpoint] }),
      sendDatagram: sendFrom(near.socket),
    });
    const finished = new Promise<void>((resolve, reject) => {
      let sent = false;
      const checkDrops = (): void => {
        const [drop] = [...client.drops, ...server.drops];
        if (drop !== undefined) reject(new Error(`dropped: ${drop}`));
      };
      far.socket.on('message', (data, { address, port }) => {
        server.receive(data, { host: address, port });
        checkDrops();
      });
      near.socket.on('message', (data, { address, port }) => {
        client.receive(data, { host: address, port });
        if (client.state === 'CONNECTED' && !sent) {
          sent = true;
          client.sendMessage(utf8('ahoy'));
        }
        if (client.session?.messages.length === 1 && client.state === 'CONNECTED') client.disconnect();
        if (client.state === 'DISCONNECTED') resolve();
        checkDrops();
      });
    });
    client.start();
    await finished;
    expect(client.session?.messages).toEqual([utf8('ahoy')]);
    expect(server.peers[0]?.session.ended).toEqual({ by: 'peer', code: 0 });
    expect([client.drops, server.drops]).toEqual([[], []]);
    expect(toEndpoint(fromEndpoint(far.endpoint))).toEqual(far.endpoint);
    near.socket.close();
    far.socket.close();
  });
});
