// A gateway with every layer and two listeners, of which each count is another number.

import type { GatewaySnapshot, ListenerSnapshot } from '../../../src/gateway/snapshot.js';
import type { PeerStatus } from '../../../src/keys/agent/status.js';
import { noCounts } from '../../../src/sync/manager/events.js';
import { counterNames, dropReasons, type TransportStats } from '../../../src/transport/stats.js';
import { madeUpServer } from '../../sessions/health/made-up-server.js';

/** The names that the addon has for what a socket counts. */
export const socketNames = [
  'datagramsIn',
  'bytesIn',
  'datagramsOut',
  'bytesOut',
  'receiveCalls',
  'sendCalls',
  'receiveCoalesced',
  'sendSegmented',
  'sendBlocked',
  'dropTruncated',
  'receiveErrors',
  'dropKernelReceive',
  'dropRefused',
  'dropUnreachable',
  'dropForbidden',
  'dropTooLong',
  'dropNoBuffers',
  'dropInvalidAddress',
  'dropClosed',
  'dropOther',
  'turns',
  'unfinishedTurns',
  'pollErrors',
  'deliveries',
  'slabsReplaced',
  'datagramsHandedOver',
  'dropHandOver',
  'dropImpairedLoss',
  'dropImpairedQueue',
  'dropImpairedRoom',
  'impairedDuplicated',
  'impairedHeldBack',
] as const;

/** @param from the first number. @returns whose `all` has every number that is in it. */
export function madeUpStats(from: number): TransportStats & { readonly all: readonly number[] } {
  let next = from;
  const all: number[] = [];
  const numbered = <K extends string>(names: readonly K[]): Record<K, number> => {
    const entries = names.map((name) => {
      all.push(next);
      return [name, next++] as const;
    });
    return Object.fromEntries(entries) as Record<K, number>;
  };
  const counters = numbered(counterNames);
  const drops = numbered(dropReasons);
  return { counters, drops, socket: numbered(socketNames), all };
}

function listener(name: string, from: number): ListenerSnapshot {
  return {
    ...madeUpStats(from),
    name,
    address: '192.0.2.1:4433',
    publicAddresses: ['192.0.2.1:4433'],
    wires: ['hawser', 'netcode'],
    layers: ['messages'],
    driver: 'loop',
    threads: 1,
    peers: 12,
    peersByWire: { hawser: 7, netcode: 5 },
    maxPeers: 1000,
    memoryBytes: 327_680,
    rttMs: { bounds: [10, 100, 1000], counts: [1, 2, 3, 1] },
  };
}

function saePeer(peerSaeId: string, more: Partial<PeerStatus>): PeerStatus {
  return {
    peerSaeId,
    role: 'master',
    wire: 'hawser',
    persona: 'file',
    linked: true,
    ready: true,
    productionKeyId: 'key 1',
    productionExpiresAtMs: 1_800_000_600_000,
    failedClosed: false,
    keys: { available: 2, assigned: 1, in_production: 1, rolled: 0, expired: 0, revoked: 0 },
    session: undefined,
    lastSession: undefined,
    rotations: 40,
    failures: 2,
    nextBeginAtMs: 1_800_000_300_000,
    clock: { offsetMs: -250, uncertaintyMs: 5 },
    sent: 300,
    received: 290,
    unsent: 4,
    dropped: { replay: 3 },
    ...more,
  };
}

const counts = Object.fromEntries(Object.keys(noCounts()).map((name, index) => [name, 5000 + index]));

export const madeUpSnapshot: GatewaySnapshot = {
  timeMs: 1_800_000_000_000,
  name: 'north',
  version: '1.2.3',
  node: '20.19.0',
  pid: 4711,
  startedAtMs: 1_799_999_000_000,
  state: 'RUNNING',
  drainsUntilMs: null,
  configFile: null,
  process: {
    cpuMicros: 1_250_000,
    rssBytes: 200_000_000,
    heapUsedBytes: 30_000_000,
    unhandledListenerErrors: 3,
    loopDelayMs: { p50: 1, p99: 12, max: 55 },
  },
  listeners: [listener('udp', 1000), listener('udp2', 2000)],
  layers: {
    interaction: { connections: 8, requests: 900, errors: 9, notifications: 4500 },
    sync: {
      sessions: 3,
      items: 70_000,
      bytes: 1_000_000,
      waiting: 11,
      held: 4,
      committing: 1,
      connections: 60,
      counts: { ...noCounts(), ...counts },
      running: [],
      ended: [],
    },
    sessions: {
      ...madeUpServer.stats,
      gateway: '192.0.2.1:4433',
      store: 'memory',
      cluster: 'active',
      members: ['192.0.2.1:4433'],
    },
    keys: {
      saeId: 'sae-1',
      peers: [
        saePeer('sae-2', {}),
        saePeer('sae-3', {
          linked: false,
          ready: false,
          failedClosed: true,
          productionKeyId: null,
          productionExpiresAtMs: null,
          nextBeginAtMs: null,
          clock: { offsetMs: 1500, uncertaintyMs: 5 },
        }),
      ],
      dropped: { replay: 2, foreign: 1 },
      ended: [],
    },
  },
};
