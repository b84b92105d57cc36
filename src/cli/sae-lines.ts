// What an SAE tells, as lines for people and as events for programs. No key is in it, only ids.

import type {
  KeyExpiry,
  Rejection,
  RotationFailure,
  RotationResult,
  SaeFailure,
  SessionChange,
} from '../keys/agent/events.js';
import type { PeerStatus, SaeStatus } from '../keys/agent/status.js';
import { describeError } from './errors.js';
import { count } from './terminal.js';

/** Keys are told apart by so much of their ids. */
const shownCharacters = 8;

/** The first characters of the id of a key or session; `none` for null. */
export function shortId(id: string | null): string {
  if (id === null) return 'none';
  return id.length <= shownCharacters + 1 ? id : `${id.slice(0, shownCharacters)}…`;
}

export function rotationText({
  peerSaeId,
  role,
  outcome,
  newKeyId,
  oldKeyId,
  failedKeyIds,
}: RotationResult): string {
  const from = oldKeyId === null ? '' : ` from ${shortId(oldKeyId)}`;
  const rest =
    outcome === 'completed'
      ? ''
      : outcome === 'kept'
        ? `; ${plural(failedKeyIds.length, 'old key')} could not be deleted`
        : '; the other side did not say that it has cleaned up';
  return `${peerSaeId}: rotated${from} to ${shortId(newKeyId)}, as ${role}${rest}`;
}

export function failureText({ peerSaeId, outcome, code, reason }: RotationFailure): string {
  const what = outcome === 'aborted' ? 'no rotation' : 'the rotation was rolled back';
  return `${peerSaeId}: ${what}: ${reason} (${code})`;
}

export function changeText({ peerSaeId, session, from, cause }: SessionChange): string {
  return `${peerSaeId}: ${from} -> ${session.state} (${cause}), session ${shortId(session.sessionId)}`;
}

export function rejectionText({ peerSaeId, code, messageType, reason }: Rejection): string {
  return `${peerSaeId ?? 'somebody'}: refused ${messageType ?? 'a message'}: ${reason} (${code})`;
}

export function expiryText({ peerSaeId, keyId }: KeyExpiry): string {
  return `${peerSaeId}: key ${shortId(keyId)}, which is in use, has expired`;
}

export function troubleText({ peerSaeId, source, error }: SaeFailure): string {
  return `${peerSaeId}: ${sources[source] ?? source}: ${describeError(error)}`;
}

const sources: Readonly<Record<string, string>> = {
  store: 'the store failed',
  device: 'the device failed',
  kme: 'the KME failed',
  message: 'a message could not be sent',
};

// ---- Status --------------------------------------------------------------------------------------------------------

/** How a peer stands, in one line. */
export function peerLine(peer: PeerStatus, nowMs: number): string {
  const { session, nextBeginAtMs } = peer;
  const parts = [
    stateText(peer, nowMs),
    `key ${shortId(peer.productionKeyId)}`,
    plural(peer.rotations, 'rotation'),
    ...(peer.failures === 0 ? [] : [`${count(peer.failures)} failed`]),
    ...(session !== undefined || nextBeginAtMs === null ? [] : [`next ${inText(nextBeginAtMs - nowMs)}`]),
  ];
  return `${peer.peerSaeId} ${parts.join(', ')}`;
}

/** The state of the session, or why there is none. */
export function stateText(peer: PeerStatus, nowMs: number): string {
  const { session } = peer;
  if (peer.failedClosed) return 'STOPPED: there is no key';
  if (!peer.ready) return 'its device is being set up';
  if (session === undefined) return peer.linked ? 'IDLE' : 'IDLE, not connected';
  const left = session.rotationAtMs - nowMs;
  const when = session.state === 'CONFIRMED' && left > 0 ? `, rotates ${inText(left)}` : '';
  return `${session.state}${when}${peer.linked ? '' : ', not connected'}`;
}

/** All peers of an SAE in one line. */
export function saeLine(status: SaeStatus, nowMs: number): string {
  const { peers, saeId } = status;
  const [first] = peers;
  if (first !== undefined && peers.length === 1) return `${saeId}: ${peerLine(first, nowMs)}`;
  const linked = peers.filter((peer) => peer.linked).length;
  const active = peers.filter((peer) => peer.session !== undefined).length;
  const stopped = peers.filter((peer) => peer.failedClosed).length;
  const total = (of: (peer: PeerStatus) => number): number => peers.reduce((sum, peer) => sum + of(peer), 0);
  const parts = [
    `${count(peers.length)} peers`,
    `${count(linked)} connected`,
    `${count(active)} rotating`,
    ...(stopped === 0 ? [] : [`${count(stopped)} stopped for want of a key`]),
    plural(
      total((peer) => peer.rotations),
      'rotation',
    ),
    `${count(total((peer) => peer.failures))} failed`,
  ];
  return `${saeId}: ${parts.join(', ')}`;
}

/** `1 rotation`, `2 rotations`. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

/** `in 12 s`, `now`. */
export function inText(ms: number): string {
  if (ms < 500) return 'now';
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `in ${seconds} s`;
  return seconds < 7200 ? `in ${Math.round(seconds / 60)} min` : `in ${Math.round(seconds / 3600)} h`;
}
