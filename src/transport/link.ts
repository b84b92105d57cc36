// What a server's Peer and a client's Connection have in common: sending, and what is known of the path between the two sides.

import {
  argumentError,
  checkBoolean,
  checkInteger,
  checkOptions,
  checkString,
  describe,
} from '../base/check.js';
import { HawserError } from '../base/errors.js';
import type { Wire } from '../base/wire.js';
import type {
  ChannelEntry,
  ChannelMap,
  ChannelName,
  ChannelValue,
  DefaultChannels,
  FirstChannelValue,
  ReliableChannelName,
} from './channels.js';
import type { KeyUpdateOptions } from './key-update.js';
import { statusCell, statusCells } from './native.js';
import { checkNetcodeChannel, checkNetcodeMessage, netcodeLacks } from './netcode.js';
import type { Socket } from './socket.js';

/** Options of a message on a reliable channel. */
export interface SendOptions {
  /**
   * How long the message is worth sending, in milliseconds, 1 to 2,147,483,648: then it is given up, and the other side never sees it
   * unless it was on its way. Without end by default.
   */
  readonly ttlMs?: number;
  /** See {@link ConfirmedSendOptions}. */
  readonly confirm?: false;
}

/** Options of a message that the sender wants to hear of. */
export interface ConfirmedSendOptions {
  /** As in {@link SendOptions}. */
  readonly ttlMs?: number;
  /** Let `send` return a promise of its delivery. */
  readonly confirm: true;
}

const greatestTtlMs = 2 ** 31;

/**
 * One side of a connection: a `Peer` of a server, or a `Connection` of a client.
 *
 * Its figures, such as `rttMs` and `queuedBytes`, are published values. They are updated after packets and events, otherwise within a
 * few hundred milliseconds.
 */
export abstract class Link<C extends ChannelMap = DefaultChannels> {
  /** With `generation`, what names this in the descriptors of `onBatch`. */
  abstract readonly slot: number;
  /** Tells it from others that had the same slot. */
  abstract readonly generation: number;
  /** Whether messages can be sent now. */
  abstract readonly connected: boolean;
  /**
   * The format of its packets. A `netcode` connection carries messages of 1 to 1,200 bytes on the first unreliable channel, and nothing
   * else: what it cannot do is refused with ERR_HAWSER_WIRE.
   */
  abstract readonly wire: Wire;
  /** Of netcode: the client's slot on the gateway, from 0 to `maxClients` - 1, as both sides know it. */
  abstract readonly clientIndex: number | undefined;
  /** Of netcode: how many clients the gateway has room for. */
  abstract readonly maxClients: number | undefined;
  /** @internal The socket that carries it. */
  abstract readonly carrier: Socket;

  // ---- Sending -----------------------------------------------------------------------------------------------------

  /**
   * Sends one message. It leaves at the end of this turn of the event loop, in one packet with others if it is short.
   *
   * @param channel the name of a channel; without it, the first of the declaration.
   * @param value what the codec of the channel takes. It is copied at once. In bytes it may be as long as `maxUnreliableBytes` on an
   * unreliable channel, and as the `maxMessageBytes` of the channel on all others.
   * @returns whether to go on; false means to wait for `drain`, or for `sent()`. A message to a side that is gone is dropped and
   * counted. With `confirm`, a promise: it resolves once the message is acknowledged, and rejects with ERR_HAWSER_NOT_CONNECTED,
   * ERR_HAWSER_EXPIRED, ERR_HAWSER_QUEUE_FULL when the message was discarded, or whatever would be thrown without `confirm`. The option
   * `onQueueFull` says what happens to a message that finds the queue full.
   * @throws HawserError ERR_HAWSER_MESSAGE_TOO_LONG, ERR_HAWSER_QUEUE_FULL where `onQueueFull` is `throw`, ERR_HAWSER_ARGUMENT; ERR_HAWSER_WIRE for any channel but the
   * first unreliable one, and any option, where `wire` is `netcode`; whatever the codec throws.
   */
  send<Name extends ReliableChannelName<C>>(
    channel: Name,
    value: ChannelValue<C, Name>,
    options: ConfirmedSendOptions,
  ): Promise<void>;
  send<Name extends ReliableChannelName<C>>(
    channel: Name,
    value: ChannelValue<C, Name>,
    options: SendOptions,
  ): boolean;
  send<Name extends ChannelName<C>>(channel: Name, value: ChannelValue<C, Name>): boolean;
  send(data: FirstChannelValue<C>): boolean;
  send(
    first: unknown,
    value?: unknown,
    options?: SendOptions | ConfirmedSendOptions,
  ): boolean | Promise<void> {
    const socket = this.carrier;
    const { channels } = socket;
    // `send(undefined)` is a message of a codec that takes it, and no rest parameter is as cheap.
    // biome-ignore lint/complexity/noArguments: counts the arguments, one of which may be undefined
    if (arguments.length === 1) {
      const entry = channels.first;
      if (this.wire === 'netcode') return sendNetcode(this, entry, first);
      return socket.send(this.slot, this.generation, entry, entry.codec.encode(first), 0, 0);
    }
    if (options === undefined) {
      const entry = channels.get(first);
      if (this.wire === 'netcode') return sendNetcode(this, entry, value);
      return socket.send(this.slot, this.generation, entry, entry.codec.encode(value), 0, 0);
    }
    return sendWithOptions(this, first, value, options);
  }

