// Channels: what a server or client declares of them, and the table that the sending and receiving sides look them up in.

import {
  argumentError,
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkOptions,
  describe,
} from '../base/check.js';
import { bytes, type Codec } from './codecs.js';
import type { NativeChannel } from './native.js';

/** In the order of `ChannelMode` of native/engine/channels.hpp. */
export const channelModes = ['unreliable', 'sequenced', 'reliable', 'reliableUnordered'] as const;
/**
 * What becomes of the messages of a channel.
 * - `unreliable`: at most once, in the order of arrival; one packet holds each.
 * - `sequenced`: at most once, and none that is older than one that has arrived.
 * - `reliable`: exactly once and in order, as long as the connection lasts.
 * - `reliableUnordered`: exactly once, each as soon as it is there.
 */
export type ChannelMode = (typeof channelModes)[number];
/** The modes whose messages arrive for as long as the connection lives. */
export type ReliableMode = 'reliable' | 'reliableUnordered';

/** In the order of `ChannelPriority` of native/engine/channels.hpp. */
const channelPriorities = ['critical', 'high', 'normal', 'low'] as const;
/** Which of the messages that wait for a peer go first. */
export type ChannelPriority = (typeof channelPriorities)[number];

/** In the order of the numbers of native/engine/channels.hpp. */
const channelRedundancies = [0, 1, 2, 3, 'auto'] as const;
/** In how many later packets a message is repeated before it is acknowledged; `auto`: as the path requires. */
export type ChannelRedundancy = (typeof channelRedundancies)[number];

/** Options of an unreliable channel. */
export interface UnreliableChannelOptions {
  /** `normal` by default. Each side chooses its own for what it sends; it says something of messages that wait for their turn. */
  readonly priority?: ChannelPriority;
  /**
   * Whether messages wait until congestion control lets them go, with those of reliable channels and within the same limits
   * (`highWaterBytes`, `maxQueuedBytes`), instead of leaving at the end of the turn: for bulk whose loss something else makes good. What
   * is lost is not sent again, but slows the sender down (RFC 9221 section 5). False by default. Each side chooses its own for what it
   * sends. Netcode has no congestion control: there it says nothing.
   */
  readonly congestionControlled?: boolean;
}

/** Options of a channel whose messages may take several packets. */
export interface ChannelOptions extends Pick<UnreliableChannelOptions, 'priority'> {
  /** The longest message in bytes, 1 to 16,777,216; 65,536 by default. Both sides must declare the same. */
  readonly maxMessageBytes?: number;
  /**
   * In how many later packets at most a message is repeated while it is not acknowledged, so that the loss of one packet costs no round
   * trip: 0, 1, 2, 3, or `auto` (the default), which repeats only while the path loses packets, once, and a second time when the
   * acknowledgement is late. Copies use only room that a packet has left, up to half of a full one, and only while nothing waits and
   * little is in flight. Of a sequenced channel only the newest message is repeated. Each message is delivered once. Each side chooses
   * its own for what it sends. Netcode acknowledges nothing: there it says nothing. docs/channels.md has the figures.
   */
  readonly redundancy?: ChannelRedundancy;
}

/** A channel that carries values of `T`. Made by {@link unreliable}, {@link sequenced}, {@link reliable}, {@link reliableUnordered}. */
export interface Channel<T, Mode extends ChannelMode = ChannelMode> {
  /** What it does with its messages. */
  readonly mode: Mode;
  /** What its messages are. */
  readonly codec: Codec<T>;
  /** 0 for an unreliable channel, whose messages fit into one packet. */
  readonly maxMessageBytes: number;
  /** Which of the messages that wait for a peer go first. */
  readonly priority: ChannelPriority;
  /** False but for an unreliable channel that is declared so. */
  readonly congestionControlled: boolean;
  /** 0 for an unreliable channel, whose messages have no numbers by which copies could be told. */
  readonly redundancy: ChannelRedundancy;
}

/** The channels of an endpoint by name. Their order counts: it is that of their numbers, which are what is sent. */
export type ChannelMap = Readonly<Record<string, Channel<unknown>>>;

