// Clients of an example: one that takes everything, one that stops reading and one that never acknowledges. Messages are bytes, as they are on
// the wire.

import { setTimeout as sleep } from 'node:timers/promises';
import {
  bytes,
  type Channel,
  type ChannelMap,
  type Codec,
  type Connection,
  connect,
  reliable,
  reliableUnordered,
  sequenced,
  unreliable,
} from '../../src/index.js';
import { type ChannelDeclaration, channelMode, feature } from '../reference/hawser1.js';
import { UdpClient } from '../reference/udp-client.js';

/** A channel as a server declares it. */
export interface WireChannel {
  readonly name: string;
  readonly mode: keyof typeof channelMode;
  readonly codec: string;
  readonly maxMessageBytes: number;
}

export interface WireMessage {
  readonly channel: string;
  readonly data: Uint8Array;
}

/** Any channels whose messages are bytes. */
type RawChannels = Readonly<Record<string, Channel<Uint8Array, 'reliable'>>>;

const defaultChannels: readonly WireChannel[] = [
  { name: 'default', mode: 'unreliable', codec: 'bytes', maxMessageBytes: 0 },
];
const declared = (channels: readonly WireChannel[]): readonly WireChannel[] =>
  channels.length === 0 ? defaultChannels : channels;

function rawCodec(name: string): Codec<Uint8Array> {
  return name === 'bytes' ? bytes() : { name, encode: (data) => data, decode: (data) => data.slice() };
}

function rawChannel(
  mode: WireChannel['mode'],
  codec: Codec<Uint8Array>,
  maxMessageBytes: number,
): Channel<unknown> {
  switch (mode) {
    case 'unreliable':
      return unreliable(codec);
    case 'sequenced':
      return sequenced(codec, { maxMessageBytes });
    case 'reliable':
      return reliable(codec, { maxMessageBytes });
    case 'reliableUnordered':
      return reliableUnordered(codec, { maxMessageBytes });
  }
}

/** The declaration of a server for a client that sends and takes bytes. */
export function rawChannels(channels: readonly WireChannel[]): RawChannels {
  const map: Record<string, Channel<unknown>> = {};
  for (const { name, mode, codec, maxMessageBytes } of declared(channels))
    map[name] = rawChannel(mode, rawCodec(codec), maxMessageBytes);
  return map as ChannelMap as RawChannels;
}

const repeatMs = 200;

/** A client that takes every message. */
export class HonestClient {
  readonly #connection: Connection<RawChannels>;
  #heard: (text: string) => void = () => undefined;

  private constructor(connection: Connection<RawChannels>) {
    this.#connection = connection;
    connection.on('message', (data) => this.#heard(Buffer.from(data).toString('latin1')));
  }

  static async connect(token: Uint8Array, channels: readonly WireChannel[]): Promise<HonestClient> {
    return new HonestClient(await connect(token, { channels: rawChannels(channels) }));
  }

  /** Resolves with the next message that contains `text`. */
  hears(text: string): Promise<void> {
    return new Promise((resolve) => {
      this.#heard = (message) => {
        if (message.includes(text)) resolve();
      };
    });
  }