  /**
   * Resolves when there is room for more: at once while `send` would return true, else when `drain` comes.
   *
   * @throws HawserError (rejects) ERR_HAWSER_NOT_CONNECTED when the connection ends before or has ended.
   */
  async sent(): Promise<void> {
    if (!this.connected) throw notConnected();
    return this.carrier.sent(this.slot, this.generation);
  }

  /**
   * Stops the delivery of a reliable channel until `resume`: messages wait here as far as the credit goes, then at the sender, whose
   * other channels go on. What the addon has handed over already still comes, to the end of its batch. Pausing twice is pausing once.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT when the channel is not reliable; ERR_HAWSER_WIRE.
   */
  pause(channel: ReliableChannelName<C>): void {
    setPaused(this, channel, true);
  }

  /** Goes on with the delivery of a channel. @throws HawserError as `pause`. */
  resume(channel: ReliableChannelName<C>): void {
    setPaused(this, channel, false);
  }

  /**
   * 32 bytes that only the two ends of this connection know, different for each label and each connection: what binds another
   * protocol to it.
   *
   * @param label 1 to 255 bytes of UTF-8.
   * @throws HawserError ERR_HAWSER_NOT_CONNECTED, ERR_HAWSER_ARGUMENT, ERR_HAWSER_WIRE.
   */
  exportKey(label: string): Uint8Array {
    if (this.wire === 'netcode') throw netcodeLacks('has no keys to export');
    const bytes = Buffer.byteLength(checkString('label', label, 1));
    checkInteger('the length of label in bytes', bytes, 1, 255);
    const key = this.carrier.exportKey(this.slot, this.generation, label);
    if (key !== null) return key;
    throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'a key can be exported while connected only');
  }

  /** How often the keys of this session have been updated, by either side. It may lag: see {@link Link}. */
  get keyEpoch(): number {
    return cell(this, statusCell.keyEpoch);
  }

  /**
   * Updates the keys of this connection while traffic goes on. It happens by itself too, every hour and every 16,777,216 packets.
   *
   * @returns the new key epoch.
   * @throws HawserError (rejects) ERR_HAWSER_KEY_UPDATE_REFUSED: the other end lacks the secret, and all stays as it is;
   * ERR_HAWSER_KEY_UPDATE_BUSY: another update is under way or has just been; ERR_HAWSER_NOT_CONNECTED, ERR_HAWSER_ARGUMENT,
   * ERR_HAWSER_WIRE.
   */
  async updateKeys(options: KeyUpdateOptions = {}): Promise<number> {
    if (this.wire === 'netcode') throw netcodeLacks('has no key updates');
    return this.carrier.keyUpdates.begin(this.slot, this.generation, options);
  }

  // ---- The path ----------------------------------------------------------------------------------------------------
  // Figures are read from published memory, without waiting for an I/O thread. Netcode has no acknowledgements, so it measures nothing: there, all figures are 0 except `packets` and the two sizes.

  /**
   * Round trip time now, in milliseconds: an average in which a sample loses half its weight in 350 ms. It is measured once a second
   * while there are messages, and otherwise with each keep-alive. 0 before the first sample and after the end, and always with netcode,
   * as all that follows from acknowledgements. It may lag: see {@link Link}.
   */
  get rttMs(): number {
    return cell(this, statusCell.roundTrip);
  }

  /** Mean variation of the round trip time (RFC 9002 section 5.3) in milliseconds. It may lag: see {@link Link}. */
  get rttVariationMs(): number {
    return cell(this, statusCell.roundTripVariation);
  }

  /** Least round trip time seen, in milliseconds. It may lag: see {@link Link}. */
  get minRttMs(): number {
    return cell(this, statusCell.minimumRoundTrip);
  }

  /** The other side's session clock minus this one's, in milliseconds; see `remoteTimeMs`. It may lag: see {@link Link}. */
  get clockOffsetMs(): number {
    return cell(this, statusCell.clockOffset);
  }

  /** Whether `clockOffsetMs` can be relied on (docs/protocol.md section 8). It may lag: see {@link Link}. */
  get clockSettled(): boolean {
    return cell(this, statusCell.clockSettled) !== 0;
  }

  /** Packets sent and received in this session, handshake excluded. They may lag: see {@link Link}. */
  get packets(): { readonly sent: number; readonly received: number } {
    const status = statusOf(this);
    return {
      sent: status[statusCell.packetsSent] ?? 0,
      received: status[statusCell.packetsReceived] ?? 0,
    };
  }

  /**
   * Packets that were sent and are known to be lost. Those of unreliable messages alone are not known of, unless their channel obeys
   * congestion control. It may lag: see {@link Link}.
   */
  get packetsLost(): number {
    return cell(this, statusCell.packetsLost);
  }

  /** How many bytes may be on their way at a time, by congestion control. It may lag: see {@link Link}. */
  get congestionWindowBytes(): number {
    return cell(this, statusCell.congestionWindow);
  }

  /** Bytes that were sent and are neither acknowledged nor lost. Only what obeys congestion control counts. It may lag: see {@link Link}. */
  get bytesInFlight(): number {
    return cell(this, statusCell.bytesInFlight);
  }

  /** How fast this side may send, in bytes per second, by congestion control. It may lag: see {@link Link}. */
  get pacingRate(): number {
    return cell(this, statusCell.pacingRate);
  }

  /** Bytes of messages that wait to be sent, each counting 64 more. It may lag: see {@link Link}. `send` returns the current state. */
  get queuedBytes(): number {
    return cell(this, statusCell.queuedBytes);
  }

  /**
   * Memory in bytes that this side holds for messages to the other: those that wait to be sent, those in flight, and what is acknowledged
   * but cannot be freed yet. The option `maxQueuedBytes` bounds it. It may lag: see {@link Link}.
   */
  get heldBytes(): number {
    return cell(this, statusCell.heldBytes);
  }

  /** The longest UDP payload that is known to get through, in bytes. It may lag: see {@link Link}. */
  get maxDatagramBytes(): number {
    return cell(this, statusCell.maxDatagram);
  }

  /**
   * The longest message of an unreliable channel now, in bytes: at least 1,158, and more where the path is known to carry it. 1,200 with
   * netcode. `send` checks against the same value, which does not lag.
   */
  get maxUnreliableBytes(): number {
    return this.carrier.maxUnreliableBytes(this.slot, this.generation);
  }

  /**
   * What the other side's session clock says now, in milliseconds with an arbitrary origin. It never runs backwards during a session,
   * once there is a sample of that clock. A reconnection begins a new session.
   */
  remoteTimeMs(): number {
    const offsetMs = this.clockOffsetMs;
    return keepForward(this, this.carrier.nowMs() + offsetMs, offsetMs);
  }
}

