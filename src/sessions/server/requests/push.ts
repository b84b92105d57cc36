// A server request that no request of a client has brought about.

import { Backoff } from '../../../base/backoff.js';
import { HawserError } from '../../../base/errors.js';
import { isUnavailable, pause, unavailable } from '../store-retry.js';
import { authorityOf, compareAuthority, judgeAuthority } from './authority.js';
import { CommitDraft } from './commit-draft.js';
import type { OutgoingRequest } from './outcome.js';
import type { Parts } from './parts.js';
import { raceBackoff } from './store-calls.js';
import { Targets } from './targets.js';

/** @returns its id. Rejects as {@link RequestExecutor.push}. */
export function pushServerRequest(parts: Parts, request: OutgoingRequest): Promise<number> {
  const targets = new Targets(parts, undefined, [request]);
  return parts.sessions.run(targets.sessionIds, async () => {
    const races = new Backoff(raceBackoff, parts.host.settings.random);
    for (;;) {
      const id = await tryToPush(parts, targets, request.sessionId);
      if (id !== undefined) return id;
      await pause(parts.host.settings.wheel, races.next(), parts.closed);
    }
  });
}

/** @returns undefined: somebody else was faster. */
async function tryToPush(parts: Parts, targets: Targets, sessionId: string): Promise<number | undefined> {
  const { host } = parts;
  if (parts.closed.aborted) throw new HawserError('ERR_HAWSER_CLOSED', 'the server is closed');
  const authority = authorityOf(host, undefined);
  if (authority === undefined) throw unavailable('the gateway may not write to the store now');
  await targets.look();
  const draft = new CommitDraft();
  compareAuthority(draft, authority);
  targets.addTo(draft);
  if (targets.isPassedOver) throw new HawserError('ERR_HAWSER_SESSION_EXPIRED', 'there is no such session');
  try {
    const result = await host.store.txn(draft.transaction());
    if (result.committed) return targets.committed(result.revision).get(sessionId);
    const mismatches = draft.mismatches(result.found);
    if (judgeAuthority(host, authority, mismatches) === 'lost')
      throw unavailable('the gateway may not write to the store now');
    targets.mistaken(mismatches);
    return undefined;
  } catch (error) {
    if (isUnavailable(error)) targets.perhapsCommitted();
    throw error;
  }
}
