// The status of an SAE for people: of one that runs, and of one that does not, as far as its store knows.

import type { PeerStatus, SaeStatus } from '../keys/agent/status.js';
import { type KeyRecord, type KeyStatus, type KeyStore, keyStatuses } from '../keys/store/store.js';
import { inText, shortId, stateText } from './sae-lines.js';
import { count, type Paint, printable } from './terminal.js';

/** What a store knows of a peer. */
export interface KeptPeer {
  readonly peerSaeId: string;
  readonly epoch: number;
  readonly productionKeyId: string | null;
  readonly keys: Readonly<Record<KeyStatus, number>>;
  /** The session that goes on after the next start. */
  readonly session: { readonly sessionId: string; readonly role: string; readonly state: string } | null;
}

/** Of an SAE that does not run. */
export interface KeptStatus {
  readonly saeId: string;
  readonly peers: readonly KeptPeer[];
}

/** @param peers those of the configuration, and any other of which something is kept. */
export function keptStatus(saeId: string, store: KeyStore, peers: readonly string[]): KeptStatus {
  const all = [...new Set([...peers, ...store.peers()])];
  return { saeId, peers: all.map((peer) => keptPeer(store, peer)) };
}

function keptPeer(store: KeyStore, peerSaeId: string): KeptPeer {
  const keys = store.keys(peerSaeId);
  const session = store.sessions(peerSaeId).find(({ state }) => state !== 'IDLE');
  return {
    peerSaeId,
    epoch: store.peer(peerSaeId)?.epoch ?? 0,
    productionKeyId: keys.find(({ status }) => status === 'in_production')?.keyId ?? null,
    keys: countKeys(keys),
    session:
      session === undefined
        ? null
        : { sessionId: session.sessionId, role: session.role, state: session.state },
  };
}

function countKeys(keys: readonly KeyRecord[]): Record<KeyStatus, number> {
  const counts = Object.fromEntries(keyStatuses.map((status) => [status, 0])) as Record<KeyStatus, number>;
  for (const { status } of keys) ++counts[status];
  return counts;
}

/** `2 available, 1 in_production`; `no keys`. */
function keysText(keys: Readonly<Record<KeyStatus, number>>): string {
  const some = keyStatuses.filter((status) => keys[status] > 0);
  if (some.length === 0) return 'no keys';
  return some.map((status) => `${count(keys[status])} ${status.replace('_', ' ')}`).join(', ');
}

type Row = readonly [name: string, value: string];

/** Lines of an SAE that runs. */
export function statusLines(status: SaeStatus, nowMs: number, paint: Paint): string[] {
  return [
    `${paint('bold', printable(status.saeId))}, which runs`,
    ...status.peers.flatMap((peer) => [
      ...peerHead(peer.peerSaeId, paint),
      ...rowLines(peerRows(peer, nowMs), paint),
    ]),
  ];
}

/** Lines of an SAE that does not run. */
export function keptLines(status: KeptStatus, paint: Paint): string[] {
  return [
    `${paint('bold', printable(status.saeId))}, which does not run; this is what its store knows`,
    ...status.peers.flatMap((peer) => [
      ...peerHead(peer.peerSaeId, paint),
      ...rowLines(keptRows(peer), paint),
    ]),
  ];
}

function peerHead(saeId: string, paint: Paint): string[] {
  return ['', paint('bold', printable(saeId))];
}

function rowLines(rows: readonly Row[], paint: Paint): string[] {
  return rows.map(([name, value]) => `  ${paint('dim', name.padEnd(9))} ${printable(value)}`);
}

function peerRows(peer: PeerStatus, nowMs: number): Row[] {
  const { session, lastSession, clock, nextBeginAtMs, productionExpiresAtMs } = peer;
  const expiry = productionExpiresAtMs === null ? '' : `, expires ${inText(productionExpiresAtMs - nowMs)}`;
  const drops = Object.entries(peer.dropped);
  const rows: Row[] = [
    ['role', `${peer.role}, over ${peer.wire}, device ${peer.persona}`],
    ['state', stateText(peer, nowMs)],
    ['key', peer.productionKeyId === null ? 'none' : `${peer.productionKeyId}${expiry}`],
    ['keys', keysText(peer.keys)],
    ['rotations', `${count(peer.rotations)}, ${count(peer.failures)} failed`],
  ];
  if (session !== undefined) {
    const { sessionId, role, newKeyId } = session;
    const goal = newKeyId === null ? '' : `, to ${shortId(newKeyId)}`;
    rows.push(['session', `${sessionId}, as ${role}${goal}`]);
  }
  if (lastSession !== undefined) {
    const { outcome, code, endedAtMs } = lastSession;
    const why = code === null ? '' : ` (${code})`;
    rows.push(['last', `${outcome}${why}, ${agoText(nowMs - endedAtMs)}`]);
  }
  if (nextBeginAtMs !== null && session === undefined) rows.push(['next', inText(nextBeginAtMs - nowMs)]);
  if (clock !== undefined) {
    const { offsetMs, uncertaintyMs } = clock;
    const way = offsetMs < 0 ? 'behind' : 'ahead';
    const text = `the peer's is ${Math.abs(offsetMs).toFixed(1)} ms ${way}, give or take ${uncertaintyMs.toFixed(1)} ms`;
    rows.push(['clock', text]);
  }
  rows.push(['messages', `${count(peer.sent)} sent, ${count(peer.received)} received`]);
  if (drops.length > 0) {
    rows.push(['dropped', drops.map(([reason, times]) => `${count(times)} ${reason}`).join(', ')]);
  }
  return rows;
}

function agoText(ms: number): string {
  const text = inText(ms);
  return text === 'now' ? 'just now' : `${text.slice('in '.length)} ago`;
}

function keptRows({ epoch, productionKeyId, keys, session }: KeptPeer): Row[] {
  return [
    ['key', productionKeyId ?? 'none'],
    ['keys', keysText(keys)],
    ['epoch', String(epoch)],
    ...(session === null
      ? []
      : ([['session', `${session.sessionId}, as ${session.role}, ${session.state}`]] satisfies Row[])),
  ];
}
