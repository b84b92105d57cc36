// Packets without their seal as Wireshark takes them from a file: tags that name the dissector, the addresses and the ports (the "exported
// PDU" of wsutil/exported_pdu_tlvs.h, big-endian), then a header of 16 bytes and the connection id, which docs/wireshark/hawser.lua
// reads, then the frames.

import type { TapRecord } from '../../transport/capture.js';
import type { Route } from './ip-headers.js';

const tags = {
  end: 0,
  dissectorName: 12,
  ipv4Source: 20,
  ipv4Destination: 21,
  ipv6Source: 22,
  ipv6Destination: 23,
  portType: 24,
  sourcePort: 25,
  destinationPort: 26,
} as const;

const dissectorName = 'hawser.plain';
const portTypeUdp = 3;

const headerVersion = 1;
const headerBytes = 16;
const packetKind = { hawserPacket: 1, netcodePacket: 2 } as const;

/** The bytes that stand before the frames of a packet. */
export function upperPduHeaders({ from, to }: Route, record: TapRecord): Buffer {
  const ipv6 = from.family === 2;
  return Buffer.concat([
    tag(tags.dissectorName, Buffer.from(dissectorName)),
    tag(ipv6 ? tags.ipv6Source : tags.ipv4Source, from.ip),
    tag(ipv6 ? tags.ipv6Destination : tags.ipv4Destination, to.ip),
    tag(tags.portType, u32(portTypeUdp)),
    tag(tags.sourcePort, u32(from.port)),
    tag(tags.destinationPort, u32(to.port)),
    tag(tags.end, new Uint8Array()),
    packetHeader(record),
    record.connectionId,
  ]);
}

/**
 * Little-endian, as the wire is: u8 version 1; u8 1 for a session packet of HAWSER, 2 for one of netcode; u8 0 received by the
 * gateway, 1 sent; u8 length of the connection id, or the type of the netcode packet; u32 key epoch; u64 packet or sequence number.
 */
function packetHeader(record: TapRecord): Uint8Array {
  const header = new Uint8Array(headerBytes);
  const view = new DataView(header.buffer);
  const netcode = record.kind === 'netcodePacket';
  view.setUint8(0, headerVersion);
  view.setUint8(1, netcode ? packetKind.netcodePacket : packetKind.hawserPacket);
  view.setUint8(2, record.sent ? 1 : 0);
  view.setUint8(3, netcode ? record.detail : record.connectionId.length);
  view.setUint32(4, record.epoch, true);
  view.setBigUint64(8, record.number, true);
  return header;
}

/** The value is padded to four bytes with zeros. */
function tag(id: number, value: Uint8Array): Buffer {
  const padded = Buffer.alloc(4 + ((value.length + 3) & ~3));
  padded.writeUInt16BE(id, 0);
  // Of a text its length with the zeros, as Wireshark writes it itself.
  padded.writeUInt16BE(padded.length - 4, 2);
  padded.set(value, 4);
  return padded;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
