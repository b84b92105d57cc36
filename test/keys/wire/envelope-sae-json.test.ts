import { createPublicKey } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Opened, Refused } from '../../../src/keys/wire/envelope.js';
import { SaeJsonEnvelope } from '../../../src/keys/wire/envelope-sae-json.js';
import type { Message } from '../../../src/keys/wire/messages.js';
import { PinnedKeys } from '../../../src/keys/wire/pinned-keys.js';
import { SigningKey } from '../../../src/keys/wire/signatures.js';
import { utf8 } from '../../reference/bytes.js';
import { ed25519Key, facts, opened, pair, party, rsaKey, sealed } from './parties.js';
import { master, roleOf, sampleOf, samples, slave } from './samples.js';

const masterKey = rsaKey();
const slaveKey = rsaKey();
const otherKey = rsaKey();
const both = pair('sae-json', masterKey, slaveKey);
const notification = sampleOf('key_notification');

/** The JSON of a sealed message. */
function json(bytes: Uint8Array): Record<string, string> {
  return JSON.parse(new TextDecoder().decode(bytes));
}

function pem(key: typeof masterKey): string {
  return createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();
}

/** The envelope of any payload, signed by a key that says to be whose. */
function byHand(
  payload: unknown,
  key = masterKey,
  fields: Readonly<Record<string, unknown>> = {},
): Uint8Array {
  const bytes = utf8(typeof payload === 'string' ? payload : JSON.stringify(payload));
  return utf8(
    JSON.stringify({
      payload: Buffer.from(bytes).toString('base64'),
      signature: Buffer.from(new SigningKey(key).signAsOriginal(bytes)).toString('base64'),
      sender_sae_id: master,
      public_key: pem(key),
      type: 'NOTIFY',
      ...fields,
    }),
  );
}

function refusal(bytes: Uint8Array, by = both.slave): { code: string; reason: string; answerable: boolean } {
  const result: Opened | Refused = by.envelope.open(bytes);
  if (!('refused' in result)) throw new Error('it was opened');
  return { code: result.refused, reason: result.reason, answerable: result.senderSaeId !== undefined };
}

/** What arrives of a message: the original has fewer fields. */
function asOriginal(message: Message): Message {
  const arrived: Message = { ...message };
  const changes: Record<string, unknown> = {};
  if ('original_message_id' in message) changes.original_message_id = message.session_id;
  if ('epoch' in message) Object.assign(changes, { epoch: 0, current_key_id: null });
  if ('rolled_keys_count' in message) changes.rolled_keys_count = 0;
  if (message.message_type === 'cleanup_delete_request') changes.new_key_id = '';
  return Object.assign(arrived, changes);
}

describe('the envelope of the original', () => {
  test.each(samples)('carries a $message_type', (message) => {
    const bytes = sealed(both, message);
    expect(opened(both, message, bytes)).toStrictEqual({
      message: asOriginal(message),
      senderSaeId: roleOf(message) === 'master' ? master : slave,
      sequence: undefined,
      stamps: undefined,
    });
  });

  test('has its five fields, and says its type as the original does', () => {
    const types = samples.map((message) => {
      const envelope = json(sealed(both, message));
      expect(Object.keys(envelope)).toStrictEqual([
        'payload',
        'signature',
        'sender_sae_id',
        'public_key',
        'type',
      ]);
      expect(envelope.public_key).toMatch(/^-----BEGIN PUBLIC KEY-----\n/);
      return envelope.type;
    });
    expect(types).toStrictEqual([
      'NOTIFY',
      'NOTIFY-ACK',
      'SYNC-CONFIRM',
      ...Array.from({ length: 6 }, () => 'UNKNOWN'),
      'ERROR',
    ]);
  });

  test('may say any type: what counts is in the signed message', () => {
    expect(both.slave.envelope.open(byHand(notification, masterKey, { type: 'ERROR' }))).toMatchObject({
      message: asOriginal(notification),
    });
  });

  test('of more than 8192 bytes is not made, since the original does not receive it', () => {
    const key_ids = Array.from({ length: 16 }, (_, n) => `${n}`.repeat(128));
    expect(() => sealed(both, { ...notification, key_ids: key_ids.map((id) => id + id) })).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_MESSAGE_TOO_LONG' }),
    );
  });

  test('is made with an RSA key only', () => {
    const make = () => new SaeJsonEnvelope(master, new SigningKey(ed25519Key(1)), new PinnedKeys('sae-json'));
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }));
  });
});

