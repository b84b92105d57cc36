// Section 6 of docs/protocol.md for the reference implementation.

import { type Bytes, concat, Reader, refuse, require, u8, u16, u32, u64, varint } from './bytes.js';
import { encodeAddress, feature, type ReferenceAddress, readAddress } from './hawser1.js';

/** Both ends included. */
export interface AckRange {
  readonly smallest: bigint;
  readonly largest: bigint;
}

export type Frame =
  | { readonly type: 'PADDING' }
  | { readonly type: 'PING'; readonly sequence: number }
  | { readonly type: 'PONG'; readonly sequence: number; readonly receiveTime: bigint; readonly delay: number }
  | AckFrame
  | {
      readonly type: 'DISCONNECT';
      readonly code: number;
      readonly reconnectSpread: number;
      readonly reason: Bytes;
    }
  | {
      readonly type: 'GOAWAY';
      readonly reason: number;
      readonly deadline: number;
      readonly reconnectSpread: number;
      readonly address?: ReferenceAddress;
    }
  | { readonly type: 'NEW_ID'; readonly sequence: bigint; readonly id: Bytes; readonly resetToken: Bytes }
  | { readonly type: 'RETIRE_ID'; readonly sequence: bigint }
  | {
      readonly type: 'KEY_UPDATE';
      readonly epoch: number;
      readonly sequence: number;
      readonly share: Bytes;
      readonly secretId: Bytes;
      readonly mac: Bytes;
    }
  | { readonly type: 'KEY_UPDATE_REPLY'; readonly epoch: number; readonly share: Bytes; readonly mac: Bytes }
  | { readonly type: 'KEY_UPDATE_REFUSED'; readonly sequence: number; readonly reason: number }
  | { readonly type: 'PATH_CHALLENGE' | 'PATH_RESPONSE'; readonly data: Bytes }
  | { readonly type: 'CREDIT'; readonly limit: bigint }
  | {
      readonly type: 'CHANNEL_CREDIT';
      readonly channel: number;
      readonly limit: bigint;
      readonly ahead: bigint;
    }
  | MessageFrame
  | SequencedFrame
  | ReliableFrame
  | FragmentFrame
  | {
      readonly type: 'EXPIRED';
      readonly channel: number;
      readonly number: bigint;
      readonly length: number;
    }
  | { readonly type: 'MTU_PROBE' };

export interface AckFrame {
  readonly type: 'ACK';
  readonly delay: bigint;
  readonly ranges: readonly AckRange[];
  /** Packets received with each mark; only in the form 0x04. */
  readonly ecn?: { readonly ect0: bigint; readonly ect1: bigint; readonly ce: bigint };
}

export interface MessageFrame {
  readonly type: 'MESSAGE';
  readonly channel: number;
  /** Whether the packet is to be acknowledged. */
  readonly acknowledged: boolean;
  readonly data: Bytes;
  /** Without a length the data goes to the end of the packet. */
  readonly withLength: boolean;
}

/** Where a part lies in its message. */
export interface Part {
  /** Bytes of the whole message. */
  readonly total: number;
  readonly offset: number;
}

export interface SequencedFrame {
  readonly type: 'SEQUENCED';
  readonly channel: number;
  readonly number: bigint;
  /** Of a message in parts. */
  readonly part?: Part;
  readonly data: Bytes;
  readonly withLength: boolean;
}

export interface ReliableFrame {
  readonly type: 'RELIABLE';
  readonly channel: number;
  /** The number of the first message; the others follow it. */
  readonly first: bigint;
  readonly messages: readonly Bytes[];
  readonly withLength: boolean;
}

export interface FragmentFrame {
  readonly type: 'FRAGMENT';
  readonly channel: number;
  readonly number: bigint;
  readonly part: Part;
  readonly data: Bytes;
  readonly withLength: boolean;
}

export const disconnectCode = {
  NONE: 0,
  PROTOCOL_ERROR: 1,
  REPLACED: 2,
  SHUTTING_DOWN: 3,
  KEY_EXHAUSTED: 4,
  SERVER_FULL: 5,
  TOKEN_USED: 6,
  CLIENT_ID_CONNECTED: 7,
  HISTORY_UNAVAILABLE: 8,
  LIMIT_EXCEEDED: 9,
  SLOW_CONSUMER: 10,
  SEND_MEMORY_FULL: 11,
  NO_PROGRESS: 12,
} as const;

