// The values in a store of sessions as bytes.

import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { seededRandom } from '../../../src/base/random.js';
import {
  decodeGateway,
  decodeLeader,
  decodeNumber,
  decodeOwner,
  decodeResponse,
  decodeServerRequest,
  encodeGateway,
  encodeLeader,
  encodeNumber,
  encodeOwner,
  encodeResponse,
  encodeServerRequest,
  type OwnerRecord,
} from '../../../src/sessions/store/records.js';

const owner: OwnerRecord = {
  gateway: 'gateway one',
  epoch: '12-3',
  identity: 'device:é😀',
  capabilities: new Map([
    ['hawser', '1'],
    ['__proto__', 'a capability like any other'],
    ['constructor', '{"a":1}'],
  ]),
  delivery: 'exactly-once',
  createdAt: 1_700_000_000_000,
};

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

/** Not at the beginning of its memory, as a view of something larger is. */
function shifted(bytes: Uint8Array): Uint8Array {
  const memory = new Uint8Array(bytes.length + 3);
  memory.set(bytes, 3);
  return memory.subarray(3);
}

describe('records', () => {
  test('are found again as they were', () => {
    expect(decodeOwner(shifted(encodeOwner(owner)))).toEqual(owner);
    const gateway = { epoch: '7', advertise: '[2001:db8::1]:4000', startedAt: -1 };
    expect(decodeGateway(shifted(encodeGateway(gateway)))).toEqual(gateway);
    expect(decodeGateway(encodeGateway({ ...gateway, advertise: '' })).advertise).toBe('');
    const leader = { gateway: 'one', epoch: '7', advertise: 'gateway.example:4000' };
    expect(decodeLeader(shifted(encodeLeader(leader)))).toEqual(leader);
    const payload = Uint8Array.of(0, 1, 255);
    for (const outcome of ['result', 'error'] as const) {
      expect(decodeResponse(shifted(encodeResponse({ outcome, payload })))).toEqual({ outcome, payload });
      expect(decodeResponse(encodeResponse({ outcome, payload: new Uint8Array() })).payload).toHaveLength(0);
    }
    for (const createdAt of [0, -1, 1_700_000_000_000, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER]) {
      const request = { payload, createdAt };
      expect(decodeServerRequest(shifted(encodeServerRequest(request)))).toEqual(request);
    }
    for (const number of [0, 1, 10, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
      expect(decodeNumber(shifted(encodeNumber(number)))).toBe(number);
    }
  });

  test('have the bytes that every version of this package reads', () => {
    expect(text(encodeNumber(4_294_967_296))).toBe('4294967296');
    expect(text(encodeGateway({ epoch: '7', advertise: 'a:1', startedAt: 5 }))).toBe(
      '{"epoch":"7","advertise":"a:1","startedAt":5}',
    );
    const capabilities = new Map([['hawser', '1']]);
    expect(text(encodeOwner({ ...owner, identity: 'd', capabilities }))).toBe(
      '{"gateway":"gateway one","epoch":"12-3","identity":"d","capabilities":{"hawser":"1"},"delivery":"exactly-once","createdAt":1700000000000}',
    );
    expect(encodeResponse({ outcome: 'result', payload: Uint8Array.of(9) })).toEqual(Uint8Array.of(0, 9));
    expect(encodeResponse({ outcome: 'error', payload: Uint8Array.of(9) })).toEqual(Uint8Array.of(1, 9));
    expect(encodeServerRequest({ payload: Uint8Array.of(9), createdAt: 258 })).toEqual(
      Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 2, 9),
    );
  });
});

function isRefused(run: () => unknown): boolean {
  try {
    run();
  } catch (error) {
    if (error instanceof HawserError && error.code === 'ERR_HAWSER_STORE_FORMAT') return true;
    throw error;
  }
  return false;
}

