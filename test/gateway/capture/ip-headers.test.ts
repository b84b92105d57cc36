// Headers of IP and UDP around captured datagrams, checked with the arithmetic of RFC 1071 written another way.

import { describe, expect, test } from 'vitest';
import { ipHeaders, routeOf } from '../../../src/gateway/capture/ip-headers.js';
import type { TapAddress } from '../../../src/transport/capture.js';
import { madeRecord } from '../../wireshark/capture-files.js';

const ipv6 = (last: number, port: number): TapAddress => ({
  family: 2,
  ip: Uint8Array.from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]),
  port,
});

/** The sum of words in ones' complement: 0xffff where a checksum among them is right. */
function onesSum(words: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < words.length; at += 2) {
    sum += (words[at] ?? 0) * 256 + (words[at + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

function udpSum(packet: Buffer): number {
  const isIpv6 = packet.readUInt8() >> 4 === 6;
  const addresses = isIpv6 ? packet.subarray(8, 40) : packet.subarray(12, 20);
  const udp = packet.subarray(isIpv6 ? 40 : 20);
  const pseudo = Buffer.from([0, 17, udp.length >> 8, udp.length & 0xff]);
  return onesSum(Buffer.concat([addresses, pseudo, udp]));
}

describe('headers of IP and UDP', () => {
  test.each([
    ['IPv4', madeRecord(Buffer.from('odd'))],
    ['IPv4 with nothing inside', madeRecord(new Uint8Array())],
    ['IPv4, the longest', madeRecord(new Uint8Array(65_507).fill(255))],
    ['IPv6', madeRecord(Buffer.from('even'), { remote: ipv6(1, 50_000), local: ipv6(2, 4433), detail: 3 })],
    ['IPv6, sent', madeRecord(Buffer.from('odd'), { remote: ipv6(1, 9), local: ipv6(2, 4433), sent: true })],
  ])('%s: lengths, ports, ECN bits and checksums are right', (_name, record) => {
    const route = routeOf(record, record.local);
    const packet = Buffer.concat([ipHeaders(route, record), record.bytes]);
    const isIpv6 = record.remote.family === 2;
    const udp = packet.subarray(isIpv6 ? 40 : 20);
    expect(packet.readUInt8() >> 4).toBe(isIpv6 ? 6 : 4);
    expect(isIpv6 ? packet.readUInt16BE(4) + 40 : packet.readUInt16BE(2)).toBe(packet.length);
    expect(isIpv6 ? (packet.readUInt32BE() >>> 20) & 3 : packet.readUInt8(1) & 3).toBe(record.detail);
    const [from, to] = record.sent ? [record.local, record.remote] : [record.remote, record.local];
    expect([udp.readUInt16BE(0), udp.readUInt16BE(2)]).toEqual([from.port, to.port]);
    expect(udp.readUInt16BE(4)).toBe(udp.length);
    expect(udp.readUInt16BE(6)).not.toBe(0);
    expect(udpSum(packet)).toBe(0xffff);
    if (!isIpv6) expect(onesSum(packet.subarray(0, 20))).toBe(0xffff);
  });

  test('a datagram of which a part is missing has its whole length and no checksum', () => {
    const record = { ...madeRecord(new Uint8Array(64)), lengthBytes: 1200 };
    const headers = Buffer.from(ipHeaders(routeOf(record, record.local), record));
    expect([headers.readUInt16BE(2), headers.readUInt16BE(24), headers.readUInt16BE(26)]).toEqual([
      1228, 1208, 0,
    ]);
  });

  test('where this side is not known it is where the listener is bound, in the family of the other side', () => {
    const unknown: TapAddress = { family: 0, ip: new Uint8Array(4), port: 0 };
    const anyIpv6: TapAddress = { family: 2, ip: new Uint8Array(16), port: 4433 };
    const { to } = routeOf(madeRecord(new Uint8Array(1), { local: unknown }), anyIpv6);
    expect(to).toEqual({ family: 1, ip: new Uint8Array(4), port: 4433 });
    const bound: TapAddress = { family: 1, ip: Uint8Array.of(10, 0, 0, 1), port: 4433 };
    expect(routeOf(madeRecord(new Uint8Array(1), { local: unknown }), bound).to).toEqual(bound);
  });
});