const acknowledged: ReadonlySet<Frame['type']> = new Set([
  'DISCONNECT',
  'GOAWAY',
  'NEW_ID',
  'RETIRE_ID',
  'KEY_UPDATE',
  'KEY_UPDATE_REPLY',
  'KEY_UPDATE_REFUSED',
  'CREDIT',
  'CHANNEL_CREDIT',
  'RELIABLE',
  'FRAGMENT',
  'EXPIRED',
  'MTU_PROBE',
]);

/** The column "acknowledged: yes". */
export function isAcknowledged(frame: Frame): boolean {
  return frame.type === 'MESSAGE' ? frame.acknowledged : acknowledged.has(frame.type);
}

/** Whether the frame is sent again until it is acknowledged. */
export function isRepeated(frame: Frame): boolean {
  return acknowledged.has(frame.type);
}

/** The bit of the feature without which a frame is unknown; 0 when it needs none (section 3). */
export function featureOf(frame: Frame): number {
  switch (frame.type) {
    case 'ACK':
      return frame.ecn === undefined ? 0 : feature.channels;
    case 'MESSAGE':
      return frame.acknowledged ? feature.channels : 0;
    case 'CREDIT':
    case 'CHANNEL_CREDIT':
    case 'SEQUENCED':
    case 'RELIABLE':
    case 'FRAGMENT':
    case 'EXPIRED':
      return feature.channels;
    case 'KEY_UPDATE':
    case 'KEY_UPDATE_REPLY':
    case 'KEY_UPDATE_REFUSED':
      return feature.keyUpdate;
    case 'PATH_CHALLENGE':
    case 'PATH_RESPONSE':
      return feature.roaming;
    case 'MTU_PROBE':
      return feature.pathMtu;
    default:
      return 0;
  }
}

export function encodeFrame(frame: Frame): Uint8Array {
  switch (frame.type) {
    case 'PADDING':
      return u8(0x00);
    case 'PING':
      return concat(u8(0x01), u16(frame.sequence));
    case 'PONG':
      return concat(u8(0x02), u16(frame.sequence), u64(frame.receiveTime), u32(frame.delay));
    case 'ACK':
      return encodeAck(frame);
    case 'DISCONNECT':
      return concat(
        u8(0x05),
        u32(frame.code),
        u32(frame.reconnectSpread),
        varint(frame.reason.length),
        frame.reason,
      );
    case 'GOAWAY': {
      const address = frame.address === undefined ? u8(0) : concat(u8(1), encodeAddress(frame.address));
      return concat(u8(0x06), u32(frame.reason), u32(frame.deadline), u32(frame.reconnectSpread), address);
    }
    case 'NEW_ID':
      return concat(u8(0x07), varint(frame.sequence), u8(frame.id.length), frame.id, frame.resetToken);
    case 'RETIRE_ID':
      return concat(u8(0x08), varint(frame.sequence));
    case 'KEY_UPDATE':
      return concat(u8(0x09), u32(frame.epoch), u32(frame.sequence), frame.share, frame.secretId, frame.mac);
    case 'KEY_UPDATE_REPLY':
      return concat(u8(0x0a), u32(frame.epoch), frame.share, frame.mac);
    case 'KEY_UPDATE_REFUSED':
      return concat(u8(0x0b), u32(frame.sequence), u8(frame.reason));
    case 'PATH_CHALLENGE':
      return concat(u8(0x0c), frame.data);
    case 'PATH_RESPONSE':
      return concat(u8(0x0d), frame.data);
    case 'CREDIT':
      return concat(u8(0x0e), varint(frame.limit));
    case 'CHANNEL_CREDIT':
      return concat(u8(0x0f), varint(frame.channel), varint(frame.limit), varint(frame.ahead));
    case 'MESSAGE':
      return encodeMessage(frame);
    case 'SEQUENCED':
      return encodeSequenced(frame);
    case 'RELIABLE':
      return encodeReliable(frame);
    case 'FRAGMENT':
      return encodeFragment(frame);
    case 'EXPIRED':
      return concat(u8(0x1c), varint(frame.channel), varint(frame.number), varint(frame.length));
    case 'MTU_PROBE':
      return u8(0x20);
  }
}

/** Data to the end of the packet, or behind its length. */
function withOptionalLength(data: Bytes, withLength: boolean): Uint8Array {
  return withLength ? concat(varint(data.length), data) : concat(data);
}

function encodePart(part: Part | undefined): Uint8Array {
  return part === undefined ? new Uint8Array(0) : concat(varint(part.total), varint(part.offset));
}