  send({ channel, data }: WireMessage): void {
    this.#connection.send(channel, data);
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

/**
 * Sends a question until its answer is heard. An unreliable one is sent again, as its sender would.
 *
 * @param text part of the answer, and of nothing else.
 */
export async function ask(
  from: HonestClient,
  hearer: HonestClient,
  question: WireMessage,
  text: string,
  mayBeLost: boolean,
): Promise<void> {
  const heard = hearer.hears(text);
  from.send(question);
  if (!mayBeLost) return heard;
  const repeating = setInterval(() => from.send(question), repeatMs);
  await heard;
  clearInterval(repeating);
}

/** Something that sends messages and leaves what it gets. */
export interface SlowClient {
  /** Sends messages as fast as the server takes them. @returns true once it has taken all, false when the connection has ended. */
  flood(messages: Iterable<WireMessage>): Promise<boolean>;
  close(): Promise<void>;
}

/** Bytes of credit that a message takes besides its own (docs/protocol.md section 12). */
const messageCost = 64;
/** Messages between two looks at what else there is to do. */
const burst = 64;

/** A client of this package that has paused all of its channels: it acknowledges what arrives, and its credit is used up. */
export class PausedClient implements SlowClient {
  readonly #connection: Connection<RawChannels>;

  private constructor(connection: Connection<RawChannels>, channels: readonly WireChannel[]) {
    this.#connection = connection;
    for (const { name, mode } of declared(channels))
      if (mode === 'reliable' || mode === 'reliableUnordered') connection.pause(name);
  }

  static async connect(token: Uint8Array, channels: readonly WireChannel[]): Promise<PausedClient> {
    const longest = Math.max(...channels.map(({ maxMessageBytes }) => maxMessageBytes));
    // With little credit, unread messages wait at the server sooner.
    const leastCredit = Math.max(longest + messageCost, 1024);
    const credit = { creditBytes: leastCredit, channelCreditBytes: leastCredit };
    const connection = await connect(token, { channels: rawChannels(channels), ...credit });
    return new PausedClient(connection, channels);
  }

  async flood(messages: Iterable<WireMessage>): Promise<boolean> {
    let count = 0;
    for (const { channel, data } of messages) {
      if (!this.#connection.connected) return false;
      // sent() rejects when the server disconnects it.
      if (!this.#connection.send(channel, data)) await this.#connection.sent().catch(() => undefined);
      else if (++count % burst === 0) await sleep(0);
    }
    while (this.#connection.connected && this.#connection.heldBytes > 0) await sleep(1);
    return this.#connection.connected;
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

const resendMs = 1000;
/** Bytes of its own frames that are not acknowledged. A receive buffer of the server has room for their packets. */
const maxUnacknowledgedBytes = 262_144;

/** A client that speaks the wire and acknowledges nothing: it answers PING and repeats its own frames. */
export class MuteClient implements SlowClient {
  readonly #udp: UdpClient;
  readonly #channels: readonly WireChannel[];
  readonly #timer: NodeJS.Timeout;
  #isClosed = false;

  private constructor(udp: UdpClient, channels: readonly WireChannel[]) {
    this.#udp = udp;
    this.#channels = channels;
    const { client, socket } = udp;
    if (client.session !== undefined) client.session.acknowledges = false;
    socket.on('message', (datagram, from) => {
      client.receive(datagram, { host: from.address, port: from.port });
    });
    this.#timer = setInterval(() => client.resend(), resendMs);
  }

  static async connect(token: Uint8Array, served: readonly WireChannel[]): Promise<MuteClient> {
    const channels = declared(served);
    const udp = await UdpClient.connect({
      token,
      features: feature.channels,
      channels: channels.map(
        ({ mode, ...rest }): ChannelDeclaration => ({ ...rest, mode: channelMode[mode] }),
      ),
      limits: { maxDatagram: 1200, credit: 0xffff_ffff, channelCredit: 0xffff_ffff },
    });
    return new MuteClient(udp, channels);
  }

  async flood(messages: Iterable<WireMessage>): Promise<boolean> {
    const udp = this.#udp;
    const { session } = udp.client;
    if (session === undefined) return false;
    let count = 0;
    for (const { channel, data } of messages) {
      const number = this.#channels.findIndex(({ name }) => name === channel);
      const maxFrames = maxUnacknowledgedBytes / Math.min(data.length + messageCost, 1200);
      while (session.unacknowledged >= maxFrames || !session.channels.mayCarry(number, data.length)) {
        if (!udp.connected) return false;
        session.flush();
        await sleep(1);
      }
      session.queueMessage(data, number);
      if (++count % burst === 0) {
        session.flush();
        await sleep(0);
      }
      if (!udp.connected) return false;
    }
    session.flush();
    while (udp.connected && session.unacknowledged > 0) await sleep(1);
    return udp.connected;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    if (this.#udp.connected) this.#udp.client.disconnect();
    await this.#udp.close();
  }
}
