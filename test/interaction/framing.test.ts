import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { HawserError, type HawserErrorCode } from '../../src/base/errors.js';
import { ProtocolError } from '../../src/interaction/codec.js';
import { FrameDecoder, frame } from '../../src/interaction/framing.js';
import { mashCodec, mashMessageBytes } from '../../src/interaction/mash-codec.js';
import { concat, fromHex, toHex } from '../reference/bytes.js';

const maxBytes = mashMessageBytes;

/** The messages of a stream that comes in these chunks, as copies. */
function decoded(decoder: FrameDecoder, ...chunks: readonly Uint8Array[]): Uint8Array[] {
  return chunks.flatMap((chunk) => Array.from(decoder.push(chunk), (message) => Uint8Array.from(message)));
}

function hexes(messages: readonly Uint8Array[]): string[] {
  return messages.map(toHex);
}

function cut(bytes: Uint8Array, ...lengths: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let at = 0;
  for (const length of [...lengths, bytes.length]) {
    chunks.push(bytes.subarray(at, at + length));
    at += length;
  }
  return chunks;
}

function frameRefusal(message: Uint8Array): HawserErrorCode | undefined {
  try {
    frame(message, maxBytes);
    return undefined;
  } catch (error) {
    if (error instanceof HawserError) return error.code;
    throw error;
  }
}

test('a framed message is its length in four bytes, big-endian, and the message', () => {
  const ping = mashCodec().encode({ type: 'control', control: 'ping', sequence: 1 });
  expect(toHex(frame(ping, maxBytes))).toBe('00000005a201010201');
  expect(toHex(frame(new Uint8Array(0x1234), maxBytes)).slice(0, 8)).toBe('00001234');

  const decoder = new FrameDecoder(maxBytes);
  const [message] = decoded(decoder, fromHex('00000005a201010201'));
  expect(mashCodec().decode(message ?? new Uint8Array(0))).toEqual({
    type: 'control',
    control: 'ping',
    sequence: 1,
  });
  expect(decoder.end()).toBe(false);
});

test('a frame shares no memory with its message', () => {
  const message = Uint8Array.of(1, 2, 3);
  const framed = frame(message, maxBytes);
  message.fill(0);
  expect(toHex(framed)).toBe('00000003010203');
});

describe('length', () => {
  test('8,192 bytes pass and 8,193 do not, both ways', () => {
    expect(frameRefusal(new Uint8Array(8_192))).toBeUndefined();
    expect(frameRefusal(new Uint8Array(8_193))).toBe('ERR_HAWSER_MESSAGE_TOO_LONG');

    const longest = frame(new Uint8Array(8_192).fill(7), maxBytes);
    expect(decoded(new FrameDecoder(maxBytes), longest)[0]).toHaveLength(8_192);
    const longer = frame(new Uint8Array(8_193), 8_193);
    expect(() => decoded(new FrameDecoder(maxBytes), longer)).toThrow(ProtocolError);
    expect(decoded(new FrameDecoder(8_193), longer)[0]).toHaveLength(8_193);
  });

  test('an empty message is refused, both ways', () => {
    expect(frameRefusal(new Uint8Array(0))).toBe('ERR_HAWSER_ARGUMENT');
    expect(() => decoded(new FrameDecoder(maxBytes), new Uint8Array(4))).toThrow(ProtocolError);
  });

  test.each(['00000000', '00002001', '7fffffff', '80000000', 'ffffffff'])(
    '%s is refused as soon as it is there, and for good',
    (header) => {
      for (const size of [1, 2, 3, 4]) {
        const decoder = new FrameDecoder(maxBytes);
        const chunks = cut(fromHex(header), ...new Array<number>(Math.floor(4 / size)).fill(size));
        expect(() => decoded(decoder, ...chunks)).toThrow(ProtocolError);
        expect(() => decoded(decoder, fromHex('00000005a201010201'))).toThrow(ProtocolError);
      }
    },
  );

  test('what came whole in front of a wrong length is yielded first, however it is cut', () => {
    const stream = concat(
      frame(Uint8Array.of(1), maxBytes),
      frame(Uint8Array.of(2), maxBytes),
      new Uint8Array(9),
    );
    for (let at = 0; at <= stream.length; ++at) {
      const decoder = new FrameDecoder(maxBytes);
      const seen: string[] = [];
      expect(() => {
        for (const chunk of cut(stream, at))
          for (const message of decoder.push(chunk)) seen.push(toHex(message));
      }).toThrow(ProtocolError);
      expect(seen).toEqual(['01', '02']);
    }
  });

  test.each([0, -1, 1.5, 2 ** 32, Number.NaN])(
    'a decoder cannot be made for messages of up to %s bytes',
    (bytes) => {
      expect(() => new FrameDecoder(bytes)).toThrow(HawserError);
    },
  );
});

