// What a running gateway says of itself: what `hawser top`, the dashboard and the metrics are made of. It goes through JSON: ids and
// 64-bit numbers are decimal texts, instants are Unix milliseconds. No secret is in it.

import type { Wire } from '../base/wire.js';
import type { InteractionStats } from '../interaction/stats.js';
import type { SaeStatus } from '../keys/agent/status.js';
import type { SessionServerStats } from '../sessions/server/events.js';
import type { SyncManagerStats } from '../sync/manager/events.js';
import type { TransportStats } from '../transport/stats.js';
import type { LayerName } from './config.js';

/** Where a gateway stands: it goes through these in this order. */
export type GatewayState = 'STARTING' | 'RUNNING' | 'DRAINING' | 'STOPPED';

/** Observations in ranges: `counts[i]` of them are at most `bounds[i]` and above the bound before; the last count is above all bounds. */
export interface Distribution {
  /** Upper bounds, ascending. */
  readonly bounds: readonly number[];
  /** Observations in each range: one more than there are bounds. */
  readonly counts: readonly number[];
}

/** What the process of a gateway takes. */
export interface ProcessSnapshot {
  /** CPU time since it began, in microseconds: user and system, all threads. */
  readonly cpuMicros: number;
  /** Memory of the process. */
  readonly rssBytes: number;
  /** Memory of JavaScript that is in use. */
  readonly heapUsedBytes: number;
  /** Number of exceptions of listeners, handlers, hooks and codecs that no listener of `listenerError` took. */
  readonly unhandledListenerErrors: number;
  /** How long the event loop stood still at a time since the snapshot before, in milliseconds. */
  readonly loopDelayMs: { readonly p50: number; readonly p99: number; readonly max: number };
}

export interface ListenerSnapshot extends TransportStats {
  /** As the configuration says. */
  readonly name: string;
  /** As it is bound. */
  readonly address: string;
  /** As tokens list it. */
  readonly publicAddresses: readonly string[];
  /** What it speaks. */
  readonly wires: readonly Wire[];
  /** What it serves. */
  readonly layers: readonly LayerName[];
  /** Who sends and receives. */
  readonly driver: 'loop' | 'threads';
  /** How many I/O threads it has. */
  readonly threads: number;
  /** How many are connected. */
  readonly peers: number;
  /** How many speak each protocol. */
  readonly peersByWire: Readonly<Record<Wire, number>>;
  /** Peers at a time. */
  readonly maxPeers: number;
  /** Native memory in bytes. */
  readonly memoryBytes: number;
  /** Round trips of the peers of HAWSER that are connected, in milliseconds. */
  readonly rttMs: Distribution;
}

/** What the layer `interaction` does and did. */
export type InteractionSnapshot = InteractionStats;

/** A session of the layer `sync` that is under way. */
export interface SyncSessionSnapshot {
  /** Whose it is. */
  readonly agent: string;
  /** The module that it is of. */
  readonly module: string;
  /** What kind of session it is. */
  readonly mode: string;
  /** Items that it has. */
  readonly size: number;
  /** Items that have arrived. */
  readonly received: number;
  /** Where it stands. */
  readonly state: string;
  /** When it began. */
  readonly startedAtMs: number;
}

/** A session of the layer `sync` that is over: of the last ones. */
export interface SyncOutcomeSnapshot {
  /** Whose it was. */
  readonly agent: string;
  /** The module that it was of. */
  readonly module: string;
  /** What kind of session it was. */
  readonly mode: string;
  /** Items that were applied. */
  readonly applied: number;
  /** Items that were not applied. */
  readonly rejected: number;
  /** How long it took. */
  readonly durationMs: number;
  /** What the agent was told. */
  readonly status: string;
  /** When it ended. */
  readonly endedAtMs: number;
}

/** A key rotation that is over: of the last ones. */
export interface RotationSnapshot {
  /** The other SAE. */
  readonly peerSaeId: string;
  /** Null when no session was begun. */
  readonly sessionId: string | null;
  /** Of this SAE. */
  readonly role: string;
  /** `completed`, `kept`, `unacknowledged`, `aborted` or `rolled_back`. */
  readonly outcome: string;
  /** Why it did not come about; null when it did. */
  readonly code: string | null;
  /** When it ended. */
  readonly endedAtMs: number;
}

