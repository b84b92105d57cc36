import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeMessage, type Fault, nilUuid } from '../../../src/keys/wire/decode-message.js';
import { encodeMessage } from '../../../src/keys/wire/encode-message.js';
import { type Message, messageTypes } from '../../../src/keys/wire/messages.js';
import { parseJson } from '../../../src/keys/wire/strict-json.js';
import type { SaeWire } from '../../../src/keys/wire/wire-name.js';
import { utf8 } from '../../reference/bytes.js';
import { messages, sampleOf, samples } from './samples.js';

const wide = { bytes: 1 << 20, depth: 8 };
const deep = process.env.HAWSER_TEST_DEEP === '1';

function decode(value: unknown, wire: SaeWire = 'hawser'): Message | Fault {
  return decodeMessage(parseJson(utf8(JSON.stringify(value)), wide), wire);
}

/** The sample of a type with other fields; those that are undefined are left out. */
function changed(type: Message['message_type'], fields: Readonly<Record<string, unknown>>): unknown {
  return { ...sampleOf(type), ...fields };
}

const key = 'bc490419-7d60-487f-adc1-4ddcc177c139';

describe('any message', () => {
  test('is the same after it was written and read', () => {
    const property = fc.property(messages, (message) => {
      const bytes = encodeMessage(message, 'hawser');
      expect(decodeMessage(parseJson(bytes, wide), 'hawser')).toStrictEqual(message);
    });
    fc.assert(property, { numRuns: deep ? 50_000 : 1000 });
  });

  test.each(samples)('of type $message_type has each of its fields, and not one more', (message) => {
    expect(decode(message)).toStrictEqual(message);
    for (const name of Object.keys(message)) {
      expect(decode({ ...message, [name]: undefined }), name).toStrictEqual({ fault: `${name} is missing` });
    }
    for (const name of ['more', '__proto__', 'constructor', 'key_material']) {
      const text = JSON.stringify(message).replace('{', `{${JSON.stringify(name)}:null,`);
      expect(decodeMessage(parseJson(utf8(text), wide), 'hawser')).toStrictEqual({
        fault: 'it has a field that is none of its type',
      });
    }
  });

  test.each(samples)('of type $message_type has no field of a form that is not its own', (message) => {
    const others: readonly unknown[] = [
      0,
      1.5,
      -1,
      true,
      '',
      [],
      {},
      [''],
      [[]],
      '\ud800',
      'x'.repeat(1025),
      1e300,
    ];
    for (const [name, value] of Object.entries(message)) {
      for (const other of [...others, null]) {
        const result = decode({ ...message, [name]: other });
        if ('fault' in result) {
          expect(result.fault, name).toMatch(/^[a-z0-9_ ,.-]*$/i);
          continue;
        }
        // Taken is only what is of the kind of the field: a text for people, a count, a list that may be empty, or null.
        const kind = value === null ? 'string' : typeof value;
        expect(other === null ? 'null' : typeof other, name).toBe(other === null ? 'null' : kind);
        expect(result).toStrictEqual({ ...message, [name]: other });
      }
    }
  });
});

describe('edge case 6: times', () => {
  test.each([
    [1, true],
    [253_402_300_799, true],
    [253_402_300_800, false],
    [0, false],
    [-1, false],
    [1.5, false],
    [2 ** 53, false],
    ['1764000030', false],
    [null, false],
  ])('%s as rotation_timestamp is taken: %s', (rotation_timestamp, taken) => {
    expect('fault' in decode(changed('key_notification', { rotation_timestamp }))).toBe(!taken);
    expect('fault' in decode(changed('key_notification', { rotation_timestamp }), 'sae-json')).toBe(!taken);
  });
});

