// Sets a device up after a start of this SAE: what was live is live again, before anything else is done with the peer.

import type { Session } from '../protocol/session.js';
import type { KeyRecord, KeyStore } from '../store/store.js';
import type { CallFor, DeviceCalls } from './device-calls.js';
import type { PeerClock } from './peer-clock.js';
import type { PeerSettings } from './peer-options.js';

export interface DeviceRestoreParts {
  readonly settings: PeerSettings;
  readonly store: KeyStore;
  readonly device: DeviceCalls;
  readonly clock: PeerClock;
  readonly failed: (error: unknown) => void;
}

/** The key of a peer that is in production. */
export function productionOf(store: KeyStore, peerSaeId: string): KeyRecord | undefined {
  return store.keys(peerSaeId).find((key) => key.status === 'in_production');
}

/**
 * @param active the session that goes on.
 * @param liveKeyIds what the device must be able to receive under.
 * @returns whether the device is as it should be; if not, this is to be called again.
 */
export async function restoreDevice(
  { settings, store, device, clock, failed }: DeviceRestoreParts,
  active: Session | undefined,
  liveKeyIds: readonly string[],
): Promise<boolean> {
  const role = active?.role ?? (settings.role === 'master' ? 'master' : 'slave');
  const call = (): CallFor => ({
    role,
    sessionId: active?.sessionId,
    untilMs: clock.nowMs() + settings.deviceTimeoutMs,
  });
  const usable = new Set<string>();
  for (const keyId of liveKeyIds) {
    const outcome = await device.preConfigure(keyId, call());
    if (outcome.ok) usable.add(keyId);
    else if (!outcome.noKey) {
      failed(outcome.error);
      return false;
    }
    // A key that expired or was revoked cannot be live any more: the session that it is of finds that too.
  }
  const production = productionOf(store, settings.peerSaeId);
  const isOver =
    settings.failClosed && (production?.expiresAtMs ?? Number.POSITIVE_INFINITY) <= clock.nowMs();
  const current = currentKeyId(active, isOver ? undefined : production?.keyId, usable);
  // Without any the device stays as it is: there was never a key of ours, or it is as good as none.
  if (current === undefined) return true;
  const outcome = await device.rotate(current, call());
  if (!outcome.ok) failed(outcome.error);
  return outcome.ok || outcome.noKey;
}

/**
 * What the device is to send under. The store says what was committed; a crash may have come between the device and the commit. Then the
 * record of the session tells what the device was about to do, which the other side may have relied upon since.
 */
function currentKeyId(
  active: Session | undefined,
  production: string | undefined,
  usable: ReadonlySet<string>,
): string | undefined {
  const isRotating = active?.state === 'ROTATING' && (active.role === 'slave' || active.peerProved);
  if (isRotating && active.newKeyId !== null && usable.has(active.newKeyId)) return active.newKeyId;
  return production;
}
