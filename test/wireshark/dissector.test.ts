// The dissector of docs/wireshark on made-up files: every frame and datagram of docs/protocol-vectors.json, and anything else.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { TapRecord } from '../../src/transport/capture.js';
import { captureFile, madeRecord } from './capture-files.js';
import { fieldsOf, luaErrors, tsharkMissing } from './wireshark.js';

interface Vectors {
  readonly frames: {
    readonly valid: readonly {
      readonly payload: string;
      readonly frames: readonly { readonly type: string }[];
    }[];
    readonly invalid: readonly { readonly payload: string; readonly reason?: string }[];
  };
  readonly handshakes: { readonly valid: readonly Readonly<Record<string, unknown>>[] };
  readonly sessionPackets: { readonly valid: readonly Readonly<Record<string, unknown>>[] };
}

const vectors: Vectors = JSON.parse(
  readFileSync(new URL('../../docs/protocol-vectors.json', import.meta.url), 'utf8'),
);

/** The names of docs/protocol.md section 6, by the first byte of a frame. */
const frameNames = new Map(
  [
    ...readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8').matchAll(
      /^\| `(0x[0-9a-f]{2})` +\| ([A-Z_]+) +\|/gm,
    ),
  ].map(([, type, name]) => [Number(type), name ?? '']),
);

/** mulberry32: the same bytes in each run. */
function randomBytes(seed: number): (count: number) => Buffer {
  let state = seed;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  return (count) => Buffer.from(Array.from({ length: count }, () => next() & 0xff));
}

const packetOf = (payload: Uint8Array): TapRecord => madeRecord(payload, { kind: 'hawserPacket' });

describe.skipIf(tsharkMissing !== undefined)('the dissector', () => {
  test('shows the frames of every valid example by the names of docs/protocol.md, and finds nothing wrong', async () => {
    const payloads = vectors.frames.valid.map(({ payload }) => Buffer.from(payload, 'hex'));
    const rows = await fieldsOf(captureFile(payloads.map(packetOf)), [
      'hawser.frame.type',
      'hawser.frame.name',
      '_ws.expert.message',
    ]);
    expect(rows).toHaveLength(payloads.length);
    const seen = new Set<number>();
    for (const [index, [types = [], names = [], complaints = []]] of rows.entries()) {
      expect(names, vectors.frames.valid[index]?.payload).toEqual(
        types.map((type) => frameNames.get(Number(type))),
      );
      expect(names).toHaveLength(vectors.frames.valid[index]?.frames.length ?? -1);
      expect(complaints.filter((message) => !message.startsWith('DISCONNECT'))).toEqual([]);
      for (const type of types) seen.add(Number(type));
    }
    expect([...seen].sort()).toEqual([...frameNames.keys()].sort());
  });

  test('marks every invalid example', async () => {
    const examples = vectors.frames.invalid.map(({ payload }) => Buffer.from(payload, 'hex'));
    const rows = await fieldsOf(captureFile(examples.map(packetOf)), [
      'hawser.malformed',
      'hawser.violation',
      '_ws.expert.message',
    ]);
    const unmarked = rows.flatMap(([malformed = [], violation = []], index) =>
      malformed.length + violation.length > 0 ? [] : [vectors.frames.invalid[index]],
    );
    expect(unmarked).toEqual([]);
  });

  test('never fails on random bytes, on pieces of valid packets, or on packets that were cut', async () => {
    const random = randomBytes(10);
    const firstBytes = [
      0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xb0, 0xbc, 0xa7, 0xb1, 0x00, 0x15, 0x86, 0x72, 0xff,
    ];
    const records: TapRecord[] = [];
    for (let round = 0; round < 1500; ++round) {
      const bytes = random(random(1).readUInt8());
      if (bytes.length > 0 && round % 3 > 0) bytes[0] = firstBytes[round % firstBytes.length] ?? 0;
      const kind = (['datagram', 'hawserPacket', 'netcodePacket'] as const)[round % 3] ?? 'datagram';
      const detail = kind === 'netcodePacket' ? round % 9 : 0;
      const connectionId = kind === 'hawserPacket' ? random(round % 20) : new Uint8Array();
      records.push(madeRecord(bytes, { kind, detail, connectionId }));
    }
    for (const { payload } of vectors.frames.valid) {
      const whole = Buffer.from(payload, 'hex');
      const cuts = whole.length > 64 ? [1, 5, 17, 40] : [...whole.keys()];
      for (const length of cuts) {
        records.push(packetOf(whole.subarray(0, length)));
        records.push({ ...packetOf(whole.subarray(0, length)), lengthBytes: whole.length });
      }
      const changed = Buffer.from(whole);
      const at = random(1).readUInt8() % changed.length;
      changed[at] = (changed[at] ?? 0) ^ (1 + (random(1).readUInt8() % 255));
      records.push(packetOf(changed));
    }
    expect(await luaErrors(captureFile(records))).toEqual([]);
  });
});
