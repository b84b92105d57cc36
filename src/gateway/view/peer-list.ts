// The peers of a gateway in pages, and one in full.

import { checkInteger, checkOneOf, checkOptions, checkString } from '../../base/check.js';
import type { ChannelMap } from '../../transport/channels.js';
import { statusOf } from '../../transport/link.js';
import { statusCell } from '../../transport/native.js';
import type { Peer } from '../../transport/peer.js';
import { figuresOf } from '../../transport/peer-figures.js';
import type { GatewayListener } from '../listener.js';
import {
  type PeerDetail,
  type PeerOrder,
  type PeerSnapshot,
  type PeersPage,
  type PeersQuery,
  peerOrders,
} from '../snapshot.js';
import { greatest } from './greatest.js';

const defaultLimit = 50;
const mostLimit = 1000;
const mostOffset = 10_000_000;
const mostSearch = 256;

/** Peers that match, with no object for each: there can be very many. */
interface Found {
  readonly peers: Peer<ChannelMap>[];
  /** For each of them. */
  readonly connectedAtMs: number[];
}

const rank: Readonly<Record<Exclude<PeerOrder, 'oldest' | 'newest'>, number>> = {
  rtt: statusCell.roundTrip,
  lost: statusCell.packetsLost,
  queued: statusCell.queuedBytes,
  received: statusCell.packetsReceived,
  sent: statusCell.packetsSent,
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
  if (order === 'newest') {
    // Equal values keep their order, and of peers that connected in the same millisecond the last one is the newest.
    found.peers.reverse();
    found.connectedAtMs.reverse();
  }
  const page = greatest(sortValues(found, order), offset, limit);
  return {
    total: found.peers.length,
    peers: page.flatMap((index) => {
      const peer = found.peers[index];
      const listener = chosen.find(({ connectedAtMs }) => peer !== undefined && connectedAtMs.has(peer));
      return peer === undefined || listener === undefined ? [] : snapshotOf(peer, listener);
    }),
  };
}

function findPeers(listeners: readonly GatewayListener[], search: string): Found {
  const found: Found = { peers: [], connectedAtMs: [] };
  const isFound = matcherOf(search);
  for (const listener of listeners) {
    listener.connectedAtMs.forEach((connectedAtMs, peer) => {
      if (!isFound(peer)) return;
      found.peers.push(peer);
      found.connectedAtMs.push(connectedAtMs);
    });
  }
  return found;
}

/** @returns a number for each peer: the greatest comes first. */
function sortValues({ peers, connectedAtMs }: Found, order: PeerOrder): Float64Array {
  if (order === 'newest') return new Float64Array(connectedAtMs);
  if (order === 'oldest') return new Float64Array(connectedAtMs).map((timeMs) => -timeMs);
  return figuresOf(peers, rank[order]);
}

/** Looks only at the fields that can begin with the search: there can be thousands of peers. */
function matcherOf(search: string): (peer: Peer<ChannelMap>) => boolean {
  if (search === '') return () => true;
  const isId = /^\d{1,20}$/.test(search);
  const isAddress = /^(?:\d{1,3}(?:\.|$)|\[)/.test(search);
  return (peer) =>
    (isId && `${peer.clientId}`.startsWith(search)) || (isAddress && peer.address.startsWith(search));
}

function snapshotOf(peer: Peer<ChannelMap>, listener: GatewayListener): PeerSnapshot {
  const address = peer.address;
  const status = statusOf(peer);
  return {
    id: `${listener.name}:${peer.shard}:${peer.slot}:${peer.generation}`,
    listener: listener.name,
    clientId: String(peer.clientId),
    address,
    wire: peer.wire,
    connectedAtMs: listener.connectedAtMs.get(peer) ?? 0,
    rttMs: status[statusCell.roundTrip] ?? 0,
    rttVariationMs: status[statusCell.roundTripVariation] ?? 0,
    minRttMs: status[statusCell.minimumRoundTrip] ?? 0,
    packetsSent: status[statusCell.packetsSent] ?? 0,
    packetsReceived: status[statusCell.packetsReceived] ?? 0,
    packetsLost: status[statusCell.packetsLost] ?? 0,
    queuedBytes: status[statusCell.queuedBytes] ?? 0,
  };
}

/** @param id as `PeerSnapshot` has it. @returns undefined for one that is not connected, and for what is no id. */
export function findPeer(listeners: readonly GatewayListener[], id: string): PeerDetail | undefined {
  const match = /^([A-Za-z0-9_-]{1,64}):(\d{1,3}):(\d{1,10}):(\d{1,10})$/.exec(id);
  if (match === null) return undefined;
  const [, name, shard, slot, generation] = match;
  const listener = listeners.find((each) => each.name === name);
  const peer = listener?.server.peers.at(Number(slot), Number(generation), Number(shard));
  if (listener === undefined || peer === undefined || !listener.connectedAtMs.has(peer)) return undefined;
  return {
    ...snapshotOf(peer, listener),
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
