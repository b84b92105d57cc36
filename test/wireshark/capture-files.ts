// Capture files of made-up packets, for tests of the dissector.

import { randomUUID } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { ipHeaders, routeOf } from '../../src/gateway/capture/ip-headers.js';
import { linkTypeRaw, linkTypeUpperPdu, PcapngWriter } from '../../src/gateway/capture/pcapng.js';
import { upperPduHeaders } from '../../src/gateway/capture/upper-pdu.js';
import type { TapAddress, TapRecord } from '../../src/transport/capture.js';

const client: TapAddress = { family: 1, ip: Uint8Array.of(192, 0, 2, 1), port: 50_000 };
const gateway: TapAddress = { family: 1, ip: Uint8Array.of(192, 0, 2, 2), port: 4433 };

/** A datagram that the gateway received, unless told otherwise. */
export function madeRecord(bytes: Uint8Array, overrides: Partial<TapRecord> = {}): TapRecord {
  return {
    kind: 'datagram',
    sent: false,
    detail: 0,
    unixMicros: 1_700_000_000_000_000,
    lengthBytes: bytes.length,
    remote: client,
    local: gateway,
    number: 7n,
    epoch: 0,
    connectionId:
      overrides.kind === 'hawserPacket' ? Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) : new Uint8Array(),
    bytes,
    ...overrides,
  };
}

/** The path of a file that goes with the test. */
export function temporaryFile(): string {
  const path = join(tmpdir(), `hawser-test-${randomUUID()}.pcapng`);
  onTestFinished(() => rmSync(path, { force: true }));
  return path;
}

/** Writes records into a file as a capture of a gateway would. @param own whether the file says that it is one. */
export function captureFile(records: readonly TapRecord[], own = true): string {
  const writer = new PcapngWriter();
  const name = own ? 'hawser ' : '';
  writer.sectionHeader('test');
  writer.interface({ name: 'a', description: `${name}datagrams`, linkType: linkTypeRaw, snapLengthBytes: 0 });
  writer.interface({
    name: 'b',
    description: `${name}packets`,
    linkType: linkTypeUpperPdu,
    snapLengthBytes: 0,
  });
  for (const record of records) {
    const route = routeOf(record, gateway);
    const datagram = record.kind === 'datagram';
    const headers = datagram ? ipHeaders(route, record) : upperPduHeaders(route, record);
    const missing = record.lengthBytes - record.bytes.length;
    writer.packet(datagram ? 0 : 1, record.unixMicros, record.sent, [headers, record.bytes], missing);
  }
  const path = temporaryFile();
  writeFileSync(path, writer.take());
  return path;
}
