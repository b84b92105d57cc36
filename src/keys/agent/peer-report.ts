// What is known of a peer, for `Sae.status`.

import type { Session } from '../protocol/session.js';
import type { KeyStatus, KeyStore } from '../store/store.js';
import { productionOf } from './device-restore.js';
import type { PeerSettings } from './peer-options.js';
import type { PeerStatus } from './status.js';

/** What the driver adds. */
type Rest = Omit<
  PeerStatus,
  'peerSaeId' | 'role' | 'wire' | 'persona' | 'productionKeyId' | 'productionExpiresAtMs' | 'keys' | 'session'
>;

export function describePeer(
  settings: PeerSettings,
  store: KeyStore,
  active: Session | undefined,
  rest: Rest,
): PeerStatus {
  const { peerSaeId, role, wire, persona } = settings;
  const production = productionOf(store, peerSaeId);
  return {
    peerSaeId,
    role,
    wire,
    persona: persona.name,
    productionKeyId: production?.keyId ?? null,
    productionExpiresAtMs: production?.expiresAtMs ?? null,
    keys: countKeys(store, peerSaeId),
    session: active === undefined ? undefined : describeSession(active),
    ...rest,
  };
}

function describeSession(session: Session): NonNullable<PeerStatus['session']> {
  const { sessionId, role, state, epoch, newKeyId, oldKeyId, rotationAtMs } = session;
  return { sessionId, role, state, epoch, newKeyId, oldKeyId, rotationAtMs };
}

function countKeys(store: KeyStore, peerSaeId: string): Record<KeyStatus, number> {
  const counts: Record<KeyStatus, number> = {
    available: 0,
    assigned: 0,
    in_production: 0,
    rolled: 0,
    expired: 0,
    revoked: 0,
  };
  for (const { status } of store.keys(peerSaeId)) ++counts[status];
  return counts;
}