/** What the layers of a gateway do, by their names. */
export interface LayerSnapshots {
  /** Undefined where the layer is off. */
  readonly interaction?: InteractionSnapshot;
  /** At most 100 sessions that are under way, the longest first, and the last 100 that ended. */
  readonly sync?: SyncManagerStats & {
    readonly running: readonly SyncSessionSnapshot[];
    readonly ended: readonly SyncOutcomeSnapshot[];
  };
  /** Undefined where the layer is off. */
  readonly sessions?: SessionServerStats & {
    readonly gateway: string;
    readonly store: string;
    readonly cluster: 'active' | 'leader';
    /** The gateways of the store that live, by what they advertise; one's own included. */
    readonly members: readonly string[];
  };
  /** Undefined where the layer is off. `ended` has the last rotations. */
  readonly keys?: SaeStatus & { readonly ended: readonly RotationSnapshot[] };
}

/** What a gateway says of itself at one time. */
export interface GatewaySnapshot {
  /** When the snapshot was made. */
  readonly timeMs: number;
  /** Its name. */
  readonly name: string;
  /** The version of this package. */
  readonly version: string;
  /** The version of Node.js. */
  readonly node: string;
  /** Its process. */
  readonly pid: number;
  /** When it was started. */
  readonly startedAtMs: number;
  /** Where it stands. */
  readonly state: GatewayState;
  /** When it will end at the latest; null unless it drains. */
  readonly drainsUntilMs: number | null;
  /** The path of its configuration; null without a file. */
  readonly configFile: string | null;
  /** What its process takes. */
  readonly process: ProcessSnapshot;
  /** In the order of the configuration. */
  readonly listeners: readonly ListenerSnapshot[];
  /** What its layers do; those that are off are not there. */
  readonly layers: LayerSnapshots;
}

/** One peer, in a list. */
export interface PeerSnapshot {
  /** Names it as long as it is connected: `<listener>:<shard>:<slot>:<generation>`. */
  readonly id: string;
  /** The name of its listener. */
  readonly listener: string;
  /** As its token says. */
  readonly clientId: string;
  /** Where it is, `host:port`. */
  readonly address: string;
  /** What it speaks. */
  readonly wire: Wire;
  /** Since when it is there. */
  readonly connectedAtMs: number;
  /** Its round trip now; 0 until it is measured. */
  readonly rttMs: number;
  /** How much that varies. */
  readonly rttVariationMs: number;
  /** The least round trip so far. */
  readonly minRttMs: number;
  /** Packets that were sent. */
  readonly packetsSent: number;
  /** Packets that came. */
  readonly packetsReceived: number;
  /** Packets to it that were declared lost. */
  readonly packetsLost: number;
  /** What waits to be sent. */
  readonly queuedBytes: number;
}

/** One peer in full. */
export interface PeerDetail extends PeerSnapshot {
  /** The address of this side that its datagrams come to. */
  readonly localAddress: string;
  /** The I/O thread that it belongs to. */
  readonly shard: number;
  /** The silence after which it is given up. */
  readonly timeoutMs: number;
  /** What the clocks of the session differ by. */
  readonly clockOffsetMs: number;
  /** Whether that is known well enough. */
  readonly clockSettled: boolean;
  /** How much may be in flight. */
  readonly congestionWindowBytes: number;
  /** Sent, and not acknowledged. */
  readonly bytesInFlight: number;
  /** In bytes per second. */
  readonly pacingRate: number;
  /** What the path carries in one datagram. */
  readonly maxDatagramBytes: number;
  /** Counts the updates of its keys, from 0. */
  readonly keyEpoch: number;
  /** When its token was made. */
  readonly tokenCreateTimeMs: number;
}

export const peerOrders = ['rtt', 'lost', 'queued', 'received', 'sent', 'oldest', 'newest'] as const;
/** What a list of peers can be in the order of. */
export type PeerOrder = (typeof peerOrders)[number];

/** Which peers to list. */
export interface PeersQuery {
  /** All listeners by default. */
  readonly listener?: string;
  /** What the client id or the address begins with. */
  readonly search?: string;
  /** Which come first; `oldest` by default. */
  readonly order?: PeerOrder;
  /** 1 to 1,000; 50 by default. */
  readonly limit?: number;
  /** How many to leave out at the beginning, 0 by default. */
  readonly offset?: number;
}

/** Some of the peers that a query finds. */
export interface PeersPage {
  /** How many match. */
  readonly total: number;
  /** Those asked for, in the order asked for. */
  readonly peers: readonly PeerSnapshot[];
}

/** A session of the layer `sessions`, in a list. */
export interface SessionSnapshot {
  /** Its UUID. */
  readonly sessionId: string;
  /** Whose it is. */
  readonly identity: string;
  /** Whether its client is there. */
  readonly connected: boolean;
  /** When it began. */
  readonly createdAtMs: number;
  /** When it ends unless its client says something. */
  readonly expiresAtMs: number;
}

/** Some of the sessions that a query finds. */
export interface SessionsPage {
  /** How many match. */
  readonly total: number;
  /** Those asked for. */
  readonly sessions: readonly SessionSnapshot[];
}
