import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Opened, Refused } from '../../../src/keys/wire/envelope.js';
import { type Message, messageTypes } from '../../../src/keys/wire/messages.js';
import { SigningKey } from '../../../src/keys/wire/signatures.js';
import { concat, littleEndian, u8, u16, u64, utf8 } from '../../reference/bytes.js';
import { ed25519Key, facts, opened, pair, party, rsaKey, sealed } from './parties.js';
import { master, messages, roleOf, sampleOf, samples, slave } from './samples.js';

const masterKey = ed25519Key(1);
const slaveKey = ed25519Key(2);
const otherKey = ed25519Key(3);
const both = pair('hawser', masterKey, slaveKey);
const notification = sampleOf('key_notification');

/** The fields of an envelope, to be put together by hand. */
interface Fields {
  readonly magic: string;
  readonly version: number;
  readonly algorithm: number;
  readonly type: number;
  readonly direction: number;
  readonly sequence: bigint;
  readonly times: readonly bigint[];
  readonly payload: Uint8Array;
  readonly payloadLength: number;
  readonly sender: string;
  readonly recipient: string;
  readonly label: string;
  readonly more: Uint8Array;
}

function text16(text: string): Uint8Array {
  return concat(u16(utf8(text).length), utf8(text));
}

/** An envelope with a signature that is good for what it says, as docs/keys-wire.md has it: by nobody's code but this. */
function byHand(message: object, fields: Partial<Fields> = {}, key = masterKey): Uint8Array {
  const payload = fields.payload ?? utf8(JSON.stringify(message));
  const all: Fields = {
    magic: 'HSAE',
    version: 1,
    algorithm: 1,
    type: 0,
    direction: 0,
    sequence: 5n,
    times: [1_764_000_000_123n, 0n, 0n],
    payload,
    payloadLength: payload.length,
    sender: master,
    recipient: slave,
    label: 'HAWSER keys 1\0',
    more: new Uint8Array(0),
    ...fields,
  };
  const envelope = concat(
    utf8(all.magic),
    ...[all.version, all.algorithm, all.type, all.direction].map(u8),
    u64(all.sequence),
    ...all.times.map(u64),
    littleEndian(all.payloadLength, 2),
    all.payload,
  );
  const signed = concat(utf8(all.label), text16(all.sender), text16(all.recipient), envelope);
  return concat(envelope, new SigningKey(key).sign(signed), all.more);
}

/** The code of a refusal by the slave, and whether its sender may be answered. */
function refusal(bytes: Uint8Array, by = both.slave): { code: string; reason: string; answerable: boolean } {
  const result: Opened | Refused = by.envelope.open(bytes);
  if (!('refused' in result)) throw new Error('it was opened');
  expect(result.originalMessageId === undefined || result.senderSaeId !== undefined).toBe(true);
  return { code: result.refused, reason: result.reason, answerable: result.senderSaeId !== undefined };
}

describe("HAWSER's envelope", () => {
  test.each(samples)('carries a $message_type, with its sequence and times', (message) => {
    const bytes = sealed(both, message);
    expect(opened(both, message, bytes)).toStrictEqual({
      message,
      senderSaeId: roleOf(message) === 'master' ? master : slave,
      sequence: facts.sequence,
      stamps: facts.stamps,
    });
  });

  test('carries any message, wherever its bytes lie', () => {
    const property = fc.property(messages, fc.bigInt(0n, 2n ** 64n - 1n), (message, sequence) => {
      const bytes = sealed(both, message, { sequence, stamps: { sentAtMs: 1, echo: null } });
      const room = new Uint8Array(bytes.length + 20);
      room.set(bytes, 9);
      const result = opened(both, message, room.subarray(9, 9 + bytes.length));
      expect(result).toMatchObject({ message, sequence, stamps: { sentAtMs: 1, echo: null } });
    });
    fc.assert(property, { numRuns: 200 });
  });

  test('goes with RSA on one side and Ed25519 on the other', () => {
    const mixed = pair('hawser', rsaKey(), slaveKey);
    for (const message of samples) {
      expect(opened(mixed, message, sealed(mixed, message))).toMatchObject({ message });
    }
  });

  test('with fractions of milliseconds says the last whole one', () => {
    const stamps = { sentAtMs: 2 ** 40 + 0.9, echo: { sentAtMs: 7.5, receivedAtMs: 8.999 } };
    expect(opened(both, notification, sealed(both, notification, { stamps }))).toMatchObject({
      stamps: { sentAtMs: 2 ** 40, echo: { sentAtMs: 7, receivedAtMs: 8 } },
    });
  });

  test('is as docs/keys-wire.md has it', () => {
    expect(both.slave.envelope.open(byHand(notification))).toStrictEqual({
      message: notification,
      senderSaeId: master,
      sequence: 5n,
      stamps: { sentAtMs: 1_764_000_000_123, echo: null },
    });
  });

  test('of more than 8192 bytes is not made', () => {
    const ids = Array.from({ length: 16 }, (_, n) => String.fromCharCode(1 + n).repeat(200));
    const long = { ...notification, key_ids: ids };
    expect(() => sealed(both, long)).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_MESSAGE_TOO_LONG' }),
    );
    const most = { ...notification, key_ids: ids.map((_, n) => `${'鍵'.repeat(85)}${n % 10}`).slice(0, 10) };
    expect(opened(both, most, sealed(both, most))).toMatchObject({ message: most });
  });

  test('is not made of a message of another role, or to another SAE than the one in it', () => {
    const more = { ...facts, recipientSaeId: slave };
    const expected = expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' });
    expect(() => both.master.envelope.seal(sampleOf('key_acknowledgment'), more)).toThrow(expected);
    expect(() => both.slave.envelope.seal(notification, { ...more, recipientSaeId: master })).toThrow(
      expected,
    );
    expect(() => both.master.envelope.seal(notification, { ...more, recipientSaeId: 'SAE_003' })).toThrow(
      expected,
    );
    const others = { ...notification, master_sae_id: 'SAE_003' };
    expect(() => both.master.envelope.seal(others, more)).toThrow(expected);
  });
});

