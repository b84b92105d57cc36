// What has to come of a visit, whichever releases the two ends are of.
import assert from 'node:assert/strict';
import { documentsOf, messagesOf } from './client.mjs';
import { clientIds } from './package.mjs';

/** @typedef {Awaited<ReturnType<typeof import('./client.mjs').pay>>} Outcome */
/** @typedef {Awaited<ReturnType<Awaited<ReturnType<typeof import('./gateway.mjs').openGateway>>['close']>>} Report */

/**
 * @param {number} visit 1 for the first one of these stores
 * @param {Outcome} outcome what the client says
 * @param {Report} report what the gateway's stores had after it
 * @throws AssertionError
 */
export function checkVisit(visit, { messages, netcode, session, sync, keys }, report) {
  for (const [channel, returned] of Object.entries(messages.returned)) {
    const sent = messagesOf(channel, visit);
    const ordered = channel === 'reliableUnordered' ? returned.toSorted() : returned;
    assert.deepEqual(ordered, sent, `messages of the channel ${channel}`);
  }
  assert.equal(Object.keys(messages.returned).length, 5);
  assert.deepEqual(messages.epochs, [1, 2, 3], 'key updates of both sides, one of them with a secret');
  assert.deepEqual(netcode, messagesOf('netcode', visit), 'payloads of netcode');

  const counted = 3 * (visit - 1);
  const counts = [1, 2, 3].map((each) => String(counted + each));
  const wanted = { continued: visit > 1, counts, serverRequest: String(counted + 3) };
  assert.deepEqual(session, wanted, 'the session goes on, and its requests count once');

  const waited = visit > 1 ? 1 : 0;
  const told = { waited, success: true, failureReason: '', items: waited + 2, verdict: 'valid' };
  assert.deepEqual(sync, told, 'the queue tells what waited and what is new');
  const documents = Array.from(documentsOf(visit), ([id, text]) => `${clientIds.sync} meters/${id} ${text}`);
  assert.deepEqual(report.documents.toSorted(), documents.toSorted(), 'the documents of the manager');

  assert.equal(keys.outcome, 'completed', 'the rotation of keys');
  assert.equal(keys.before !== null, visit > 1, 'the key of the visit before is in the store');
  assert.equal(keys.oldKeyId, keys.before?.keyId ?? null);
  const production = { keyId: keys.newKeyId, isItsMaterial: true };
  assert.deepEqual([keys.after, report.production], [production, production], 'both have the new key');
  if (keys.before !== null) assert.equal(keys.before.isItsMaterial, true, 'the material of the old key');
}
