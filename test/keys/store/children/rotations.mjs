// The changes that children/committer.mjs makes, for itself and for the test.

import { createHash } from 'node:crypto';

/** The bytes of key N. @param {number} n */
export const materialOfKey = (n) => createHash('sha256').update(`key ${n}`).digest();

/**
 * @param {number} n
 * @param {'in_production' | 'rolled'} status
 * @returns {import('../../../../src/keys/store/store.js').KeyRecord}
 */
export const keyOf = (n, status) => ({
  keyId: `key ${n}`,
  peerSaeId: 'SAE_B',
  status,
  sizeBits: 256,
  receivedAtMs: n,
  expiresAtMs: null,
  sessionId: `session ${n}`,
  inProductionAtMs: n,
  rolledAtMs: status === 'rolled' ? n + 1 : null,
});

/**
 * @param {number} n
 * @returns {import('../../../../src/keys/protocol/session.js').Session}
 */
export const sessionOf = (n) => ({
  sessionId: `session ${n}`,
  role: 'slave',
  state: 'PENDING_DONE',
  epoch: n,
  notificationId: `session ${n}`,
  round: 1,
  keyIds: [`key ${n}`],
  newKeyId: `key ${n}`,
  oldKeyId: `key ${n - 1}`,
  rotationTimestamp: n,
  rotationAtMs: n,
  deadlineAtMs: n,
  peerProved: false,
  awaiting: null,
  replies: {},
  deleting: [],
  failedKeyIds: [],
  deleteRounds: 0,
  deviceFailures: 0,
  outcome: null,
  reason: null,
  startedAtMs: n,
  updatedAtMs: n,
});

/**
 * @param {number} n from 1
 * @param {(bytes: Uint8Array) => import('../../../../src/base/secret-bytes.js').SecretBytes} secretFrom
 * @returns {import('../../../../src/keys/store/store.js').StoreChange}
 */
export const changeOf = (n, secretFrom) => ({
  peerSaeId: 'SAE_B',
  add: [{ record: keyOf(n, 'in_production'), material: secretFrom(materialOfKey(n)) }],
  update: n > 1 ? [keyOf(n - 1, 'rolled')] : [],
  remove: [`key ${n - 2}`],
  session: sessionOf(n),
  endSession: `session ${n - 1}`,
  peer: { peerSaeId: 'SAE_B', epoch: n, receivedSequence: BigInt(n), notifiedAt: n },
});
