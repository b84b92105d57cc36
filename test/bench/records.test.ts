// The framing that gives a rival without messages the messages of the benchmark.

import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { headerBytes, RecordReader, RecordWriter } from '../../bench/lib/records.mjs';
import { StreamReceiver, StreamSender } from '../../bench/lib/stream.mjs';

const messages = fc.array(fc.uint8Array({ maxLength: 600 }), { maxLength: 30 });

/** What goes through a writer, then in chunks of `cut` bytes through a reader. */
async function through(sent: readonly Uint8Array[], chunkBytes: number, cut: number): Promise<Uint8Array[]> {
  const written: Buffer[] = [];
  const writer = new RecordWriter(chunkBytes, (chunk) => {
    written.push(chunk);
    return true;
  });
  for (const message of sent) expect(writer.send(message)).toBe(true);
  // The writer writes the rest at the end of the turn.
  await new Promise((resolve) => process.nextTick(resolve));
  const stream = Buffer.concat(written);
  const received: Uint8Array[] = [];
  const reader = new RecordReader((data) => received.push(Uint8Array.from(data)));
  for (let at = 0; at < stream.length; at += cut) reader.read(stream.subarray(at, at + cut));
  return received;
}

describe('records', () => {
  it('arrive as they were sent, however small the chunks are and wherever the stream is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        messages,
        fc.integer({ min: 1, max: 1500 }),
        fc.integer({ min: 1, max: 1500 }),
        async (sent, chunkBytes, cut) => {
          expect(await through(sent, chunkBytes, cut)).toEqual(sent);
        },
      ),
    );
  });

  it('fill chunks, and only what does not fill one waits for the end of the turn', async () => {
    const written: number[] = [];
    const writer = new RecordWriter(3 * (headerBytes + 8), (chunk) => {
      written.push(chunk.length);
      return false;
    });
    const goOn = Array.from({ length: 4 }, () => writer.send(new Uint8Array(8)));
    expect(goOn).toEqual([true, true, false, true]);
    expect(written).toEqual([30]);
    await new Promise((resolve) => process.nextTick(resolve));
    expect(written).toEqual([30, 10]);
  });
});

describe('a stream with reliable drivers', () => {
  const numbered = (number: number): Uint8Array => Uint8Array.of(number, 0, 0, 0);

  it('counts what does not follow the message before it', () => {
    const receiver = new StreamReceiver(Number.POSITIVE_INFINITY, () =>
      expect.unreachable('nothing is acknowledged'),
    );
    for (const number of [0, 1, 3, 2, 4]) receiver.receive(numbered(number));
    expect(receiver.received).toBe(5);
    expect(receiver.misplaced).toBe(2);
  });

  it('goes on until the driver says to wait, and again when it has room', () => {
    let room = 3;
    const sent: number[] = [];
    const sender = new StreamSender(Number.POSITIVE_INFINITY, 4, (data) => {
      sent.push(data[0] ?? Number.NaN);
      return --room > 0;
    });
    sender.start();
    expect(sent).toEqual([0, 1, 2]);
    room = 2;
    sender.fill();
    expect(sent).toEqual([0, 1, 2, 3, 4]);
    sender.stop();
    sender.fill();
    expect(sender.sent).toBe(5);
  });
});