describe('edge case 21: ids', () => {
  test.each([
    'SAE_A_B',
    '_',
    'Schlüssel',
    '鍵',
    '👩‍👩‍👧',
    '\u202eSAE',
    'a b',
    'x'.repeat(256),
    '鍵'.repeat(85),
    '__proto__',
    'constructor',
  ])('%j is one', (id) => {
    expect(decode(changed('rotation_completed', { new_key_id: id }))).toMatchObject({ new_key_id: id });
    expect(decode(changed('rotation_completed', { master_sae_id: id }))).toMatchObject({ master_sae_id: id });
  });

  test.each([
    ['empty', ''],
    ['blank', ' \t\u3000'],
    ['257 bytes', 'x'.repeat(257)],
    ['258 bytes in 86 characters', '鍵'.repeat(86)],
    ['64 KiB', 'x'.repeat(65_536)],
    ['half a surrogate pair', 'a\udc00'],
    ['a number', 7],
  ])('what is %s is none', (_, id) => {
    for (const field of ['new_key_id', 'master_sae_id', 'slave_sae_id']) {
      expect('fault' in decode(changed('rotation_completed', { [field]: id })), field).toBe(true);
    }
    expect('fault' in decode(changed('key_notification', { key_ids: [key, id] }))).toBe(true);
  });

  test('two that look alike, but have other characters, are two', () => {
    const key_ids = ['é', 'e\u0301', 'É'];
    expect(decode(changed('key_notification', { key_ids }))).toMatchObject({ key_ids });
  });

  test('master and slave are not one', () => {
    expect(decode(changed('rotation_completed', { slave_sae_id: 'SAE_001' }))).toStrictEqual({
      fault: 'master and slave are one SAE',
    });
  });

  test.each([
    'BC490419-7d60-487f-adc1-4ddcc177c139',
    'bc4904197d60487fadc14ddcc177c139',
    '{bc490419-7d60-487f-adc1-4ddcc177c139}',
    'urn:uuid:bc490419-7d60-487f-adc1-4ddcc177c139',
    ' bc490419-7d60-487f-adc1-4ddcc177c139',
    'bc490419-7d60-487f-adc1-4ddcc177c139\n',
    'gc490419-7d60-487f-adc1-4ddcc177c139',
    'key',
  ])('%j is no id of a message: there is one form of each', (id) => {
    for (const field of ['message_id', 'session_id', 'original_message_id']) {
      expect(decode(changed('rotation_completed', { [field]: id }))).toStrictEqual({
        fault: `${field} is no UUID in lower case`,
      });
    }
  });
});

describe('lists of keys', () => {
  const many = Array.from({ length: 17 }, (_, n) => `key ${n}`);

  test('have 1 to 16, in a response 0 to 16, and none twice', () => {
    const atMost = many.slice(1);
    expect(decode(changed('key_notification', { key_ids: atMost }))).toMatchObject({ key_ids: atMost });
    for (const key_ids of [many, [], [key, key], 'key', { 0: key }, null]) {
      expect('fault' in decode(changed('key_notification', { key_ids }))).toBe(true);
      expect('fault' in decode(changed('cleanup_delete_request', { old_key_ids: key_ids }))).toBe(true);
      expect('fault' in decode(changed('cleanup_delete_request', { old_key_ids: key_ids }), 'sae-json')).toBe(
        true,
      );
    }
    const none = { deleted_key_ids: [], failed_key_ids: [] };
    expect(decode(changed('cleanup_delete_response', none))).toMatchObject(none);
    expect('fault' in decode(changed('cleanup_delete_response', { deleted_key_ids: many }))).toBe(true);
  });

  test('of deleted and of failed ones have no key in common', () => {
    const both = { deleted_key_ids: ['a', 'b'], failed_key_ids: ['c', 'b'] };
    expect(decode(changed('cleanup_delete_response', both))).toStrictEqual({
      fault: 'failed_key_ids has a deleted id',
    });
  });
});

describe('an acknowledgment', () => {
  test.each([
    ['ready', key, null, true],
    ['ready', null, null, false],
    ['ready', key, 1_764_000_100, false],
    ['need_more_time', null, 1_764_000_100, true],
    ['need_more_time', key, 1_764_000_100, false],
    ['need_more_time', null, null, false],
    ['later', key, null, false],
  ])(
    'with %s, key %s and time %s is one: %s',
    (status, selected_key_id, suggested_rotation_timestamp, isOne) => {
      const fields = { status, selected_key_id, suggested_rotation_timestamp };
      expect('fault' in decode(changed('key_acknowledgment', fields))).toBe(!isOne);
    },
  );
});

describe('an error', () => {
  test.each([
    [null, true],
    [{}, true],
    [{ roll_back: true }, true],
    [{ rolled_back: true, key_ids: [key] }, true],
    [{ roll_back: false }, false],
    [{ key_ids: [key, key] }, false],
    [{ reason: 'more' }, false],
    [[], false],
    ['roll_back', false],
  ])('with details %j is one: %s', (details, isOne) => {
    const result = decode(changed('error', { details }));
    expect('fault' in result).toBe(!isOne);
    if (isOne) expect(result).toMatchObject({ details });
  });

  test('has one of our codes', () => {
    expect('fault' in decode(changed('error', { error_code: 'E_OTHER' }))).toBe(true);
  });
});