describe('edge case 5: nobody is believed but the sender', () => {
  test('a forged key: one that comes with a message counts for nothing', () => {
    // The original takes this one: a key of one's own making, and the name of another.
    const bytes = byHand(notification, otherKey);
    expect(refusal(bytes)).toMatchObject({ code: 'bad_signature', answerable: false });
    expect(refusal(byHand(notification, otherKey, { public_key: pem(masterKey) }))).toMatchObject({
      code: 'bad_signature',
      answerable: false,
    });
    expect(refusal(byHand(notification, masterKey, { public_key: pem(otherKey) }))).toMatchObject({
      code: 'bad_signature',
      answerable: false,
    });
  });

  test('a key counts as the same whatever its lines end with', () => {
    const public_key = pem(masterKey).trim().replaceAll('\n', '\r\n');
    expect(both.slave.envelope.open(byHand(notification, masterKey, { public_key }))).toMatchObject({
      senderSaeId: master,
    });
  });

  test('a wrong sender: one whose key is not pinned is refused', () => {
    expect(refusal(byHand(notification, otherKey, { sender_sae_id: 'SAE_003' }))).toMatchObject({
      code: 'unknown_peer',
      answerable: false,
    });
  });

  test('a sender that is not in the session: another pinned SAE speaks for itself only', () => {
    const three = party('sae-json', slave, slaveKey, { [master]: masterKey, SAE_003: otherKey });
    const asThird = { sender_sae_id: 'SAE_003' };
    expect(refusal(byHand(notification, otherKey, asThird), three)).toMatchObject({ code: 'unknown_peer' });
    const confused = { ...notification, master_sae_id: slave, slave_sae_id: master };
    expect(refusal(byHand(confused, otherKey, asThird), three)).toStrictEqual({
      code: 'bad_format',
      reason: 'its sender has no part in it',
      answerable: true,
    });
  });

  test('an own message reflected is refused, as it is and under the name of the other', () => {
    for (const message of samples) {
      const [from, name] = roleOf(message) === 'master' ? [both.master, slave] : [both.slave, master];
      const bytes = sealed(both, message);
      expect(refusal(bytes, from)).toMatchObject({ code: 'replay', answerable: false });
      const renamed = utf8(JSON.stringify({ ...json(bytes), sender_sae_id: name }));
      expect(refusal(renamed, from)).toMatchObject({ code: 'bad_signature', answerable: false });
    }
  });

  test('a peer whose pinned key is our own is none: it could be sent our own errors', () => {
    const one = party('sae-json', slave, slaveKey, { [master]: slaveKey });
    expect(refusal(byHand(sampleOf('error'), slaveKey), one)).toMatchObject({
      code: 'bad_signature',
      reason: 'the key is our own',
    });
  });

  test('one for another SAE is refused, though its signature is good', () => {
    const third = party('sae-json', 'SAE_003', otherKey, { [master]: masterKey, [slave]: slaveKey });
    for (const message of samples) {
      expect(refusal(sealed(both, message), third)).toMatchObject({
        code: 'unknown_peer',
        answerable: false,
      });
    }
  });

  test('a message that its sender does not send is refused and answered', () => {
    expect(refusal(byHand(sampleOf('key_acknowledgment')))).toStrictEqual({
      code: 'bad_format',
      reason: 'a master sends no key_acknowledgment',
      answerable: true,
    });
  });

  test('a signature as HAWSER makes it, or over the message once, is none', () => {
    const bytes = utf8(JSON.stringify(notification));
    const signature = Buffer.from(new SigningKey(masterKey).sign(bytes)).toString('base64');
    expect(refusal(byHand(notification, masterKey, { signature }))).toMatchObject({ code: 'bad_signature' });
  });
});

