// The bytes of the addon's events, as native/engine/events.hpp lays them out. They come empty when a listener has transferred
// the slab of their batch away; then what they said is unknown.

import { binaryAddressBytes, textFromBinary } from '../base/address.js';
import { type DeniedReason, type DisconnectInfo, deniedReasonName, type GoawayInfo } from './results.js';

const utf8 = new TextDecoder();

function u32(bytes: Uint8Array, offset: number): number {
  if (bytes.length < offset + 4) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(offset, true);
}

/** u32 code, u32 reconnect spread in ms, reason. A reason that was cut inside a character ends with U+FFFD. */
export function readDisconnect(bytes: Uint8Array): Omit<DisconnectInfo, 'result'> {
  return {
    code: u32(bytes, 0),
    reason: bytes.length > 8 ? utf8.decode(bytes.subarray(8)) : '',
    reconnectSpreadMs: u32(bytes, 4),
  };
}

/** u32 reason of DENIED, 0 where there was none. */
export function readDenied(bytes: Uint8Array): DeniedReason | undefined {
  const reason = u32(bytes, 0);
  return reason === 0 ? undefined : deniedReasonName(reason);
}

/** i32 number of a netcode client's state; undefined for HAWSER, which has none. */
export function readNetcodeState(bytes: Uint8Array): number | undefined {
  return bytes.length < 4 ? undefined : u32(bytes, 0) | 0;
}

/** u32 reason, u32 deadline and u32 reconnect spread in ms, address of 24 bytes. */
export function readGoaway(bytes: Uint8Array): GoawayInfo {
  const binary = bytes.subarray(12, 12 + binaryAddressBytes);
  const elsewhere = binary.length === 0 ? '' : textFromBinary(binary);
  return {
    reason: u32(bytes, 0),
    deadlineMs: u32(bytes, 4),
    reconnectSpreadMs: u32(bytes, 8),
    elsewhere: elsewhere === '' ? undefined : elsewhere,
  };
}
