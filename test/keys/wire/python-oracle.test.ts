// What this package writes is what Python's cryptography reads, and the other way round.

import { constants, createHash, sign } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeMessage } from '../../../src/keys/wire/encode-message.js';
import type { Message } from '../../../src/keys/wire/messages.js';
import { ed25519Key, facts, opened, pair, rsaKey, sealed } from './parties.js';
import { openByPython, publicPem, sealByPython } from './python-oracle.js';
import { master, messages, roleOf, sampleOf, samples, slave } from './samples.js';

const seed = Number(process.env.HAWSER_SEED ?? Math.floor(Math.random() * 2 ** 31));
const sent: readonly Message[] = [...samples, ...fc.sample(messages, { numRuns: 20, seed })];
const because = (n: number) => `HAWSER_SEED=${seed}, ${n}`;

const masterKey = rsaKey();
const slaveKey = rsaKey();

function jsonOf(message: Message, wire: 'hawser' | 'sae-json'): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(encodeMessage(message, wire)));
}

describe.each([
  ['Ed25519', ed25519Key(1), ed25519Key(2)],
  ['RSA-PSS', masterKey, slaveKey],
])("HAWSER's envelope with %s", (_, keyOfMaster, keyOfSlave) => {
  const both = pair('hawser', keyOfMaster, keyOfSlave);
  const keyOf = (message: Message) => (roleOf(message) === 'master' ? keyOfMaster : keyOfSlave);
  const { sentAtMs, echo } = facts.stamps;

  test('is read by Python as we write it', () => {
    const envelopes = sent.map((message) => ({ bytes: sealed(both, message), key: keyOf(message) }));
    openByPython('hawser', envelopes).forEach((read, n) => {
      const message = sent[n];
      if (message === undefined) throw new Error(because(n));
      expect(read, because(n)).toStrictEqual({
        direction: roleOf(message) === 'master' ? 0 : 1,
        sequence: String(facts.sequence),
        times: [sentAtMs, echo?.sentAtMs, echo?.receivedAtMs],
        message,
      });
    });
  });

  test('is read by us as Python writes it', () => {
    const written = sealByPython(
      'hawser',
      sent.map((message) => ({
        message,
        key: keyOf(message),
        direction: roleOf(message) === 'master' ? 0 : 1,
        sequence: facts.sequence,
        times: [sentAtMs, 0, 0],
      })),
    );
    sent.forEach((message, n) => {
      expect(opened(both, message, written[n] ?? new Uint8Array(0)), because(n)).toStrictEqual({
        message,
        senderSaeId: roleOf(message) === 'master' ? master : slave,
        sequence: facts.sequence,
        stamps: { sentAtMs, echo: null },
      });
    });
  });
});

describe("the original's envelope", () => {
  const both = pair('sae-json', masterKey, slaveKey);
  const keyOf = (message: Message) => (roleOf(message) === 'master' ? masterKey : slaveKey);

  test('is read by Python as we write it', () => {
    const envelopes = sent.map((message) => ({ bytes: sealed(both, message), key: keyOf(message) }));
    openByPython('sae-json', envelopes).forEach((read, n) => {
      const message = sent[n];
      if (message === undefined) throw new Error(because(n));
      expect(read, because(n)).toMatchObject({
        sender: roleOf(message) === 'master' ? master : slave,
        public_key: publicPem(keyOf(message)),
        message: jsonOf(message, 'sae-json'),
      });
    });
  });

  test('is read by us as Python writes it', () => {
    const written = sealByPython(
      'sae-json',
      sent.map((message) => ({
        message: jsonOf(message, 'sae-json'),
        key: keyOf(message),
        saeId: roleOf(message) === 'master' ? master : slave,
      })),
    );
    sent.forEach((message, n) => {
      const read = opened(both, message, written[n] ?? new Uint8Array(0));
      expect(read, because(n)).toMatchObject({ senderSaeId: roleOf(message) === 'master' ? master : slave });
      if ('refused' in read) throw new Error(because(n));
      expect(jsonOf(read.message, 'sae-json'), because(n)).toStrictEqual(
        // An error that names no message belongs to no session: of ours it says so by a session that there is none of.
        jsonOf({ ...message, session_id: read.message.session_id }, 'sae-json'),
      );
    });
  });

  test('with a salt that does not fill it is refused by both', () => {
    const message = sampleOf('key_notification');
    const envelope = JSON.parse(new TextDecoder().decode(sealed(both, message)));
    const withSalt = (saltLength: number) => {
      const digest = createHash('sha256').update(Buffer.from(envelope.payload, 'base64')).digest();
      const padding = constants.RSA_PKCS1_PSS_PADDING;
      const signature = sign('sha256', digest, { key: masterKey, padding, saltLength }).toString('base64');
      return Buffer.from(JSON.stringify({ ...envelope, signature }));
    };
    const found = [222, 221, 32, 0].map((saltLength) => {
      const bytes = withSalt(saltLength);
      const [byPython] = openByPython('sae-json', [{ bytes, key: masterKey }]);
      return [byPython !== undefined, !('refused' in opened(both, message, bytes))];
    });
    expect(found).toStrictEqual([
      [true, true],
      [false, false],
      [false, false],
      [false, false],
    ]);
  });
});
