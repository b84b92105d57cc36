// Headers of IP and UDP around a datagram that was captured above them: the ones that the system wrote or took off are not known, but
// for addresses, ports and ECN bits.

import type { TapAddress, TapRecord } from '../../transport/capture.js';

const udpHeaderBytes = 8;
const udpProtocol = 17;
const hopLimit = 64;

/** The two ends of a record in the order of the way it went. */
export interface Route {
  readonly from: TapAddress;
  readonly to: TapAddress;
}

/** @param bound where the socket is bound, for what the system chose. */
export function routeOf({ sent, remote, local }: TapRecord, bound: TapAddress): Route {
  const own = ownAddress(local, remote.family, bound);
  return sent ? { from: own, to: remote } : { from: remote, to: own };
}

/** Of the family of the other side, though a socket for both is bound to an address of IPv6. */
function ownAddress(local: TapAddress, family: number, bound: TapAddress): TapAddress {
  const known = [local, bound].find((address) => address.family === family);
  const ip = known?.ip ?? new Uint8Array(family === 2 ? 16 : 4);
  return { family, ip, port: local.port === 0 ? bound.port : local.port };
}

/** The bytes that stand before the datagram. */
export function ipHeaders({ from, to }: Route, record: TapRecord): Uint8Array {
  const ipBytes = from.family === 2 ? 40 : 20;
  const headers = new Uint8Array(ipBytes + udpHeaderBytes);
  const udp = new DataView(headers.buffer, ipBytes);
  const length = udpHeaderBytes + record.lengthBytes;
  if (from.family === 2) writeIpv6(new DataView(headers.buffer), length, record.detail);
  else writeIpv4(new DataView(headers.buffer), length, record.detail);
  const addressesAt = from.family === 2 ? 8 : 12;
  headers.set(from.ip, addressesAt);
  headers.set(to.ip, addressesAt + from.ip.length);
  udp.setUint16(0, from.port);
  udp.setUint16(2, to.port);
  udp.setUint16(4, length);
  // Of bytes that are not there no checksum can be made; zero stands for none.
  if (record.bytes.length === record.lengthBytes) {
    const pseudo = sum(headers, addressesAt, ipBytes) + udpProtocol + length;
    const whole = sum(record.bytes, 0, record.bytes.length, pseudo + sum(headers, ipBytes, headers.length));
    // A checksum that comes to zero is written as its other form, for zero stands for none.
    udp.setUint16(6, complement(whole) || 0xffff);
  }
  if (from.family !== 2) new DataView(headers.buffer).setUint16(10, complement(sum(headers, 0, ipBytes)));
  return headers;
}

/** Without its checksum. */
function writeIpv4(view: DataView, udpLength: number, ecn: number): void {
  view.setUint8(0, 0x45);
  view.setUint8(1, ecn);
  view.setUint16(2, 20 + udpLength);
  // Datagrams are never fragmented.
  view.setUint16(6, 0x4000);
  view.setUint8(8, hopLimit);
  view.setUint8(9, udpProtocol);
}

function writeIpv6(view: DataView, udpLength: number, ecn: number): void {
  view.setUint32(0, (6 << 28) | (ecn << 20));
  view.setUint16(4, udpLength);
  view.setUint8(6, udpProtocol);
  view.setUint8(7, hopLimit);
}

/** RFC 1071, not folded: of 65,535 bytes it stays far below 2^32. */
function sum(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  let total = initial;
  for (let at = start; at + 1 < end; at += 2) total += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  return (end - start) % 2 === 0 ? total : total + ((bytes[end - 1] ?? 0) << 8);
}

function complement(total: number): number {
  let folded = total;
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  return ~folded & 0xffff;
}