describe('edge case 22: what is no envelope of the original', () => {
  const envelope = json(byHand(notification));
  const changed = (fields: Readonly<Record<string, unknown>>) =>
    utf8(JSON.stringify({ ...envelope, ...fields }));
  const text = new TextDecoder().decode(byHand(notification));

  test.each<readonly [string, Uint8Array, string]>([
    ['nothing', new Uint8Array(0), 'bad_format'],
    ['no UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d), 'bad_format'],
    ['no JSON', utf8('{'), 'bad_format'],
    ['no object', utf8('[]'), 'bad_format'],
    ['an object with nothing in it', utf8('{}'), 'bad_format'],
    ['8193 bytes', utf8(text + ' '.repeat(8193 - text.length)), 'bad_format'],
    ['a deep one', utf8(`{"a":${'['.repeat(8000)}`), 'bad_format'],
    ['a name twice', utf8(text.replace('{', '{"payload":"",')), 'bad_format'],
    ['no payload', changed({ payload: undefined }), 'bad_format'],
    ['an empty payload', changed({ payload: '' }), 'bad_format'],
    ['a payload in the other alphabet', changed({ payload: 'e-_9' }), 'bad_format'],
    ['a payload with blanks in it', changed({ payload: `${envelope.payload} ` }), 'bad_format'],
    ['a payload without its padding', changed({ payload: 'e30' }), 'bad_format'],
    ['a payload with bits to spare', changed({ payload: 'e31=' }), 'bad_format'],
    ['a payload that is no text', changed({ payload: [1] }), 'bad_format'],
    ['an empty signature', changed({ signature: '' }), 'bad_format'],
    ['a signature that is cut', changed({ signature: envelope.signature?.slice(4) }), 'bad_signature'],
    ['no sender', changed({ sender_sae_id: null }), 'bad_format'],
    ['a sender of 64 KiB', changed({ sender_sae_id: 'x'.repeat(65_536) }), 'bad_format'],
    ['`__proto__` for a sender', changed({ sender_sae_id: '__proto__' }), 'unknown_peer'],
    ['no key', changed({ public_key: '' }), 'bad_format'],
    ['a certificate', changed({ public_key: '-----BEGIN CERTIFICATE-----' }), 'bad_format'],
    ['no type', changed({ type: undefined }), 'bad_format'],
    ['a type that is no text', changed({ type: 1 }), 'bad_format'],
  ])('%s', (_, bytes, code) => {
    expect(refusal(bytes)).toMatchObject({ code, answerable: false });
  });

  test.each<readonly [string, unknown]>([
    ['no JSON', '{'],
    ['no object', '[]'],
    ['a name twice', '{"message_type":"error","message_type":"error"}'],
    ['deep', `{"a":${'['.repeat(4)}${']'.repeat(4)}}`],
    ['of no type', { ...notification, message_type: 'other' }],
    ['without keys', { ...notification, key_ids: [] }],
    ['with an id that is none', { ...notification, message_id: 'x' }],
  ])('a signed message that is %s is refused and answered', (_, payload) => {
    expect(refusal(byHand(payload))).toMatchObject({ code: 'bad_format', answerable: true });
  });

  test('an answer names what it refuses, where that can be read', () => {
    const confirmation = { ...sampleOf('sync_confirmation'), final_rotation_timestamp: 'now' };
    expect(both.slave.envelope.open(byHand(confirmation))).toMatchObject({
      originalMessageId: confirmation.message_id,
      sessionId: confirmation.original_message_id,
    });
    expect(both.slave.envelope.open(byHand({ ...notification, key_ids: 1 }))).toMatchObject({
      originalMessageId: notification.message_id,
      sessionId: notification.message_id,
    });
  });

  test('an ERROR that is none is not to be answered', () => {
    const error = { ...sampleOf('error'), error_message: 7 };
    expect(both.slave.envelope.open(byHand(error))).toMatchObject({
      refused: 'bad_format',
      senderSaeId: master,
      sessionId: undefined,
    });
  });

  test('what is unknown in envelope and message is passed over', () => {
    const bytes = byHand({ ...notification, more: { a: [1] } }, masterKey, { version: 3 });
    expect(both.slave.envelope.open(bytes)).toMatchObject({ message: asOriginal(notification) });
  });
});

test('edge case 21: SAEs with "_" or other characters in their ids are told apart', () => {
  const names = ['SAE_A', 'SAE_A_B', '鍵'];
  const keys = [masterKey, slaveKey, otherKey];
  const parties = names.map((name, n) => {
    const others = names.flatMap((other, m) => (m === n ? [] : [[other, keys[m] ?? otherKey] as const]));
    return party('sae-json', name, keys[n] ?? otherKey, Object.fromEntries(others));
  });
  for (const from of parties) {
    for (const to of parties.filter((each) => each !== from)) {
      const message: Message = { ...notification, master_sae_id: from.saeId, slave_sae_id: to.saeId };
      const bytes = from.envelope.seal(message, { ...facts, recipientSaeId: to.saeId });
      for (const each of parties) {
        const result = each.envelope.open(bytes);
        if (each === to) expect(result).toMatchObject({ senderSaeId: from.saeId });
        else expect(result).toHaveProperty('refused', each === from ? 'replay' : 'unknown_peer');
      }
    }
  }
});