function encodeSequenced({ channel, number, part, data, withLength }: SequencedFrame): Uint8Array {
  const type = 0x14 + (part === undefined ? 0 : 1) + (withLength ? 2 : 0);
  const place = concat(varint(channel), varint(number), encodePart(part));
  return concat(u8(type), place, withOptionalLength(data, withLength));
}

function encodeReliable({ channel, first, messages, withLength }: ReliableFrame): Uint8Array {
  const run = concat(...messages.map((data) => withOptionalLength(data, true)));
  const place = concat(varint(channel), varint(first));
  return concat(u8(withLength ? 0x19 : 0x18), place, withOptionalLength(run, withLength));
}

function encodeFragment({ channel, number, part, data, withLength }: FragmentFrame): Uint8Array {
  const place = concat(varint(channel), varint(number), encodePart(part));
  return concat(u8(withLength ? 0x1b : 0x1a), place, withOptionalLength(data, withLength));
}

function encodeMessage({ channel, acknowledged, data, withLength }: MessageFrame): Uint8Array {
  const type = (acknowledged ? 0x30 : 0x10) + (channel === 0 ? 0 : 1) + (withLength ? 2 : 0);
  const none = new Uint8Array(0);
  return concat(
    u8(type),
    channel === 0 ? none : varint(channel),
    withLength ? varint(data.length) : none,
    data,
  );
}

/** RFC 9000 section 19.3: ranges from the highest down, each gap one less than the numbers missing between two ranges. */
function encodeAck({ delay, ranges, ecn }: AckFrame): Uint8Array {
  const [first, ...others] = ranges;
  if (first === undefined) throw new Error('an ACK has at least one range');
  const parts = [
    u8(ecn === undefined ? 0x03 : 0x04),
    varint(first.largest),
    varint(delay),
    varint(others.length),
  ];
  parts.push(varint(first.largest - first.smallest));
  let smallest = first.smallest;
  for (const range of others) {
    parts.push(varint(smallest - range.largest - 2n), varint(range.largest - range.smallest));
    smallest = range.smallest;
  }
  if (ecn !== undefined) parts.push(varint(ecn.ect0), varint(ecn.ect1), varint(ecn.ce));
  return concat(...parts);
}

function readAck(reader: Reader, withEcn: boolean): Frame {
  let largest = reader.varint();
  const delay = reader.varint();
  const count = reader.varint();
  const ranges: AckRange[] = [];
  for (let index = -1n; index < count; ++index) {
    const last = ranges.at(-1);
    if (last !== undefined) largest = last.smallest - reader.varint() - 2n;
    const smallest = largest - reader.varint();
    require(smallest >= 0n, 'an ACK range below zero');
    ranges.push({ smallest, largest });
  }
  if (!withEcn) return { type: 'ACK', delay, ranges };
  const ecn = { ect0: reader.varint(), ect1: reader.varint(), ce: reader.varint() };
  return { type: 'ACK', delay, ranges, ecn };
}

function readGoaway(reader: Reader): Frame {
  const reason = reader.u32();
  const deadline = reader.u32();
  const reconnectSpread = reader.u32();
  const present = reader.u8();
  require(present <= 1, 'GOAWAY with neither 0 nor 1');
  if (present === 0) return { type: 'GOAWAY', reason, deadline, reconnectSpread };
  return { type: 'GOAWAY', reason, deadline, reconnectSpread, address: readAddress(reader) };
}

function readDisconnect(reader: Reader): Frame {
  const code = reader.u32();
  const reconnectSpread = reader.u32();
  const length = reader.length();
  require(length <= 256, 'a reason longer than 256 bytes');
  return { type: 'DISCONNECT', code, reconnectSpread, reason: reader.take(length) };
}

function readNewId(reader: Reader): Frame {
  const sequence = reader.varint();
  const length = reader.u8();
  require(length >= 4 && length <= 16, 'length of a connection id');
  return { type: 'NEW_ID', sequence, id: reader.take(length), resetToken: reader.take(16) };
}

function readChannel(reader: Reader): number {
  const channel = reader.varint();
  require(channel <= 1023n, 'a channel above 1,023');
  return Number(channel);
}

function readData(reader: Reader, withLength: boolean): Uint8Array {
  return withLength ? reader.take(reader.length()) : reader.rest();
}

/** 16 MiB. */
const greatestMessage = 16_777_216n;

/** The length of a message that is not all here. */
function readTotal(reader: Reader): number {
  const total = reader.varint();
  require(total <= greatestMessage, 'a message above 16,777,216 bytes');
  return Number(total);
}