/** The channels of whoever declares none. */
export type DefaultChannels = {
  /** Bytes, unreliable. */
  readonly default: Channel<Uint8Array, 'unreliable'>;
};

/** The names of the channels of a declaration. */
export type ChannelName<C extends ChannelMap> = keyof C & string;

/** The names of the channels whose messages are acknowledged. */
export type ReliableChannelName<C extends ChannelMap> = {
  [Name in ChannelName<C>]: Extract<C[Name]['mode'], ReliableMode> extends never ? never : Name;
}[ChannelName<C>];

/** What the messages of a channel are. */
export type ChannelValue<C extends ChannelMap, Name extends ChannelName<C>> =
  C[Name] extends Channel<infer T> ? T : never;

/**
 * What `send(data)` takes. Types do not know which channel is the first: where there are several, it is what all of them take.
 */
export type FirstChannelValue<C extends ChannelMap> = {
  [Name in ChannelName<C>]: (value: ChannelValue<C, Name>) => void;
}[ChannelName<C>] extends (value: infer T) => void
  ? T
  : never;

export const defaultMaxMessageBytes = 65_536;
export const greatestMaxMessageBytes = 16_777_216;
const maxChannels = 1024;
const maxNameBytes = 64;

/** What the constructors below make; objects of other making have not been checked. */
class DeclaredChannel<T, Mode extends ChannelMode> implements Channel<T, Mode> {
  readonly mode: Mode;
  readonly codec: Codec<T>;
  readonly maxMessageBytes: number;
  readonly priority: ChannelPriority;
  readonly congestionControlled: boolean;
  readonly redundancy: ChannelRedundancy;

  constructor(
    mode: Mode,
    codec: Codec<T>,
    maxMessageBytes: number,
    priority: ChannelPriority,
    congestionControlled: boolean,
    redundancy: ChannelRedundancy,
  ) {
    this.mode = mode;
    this.codec = codec;
    this.maxMessageBytes = maxMessageBytes;
    this.priority = priority;
    this.congestionControlled = congestionControlled;
    this.redundancy = redundancy;
    Object.freeze(this);
  }
}

/**
 * A channel whose messages are lost where the network loses them: for what the next message makes up for.
 *
 * @param codec what its messages are; `bytes()` by default.
 * @throws HawserError ERR_HAWSER_ARGUMENT; so do the other three.
 */
export function unreliable(
  codec?: undefined,
  options?: UnreliableChannelOptions,
): Channel<Uint8Array, 'unreliable'>;
export function unreliable<T>(codec: Codec<T>, options?: UnreliableChannelOptions): Channel<T, 'unreliable'>;
export function unreliable(
  codec: Codec<unknown> = bytes(),
  options: UnreliableChannelOptions = {},
): Channel<unknown, 'unreliable'> {
  checkOptions('options', options, ['priority', 'congestionControlled']);
  const congestionControlled = checkBoolean('congestionControlled', options.congestionControlled ?? false);
  const priority = checkPriority(options.priority);
  return new DeclaredChannel('unreliable', checkCodec(codec), 0, priority, congestionControlled, 0);
}

/** A channel that drops what is older than what has arrived: for states of which only the newest counts. */
export function sequenced(codec?: undefined, options?: ChannelOptions): Channel<Uint8Array, 'sequenced'>;
export function sequenced<T>(codec: Codec<T>, options?: ChannelOptions): Channel<T, 'sequenced'>;
export function sequenced(codec?: Codec<unknown>, options?: ChannelOptions): Channel<unknown, 'sequenced'> {
  return declare('sequenced', codec, options);
}

/** A channel whose messages arrive, in order: for what must not be lost. */
export function reliable(codec?: undefined, options?: ChannelOptions): Channel<Uint8Array, 'reliable'>;
export function reliable<T>(codec: Codec<T>, options?: ChannelOptions): Channel<T, 'reliable'>;
export function reliable(codec?: Codec<unknown>, options?: ChannelOptions): Channel<unknown, 'reliable'> {
  return declare('reliable', codec, options);
}

