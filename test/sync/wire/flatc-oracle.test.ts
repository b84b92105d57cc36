// What this package writes is what flatc reads, and the other way round.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeMessage, encodeMessage } from '../../../src/sync/wire/codec.js';
import { DataWriter } from '../../../src/sync/wire/data-writer.js';
import { limits } from '../../../src/sync/wire/messages.js';
import { items, messages } from './arbitrary-messages.js';
import { FlatcOracle } from './flatc-oracle.js';
import { normal, ourFields, toJson } from './schema-json.js';
import { vectors } from './vectors.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';
const numRuns = deep ? 2000 : 200;

/** The short form is the same each time. */
function seedOf(): number {
  return Number(process.env.HAWSER_SEED ?? (deep ? Math.floor(Math.random() * 2 ** 31) : 1));
}

describe('flatc', () => {
  test('reads what encodeMessage writes', () => {
    using oracle = new FlatcOracle();
    const seed = seedOf();
    const sent = fc.sample(messages, { numRuns, seed });
    const read = oracle.read(sent.map(encodeMessage));
    sent.forEach((message, n) => {
      expect(normal(read[n]), `HAWSER_SEED=${seed}, ${n}`).toStrictEqual(normal(toJson(message)));
    });
  });

  test('writes what decodeMessage reads', () => {
    using oracle = new FlatcOracle();
    const seed = seedOf();
    const sent = fc.sample(messages, { numRuns, seed });
    const written = oracle.write(sent.map(toJson));
    sent.forEach((message, n) => {
      expect(decodeMessage(written[n] ?? new Uint8Array(0)), `HAWSER_SEED=${seed}, ${n}`).toStrictEqual(
        message,
      );
    });
  });

  test('reads the vectors as they say, and what they become when encoded again', () => {
    using oracle = new FlatcOracle();
    const known = vectors.filter(({ isMessage, meaning }) => isMessage && meaning !== null);
    const again = known.map(({ bytes }) => {
      const message = decodeMessage(bytes);
      if (message.type === 'Unknown') throw new Error('unknown');
      return encodeMessage(message);
    });
    const read = oracle.read([...known.map(({ bytes }) => bytes), ...again]);
    known.forEach(({ name, meaning }, n) => {
      expect(normal(read[n], ourFields), name).toStrictEqual(normal(meaning));
      expect(normal(read[known.length + n], ourFields), name).toStrictEqual(normal(meaning));
    });
  });

  test('and the C++ verifier accept what DataWriter writes', () => {
    using oracle = new FlatcOracle();
    const seed = seedOf();
    const written: Uint8Array[] = [];
    for (const list of fc.sample(fc.array(items, { minLength: 1, maxLength: 20 }), { numRuns, seed })) {
      const writer = new DataWriter(5n, 1200, limits.messageBytes);
      list.forEach((item, seq) => {
        if (writer.add(seq, item)) return;
        written.push(writer.finish().slice());
        expect(writer.add(seq, item)).toBe(true);
      });
      written.push(writer.finish().slice());
    }
    expect(oracle.verify(written)).not.toContain(false);
    const read = oracle.read(written);
    written.forEach((bytes, n) => {
      const message = decodeMessage(bytes);
      if (message.type === 'Unknown') throw new Error('unknown');
      expect(normal(read[n]), `HAWSER_SEED=${seed}, ${n}`).toStrictEqual(normal(toJson(message)));
    });
  });
});
