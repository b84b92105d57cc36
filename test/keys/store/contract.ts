// What every key store does, as tests; and what is made up to be kept in one.

import { describe, expect, test } from 'vitest';
import { randomSecret, type SecretBytes, secretFrom } from '../../../src/base/secret-bytes.js';
import type { Session } from '../../../src/keys/protocol/session.js';
import type { KeyRecord, KeyStatus, KeyStore, PeerRecord } from '../../../src/keys/store/store.js';

export function madeUpKey(keyId: string, changes: Partial<KeyRecord> = {}): KeyRecord {
  return {
    keyId,
    peerSaeId: 'SAE_B',
    status: 'available',
    sizeBits: 256,
    receivedAtMs: 1_700_000_000_000,
    expiresAtMs: null,
    sessionId: null,
    inProductionAtMs: null,
    rolledAtMs: null,
    ...changes,
  };
}

export function madeUpSession(sessionId: string, changes: Partial<Session> = {}): Session {
  return {
    sessionId,
    role: 'master',
    state: 'NOTIFIED',
    epoch: 1,
    notificationId: sessionId,
    round: 1,
    keyIds: ['key 1'],
    newKeyId: 'key 1',
    oldKeyId: null,
    rotationTimestamp: 1_700_000_030,
    rotationAtMs: 1_700_000_030_000,
    deadlineAtMs: 1_700_000_020_000.5,
    peerProved: false,
    awaiting: null,
    replies: {},
    deleting: [],
    failedKeyIds: [],
    deleteRounds: 0,
    deviceFailures: 0,
    outcome: null,
    reason: null,
    startedAtMs: 1_700_000_000_000,
    updatedAtMs: 1_700_000_000_000,
    ...changes,
  };
}

export function madeUpPeer(changes: Partial<PeerRecord> = {}): PeerRecord {
  return { peerSaeId: 'SAE_B', epoch: 3, receivedSequence: 2n ** 63n + 1n, notifiedAt: 7, ...changes };
}

