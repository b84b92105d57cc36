// The peers of a gateway in pages, and one in full.

import { checkInteger, checkOneOf, checkOptions, checkString } from '../../base/check.js';
import type { ChannelMap } from '../../transport/channels.js';
import type { Peer } from '../../transport/peer.js';
import type { GatewayListener } from '../listener.js';
import {
  type PeerDetail,
  type PeerOrder,
  type PeerSnapshot,
  type PeersPage,
  type PeersQuery,
  peerOrders,
} from '../snapshot.js';

const defaultLimit = 50;
const mostLimit = 1000;
const mostOffset = 10_000_000;
const mostSearch = 256;

/** A peer that matches. */
interface Found {
  readonly peer: Peer<ChannelMap>;
  readonly listener: GatewayListener;
  readonly connectedAtMs: number;
}

const rank: Readonly<Record<Exclude<PeerOrder, 'oldest' | 'newest'>, (peer: Peer<ChannelMap>) => number>> = {
  rtt: (peer) => peer.rttMs,
  lost: (peer) => peer.packetsLost,
  queued: (peer) => peer.queuedBytes,
  received: (peer) => peer.packets.received,
  sent: (peer) => peer.packets.sent,
};

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function listPeers(listeners: readonly GatewayListener[], query: PeersQuery): PeersPage {
  checkOptions('query', query, ['listener', 'search', 'order', 'limit', 'offset']);
  const limit = checkInteger('limit', query.limit ?? defaultLimit, 1, mostLimit);
  const offset = checkInteger('offset', query.offset ?? 0, 0, mostOffset);
  const order = checkOneOf('order', query.order ?? 'oldest', peerOrders);
  const search = checkString('search', query.search ?? '', 0, mostSearch);
  const name = query.listener === undefined ? undefined : checkString('listener', query.listener, 1, 64);
  const chosen = listeners.filter((listener) => name === undefined || listener.name === name);
  const found = findPeers(chosen, search);
  const sorted = sortPeers(found, order, chosen.length > 1);
  return { total: found.length, peers: sorted.slice(offset, offset + limit).map(snapshotOf) };
}

function findPeers(listeners: readonly GatewayListener[], search: string): Found[] {
  const found: Found[] = [];
  const isFound = matcherOf(search);
  for (const listener of listeners) {
    for (const [peer, connectedAtMs] of listener.connectedAtMs) {
      if (isFound(peer)) found.push({ peer, listener, connectedAtMs });
    }
  }
  return found;
}

/** What looks at no more of each of thousands than the search can be the beginning of. */
function matcherOf(search: string): (peer: Peer<ChannelMap>) => boolean {
  if (search === '') return () => true;
  const isId = /^\d{1,20}$/.test(search);
  const isAddress = /^(?:\d{1,3}(?:\.|$)|\[)/.test(search);
  return (peer) =>
    (isId && `${peer.clientId}`.startsWith(search)) || (isAddress && peer.address.startsWith(search));
}

/** @param mixed of several listeners: those of one are in the order in which they came. */
function sortPeers(found: Found[], order: PeerOrder, mixed: boolean): Found[] {
  if (order === 'oldest' || order === 'newest') {
    if (mixed) found.sort((a, b) => a.connectedAtMs - b.connectedAtMs);
    return order === 'oldest' ? found : found.reverse();
  }
  const rankOf = rank[order];
  const ranked = found.map((each) => ({ each, value: rankOf(each.peer) }));
  ranked.sort((a, b) => b.value - a.value);
  return ranked.map(({ each }) => each);
}

function snapshotOf({ peer, listener, connectedAtMs }: Found): PeerSnapshot {
  const { sent, received } = peer.packets;
  return {
    id: `${listener.name}:${peer.shard}:${peer.slot}:${peer.generation}`,
    listener: listener.name,
    clientId: String(peer.clientId),
    address: peer.address,
    wire: peer.wire,
    connectedAtMs,
    rttMs: peer.rttMs,
    rttVariationMs: peer.rttVariationMs,
    minRttMs: peer.minRttMs,
    packetsSent: sent,
    packetsReceived: received,
    packetsLost: peer.packetsLost,
    queuedBytes: peer.queuedBytes,
  };
}

/** @param id as `PeerSnapshot` has it. @returns undefined for one that is not connected, and for what is no id. */
export function findPeer(listeners: readonly GatewayListener[], id: string): PeerDetail | undefined {
  const match = /^([A-Za-z0-9_-]{1,64}):(\d{1,3}):(\d{1,10}):(\d{1,10})$/.exec(id);
  if (match === null) return undefined;
  const [, name, shard, slot, generation] = match;
  const listener = listeners.find((each) => each.name === name);
  const peer = listener?.server.peers.at(Number(slot), Number(generation), Number(shard));
  const connectedAtMs = peer === undefined ? undefined : listener?.connectedAtMs.get(peer);
  if (listener === undefined || peer === undefined || connectedAtMs === undefined) return undefined;
  return {
    ...snapshotOf({ peer, listener, connectedAtMs }),
    localAddress: peer.localAddress,
    shard: peer.shard,
    timeoutMs: peer.timeoutMs,
    clockOffsetMs: peer.clockOffsetMs,
    clockSettled: peer.clockSettled,
    congestionWindowBytes: peer.congestionWindowBytes,
    bytesInFlight: peer.bytesInFlight,
    pacingRate: peer.pacingRate,
    maxDatagramBytes: peer.maxDatagramBytes,
    keyEpoch: peer.keyEpoch,
    tokenCreateTimeMs: peer.tokenCreateTimeMs,
  };
}
