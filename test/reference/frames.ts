// Section 6 of docs/protocol.md for the reference implementation.

import { type Bytes, concat, Reader, refuse, require, u8, u16, u32, u64, varint } from './bytes.js';
import { encodeAddress, type ReferenceAddress, readAddress } from './hawser1.js';

/** Both ends included. */
export interface AckRange {
  readonly smallest: bigint;
  readonly largest: bigint;
}

export type Frame =
  | { readonly type: 'PADDING' }
  | { readonly type: 'PING'; readonly sequence: number }
  | { readonly type: 'PONG'; readonly sequence: number; readonly receiveTime: bigint; readonly delay: number }
  | { readonly type: 'ACK'; readonly delay: bigint; readonly ranges: readonly AckRange[] }
  | { readonly type: 'DISCONNECT'; readonly code: number; readonly reason: Bytes }
  | {
      readonly type: 'GOAWAY';
      readonly reason: number;
      readonly deadline: number;
      readonly address?: ReferenceAddress;
    }
  | { readonly type: 'NEW_ID'; readonly sequence: bigint; readonly id: Bytes; readonly resetToken: Bytes }
  | { readonly type: 'RETIRE_ID'; readonly sequence: bigint }
  | MessageFrame;

export interface MessageFrame {
  readonly type: 'MESSAGE';
  readonly channel: number;
  readonly data: Bytes;
  /** Without a length the data goes to the end of the packet. */
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
} as const;

/** The column "acknowledged: yes". */
export function isAcknowledged({ type }: Frame): boolean {
  return type === 'DISCONNECT' || type === 'GOAWAY' || type === 'NEW_ID' || type === 'RETIRE_ID';
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
      return encodeAck(frame.delay, frame.ranges);
    case 'DISCONNECT':
      return concat(u8(0x05), u32(frame.code), varint(frame.reason.length), frame.reason);
    case 'GOAWAY': {
      const address = frame.address === undefined ? u8(0) : concat(u8(1), encodeAddress(frame.address));
      return concat(u8(0x06), u32(frame.reason), u32(frame.deadline), address);
    }
    case 'NEW_ID':
      return concat(u8(0x07), varint(frame.sequence), u8(frame.id.length), frame.id, frame.resetToken);
    case 'RETIRE_ID':
      return concat(u8(0x08), varint(frame.sequence));
    case 'MESSAGE':
      return encodeMessage(frame);
  }
}

function encodeMessage({ channel, data, withLength }: MessageFrame): Uint8Array {
  const type = 0x10 + (channel === 0 ? 0 : 1) + (withLength ? 2 : 0);
  const none = new Uint8Array(0);
  return concat(
    u8(type),
    channel === 0 ? none : varint(channel),
    withLength ? varint(data.length) : none,
    data,
  );
}

/** RFC 9000 section 19.3: ranges from the highest down, each gap one less than the numbers missing between two ranges. */
function encodeAck(delay: bigint, ranges: readonly AckRange[]): Uint8Array {
  const [first, ...others] = ranges;
  if (first === undefined) throw new Error('an ACK has at least one range');
  const parts = [u8(0x03), varint(first.largest), varint(delay), varint(others.length)];
  parts.push(varint(first.largest - first.smallest));
  let smallest = first.smallest;
  for (const range of others) {
    parts.push(varint(smallest - range.largest - 2n), varint(range.largest - range.smallest));
    smallest = range.smallest;
  }
  return concat(...parts);
}

function readAck(reader: Reader): Frame {
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
  return { type: 'ACK', delay, ranges };
}

function readGoaway(reader: Reader): Frame {
  const reason = reader.u32();
  const deadline = reader.u32();
  const present = reader.u8();
  require(present <= 1, 'GOAWAY with neither 0 nor 1');
  if (present === 0) return { type: 'GOAWAY', reason, deadline };
  return { type: 'GOAWAY', reason, deadline, address: readAddress(reader) };
}

function readDisconnect(reader: Reader): Frame {
  const code = reader.u32();
  const length = reader.length();
  require(length <= 256, 'a reason longer than 256 bytes');
  return { type: 'DISCONNECT', code, reason: reader.take(length) };
}

function readNewId(reader: Reader): Frame {
  const sequence = reader.varint();
  const length = reader.u8();
  require(length >= 4 && length <= 16, 'length of a connection id');
  return { type: 'NEW_ID', sequence, id: reader.take(length), resetToken: reader.take(16) };
}

function readMessage(reader: Reader, type: number): Frame {
  const channel = (type & 1) === 0 ? 0n : reader.varint();
  require(channel <= 1023n, 'a channel above 1,023');
  const withLength = (type & 2) !== 0;
  const data = withLength ? reader.take(reader.length()) : reader.rest();
  return { type: 'MESSAGE', channel: Number(channel), data, withLength };
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
      return readAck(reader);
    case 0x05:
      return readDisconnect(reader);
    case 0x06:
      return readGoaway(reader);
    case 0x07:
      return readNewId(reader);
    case 0x08:
      return { type: 'RETIRE_ID', sequence: reader.varint() };
    case 0x10:
    case 0x11:
    case 0x12:
    case 0x13:
      return readMessage(reader, type);
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
