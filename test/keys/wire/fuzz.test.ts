// Envelopes that somebody changed: whatever was done to them, nothing is thrown, and nothing comes out that was not put in.

import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { type Random, seededRandom } from '../../../src/base/random.js';
import { decodeMessage } from '../../../src/keys/wire/decode-message.js';
import { encodeMessage } from '../../../src/keys/wire/encode-message.js';
import { JsonError, parseJson } from '../../../src/keys/wire/strict-json.js';
import { concat, utf8 } from '../../reference/bytes.js';
import { ed25519Key, opened, pair, rsaKey, sealed } from './parties.js';
import { samples } from './samples.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';
const seed = Number(process.env.HAWSER_SEED ?? Math.floor(Math.random() * 2 ** 31));

const words = [
  '"',
  '\\',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '\\u0000',
  '\\ud800',
  'null',
  'true',
  '1e999',
  '-0',
  '9007199254740993',
  '"__proto__":',
  '"constructor":{},',
  '"epoch":1,',
  '"roll_back":true',
  'SAE_002',
  'error',
  '\u0000',
  '\ufeff',
  '鍵',
].map(utf8);

/** The same bytes with one to four of them changed, taken away, doubled, or replaced with words that JSON and messages have. */
function mutated(bytes: Uint8Array, random: Random): Uint8Array {
  const below = (limit: number): number => Math.floor(random() * limit);
  // Not `slice`, by which a Buffer would share its memory: all further runs would change what is broken already.
  let copy: Uint8Array = new Uint8Array(bytes);
  for (let count = 1 + below(4); count > 0; --count) {
    const at = below(copy.length + 1);
    const to = Math.min(copy.length, at + below(8));
    switch (below(6)) {
      case 0:
        copy[at] = below(256);
        break;
      case 1:
        copy[at] = (copy[at] ?? 0) ^ (1 << below(8));
        break;
      case 2:
        copy = concat(copy.slice(0, at), copy.slice(to));
        break;
      case 3:
        copy = concat(copy.slice(0, to), copy.slice(at));
        break;
      case 4:
        copy = concat(copy.slice(0, at), words[below(words.length)] ?? new Uint8Array(0), copy.slice(to));
        break;
      default:
        copy = copy.slice(0, at);
    }
  }
  return copy;
}

describe('edge case 22: ten thousand changed', () => {
  test("envelopes of HAWSER's are refused, unless they are the same", () => {
    const both = pair('hawser', ed25519Key(1), ed25519Key(2));
    const envelopes = samples.map((message) => sealed(both, message));
    const random = seededRandom(seed);
    const codes = new Set<string>();
    for (let run = 0; run < (deep ? 200_000 : 10_000); ++run) {
      const message = samples[run % samples.length];
      const envelope = envelopes[run % samples.length];
      if (message === undefined || envelope === undefined) throw new Error('no sample');
      const bytes = mutated(envelope, random);
      const result = opened(both, message, bytes);
      const isSame = Buffer.compare(bytes, envelope) === 0;
      if ('refused' in result === isSame) expect.unreachable(`HAWSER_SEED=${seed}, ${run}`);
      // Whoever changed it had no key: nothing of it is the sender's, who is not to be answered.
      if ('refused' in result) {
        codes.add(result.refused);
        if (result.senderSaeId !== undefined) expect.unreachable(`HAWSER_SEED=${seed}, ${run}`);
        if (!/^[ -~]*$/.test(result.reason)) expect.unreachable(`HAWSER_SEED=${seed}, ${run}`);
      }
    }
    expect([...codes]).toEqual(expect.arrayContaining(['bad_format', 'bad_signature']));
  });

  test("datagrams of the original's are refused, or hold the very message that was sent", () => {
    const both = pair('sae-json', rsaKey(), rsaKey());
    const datagrams = samples.map((message) => sealed(both, message));
    const sent = samples.map((message, n) => opened(both, message, datagrams[n] ?? new Uint8Array(0)));
    const random = seededRandom(seed);
    const codes = new Set<string>();
    for (let run = 0; run < (deep ? 200_000 : 10_000); ++run) {
      const index = run % samples.length;
      const message = samples[index];
      if (message === undefined) throw new Error('no sample');
      const result = opened(both, message, mutated(datagrams[index] ?? new Uint8Array(0), random));
      if (!('refused' in result)) {
        // The type beside the message is not covered, nor are blanks.
        if (!isDeepStrictEqual(result, sent[index])) expect.unreachable(`HAWSER_SEED=${seed}, ${run}`);
        continue;
      }
      codes.add(result.refused);
      if (result.senderSaeId !== undefined) expect.unreachable(`HAWSER_SEED=${seed}, ${run}`);
    }
    expect([...codes]).toEqual(expect.arrayContaining(['bad_format', 'bad_signature']));
  });

  test('messages are refused with a reason, or are messages as any', () => {
    const random = seededRandom(seed);
    const payloads = samples.map((message) => encodeMessage(message, 'hawser'));
    let accepted = 0;
    for (let run = 0; run < (deep ? 500_000 : 20_000); ++run) {
      const bytes = mutated(payloads[run % samples.length] ?? new Uint8Array(0), random);
      for (const wire of ['hawser', 'sae-json'] as const) {
        try {
          const message = decodeMessage(parseJson(bytes, { bytes: 8192, depth: 4 }), wire);
          if ('fault' in message) {
            if (!/^[ -~]+$/.test(message.fault)) expect.unreachable(`HAWSER_SEED=${seed}, ${run}`);
            continue;
          }
          ++accepted;
          if (wire === 'sae-json') continue;
          const again = decodeMessage(
            parseJson(encodeMessage(message, wire), { bytes: 65_536, depth: 4 }),
            wire,
          );
          expect(again, `HAWSER_SEED=${seed}, ${run}`).toStrictEqual(message);
        } catch (error) {
          if (!(error instanceof JsonError)) throw error;
        }
      }
    }
    expect(accepted).toBeGreaterThan(100);
  });
});