function readPart(reader: Reader, withLength: boolean): { part: Part; data: Uint8Array } {
  const total = readTotal(reader);
  const offset = reader.varint();
  const data = readData(reader, withLength);
  require(data.length > 0, 'an empty part');
  require(offset + BigInt(data.length) <= BigInt(total), 'a part beyond its message');
  return { part: { total, offset: Number(offset) }, data };
}

function readMessage(reader: Reader, type: number): Frame {
  const channel = (type & 1) === 0 ? 0 : readChannel(reader);
  const withLength = (type & 2) !== 0;
  return {
    type: 'MESSAGE',
    channel,
    acknowledged: type >= 0x30,
    data: readData(reader, withLength),
    withLength,
  };
}

function readSequenced(reader: Reader, type: number): Frame {
  const channel = readChannel(reader);
  const number = reader.varint();
  const withLength = (type & 2) !== 0;
  if ((type & 1) === 0)
    return { type: 'SEQUENCED', channel, number, data: readData(reader, withLength), withLength };
  return { type: 'SEQUENCED', channel, number, ...readPart(reader, withLength), withLength };
}

function readReliable(reader: Reader, withLength: boolean): Frame {
  const channel = readChannel(reader);
  const first = reader.varint();
  const run = new Reader(readData(reader, withLength));
  const messages: Bytes[] = [];
  while (run.remaining > 0) messages.push(run.take(run.length()));
  require(messages.length > 0, 'a RELIABLE without a message');
  require(first + BigInt(messages.length) <= 1n << 62n, 'a number of 2^62');
  return { type: 'RELIABLE', channel, first, messages, withLength };
}

function readFragment(reader: Reader, withLength: boolean): Frame {
  const channel = readChannel(reader);
  const number = reader.varint();
  return { type: 'FRAGMENT', channel, number, ...readPart(reader, withLength), withLength };
}

function readFrame(reader: Reader): Frame {
  const type = reader.u8();
  switch (type) {
    case 0x00:
      return { type: 'PADDING' };
    case 0x01:
      return { type: 'PING', sequence: reader.u16() };
    case 0x02:
      return { type: 'PONG', sequence: reader.u16(), receiveTime: reader.u64(), delay: reader.u32() };
    case 0x03:
    case 0x04:
      return readAck(reader, type === 0x04);
    case 0x05:
      return readDisconnect(reader);
    case 0x06:
      return readGoaway(reader);
    case 0x07:
      return readNewId(reader);
    case 0x08:
      return { type: 'RETIRE_ID', sequence: reader.varint() };
    case 0x09:
      return {
        type: 'KEY_UPDATE',
        epoch: reader.u32(),
        sequence: reader.u32(),
        share: reader.take(32),
        secretId: reader.take(16),
        mac: reader.take(16),
      };
    case 0x0a:
      return {
        type: 'KEY_UPDATE_REPLY',
        epoch: reader.u32(),
        share: reader.take(32),
        mac: reader.take(16),
      };
    case 0x0b:
      return { type: 'KEY_UPDATE_REFUSED', sequence: reader.u32(), reason: reader.u8() };
    case 0x0c:
      return { type: 'PATH_CHALLENGE', data: reader.take(8) };
    case 0x0d:
      return { type: 'PATH_RESPONSE', data: reader.take(8) };
    case 0x0e:
      return { type: 'CREDIT', limit: reader.varint() };
    case 0x0f:
      return {
        type: 'CHANNEL_CREDIT',
        channel: readChannel(reader),
        limit: reader.varint(),
        ahead: reader.varint(),
      };
    case 0x10:
    case 0x11:
    case 0x12:
    case 0x13:
    case 0x30:
    case 0x31:
    case 0x32:
    case 0x33:
      return readMessage(reader, type);
    case 0x14:
    case 0x15:
    case 0x16:
    case 0x17:
      return readSequenced(reader, type);
    case 0x18:
    case 0x19:
      return readReliable(reader, type === 0x19);
    case 0x1a:
    case 0x1b:
      return readFragment(reader, type === 0x1b);
    case 0x1c:
      return {
        type: 'EXPIRED',
        channel: readChannel(reader),
        number: reader.varint(),
        length: readTotal(reader),
      };
    case 0x20:
      return { type: 'MTU_PROBE' };
    default:
      return refuse(`unknown frame type ${type}`);
  }
}

export function decodeFrames(plaintext: Bytes): Frame[] {
  require(plaintext.length > 0, 'a packet without any frame');
  const reader = new Reader(plaintext);
  const frames: Frame[] = [];
  while (reader.remaining > 0) frames.push(readFrame(reader));
  return frames;
}