/** Gives a class that already extends another everything of {@link Link} that it does not have. */
export function mixLink(prototype: object): void {
  for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(Link.prototype))) {
    if (!Object.hasOwn(prototype, name)) Object.defineProperty(prototype, name, property);
  }
}

/** A link to any channels. */
type AnyLink = Pick<Link<ChannelMap>, 'slot' | 'generation' | 'connected' | 'carrier' | 'wire'>;

const noStatus = new Float64Array(statusCells);

/** Last result of `remoteTimeMs`, and the session that it belongs to. */
interface RemoteTime {
  slot: number;
  generation: number;
  ms: number;
}

/** Only links whose `remoteTimeMs` is used have an entry. */
const remoteTimes = new WeakMap<AnyLink, RemoteTime>();

/**
 * Keeps `remoteTimeMs` from running backwards. An I/O thread publishes a new clock estimate a little later than the instant from which
 * it counts. A time read in between was computed with the old estimate and may be later than the new estimate says.
 *
 * @returns `ms`, or the last result in this session if that is greater.
 */
function keepForward(link: AnyLink, ms: number, offsetMs: number): number {
  const { slot, generation } = link;
  if (!link.connected) return ms;
  const last = remoteTimes.get(link);
  if (last === undefined || last.slot !== slot || last.generation !== generation) {
    // Before the first sample the offset is 0. The real offset may be any number, also far below 0.
    if (offsetMs !== 0) remoteTimes.set(link, { slot, generation, ms });
    return ms;
  }
  last.ms = Math.max(last.ms, ms);
  return last.ms;
}

