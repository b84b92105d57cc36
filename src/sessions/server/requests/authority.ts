// What lets a gateway change anything of a session: it is the owner, and its lease holds. Compared in each transaction.

import { ownerKey } from '../../store/keys.js';
import type { Compare } from '../../store/store.js';
import type { RequestHost, Session } from '../session.js';
import type { CommitDraft, Mismatch } from './commit-draft.js';

/** What a transaction compared. */
export interface Authority {
  /** The session that it changes; undefined when it changes none as its owner. */
  readonly session: Session | undefined;
  readonly ownerRevision: number;
  readonly fences: readonly Compare[];
}

/** @returns undefined while the gateway may not write. */
export function authorityOf(host: RequestHost, session: Session | undefined): Authority | undefined {
  const fences = host.fences();
  return fences && { session, ownerRevision: session?.ownerRevision ?? 0, fences };
}

export function compareAuthority(draft: CommitDraft, { session, ownerRevision, fences }: Authority): void {
  if (session !== undefined) {
    draft.compare({ kind: 'owner' }, { key: ownerKey(session.id), revision: ownerRevision });
  }
  for (const fence of fences) draft.compare({ kind: 'fence' }, fence);
}

/**
 * Whether a transaction failed for want of authority, which is told to the host.
 *
 * @returns `again`: it has changed since, the transaction is to be made anew; `lost`; undefined: it failed for another reason.
 */
export function judgeAuthority(
  host: RequestHost,
  { session, ownerRevision, fences }: Authority,
  mismatches: readonly Mismatch[],
): 'again' | 'lost' | undefined {
  const failed = (kind: 'owner' | 'fence'): boolean =>
    mismatches.some(({ meaning }) => meaning.kind === kind);
  if (session !== undefined && failed('owner')) {
    if (session.ownerRevision !== ownerRevision) return 'again';
    host.ownerChanged(session);
    return 'lost';
  }
  if (!failed('fence')) return undefined;
  const now = host.fences();
  if (now !== undefined && !isSame(now, fences)) return 'again';
  if (now !== undefined) host.fenced();
  return 'lost';
}

function isSame(one: readonly Compare[], other: readonly Compare[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ key, revision }, index) => key === other[index]?.key && revision === other[index]?.revision)
  );
}
