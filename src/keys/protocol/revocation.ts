// A key is revoked by hand.

import type { KeyRecord } from '../store/store.js';
import { abort, abortStatement } from './endings.js';
import { revoke } from './key-changes.js';
import type { Session } from './session.js';
import { giveForGood } from './slave-synchronisation.js';
import { type Context, changed, type Transition } from './transition.js';

/** What becomes of the key, and of the session that it is assigned for. Undefined when it changes nothing. */
export function revocation(
  session: Session | undefined,
  keyId: string,
  context: Context,
): (Omit<Transition, 'session'> & { readonly session?: Session }) | undefined {
  const key = context.keys.key(keyId);
  switch (key?.status) {
    case 'in_production':
      // The peers have no other: it stays in use until another takes its place, as one that has expired.
      return { update: [expired(key, context)] };
    case 'assigned':
      return session?.keyIds.includes(keyId) === true
        ? ofAssigned(session, keyId, context)
        : { update: revoke([keyId], context.keys) };
    case 'available':
    case 'expired':
      return { update: revoke([keyId], context.keys) };
    // A rolled one is about to be deleted.
    default:
      return undefined;
  }
}

function ofAssigned(session: Session, keyId: string, context: Context): Transition {
  // Its material stays until both are back: the other side may send under it already.
  const key = context.keys.key(keyId);
  const update = key === undefined ? [] : [expired(key, context)];
  const cause = 'revoked';
  switch (session.state) {
    case 'NOTIFIED':
    case 'ACKNOWLEDGED': {
      const ending = abort(session, 'key_unavailable', context, [keyId]);
      const statement = abortStatement(ending.session, 'a key was revoked', context);
      return { ...ending, send: [{ ...statement, details: { key_ids: [keyId] } }], cause };
    }
    case 'CONFIRMED':
      return session.role === 'slave'
        ? { ...giveForGood(session, 'key_unavailable', 'the new key was revoked', context), cause }
        : { session, update, cause };
    case 'ROTATING': {
      // The device may be at either key: it is put back before anything is decided. A master learns of it when the slave has rotated.
      const isAtWork = session.role === 'slave' || session.peerProved;
      return isAtWork
        ? { session: changed(session, { reason: 'key_unavailable' }, context), update, cause }
        : { session, update, cause };
    }
    default:
      return { session, update, cause };
  }
}

function expired(key: KeyRecord, { nowMs }: Context): KeyRecord {
  return { ...key, expiresAtMs: Math.min(key.expiresAtMs ?? nowMs, nowMs) };
}
