// A connection of the reference implementation after the handshake: packets, frames, acknowledgements, spare ids. It has no
// timers: whoever holds it calls resend() when something may have been lost.

import { type Bytes, Refused, refuse, require, toHex, utf8 } from './bytes.js';
import { type Delivered, ReferenceChannels } from './channels.js';
import {
  type AckRange,
  decodeFrames,
  encodeFrame,
  type Frame,
  featureOf,
  isAcknowledged,
  isRepeated,
} from './frames.js';
import {
  type ChannelDeclaration,
  decodePacketHeader,
  defaultChannels,
  direction,
  expandPacketNumber,
  exporterSecret,
  exportKey,
  feature,
  type Limits,
  openPacket,
  type PacketKey,
  packetKey,
  ReplayWindow,
  random,
  sealPacket,
} from './hawser1.js';

const maxDatagram = 1200;

export interface SessionOptions {
  readonly role: 'client' | 'server';
  readonly prk: Bytes;
  /** The id of the handshake that this side chose. */
  readonly ownId: Bytes;
  /** The id of the handshake that the other side chose, and its reset token where a server issued it. */
  readonly peerId: Bytes;
  readonly peerResetToken?: Bytes;
  /** The reset token of an id that this side issues: zeros for a client. */
  readonly resetTokenOf: (id: Bytes) => Bytes;
  readonly send: (datagram: Uint8Array) => void;
  /** Microseconds of a monotonic clock. */
  readonly nowMicros: () => bigint;
  /** The features that both sides use. */
  readonly features: number;
  readonly channels: readonly ChannelDeclaration[];
  /** What this side said of itself in the handshake, and what the other said. */
  readonly ownLimits: Limits;
  readonly peerLimits: Limits;
}

interface Sent {
  readonly frame: Frame;
  packetNumber: bigint;
}

export class ReferenceSession {
  /** Every frame that arrived, in order. */
  readonly received: Frame[] = [];
  readonly channels: ReferenceChannels;
  readonly roundTripsMicros: bigint[] = [];
  /** The other's ids that are not retired, by sequence. */
  readonly peerIds = new Map<bigint, { readonly id: Bytes; readonly resetToken: Bytes | undefined }>();
  readonly drops: string[] = [];
  /** Whether what arrives from now on is acknowledged. False makes a client that a server must do without. */
  acknowledges = true;
  /** Set once the connection has ended. */
  ended: { readonly by: 'self' | 'peer'; readonly code: number } | undefined;

  readonly #options: SessionOptions;
  readonly #sendKey: PacketKey;
  readonly #receiveKey: PacketKey;
  readonly #window = new ReplayWindow();
  readonly #authenticated: bigint[] = [];
  readonly #ownIds = new Map<string, bigint>();
  readonly #unacknowledged: Sent[] = [];
  readonly #pings = new Map<number, bigint>();
  #queue: Frame[] = [];
  #ackWanted = false;
  /** Number of the oldest packet that arrived since the last ACK. */
  #oldestSinceAck: bigint | undefined;
  #nextPacketNumber = 0n;
  #nextIdSequence = 0n;
  #nextPing = 0;
  /** The id that the packet at hand was sent to. */
  #arrivedAt = '';

  constructor(options: SessionOptions) {
    this.#options = options;
    const { clientToServer, serverToClient } = direction;
    const isClient = options.role === 'client';
    this.#sendKey = packetKey(options.prk, isClient ? clientToServer : serverToClient);
    this.#receiveKey = packetKey(options.prk, isClient ? serverToClient : clientToServer);
    this.peerIds.set(0n, { id: options.peerId, resetToken: options.peerResetToken });
    this.#issue(options.ownId);
    this.channels = new ReferenceChannels({
      declared: (options.features & feature.channels) === 0 ? defaultChannels : options.channels,
      own: options.ownLimits,
      peer: options.peerLimits,
      queue: (frame) => this.queue(frame),
    });
  }

  /** The messages that were delivered, of all channels, in order. */
  get messages(): Bytes[] {
    return this.delivered.map(({ data }) => data);
  }

  get delivered(): readonly Delivered[] {
    return this.channels.delivered;
  }

  /** Whether `datagram` is a packet for an id that this side issued and did not see retired. */
  owns(datagram: Bytes): boolean {
    return this.#ownIds.has(toHex(datagram.subarray(1, 1 + this.#options.ownId.length)));
  }

  get nextPacketNumber(): bigint {
    return this.#nextPacketNumber;
  }