describe('bytes that are no record are refused:', () => {
  const fields = {
    gateway: 'g',
    epoch: '1',
    identity: 'i',
    capabilities: { a: 'b' },
    delivery: 'at-most-once',
    createdAt: 1,
  };

  const many = Object.fromEntries(Array.from({ length: 65 }, (_, n) => [`c${n}`, 'x']));
  test.each<[string, object]>([
    ['a field that is missing', { createdAt: undefined }],
    ['a field that nobody knows', { shard: 3 }],
    ['an empty gateway', { gateway: '' }],
    ['a long gateway', { gateway: 'x'.repeat(257) }],
    ['an epoch of other characters', { epoch: '1/2' }],
    ['a long epoch', { epoch: '1'.repeat(65) }],
    ['an epoch that is a number', { epoch: 1 }],
    ['an empty identity', { identity: '' }],
    ['a long identity', { identity: 'x'.repeat(257) }],
    ['an identity with half a surrogate pair', { identity: '\ud800' }],
    ['no capabilities', { capabilities: {} }],
    ['capabilities in a list', { capabilities: ['a'] }],
    ['capabilities that are null', { capabilities: null }],
    ['too many capabilities', { capabilities: many }],
    ['a capability with another name', { capabilities: { 'a b': 'c' } }],
    ['a capability without a name', { capabilities: { '': 'c' } }],
    ['a capability with an empty value', { capabilities: { a: '' } }],
    ['a capability that is a number', { capabilities: { a: 1 } }],
    ['another delivery', { delivery: 'twice' }],
    ['a time with a fraction', { createdAt: 1.5 }],
    ['a time that is text', { createdAt: '1' }],
    ['a time beyond 2^53', { createdAt: 2 ** 53 }],
  ])('an owner with %s', (_, wrong) => {
    expect(isRefused(() => decodeOwner(Buffer.from(JSON.stringify(fields))))).toBe(false);
    expect(isRefused(() => decodeOwner(Buffer.from(JSON.stringify({ ...fields, ...wrong }))))).toBe(true);
  });

  test('what is no JSON object', () => {
    const texts = ['', '{', 'null', '[]', '7', '"x"', '{}', '\ufeff{}', JSON.stringify(fields).slice(1)];
    for (const each of texts) {
      expect(isRefused(() => decodeOwner(Buffer.from(each)))).toBe(true);
      expect(isRefused(() => decodeGateway(Buffer.from(each)))).toBe(true);
    }
    const notUtf8 = Buffer.from(JSON.stringify({ ...fields, identity: 'i\u00ff' }), 'latin1');
    expect(isRefused(() => decodeOwner(notUtf8))).toBe(true);
  });

  test('gateways with other fields', () => {
    const gateway = { epoch: '1', advertise: '', startedAt: 1 };
    for (const wrong of [
      { epoch: '' },
      { advertise: 7 },
      { advertise: 'x'.repeat(257) },
      { startedAt: null },
    ]) {
      const bytes = Buffer.from(JSON.stringify({ ...gateway, ...wrong }));
      expect(isRefused(() => decodeGateway(bytes))).toBe(true);
    }
  });

  test('leaders with other fields', () => {
    const leader = { gateway: 'one', epoch: '1', advertise: '' };
    for (const wrong of [{ gateway: '' }, { epoch: ' ' }, { advertise: null }, { leader: true }]) {
      const bytes = Buffer.from(JSON.stringify({ ...leader, ...wrong }));
      expect(isRefused(() => decodeLeader(bytes))).toBe(true);
    }
  });

  test('numbers in another form', () => {
    for (const each of [
      '',
      ' 1',
      '01',
      '+1',
      '-1',
      '1.0',
      '1e3',
      '0x1',
      '9007199254740992',
      '1'.repeat(17),
      '1\n',
    ]) {
      expect(isRefused(() => decodeNumber(Buffer.from(each)))).toBe(true);
    }
  });

  test('responses of no kind, server requests without a time', () => {
    for (const each of [[], [2], [255, 1]]) {
      expect(isRefused(() => decodeResponse(Uint8Array.from(each)))).toBe(true);
    }
    expect(isRefused(() => decodeServerRequest(new Uint8Array(7)))).toBe(true);
    expect(isRefused(() => decodeServerRequest(new Uint8Array(8).fill(0x7f)))).toBe(true);
    expect(isRefused(() => decodeServerRequest(Uint8Array.of(0x80, 0, 0, 0, 0, 0, 0, 0)))).toBe(true);
  });

  const seed = Number(process.env.HAWSER_SEED ?? Math.floor(Math.random() * 2 ** 32));
  test(`records with a few bytes changed (seed ${seed})`, () => {
    const random = seededRandom(seed);
    const whole = encodeOwner(owner);
    for (let n = 0; n < 5000; ++n) {
      const bytes = Uint8Array.from(
        whole.subarray(0, random() < 0.2 ? Math.floor(random() * whole.length) : undefined),
      );
      for (let k = 0; k < 3; ++k) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      isRefused(() => decodeOwner(bytes));
      isRefused(() => decodeGateway(bytes));
      isRefused(() => decodeLeader(bytes));
      isRefused(() => decodeNumber(bytes));
      isRefused(() => decodeResponse(bytes));
      isRefused(() => decodeServerRequest(bytes));
    }
  });

  test.each([
    ['a record with wrong fields', JSON.stringify({ ...fields, identity: '', epoch: 'top secret' })],
    ['no JSON', '{"identity": top secret}'],
  ])('and neither the error nor its cause has anything of them: %s', (_, bytes) => {
    try {
      decodeOwner(Buffer.from(bytes));
    } catch (error) {
      expect(inspect(error)).not.toContain('secret');
      return;
    }
    throw new Error('it was not refused');
  });
});
