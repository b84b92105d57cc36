import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import type { Session } from '../../../src/keys/protocol/session.js';
import { sessionStates } from '../../../src/keys/protocol/states.js';
import { decodeKey, decodePeer, encodeKey, encodePeer } from '../../../src/keys/store/key-records.js';
import { decodeSession, encodeSession } from '../../../src/keys/store/session-record.js';
import { errorCodes, type Unstamped } from '../../../src/keys/wire/messages.js';
import { codeOf, madeUpKey, madeUpPeer, madeUpSession } from './contract.js';

const id = (n: number): string => `6f1c2c0e-0000-4000-8000-${`${n}`.padStart(12, '0')}`;

function common(n: number) {
  return { message_id: id(n), session_id: id(0), master_sae_id: 'SAE_A', slave_sae_id: 'SAE_ü_2' };
}

const original = { original_message_id: id(0) };

/** One of each type, with each optional field there and not. */
const messages: readonly Unstamped[] = [
  {
    ...common(0),
    message_type: 'key_notification',
    key_ids: ['a', 'b'],
    rotation_timestamp: 1_700_000_030,
    epoch: 7,
    current_key_id: null,
  },
  {
    ...common(1),
    ...original,
    message_type: 'key_acknowledgment',
    selected_key_id: 'a',
    status: 'ready',
    suggested_rotation_timestamp: null,
  },
  {
    ...common(2),
    ...original,
    message_type: 'key_acknowledgment',
    selected_key_id: null,
    status: 'need_more_time',
    suggested_rotation_timestamp: 1_700_000_060,
  },
  { ...common(3), ...original, message_type: 'sync_confirmation', final_rotation_timestamp: 1_700_000_060 },
  {
    ...common(4),
    ...original,
    message_type: 'rotation_completed',
    new_key_id: 'a',
    rotation_timestamp: 1_700_000_060,
  },
  { ...common(5), ...original, message_type: 'cleanup_status_request', new_key_id: 'a' },
  {
    ...common(6),
    ...original,
    message_type: 'cleanup_status_response',
    status: 'success',
    rolled_keys_count: 1,
    service_status: '',
    error_message: null,
  },
  {
    ...common(7),
    ...original,
    message_type: 'cleanup_delete_request',
    new_key_id: '',
    old_key_ids: ['c'],
  },
  {
    ...common(8),
    ...original,
    message_type: 'cleanup_delete_response',
    status: 'failed',
    deleted_key_ids: [],
    failed_key_ids: ['c'],
    error_message: 'the device is busy',
  },
  { ...common(9), ...original, message_type: 'cleanup_acknowledgment', status: 'completed' },
  {
    ...common(10),
    message_type: 'error',
    original_message_id: null,
    error_code: 'key_unavailable',
    error_message: '',
    details: { key_ids: ['a'], roll_back: true },
  },
  {
    ...common(11),
    ...original,
    message_type: 'error',
    error_code: 'busy',
    error_message: 'busy',
    details: null,
  },
  {
    ...common(12),
    ...original,
    message_type: 'error',
    error_code: 'device_failure',
    error_message: '',
    details: { rolled_back: true },
  },
];

const full: Session = madeUpSession(id(0), {
  role: 'slave',
  state: 'ROLLING_BACK',
  keyIds: ['a', 'b'],
  oldKeyId: 'c',
  deadlineAtMs: Number.MAX_SAFE_INTEGER,
  peerProved: true,
  awaiting: messages[0] ?? null,
  replies: Object.fromEntries(messages.map((message) => [`for ${message.message_id}`, message])),
  deleting: ['c'],
  failedKeyIds: ['c'],
  outcome: 'rolled_back',
  reason: 'too_late',
});