describe('a stream that comes in pieces', () => {
  test('several frames in one read are several messages', () => {
    const stream = concat(...['01', '0203', '04'].map((hex) => frame(fromHex(hex), maxBytes)));
    const decoder = new FrameDecoder(maxBytes);
    expect(hexes(decoded(decoder, stream))).toEqual(['01', '0203', '04']);
    expect(decoder.end()).toBe(false);
  });

  test('what is left of a read after any of its messages can be pushed later', () => {
    const stream = concat(...['01', '0203', '04'].map((hex) => frame(fromHex(hex), maxBytes)));
    for (const at of [0, 2, 4, 5, 9, stream.length]) {
      const decoder = new FrameDecoder(maxBytes);
      const seen: string[] = [];
      for (const chunk of cut(stream, at)) {
        for (let rest = chunk; rest.length > 0; rest = rest.subarray(decoder.taken)) {
          for (const message of decoder.push(rest)) {
            seen.push(toHex(message));
            break;
          }
        }
      }
      expect(seen).toEqual(['01', '0203', '04']);
    }
  });

  test('three bytes of a length wait for the fourth', () => {
    const decoder = new FrameDecoder(maxBytes);
    expect(decoded(decoder, fromHex('000000'))).toEqual([]);
    expect(decoder.end()).toBe(true);
    expect(hexes(decoded(decoder, fromHex('02abcd')))).toEqual(['abcd']);
    expect(decoder.end()).toBe(false);
  });

  test('a stream that ends within a length or a message is cut; between messages it is whole', () => {
    const framed = frame(Uint8Array.of(1, 2, 3), maxBytes);
    const stream = concat(framed, framed);
    for (let length = 0; length <= stream.length; ++length) {
      const decoder = new FrameDecoder(maxBytes);
      decoded(decoder, stream.subarray(0, length));
      expect(decoder.end()).toBe(length % framed.length !== 0);
    }
  });

  test('an empty read changes nothing', () => {
    const decoder = new FrameDecoder(maxBytes);
    const nothing = new Uint8Array(0);
    expect(decoded(decoder, nothing)).toEqual([]);
    expect(decoder.end()).toBe(false);
    expect(hexes(decoded(decoder, fromHex('0000'), nothing, fromHex('000105'), nothing))).toEqual(['05']);
  });

  test('any messages come out as they went in, however the stream is cut', () => {
    const messages = fc.array(fc.uint8Array({ minLength: 1, maxLength: 3_000 }), { maxLength: 6 });
    const lengths = fc.array(fc.oneof(fc.nat(9), fc.nat(4_000)), { maxLength: 40 });
    fc.assert(
      fc.property(messages, lengths, (sent, cuts) => {
        const stream = concat(...sent.map((each) => frame(each, maxBytes)));
        const decoder = new FrameDecoder(maxBytes);
        expect(hexes(decoded(decoder, ...cut(stream, ...cuts)))).toEqual(hexes(sent));
        expect(decoder.end()).toBe(false);
      }),
    );
  });

  test('random bytes never throw anything but a ProtocolError', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 50 })), (chunks) => {
        const decoder = new FrameDecoder(0x0202_0202);
        try {
          decoded(decoder, ...chunks);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
    );
  });
});

describe('memory', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  test('a message that comes byte by byte is copied no more than three times', () => {
    const message = Uint8Array.from({ length: 60_000 }, (_, index) => index);
    const stream = frame(message, 65_536);
    const set = vi.spyOn(Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array, 'set');
    const decoder = new FrameDecoder(65_536);
    const seen: string[] = [];
    for (const chunk of cut(stream, ...new Array<number>(stream.length).fill(1))) {
      for (const whole of decoder.push(chunk)) seen.push(toHex(whole));
    }
    const copied = set.mock.calls.reduce((sum, [source]) => sum + source.length, 0);
    expect(seen).toEqual([toHex(message)]);
    expect(copied).toBeLessThanOrEqual(3 * message.length);
  });

  test('a length alone reserves nothing, and its first bytes little', () => {
    const before = process.memoryUsage().arrayBuffers;
    const decoders = Array.from({ length: 1_000 }, () => new FrameDecoder(0xffff_ffff));
    for (const decoder of decoders) {
      decoded(decoder, fromHex('40000000'), Uint8Array.of(1));
      expect(decoder.end()).toBe(true);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024);
  });
});