describe('edge case 5: nobody is believed but the sender', () => {
  test('a forged key: a signature of another is refused, and not answered', () => {
    expect(refusal(byHand(notification, {}, otherKey))).toMatchObject({
      code: 'bad_signature',
      answerable: false,
    });
    expect(refusal(byHand(notification, {}, slaveKey))).toMatchObject({
      code: 'bad_signature',
      answerable: false,
    });
  });

  test('a wrong sender: one whose key is not pinned is refused', () => {
    const message = { ...notification, master_sae_id: 'SAE_003' };
    expect(refusal(byHand(message, { sender: 'SAE_003' }, otherKey))).toMatchObject({
      code: 'unknown_peer',
      answerable: false,
    });
  });

  test('a sender that is not in the session: another pinned SAE cannot speak for the master', () => {
    const three = party('hawser', slave, slaveKey, { [master]: masterKey, SAE_003: otherKey });
    expect(refusal(byHand(notification, {}, otherKey), three).code).toBe('bad_signature');
    expect(refusal(byHand(notification, { sender: 'SAE_003' }, otherKey), three).code).toBe('bad_signature');
    const own = { ...notification, master_sae_id: 'SAE_003' };
    expect(three.envelope.open(byHand(own, { sender: 'SAE_003' }, otherKey))).toMatchObject({
      senderSaeId: 'SAE_003',
    });
  });

  test('an own message reflected is refused, as it is and turned round', () => {
    for (const message of samples) {
      const from = roleOf(message) === 'master' ? both.master : both.slave;
      const bytes = sealed(both, message);
      expect(refusal(bytes, from)).toMatchObject({ code: 'replay', answerable: false });
      const turned = bytes.slice();
      turned[7] = 1 - (turned[7] ?? 0);
      expect(refusal(turned, from)).toMatchObject({ code: 'bad_signature', answerable: false });
    }
  });

  test('one for another SAE is refused, though its signature is good', () => {
    const third = party('hawser', 'SAE_003', otherKey, { [master]: masterKey, [slave]: slaveKey });
    for (const message of samples) {
      expect(refusal(sealed(both, message), third)).toMatchObject({
        code: 'unknown_peer',
        answerable: false,
      });
    }
    // The ids in the message are covered twice: who was meant is signed beside it.
    expect(refusal(byHand(notification, { recipient: 'SAE_003' })).code).toBe('bad_signature');
  });

  test.each<readonly [string, Partial<Fields>]>([
    ['for another protocol', { label: 'HAWSER keys 2\0' }],
    ['without its label', { label: '' }],
    ['with RSA named as its algorithm', { algorithm: 2 }],
    ['with no algorithm', { algorithm: 0 }],
    ['with more bytes behind it', { more: u8(0) }],
  ])('a signature %s is none', (_, fields) => {
    expect(refusal(byHand(notification, fields))).toMatchObject({ code: 'bad_signature', answerable: false });
  });

  test('a type that is not that of the message, or that its sender does not send, is refused and answered', () => {
    for (let type = 1; type < 256; ++type) {
      expect(refusal(byHand(notification, { type }))).toMatchObject({ code: 'bad_format', answerable: true });
    }
    const acknowledgment = sampleOf('key_acknowledgment');
    const type = messageTypes.indexOf('key_acknowledgment');
    expect(refusal(byHand(acknowledgment, { type }))).toStrictEqual({
      code: 'bad_format',
      reason: 'a master sends no key_acknowledgment',
      answerable: true,
    });
  });
});