/** The material that `withMaterial` lends, as hexadecimal text, or the code of the error. */
export function materialOf(store: KeyStore, keyId: string, peerSaeId = 'SAE_B'): Promise<string> {
  return store
    .withMaterial(peerSaeId, keyId, ({ bytes }) => Buffer.from(bytes).toString('hex'))
    .catch(codeOf);
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

function hexOf({ bytes }: SecretBytes): string {
  return Buffer.from(bytes).toString('hex');
}

/** Registers the tests; `open` gives an empty store each time. */
export function testKeyStore(open: () => Promise<KeyStore>): void {
  async function withKey(status: KeyStatus = 'available'): Promise<{ store: KeyStore; hex: string }> {
    const store = await open();
    const material = randomSecret(32);
    const hex = hexOf(material);
    const kept = store.commit({
      peerSaeId: 'SAE_B',
      add: [{ record: madeUpKey('key 1', { status }), material }],
    });
    // The caller keeps its own, and may wipe it as soon as it has called.
    material.wipe();
    await kept;
    return { store, hex };
  }

  describe('what is kept', () => {
    test('is read again: keys, sessions and the peer, of each peer apart', async () => {
      const store = await open();
      expect([store.peers(), store.keys('SAE_B'), store.sessions('SAE_B'), store.peer('SAE_B')]).toEqual([
        [],
        [],
        [],
        undefined,
      ]);
      const session = madeUpSession('session 1');
      await store.commit({
        peerSaeId: 'SAE_B',
        add: [{ record: madeUpKey('key 1'), material: randomSecret(32) }],
        session,
        peer: madeUpPeer(),
      });
      const other = madeUpKey('key 1', { peerSaeId: 'SAE_C', sizeBits: 8 });
      await store.commit({ peerSaeId: 'SAE_C', add: [{ record: other, material: randomSecret(1) }] });
      expect(store.keys('SAE_B')).toEqual([madeUpKey('key 1')]);
      expect(store.key('SAE_C', 'key 1')).toEqual(other);
      expect(store.key('SAE_C', 'key 2')).toBeUndefined();
      expect(store.sessions('SAE_B')).toEqual([session]);
      expect(store.sessions('SAE_C')).toEqual([]);
      expect(store.peer('SAE_B')).toEqual(madeUpPeer());
      expect([...store.peers()].sort()).toEqual(['SAE_B', 'SAE_C']);
    });

    test('changes as one: both keys of a rotation, its session and its peer (edge 14)', async () => {
      const { store } = await withKey('in_production');
      await store.commit({
        peerSaeId: 'SAE_B',
        add: [{ record: madeUpKey('key 2', { status: 'assigned' }), material: randomSecret(32) }],
        session: madeUpSession('session 1'),
      });
      const change = {
        peerSaeId: 'SAE_B',
        update: [madeUpKey('key 1', { status: 'rolled' }), madeUpKey('key 2', { status: 'in_production' })],
        session: madeUpSession('session 1', { state: 'PENDING_DONE' }),
        peer: madeUpPeer(),
      } as const;
      await expect(
        store.commit({ ...change, update: [...change.update, madeUpKey('key 3')] }),
      ).rejects.toMatchObject({ code: 'ERR_HAWSER_KEY_UNAVAILABLE' });
      expect(store.keys('SAE_B').map(({ status }) => status)).toEqual(['in_production', 'assigned']);
      expect(store.sessions('SAE_B')[0]?.state).toBe('NOTIFIED');
      expect(store.peer('SAE_B')).toBeUndefined();
      await store.commit(change);
      expect(store.keys('SAE_B').map(({ status }) => status)).toEqual(['rolled', 'in_production']);
      expect(store.sessions('SAE_B')[0]?.state).toBe('PENDING_DONE');
      expect(store.peer('SAE_B')).toEqual(madeUpPeer());
    });

    test('is changed in the order of the calls', async () => {
      const { store } = await withKey();
      const states = ['assigned', 'in_production', 'rolled', 'available', 'assigned'] as const;
      await Promise.all(
        states.map((status, index) =>
          store.commit({
            peerSaeId: 'SAE_B',
            update: [madeUpKey('key 1', { status })],
            peer: madeUpPeer({ epoch: index }),
          }),
        ),
      );
      expect(store.key('SAE_B', 'key 1')?.status).toBe('assigned');
      expect(store.peer('SAE_B')?.epoch).toBe(4);
      expect(await materialOf(store, 'key 1')).toHaveLength(64);
    });

    test('is forgotten when that is said, and so is a peer of which nothing is left', async () => {
      const { store } = await withKey();
      await store.commit({ peerSaeId: 'SAE_B', session: madeUpSession('session 1') });
      await store.commit({ peerSaeId: 'SAE_B', remove: ['key 1', 'unknown'], endSession: 'session 1' });
      expect(store.keys('SAE_B')).toEqual([]);
      expect(store.sessions('SAE_B')).toEqual([]);
      expect(store.peers()).toEqual([]);
    });
  });

  describe('the material of a key', () => {
    test('is lent in every state but expired and revoked', async () => {
      for (const status of ['available', 'assigned', 'in_production', 'rolled'] as const) {
        const { store, hex } = await withKey(status);
        expect(await materialOf(store, 'key 1')).toBe(hex);
      }
      for (const status of ['expired', 'revoked'] as const) {
        const { store } = await withKey(status);
        expect(await materialOf(store, 'key 1')).toBe('ERR_HAWSER_KEY_UNAVAILABLE');
      }
    });

    test('is the same through all states', async () => {
      const { store, hex } = await withKey();
      for (const status of [
        'assigned',
        'available',
        'assigned',
        'in_production',
        'rolled',
        'in_production',
      ] as const) {
        await store.commit({ peerSaeId: 'SAE_B', update: [madeUpKey('key 1', { status })] });
        expect(await materialOf(store, 'key 1')).toBe(hex);
      }
    });

    test('is gone for good once the key is expired or revoked', async () => {
      for (const status of ['expired', 'revoked'] as const) {
        const { store } = await withKey('assigned');
        await store.commit({ peerSaeId: 'SAE_B', update: [madeUpKey('key 1', { status })] });
        expect(await materialOf(store, 'key 1')).toBe('ERR_HAWSER_KEY_UNAVAILABLE');
        for (const back of ['available', 'in_production'] as const) {
          await expect(
            store.commit({ peerSaeId: 'SAE_B', update: [madeUpKey('key 1', { status: back })] }),
          ).rejects.toMatchObject({ code: 'ERR_HAWSER_KEY_UNAVAILABLE' });
        }
        await store.commit({ peerSaeId: 'SAE_B', update: [madeUpKey('key 1', { status, sessionId: 'x' })] });
      }
    });

    test('is not lent of keys that are not there, or are of another peer', async () => {
      const { store } = await withKey();
      expect(await materialOf(store, 'key 2')).toBe('ERR_HAWSER_KEY_UNAVAILABLE');
      expect(await materialOf(store, 'key 1', 'SAE_C')).toBe('ERR_HAWSER_KEY_UNAVAILABLE');
    });

    test('is lent until the use is done, also when the key is deleted meanwhile, and then wiped', async () => {
      for (const status of ['available', 'in_production'] as const) {
        const { store, hex } = await withKey(status);
        let lent: SecretBytes | undefined;
        let view: Uint8Array = new Uint8Array();
        const result = await store.withMaterial('SAE_B', 'key 1', async (material) => {
          lent = material;
          view = material.bytes;
          await store.commit({ peerSaeId: 'SAE_B', remove: ['key 1'] });
          return hexOf(material);
        });
        expect(result).toBe(hex);
        expect(lent?.wiped).toBe(true);
        expect([...view]).toEqual(Array(32).fill(0));
        expect(await materialOf(store, 'key 1')).toBe('ERR_HAWSER_KEY_UNAVAILABLE');
      }
    });

    test('is wiped although its use fails, with the error of the use', async () => {
      const { store } = await withKey();
      let lent: SecretBytes | undefined;
      const use = store.withMaterial('SAE_B', 'key 1', (material) => {
        lent = material;
        throw new Error('the device');
      });
      await expect(use).rejects.toThrow('the device');
      expect(lent?.wiped).toBe(true);
    });
  });

  describe('a change', () => {
    test('that adds a key that is there, or twice the same, is refused, and the key stays as it is', async () => {
      const { store, hex } = await withKey('in_production');
      const add = { record: madeUpKey('key 1'), material: randomSecret(32) };
      const twice = { record: madeUpKey('key 2'), material: randomSecret(32) };
      for (const each of [[add], [twice, twice]]) {
        await expect(store.commit({ peerSaeId: 'SAE_B', add: each })).rejects.toMatchObject({
          code: 'ERR_HAWSER_ARGUMENT',
        });
      }
      expect(store.keys('SAE_B')).toEqual([madeUpKey('key 1', { status: 'in_production' })]);
      expect(await materialOf(store, 'key 1')).toBe(hex);
    });

    test('of another peer, or of a size that the material has not, is refused', async () => {
      const store = await open();
      const material = secretFrom(Uint8Array.of(1, 2));
      const other = madeUpKey('key 1', { peerSaeId: 'SAE_C', sizeBits: 16 });
      for (const change of [
        { add: [{ record: other, material }] },
        { add: [{ record: madeUpKey('key 1', { sizeBits: 24 }), material }] },
        { update: [other] },
        { peer: madeUpPeer({ peerSaeId: 'SAE_C' }) },
      ]) {
        await expect(store.commit({ peerSaeId: 'SAE_B', ...change })).rejects.toMatchObject({
          code: 'ERR_HAWSER_ARGUMENT',
        });
      }
      expect(store.peers()).toEqual([]);
    });

    test('that could not be read again is refused', async () => {
      const { store } = await withKey();
      for (const change of [
        { session: madeUpSession('session 1', { rotationAtMs: Number.POSITIVE_INFINITY }) },
        { session: madeUpSession('session 1', { round: 1.5 }) },
        { session: madeUpSession('session 1', { keyIds: ['a', 'a'] }) },
        { session: madeUpSession('session 1', { keyIds: ['x'.repeat(257)] }) },
        { update: [madeUpKey('key 1', { expiresAtMs: Number.NaN })] },
        { peer: madeUpPeer({ epoch: -1 }) },
        { peer: madeUpPeer({ receivedSequence: 2n ** 64n }) },
      ]) {
        const refused = store.commit({ peerSaeId: 'SAE_B', ...change });
        expect(['ERR_HAWSER_STORE_FORMAT', 'ERR_HAWSER_ARGUMENT']).toContain(await refused.catch(codeOf));
      }
      expect(store.sessions('SAE_B')).toEqual([]);
    });
  });

  describe('closing', () => {
    test('wipes what is lent, refuses what comes later, and is once however often (edge 25)', async () => {
      const { store } = await withKey('in_production');
      let lent: SecretBytes | undefined;
      let end = (): void => undefined;
      const ended = new Promise<void>((resolve) => {
        end = resolve;
      });
      const use = store.withMaterial('SAE_B', 'key 1', (material) => {
        lent = material;
        return ended;
      });
      const view = lent?.bytes ?? Uint8Array.of(1);
      await Promise.all([store.close(), store.close()]);
      expect(lent?.wiped).toBe(true);
      expect(view.every((byte) => byte === 0)).toBe(true);
      end();
      await use;
      expect(await materialOf(store, 'key 1')).toBe('ERR_HAWSER_CLOSED');
      await expect(store.commit({ peerSaeId: 'SAE_B' })).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
    });

    test('comes after the commits that were begun', async () => {
      const store = await open();
      const kept = store.commit({ peerSaeId: 'SAE_B', peer: madeUpPeer() });
      await store.close();
      await kept;
    });
  });
}