describe('what is no message', () => {
  test.each([
    [null],
    [[]],
    [1],
    ['key_notification'],
    [{}],
    [{ message_type: 'key_request' }],
    [{ message_type: 1 }],
  ])('%j', (value) => {
    expect(decode(value)).toHaveProperty('fault');
    expect(decode(value, 'sae-json')).toHaveProperty('fault');
  });

  test('a field of another type does not make it one', () => {
    for (const type of messageTypes) {
      for (const { message_type: _, ...others } of samples.filter((each) => each.message_type !== type)) {
        expect('fault' in decode({ message_type: type, ...others })).toBe(true);
      }
    }
  });
});

describe('a text for people', () => {
  test('is cut where a message ends, between characters, and made of whole ones', () => {
    const message = { ...sampleOf('error'), error_message: `${'鍵'.repeat(400)}` };
    const read = decodeMessage(parseJson(encodeMessage(message, 'hawser'), wide), 'hawser');
    expect(read).toMatchObject({ error_message: '鍵'.repeat(341) });
    const half = { ...sampleOf('error'), error_message: 'a\ud800b' };
    expect(decodeMessage(parseJson(encodeMessage(half, 'hawser'), wide), 'hawser')).toMatchObject({
      error_message: 'a\ufffdb',
    });
  });

  test('may have 1024 bytes', () => {
    const error_message = '鍵'.repeat(341);
    expect(decode(changed('error', { error_message }))).toMatchObject({ error_message });
    expect('fault' in decode(changed('error', { error_message: '鍵'.repeat(342) }))).toBe(true);
  });
});

describe('messages of the original', () => {
  /** As its models write them: other fields than ours are not there. */
  function originals(message: Message): Record<string, unknown> {
    return JSON.parse(new TextDecoder().decode(encodeMessage(message, 'sae-json')));
  }

  test.each(samples)('of type $message_type become ours, with what they lack filled in', (message) => {
    const { session_id: _, ...fields } = originals(message);
    expect(fields).not.toHaveProperty('epoch');
    expect(fields).not.toHaveProperty('current_key_id');
    expect(fields).not.toHaveProperty('rolled_keys_count');
    const filled: Record<string, unknown> = { ...message };
    if ('epoch' in message) Object.assign(filled, { epoch: 0, current_key_id: null });
    if ('rolled_keys_count' in message) filled.rolled_keys_count = 0;
    if (message.message_type === 'cleanup_delete_request') filled.new_key_id = '';
    // All of them name the notification, and so does the session.
    if ('original_message_id' in message) filled.original_message_id = message.session_id;
    expect(decode(fields, 'sae-json')).toStrictEqual(filled);
    expect(decode({ ...fields, rotation_id: 7, nested: [[1]] }, 'sae-json')).toStrictEqual(filled);
  });

  test('may leave out what may be null', () => {
    const response = originals(sampleOf('cleanup_status_response'));
    expect(
      decode({ ...response, service_status: undefined, error_message: undefined }, 'sae-json'),
    ).toMatchObject({
      service_status: null,
      error_message: null,
    });
    const deleted = originals(sampleOf('cleanup_delete_response'));
    expect(
      decode({ ...deleted, deleted_key_ids: undefined, failed_key_ids: undefined }, 'sae-json'),
    ).toMatchObject({
      deleted_key_ids: [],
      failed_key_ids: [],
    });
  });

  test('name a key with need_more_time too', () => {
    const fields = {
      status: 'need_more_time',
      selected_key_id: key,
      suggested_rotation_timestamp: 1_764_000_100,
    };
    expect(decode({ ...originals(sampleOf('key_acknowledgment')), ...fields }, 'sae-json')).toMatchObject(
      fields,
    );
  });

  test('that are errors may have any code and any details, and name no message', () => {
    const fields = { error_code: 'E42', details: { at: { line: 1 } }, original_message_id: null };
    expect(decode({ ...originals(sampleOf('error')), ...fields }, 'sae-json')).toMatchObject({
      error_code: 'bad_state',
      details: {},
      original_message_id: null,
      session_id: nilUuid,
    });
    const text = { ...originals(sampleOf('error')), details: 'none' };
    expect(decode(text, 'sae-json')).toMatchObject({ details: null });
    const ours = { error_code: 'too_late', details: { roll_back: true } };
    expect(decode({ ...originals(sampleOf('error')), ...ours }, 'sae-json')).toMatchObject(ours);
  });
});