/**
 * Published status of a link, all figures of one moment.
 *
 * @returns cells by `statusCell`, valid until the next call; all zero for a link that is not connected.
 */
export function statusOf(link: Pick<AnyLink, 'slot' | 'generation' | 'connected' | 'carrier'>): Float64Array {
  // The addon still knows a connection that has ended.
  return link.connected ? link.carrier.status(link.slot, link.generation) : noStatus;
}

function cell(link: AnyLink, index: number): number {
  return statusOf(link)[index] ?? 0;
}

function setPaused(link: AnyLink, channel: unknown, paused: boolean): void {
  if (link.wire === 'netcode') throw netcodeLacks('has no channels that can be paused');
  const entry = link.carrier.channels.get(channel);
  if (!entry.reliable) throw notReliable(entry, 'can be paused');
  link.carrier.setPaused(link.slot, link.generation, entry, paused);
}

function sendWithOptions(
  link: AnyLink,
  channel: unknown,
  value: unknown,
  options: SendOptions | ConfirmedSendOptions,
): boolean | Promise<void> {
  checkOptions('options', options, ['ttlMs', 'confirm']);
  const { ttlMs, confirm } = options;
  if (checkBoolean('confirm', confirm ?? false)) return sendConfirmed(link, channel, value, ttlMs);
  const socket = link.carrier;
  const entry = socket.channels.get(channel);
  if (link.wire === 'netcode') {
    if (ttlMs !== undefined) throw netcodeLacks('has no ttlMs: every message leaves at once');
    return sendNetcode(link, entry, value);
  }
  const checked = checkTtl(entry, ttlMs);
  return socket.send(link.slot, link.generation, entry, entry.codec.encode(value), checked, 0);
}

async function sendConfirmed(
  link: AnyLink,
  channel: unknown,
  value: unknown,
  ttlMs: number | undefined,
): Promise<void> {
  if (link.wire === 'netcode') throw netcodeLacks('acknowledges no messages');
  const socket = link.carrier;
  const entry = socket.channels.get(channel);
  if (!entry.reliable) throw notReliable(entry, 'can be confirmed');
  const checked = checkTtl(entry, ttlMs);
  const data = entry.codec.encode(value);
  if (!link.connected) throw notConnected();
  return socket.sendConfirmed(link.slot, link.generation, entry, data, checked);
}

function sendNetcode(link: AnyLink, entry: ChannelEntry, value: unknown): boolean {
  const socket = link.carrier;
  checkNetcodeChannel(socket.channels, entry);
  const data = entry.codec.encode(value);
  checkNetcodeMessage(data);
  return socket.send(link.slot, link.generation, entry, data, 0, 0);
}

/** @returns 0 for none. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkTtl(entry: ChannelEntry, ttlMs: number | undefined): number {
  if (ttlMs === undefined) return 0;
  if (!entry.reliable) throw notReliable(entry, 'have ttlMs');
  return checkInteger('ttlMs', ttlMs, 1, greatestTtlMs);
}

function notReliable({ name, mode }: ChannelEntry, what: string): HawserError {
  const rule = `a reliable channel: only those ${what}`;
  return argumentError('channel', rule, `${describe(name)}, which is ${mode}`);
}

function notConnected(): HawserError {
  return new HawserError('ERR_HAWSER_NOT_CONNECTED', 'it is not connected');
}