/** A channel whose messages arrive, none waiting for another: for what must not be lost and does not belong together. */
export function reliableUnordered(
  codec?: undefined,
  options?: ChannelOptions,
): Channel<Uint8Array, 'reliableUnordered'>;
export function reliableUnordered<T>(
  codec: Codec<T>,
  options?: ChannelOptions,
): Channel<T, 'reliableUnordered'>;
export function reliableUnordered(
  codec?: Codec<unknown>,
  options?: ChannelOptions,
): Channel<unknown, 'reliableUnordered'> {
  return declare('reliableUnordered', codec, options);
}

function declare<Mode extends ChannelMode>(
  mode: Mode,
  codec: Codec<unknown> = bytes(),
  options: ChannelOptions = {},
): Channel<unknown, Mode> {
  checkOptions('options', options, ['maxMessageBytes', 'priority', 'redundancy']);
  const wanted = options.maxMessageBytes ?? defaultMaxMessageBytes;
  const maxMessageBytes = checkInteger('maxMessageBytes', wanted, 1, greatestMaxMessageBytes);
  const priority = checkPriority(options.priority);
  const redundancy = checkOneOf('redundancy', options.redundancy ?? 'auto', channelRedundancies);
  return new DeclaredChannel(mode, checkCodec(codec), maxMessageBytes, priority, false, redundancy);
}

function checkCodec(codec: unknown): Codec<unknown> {
  if (!isCodec(codec)) {
    const rule = 'a codec such as bytes(), text() or json(): an object with name, encode and decode';
    throw argumentError('codec', rule, describe(codec));
  }
  checkUtf8('the name of the codec', codec.name, 0);
  return codec;
}

function isCodec(codec: unknown): codec is Codec<unknown> {
  if (typeof codec !== 'object' || codec === null) return false;
  const { name, encode, decode } = codec as Partial<Record<keyof Codec<unknown>, unknown>>;
  return typeof name === 'string' && typeof encode === 'function' && typeof decode === 'function';
}

function checkPriority(priority: ChannelPriority | undefined): ChannelPriority {
  return checkOneOf('priority', priority ?? 'normal', channelPriorities);
}

function checkUtf8(name: string, value: string, minBytes: number): void {
  const encoded = Buffer.from(value);
  const rule = `${minBytes} to ${maxNameBytes} bytes of UTF-8`;
  if (encoded.length < minBytes || encoded.length > maxNameBytes)
    throw argumentError(name, rule, `${encoded.length} bytes`);
  // A lone surrogate has no UTF-8.
  if (encoded.toString() !== value) throw argumentError(name, rule, describe(value));
}

// ---- The table -----------------------------------------------------------------------------------------------------

/** A channel as sending and receiving need it. */
export interface ChannelEntry {
  readonly name: string;
  /** Its place in the declaration, from 0. */
  readonly number: number;
  readonly mode: ChannelMode;
  readonly reliable: boolean;
  /** Its messages wait in the queue of their peer until congestion control lets them go; but for netcode. */
  readonly queued: boolean;
  /** 0 for an unreliable channel. */
  readonly maxMessageBytes: number;
  readonly codec: Codec<unknown>;
  /** Messages are delivered as they are, without a call of the codec. */
  readonly raw: boolean;
}

/** By their declarations. */
const tables = new WeakMap<ChannelMap, ChannelTable>();

/** What an endpoint has declared, by name and by number. */
export class ChannelTable {
  readonly entries: readonly ChannelEntry[];
  /** The longest message of any channel, in bytes; 0 where all are unreliable. */
  readonly greatestMessageBytes: number;
  readonly native: readonly NativeChannel[];
  /** The one that messages without a channel go to: number 0. */
  readonly first: ChannelEntry;
  /** The one that netcode carries. */
  readonly firstUnreliable: ChannelEntry | undefined;
  readonly #byName: ReadonlyMap<unknown, ChannelEntry>;
  readonly #declared: readonly [string, Channel<unknown>][];

  /**
   * The table of a declaration. Endpoints with the same declaration share it, unless the declaration has been changed.
   *
   * @throws HawserError as the constructor.
   */
  static of(channels: ChannelMap): ChannelTable {
    const known = tables.get(channels);
    if (known?.isOf(channels)) return known;
    const made = new ChannelTable(channels);
    tables.set(channels, made);
    return made;
  }