describe('edge case 22: what is no envelope', () => {
  const good = byHand(notification);

  test.each<readonly [string, Uint8Array, string, boolean]>([
    ['nothing', new Uint8Array(0), 'bad_format', false],
    ['its magic alone', utf8('HSAE'), 'bad_format', false],
    ['another magic', byHand(notification, { magic: 'HSAF' }), 'bad_format', false],
    ['version 0', byHand(notification, { version: 0 }), 'unsupported_version', false],
    ['version 2', byHand(notification, { version: 2 }), 'unsupported_version', false],
    ['a header that is cut', good.slice(0, 41), 'bad_format', false],
    ['a message that is cut', good.slice(0, 60), 'bad_format', false],
    ['no signature', good.slice(0, good.length - 64), 'bad_signature', false],
    ['a length beyond its end', byHand(notification, { payloadLength: 0xffff }), 'bad_format', false],
    ['a length that cuts the message', byHand(notification, { payloadLength: 40 }), 'bad_format', false],
    ['no message', byHand(notification, { payload: new Uint8Array(0) }), 'bad_format', false],
    ['direction 2', byHand(notification, { direction: 2 }), 'bad_format', false],
    ['8193 bytes', concat(good, new Uint8Array(8193 - good.length)), 'bad_format', false],
    ['8192 bytes', concat(good, new Uint8Array(8192 - good.length)), 'bad_signature', false],
    ['a message that is no JSON', byHand(notification, { payload: utf8('{') }), 'bad_format', false],
    ['a message that is no UTF-8', byHand(notification, { payload: u8(0xff) }), 'bad_format', false],
    ['a message that is no object', byHand(notification, { payload: utf8('[]') }), 'bad_format', false],
    ['a message that is deep', byHand(notification, { payload: utf8('['.repeat(5)) }), 'bad_format', false],
    ['no SAE in it', byHand({ message_type: 'error' }), 'bad_format', false],
    ['a field that is missing', byHand({ ...notification, epoch: undefined }), 'bad_format', true],
    ['a field too many', byHand({ ...notification, epoch2: 1 }), 'bad_format', true],
    ['an epoch beyond all', byHand({ ...notification, epoch: 2 ** 48 + 1 }), 'bad_format', true],
    ['no type of message', byHand({ ...notification, message_type: 'key_request' }), 'bad_format', true],
    ['no time', byHand(notification, { times: [0n, 0n, 0n] }), 'bad_format', true],
    ['a time beyond 2^53', byHand(notification, { times: [2n ** 53n, 0n, 0n] }), 'bad_format', true],
    ['half an echo', byHand(notification, { times: [1n, 1n, 0n] }), 'bad_format', true],
    ['the other half of an echo', byHand(notification, { times: [1n, 0n, 1n] }), 'bad_format', true],
  ])('%s', (_, bytes, code, answerable) => {
    expect(refusal(bytes)).toMatchObject({ code, answerable });
  });

  test('`__proto__` in a message is a field too many, and changes no object', () => {
    const text = JSON.stringify(notification).replace('{', '{"__proto__":{"refused":"x","fault":"x"},');
    expect(refusal(byHand(notification, { payload: utf8(text) }))).toMatchObject({
      code: 'bad_format',
      reason: 'it has a field that is none of its type',
      answerable: true,
    });
    expect({}).not.toHaveProperty('fault');
  });

  test('an answer can name what it refuses, where that can be read', () => {
    const { message_id, session_id } = notification;
    expect(both.slave.envelope.open(byHand({ ...notification, epoch: 0 }))).toMatchObject({
      senderSaeId: master,
      originalMessageId: message_id,
      sessionId: session_id,
    });
    expect(
      both.slave.envelope.open(byHand({ ...notification, message_id: 'x', session_id: 7 })),
    ).toMatchObject({
      senderSaeId: master,
      originalMessageId: undefined,
      sessionId: undefined,
    });
  });

  test('an ERROR that is none is not to be answered, or two SAEs of different versions would never be silent', () => {
    const error = { ...sampleOf('error'), error_code: 'of a later version' };
    expect(both.slave.envelope.open(byHand(error))).toMatchObject({
      refused: 'bad_format',
      senderSaeId: master,
      sessionId: undefined,
    });
  });
});

test('edge case 21: SAEs with "_" or other characters in their ids, up to 256 bytes, are told apart', () => {
  const names = ['SAE_A', 'SAE_A_B', 'B', '鍵', 'é', 'e\u0301', 'x'.repeat(256), '__proto__', '\u202eSAE'];
  const keys = new Map(names.map((name, n) => [name, ed25519Key(10 + n)]));
  const parties = names.map((name) => {
    const own = keys.get(name) ?? ed25519Key(1);
    return party('hawser', name, own, Object.fromEntries([...keys].filter(([other]) => other !== name)));
  });
  for (const from of parties) {
    for (const to of parties) {
      if (from === to) continue;
      const message: Message = { ...notification, master_sae_id: from.saeId, slave_sae_id: to.saeId };
      const bytes = from.envelope.seal(message, { ...facts, recipientSaeId: to.saeId });
      for (const each of parties) {
        const result = each.envelope.open(bytes);
        if (each === to) expect(result).toMatchObject({ senderSaeId: from.saeId, message });
        else expect(result).toHaveProperty('refused', each === from ? 'replay' : 'unknown_peer');
      }
    }
  }
});
