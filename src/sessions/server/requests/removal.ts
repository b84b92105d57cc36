// The end of a session: everything of it goes from the store in one transaction, together with what the application has to say about it.

import { Backoff } from '../../../base/backoff.js';
import { HawserError } from '../../../base/errors.js';
import { WheelTimer } from '../../../base/timing-wheel.js';
import { ownerKey, prefixes, removalOf } from '../../store/keys.js';
import type { SessionEnd } from '../handler.js';
import { sessionInfo } from '../owned-session.js';
import type { RemovalTarget } from '../session.js';
import { isUnavailable, pause, unavailable } from '../store-retry.js';
import { authorityOf, compareAuthority, judgeAuthority } from './authority.js';
import { CommitDraft } from './commit-draft.js';
import { type CheckedEffects, checkEffects } from './outcome.js';
import type { Parts } from './parts.js';
import { raceBackoff } from './store-calls.js';
import { Targets } from './targets.js';

export type RemovalEnd = 'removed' | 'notOwned';

/** So long `onExpire` has: sessions that end wait for one another, and one that waits for ever would hold all of them up in the end. */
const mostExpireMs = 30_000;

const none: CheckedEffects = { writes: new Map(), serverRequests: [] };

/** Rejects as {@link RequestExecutor.remove}. */
export async function removeSession(
  parts: Parts,
  target: RemovalTarget,
  end: SessionEnd,
): Promise<RemovalEnd> {
  if (authorityOf(parts.host, undefined) === undefined)
    throw unavailable('the gateway may not write to the store now');
  const effects = await effectsOf(parts, target, end);
  try {
    return await new Removal(parts, target, effects).commit();
  } catch (error) {
    if (isUnavailable(error) || parts.closed.aborted || effects === none) throw error;
    // Such as more than the store takes: the session goes all the same.
    parts.host.handlerError(error, 'onExpire');
    return new Removal(parts, target, none).commit();
  }
}

async function effectsOf(parts: Parts, target: RemovalTarget, end: SessionEnd): Promise<CheckedEffects> {
  const { host } = parts;
  const { onExpire } = host.settings;
  if (onExpire === undefined) return none;
  const call = async (): Promise<unknown> => onExpire(sessionInfo(target), end);
  try {
    const { writes, serverRequests } = checkEffects(await inTime(parts, call()), target.id);
    // To the session itself there is nothing to say any more.
    return { writes, serverRequests: serverRequests.filter(({ sessionId }) => sessionId !== target.id) };
  } catch (error) {
    host.handlerError(error, 'onExpire');
    return none;
  }
}

function inTime<T>({ host, closed }: Parts, promise: Promise<T>): Promise<T> {
  const { wheel } = host.settings;
  return new Promise((resolve, reject) => {
    const settled = (): void => {
      wheel.cancel(timer);
      closed.removeEventListener('abort', settled);
    };
    const timer = new WheelTimer(() => {
      settled();
      reject(new HawserError('ERR_HAWSER_TIMED_OUT', `onExpire took longer than ${mostExpireMs} ms`));
    });
    wheel.schedule(timer, wheel.clock.now() + mostExpireMs);
    // Nobody waits for it then.
    closed.addEventListener('abort', settled);
    promise.then(resolve, reject).finally(settled);
  });
}

class Removal {
  readonly #parts: Parts;
  readonly #target: RemovalTarget;
  readonly #effects: CheckedEffects;
  readonly #targets: Targets;

  constructor(parts: Parts, target: RemovalTarget, effects: CheckedEffects) {
    this.#parts = parts;
    this.#target = target;
    this.#effects = effects;
    this.#targets = new Targets(parts, undefined, effects.serverRequests);
  }

  commit(): Promise<RemovalEnd> {
    const { host, sessions, closed } = this.#parts;
    // Not under the name of the session itself: its own commits cannot succeed after this one, and must not put it off.
    return sessions.run(this.#targets.sessionIds, async () => {
      const races = new Backoff(raceBackoff, host.settings.random);
      for (;;) {
        const end = await this.#attempt();
        if (end !== undefined) return end;
        await pause(host.settings.wheel, races.next(), closed);
      }
    });
  }

  /** @returns undefined: to be tried again. */
  async #attempt(): Promise<RemovalEnd | undefined> {
    const { host, closed } = this.#parts;
    if (closed.aborted) throw new HawserError('ERR_HAWSER_CLOSED', 'the server is closed');
    const authority = authorityOf(host, undefined);
    if (authority === undefined) throw unavailable('the gateway may not write to the store now');
    await this.#targets.look();
    const draft = new CommitDraft();
    const { id, ownerRevision } = this.#target;
    draft.compare({ kind: 'owner' }, { key: ownerKey(id), revision: ownerRevision });
    compareAuthority(draft, authority);
    this.#fill(draft);
    try {
      const result = await host.store.txn(draft.transaction());
      if (result.committed) {
        this.#targets.committed(result.revision);
        return 'removed';
      }
      const mismatches = draft.mismatches(result.found);
      const owner = mismatches.find(({ meaning }) => meaning.kind === 'owner');
      // Gone already: by an attempt that the store has not answered, or by another gateway.
      if (owner !== undefined) return owner.found === undefined ? 'removed' : 'notOwned';
      if (judgeAuthority(host, authority, mismatches) === 'lost')
        throw unavailable('the gateway may not write to the store now');
      this.#targets.mistaken(mismatches);
      return undefined;
    } catch (error) {
      if (isUnavailable(error)) this.#targets.perhapsCommitted();
      throw error;
    }
  }

  #fill(draft: CommitDraft): void {
    for (const write of removalOf(this.#target.id)) draft.write(write);
    for (const [name, value] of this.#effects.writes) {
      const key = prefixes.application + name;
      if (value === undefined) draft.write({ type: 'delete', key });
      else draft.put(key, value);
    }
    this.#targets.addTo(draft);
  }
}