  /** @throws HawserError ERR_HAWSER_ARGUMENT unless they are 1 to 1,024 channels with names that can be told. */
  constructor(channels: ChannelMap) {
    const declared = checkChannels(channels);
    const entries = declared.map(([name, channel], number) => entryOf(name, number, channel));
    this.#declared = declared;
    this.entries = entries;
    this.greatestMessageBytes = Math.max(...entries.map((each) => each.maxMessageBytes));
    this.native = declared.map(([name, channel]) => nativeOf(name, channel));
    this.#byName = new Map(entries.map((each) => [each.name, each]));
    const [first] = entries;
    if (first === undefined) throw noChannels(channels);
    this.first = first;
    this.firstUnreliable = entries.find((each) => each.mode === 'unreliable');
  }

  /** Whether a declaration has the same channels in the same order. */
  isOf(channels: ChannelMap): boolean {
    const declared = Object.entries(channels);
    return (
      declared.length === this.#declared.length &&
      declared.every(([name, channel], number) => {
        const [before, same] = this.#declared[number] ?? [];
        return name === before && channel === same;
      })
    );
  }

  /** @throws HawserError ERR_HAWSER_ARGUMENT when there is no channel of that name. */
  get(name: unknown): ChannelEntry {
    const entry = this.#byName.get(name);
    if (entry !== undefined) return entry;
    const names = this.entries.map((each) => each.name);
    const rule =
      names.length <= 8 ? `one of ${names.map((each) => `'${each}'`).join(', ')}` : 'the name of a channel';
    throw argumentError('channel', rule, describe(name));
  }

  /** What both sides must have alike, for people: `chat: reliable(json), moves: unreliable(bytes)`. */
  describe(): string {
    return this.entries
      .map(({ name, mode, codec, maxMessageBytes }) => {
        const size =
          maxMessageBytes === 0 || maxMessageBytes === defaultMaxMessageBytes
            ? ''
            : `, ${maxMessageBytes} bytes`;
        return `${name}: ${mode}(${codec.name}${size})`;
      })
      .join(', ');
  }
}

export const defaultChannels: DefaultChannels = { default: unreliable() };

function checkChannels(channels: ChannelMap): [string, Channel<unknown>][] {
  if (Object.prototype.toString.call(channels) !== '[object Object]') throw noChannels(channels);
  const declared = Object.entries(channels);
  if (declared.length === 0 || declared.length > maxChannels) throw noChannels(channels, declared.length);
  for (const [name, channel] of declared) {
    // Objects give such keys in the order of the numbers, whatever the order of the declaration is.
    if (/^(0|[1-9]\d*)$/.test(name))
      throw argumentError(
        'the name of a channel',
        'more than a number, since JavaScript changes the order of those',
        describe(name),
      );
    checkUtf8(`the name of the channel ${describe(name)}`, name, 1);
    if (!(channel instanceof DeclaredChannel)) {
      const rule = 'a channel as unreliable(), sequenced(), reliable() or reliableUnordered() makes it';
      throw argumentError(`channels.${name}`, rule, describe(channel));
    }
  }
  return declared;
}

function noChannels(channels: unknown, count?: number): Error {
  const got = count === undefined ? describe(channels) : `${count}`;
  return argumentError('channels', `an object with 1 to ${maxChannels} channels by name`, got);
}

function entryOf(
  name: string,
  number: number,
  { mode, codec, maxMessageBytes, congestionControlled }: Channel<unknown>,
): ChannelEntry {
  const reliable = mode === 'reliable' || mode === 'reliableUnordered';
  const queued = reliable || congestionControlled;
  return { name, number, mode, reliable, queued, maxMessageBytes, codec, raw: codec === bytes() };
}

function nativeOf(name: string, channel: Channel<unknown>): NativeChannel {
  const { mode, codec, maxMessageBytes, priority, congestionControlled, redundancy } = channel;
  return {
    name,
    codec: codec.name,
    mode: channelModes.indexOf(mode),
    priority: channelPriorities.indexOf(priority),
    maxMessageBytes,
    congestionControlled,
    redundancy: channelRedundancies.indexOf(redundancy),
  };
}