  exportKey(label: string): Bytes {
    return exportKey(exporterSecret(this.#options.prk), label);
  }

  // ---- Sending -----------------------------------------------------------------------------------------------------

  queue(frame: Frame): void {
    this.#queue.push(frame);
  }

  /** A message on the first channel, or on another. */
  queueMessage(data: Bytes, channel = 0): void {
    this.channels.send(channel, data);
  }

  queuePing(): void {
    const sequence = this.#nextPing++ & 0xffff;
    this.#pings.set(sequence, this.#options.nowMicros());
    this.queue({ type: 'PING', sequence });
  }

  /** Two spares beside the id of the handshake. */
  queueSpareIds(): void {
    for (let spare = 0; spare < 2; ++spare) this.#queueNewId();
  }

  disconnect(code: number, reason = '', reconnectSpread = 0): void {
    this.queue({ type: 'DISCONNECT', code, reconnectSpread, reason: utf8(reason) });
    this.flush();
    this.ended = { by: 'self', code };
  }

  /** Sends what is queued, bundled into as few packets as it takes. */
  flush(): void {
    if (this.#ackWanted) this.#queue.unshift({ type: 'ACK', delay: 0n, ranges: this.#ackRanges() });
    this.#ackWanted = false;
    const room = maxDatagram - (5 + this.#sendId.length + 16);
    let bundle: Frame[] = [];
    let size = 0;
    for (const frame of this.#queue) {
      const length = encodeFrame(frame).length;
      if (size + length > room) {
        this.sendPacket(bundle);
        bundle = [];
        size = 0;
      }
      bundle.push(frame);
      size += length;
    }
    this.#queue = [];
    if (bundle.length > 0) this.sendPacket(bundle);
  }

  /** Sends what was not acknowledged yet, in a new packet with a new number. */
  resend(): void {
    for (const { frame } of this.#unacknowledged.splice(0)) this.queue(frame);
    this.flush();
  }

  /** One packet with exactly these frames, whatever they are; returns its number. */
  sendPacket(frames: readonly Frame[]): bigint {
    return this.sendPlaintext(Buffer.concat(frames.map(encodeFrame)), frames);
  }

  /** One packet with any plaintext, for tests of malformed ones; `frames` are remembered until acknowledged. */
  sendPlaintext(plaintext: Bytes, frames: readonly Frame[] = []): bigint {
    const number = this.#nextPacketNumber++;
    for (const frame of frames.filter(isRepeated)) {
      this.#unacknowledged.push({ frame, packetNumber: number });
    }
    this.#options.send(sealPacket(this.#sendKey, 0, this.#sendId, number, plaintext));
    return number;
  }

  /** One packet with exactly these frames, none of which resend() repeats. */
  sendUntracked(frames: readonly Frame[]): bigint {
    return this.sendPlaintext(Buffer.concat(frames.map(encodeFrame)));
  }

  get #sendId(): Bytes {
    const [first] = this.peerIds.values();
    if (first === undefined) throw new Error('the peer has no id left');
    return first.id;
  }

  #ackRanges(): AckRange[] {
    const ranges: AckRange[] = [];
    for (const number of this.#authenticated.toSorted((a, b) => (a > b ? -1 : 1))) {
      const last = ranges.at(-1);
      if (last !== undefined && last.smallest === number + 1n) {
        ranges[ranges.length - 1] = { smallest: number, largest: last.largest };
      } else {
        ranges.push({ smallest: number, largest: number });
      }
    }
    const oldest = this.#oldestSinceAck;
    this.#oldestSinceAck = undefined;
    const listed = ranges.filter(
      ({ largest }, index) => index < 32 || (oldest !== undefined && largest >= oldest),
    );
    return listed.slice(0, 128);
  }

  #queueNewId(): void {
    const id = random(this.#options.ownId.length);
    const sequence = this.#issue(id);
    this.queue({ type: 'NEW_ID', sequence, id, resetToken: this.#options.resetTokenOf(id) });
  }

  #issue(id: Bytes): bigint {
    const sequence = this.#nextIdSequence++;
    this.#ownIds.set(toHex(id), sequence);
    return sequence;
  }

  // ---- Receiving ---------------------------------------------------------------------------------------------------

  /**
   * Takes one session packet; answers wait for flush().
   *
   * @returns whether it was authentic and fresh.
   * @throws Refused when its frames break a rule: the connection is to end with PROTOCOL_ERROR.
   */
  receive(datagram: Bytes): boolean {
    const opened = this.open(datagram);
    if (opened === undefined) return false;
    this.#authenticated.push(opened.number);
    const arrival = this.#options.nowMicros();
    for (const frame of decodeFrames(opened.plaintext)) {
      const needed = featureOf(frame);
      require((this.#options.features & needed) === needed, `unknown frame ${frame.type}`);
      this.received.push(frame);
      if (this.acknowledges && isAcknowledged(frame)) {
        this.#ackWanted = true;
        const oldest = this.#oldestSinceAck;
        if (oldest === undefined || opened.number < oldest) this.#oldestSinceAck = opened.number;
      }
      this.#take(frame, arrival);
    }
    return true;
  }

  /**
   * Opens one session packet without acting on its frames or acknowledging it, for tests of hostile clients.
   *
   * @returns undefined when it was not authentic or not fresh.
   */
  open(datagram: Bytes): { readonly number: bigint; readonly plaintext: Bytes } | undefined {
    try {
      const idLength = this.#options.ownId.length;
      const header = decodePacketHeader(datagram, idLength);
      this.#arrivedAt = toHex(header.connectionId);
      require(this.#ownIds.has(this.#arrivedAt), 'unknownConnection');
      require(header.epochBits === 0, 'unknownEpoch');
      const number = expandPacketNumber(this.#window.expected, header.truncated);
      const verdict = this.#window.verdict(number);
      require(verdict === 'fresh', verdict);
      const plaintext = openPacket(this.#receiveKey, idLength, number, datagram);
      this.#window.accept(number);
      return { number, plaintext };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.drops.push(error.message);
      return undefined;
    }
  }

  #take(frame: Frame, arrival: bigint): void {
    switch (frame.type) {
      case 'PING': {
        const delay = Number(this.#options.nowMicros() - arrival);
        this.queue({ type: 'PONG', sequence: frame.sequence, receiveTime: arrival, delay });
        return;
      }
      case 'PONG':
        this.#takePong(frame.sequence, BigInt(frame.delay), arrival);
        return;
      case 'ACK':
        this.#takeAck(frame.ranges);
        return;
      case 'NEW_ID':
        this.#takeNewId(frame.sequence, frame.id, frame.resetToken);
        return;
      case 'RETIRE_ID':
        this.#takeRetireId(frame.sequence);
        return;
      case 'DISCONNECT':
        this.ended ??= { by: 'peer', code: frame.code };
        return;
      default:
        this.channels.take(frame);
        return;
    }
  }

  #takePong(sequence: number, delay: bigint, arrival: bigint): void {
    const sent = this.#pings.get(sequence);
    if (sent === undefined) return;
    this.#pings.delete(sequence);
    if (delay <= arrival - sent) this.roundTripsMicros.push(arrival - sent - delay);
  }

  #takeAck(ranges: readonly AckRange[]): void {
    require((ranges[0]?.largest ?? 0n) < this.#nextPacketNumber, 'an ACK of a number never sent');
    const acknowledged = (number: bigint): boolean =>
      ranges.some(({ smallest, largest }) => smallest <= number && number <= largest);
    const rest = this.#unacknowledged.filter(({ packetNumber }) => !acknowledged(packetNumber));
    this.#unacknowledged.splice(0, Number.POSITIVE_INFINITY, ...rest);
  }

  get unacknowledgedFrames(): Frame[] {
    return this.#unacknowledged.map(({ frame }) => frame);
  }

  /** Number of frames that are sent and not acknowledged. */
  get unacknowledged(): number {
    return this.#unacknowledged.length;
  }

  #takeNewId(sequence: bigint, id: Bytes, token: Bytes): void {
    const known = this.peerIds.get(sequence);
    require(known === undefined || toHex(known.id) === toHex(id), 'a second NEW_ID with another id');
    this.peerIds.set(sequence, { id, resetToken: this.#options.role === 'client' ? token : undefined });
    require(this.peerIds.size <= 3, 'a third spare id');
  }

  #takeRetireId(sequence: bigint): void {
    if (sequence >= this.#nextIdSequence) refuse('a RETIRE_ID of an id never issued');
    if (this.#ownIds.get(this.#arrivedAt) === sequence)
      refuse('a RETIRE_ID of the id that its packet was sent to');
    for (const [id, issued] of this.#ownIds) {
      if (issued !== sequence) continue;
      this.#ownIds.delete(id);
      this.#queueNewId();
    }
  }

  /** Retires one of the other's ids; the next one of the lowest sequence takes its place. */
  retirePeerId(sequence: bigint): void {
    this.peerIds.delete(sequence);
    this.queue({ type: 'RETIRE_ID', sequence });
  }
}