describe('the record of a session', () => {
  test('is read as it was written, with every message that may be in it', () => {
    expect(decodeSession(encodeSession(full), full.sessionId)).toEqual(full);
    for (const awaiting of messages) {
      const session = madeUpSession('s', { awaiting });
      expect(decodeSession(encodeSession(session), 's')).toEqual(session);
    }
    for (const state of sessionStates) {
      for (const reason of [...errorCodes, null]) {
        const session = madeUpSession('s', { state, reason });
        expect(decodeSession(encodeSession(session), 's')).toEqual(session);
      }
    }
  });

  test('is refused when any field, at any depth, is missing, of another kind, or one too many', () => {
    const refused = (value: unknown): string => {
      try {
        decodeSession(Buffer.from(JSON.stringify(value)), full.sessionId);
        return 'read';
      } catch (error) {
        return codeOf(error);
      }
    };
    let tried = 0;
    /** Changes each object within `value` in each way. */
    const spoil = (value: unknown, rebuild: (spoilt: unknown) => unknown): void => {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return;
      const fields = new Map(Object.entries(value));
      const spoilt = (changed: ReadonlyMap<string, unknown>): string =>
        refused(rebuild(Object.fromEntries(changed)));
      const names = [...fields.keys()];
      const isReplies = names[0]?.startsWith('for ') === true;
      const isDetails = names.some((name) => ['roll_back', 'rolled_back'].includes(name));
      for (const name of names) {
        const lacking = new Map(fields);
        lacking.delete(name);
        if (!isReplies && !isDetails) {
          expect(spoilt(lacking), `without ${name}`).toBe('ERR_HAWSER_STORE_FORMAT');
        }
        for (const wrong of [-1, 'x'.repeat(2000), [[]], { x: 1 }, undefined]) {
          if (wrong === undefined && (isReplies || isDetails)) continue;
          expect(spoilt(new Map(fields).set(name, wrong)), `${name} = ${wrong}`).toBe(
            'ERR_HAWSER_STORE_FORMAT',
          );
          ++tried;
        }
        spoil(fields.get(name), (inner) => rebuild(Object.fromEntries(new Map(fields).set(name, inner))));
      }
      expect(spoilt(new Map(fields).set('more', 1)), 'one more').toBe('ERR_HAWSER_STORE_FORMAT');
    };
    const whole: unknown = JSON.parse(Buffer.from(encodeSession(full)).toString());
    expect(refused(whole)).toBe('read');
    spoil(whole, (changed) => changed);
    expect(tried).toBeGreaterThan(500);
  });

  test('is refused when it is kept under another id', () => {
    expect(() => decodeSession(encodeSession(full), id(1))).toThrow(
      /is damaged: it is that of another session/,
    );
  });

  test('is never a crash, whatever its bytes are', () => {
    const seed = Number(process.env.HAWSER_TEST_SEED ?? Date.now() % 1e9);
    const random = seededRandom(seed);
    const good = [
      { bytes: encodeSession(full), decode: (bytes: Uint8Array) => decodeSession(bytes, full.sessionId) },
      { bytes: encodeKey(madeUpKey('k')), decode: (bytes: Uint8Array) => decodeKey(bytes, 'SAE_B', 'k') },
      { bytes: encodePeer(madeUpPeer()), decode: (bytes: Uint8Array) => decodePeer(bytes, 'SAE_B') },
    ];
    for (let round = 0; round < 3000; ++round) {
      const { bytes, decode } = good[round % 3] ?? { bytes: new Uint8Array(0), decode: () => undefined };
      const bad = Uint8Array.from(
        bytes.subarray(0, random() < 0.2 ? Math.floor(random() * bytes.length) : undefined),
      );
      for (let count = Math.floor(random() * 4); count > 0; --count) {
        bad[Math.floor(random() * bad.length)] = Math.floor(random() * 256);
      }
      try {
        decode(bad);
      } catch (error) {
        expect(codeOf(error), `seed ${seed}, round ${round}`).toBe('ERR_HAWSER_STORE_FORMAT');
      }
    }
  });
});
