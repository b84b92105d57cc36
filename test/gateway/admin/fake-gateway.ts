// A gateway as the admin server sees one, whose snapshot a test writes.

import { HawserError } from '../../../src/base/errors.js';
import type { Logger } from '../../../src/gateway/log/logger.js';
import type { ObservedGateway, ReloadReport } from '../../../src/gateway/observed-gateway.js';
import type {
  GatewaySnapshot,
  GatewayState,
  ListenerSnapshot,
  PeerDetail,
  PeersQuery,
  SessionsPage,
} from '../../../src/gateway/snapshot.js';
import { counterNames, dropReasons } from '../../../src/transport/stats.js';

function zeros<const Name extends string>(names: readonly Name[]): Record<Name, number> {
  const made: Partial<Record<Name, number>> = {};
  for (const name of names) made[name] = 0;
  return made as Record<Name, number>;
}

export function fakeListener(changes: Partial<ListenerSnapshot> = {}): ListenerSnapshot {
  return {
    name: 'udp',
    address: '127.0.0.1:4433',
    publicAddresses: ['127.0.0.1:4433'],
    wires: ['hawser'],
    layers: ['messages'],
    driver: 'loop',
    threads: 1,
    peers: 3,
    peersByWire: { hawser: 3, netcode: 0 },
    maxPeers: 10_000,
    memoryBytes: 1_000_000,
    rttMs: { bounds: [1, 2, 5, 10], counts: [1, 1, 1, 0, 0] },
    counters: zeros(counterNames),
    drops: zeros(dropReasons),
    socket: {},
    ...changes,
  };
}

export function fakePeer(id: string): PeerDetail {
  return {
    id,
    listener: 'udp',
    clientId: '42',
    address: '127.0.0.1:5000',
    wire: 'hawser',
    connectedAtMs: 0,
    rttMs: 1,
    rttVariationMs: 0.1,
    minRttMs: 1,
    packetsSent: 1,
    packetsReceived: 1,
    packetsLost: 0,
    queuedBytes: 0,
    localAddress: '127.0.0.1:4433',
    shard: 0,
    timeoutMs: 15_000,
    clockOffsetMs: 0,
    clockSettled: true,
    congestionWindowBytes: 12_000,
    bytesInFlight: 0,
    pacingRate: 0,
    maxDatagramBytes: 1200,
    keyEpoch: 0,
    tokenCreateTimeMs: 0,
  };
}

/** Everything that the admin server asks of a gateway, and what it was asked. */
export class FakeGateway implements ObservedGateway {
  readonly name = 'test';
  state: GatewayState = 'RUNNING';
  listeners: readonly ListenerSnapshot[] = [fakeListener()];
  layers: GatewaySnapshot['layers'] = {};
  page: SessionsPage | undefined = undefined;
  reloadError: HawserError | undefined = undefined;
  snapshots = 0;
  drains = 0;
  reloads = 0;
  readonly queries: PeersQuery[] = [];

  snapshot(): GatewaySnapshot {
    this.snapshots += 1;
    return {
      timeMs: 1_000_000 + this.snapshots * 1000,
      name: this.name,
      version: '0.1.0',
      node: '20.19.0',
      pid: 1,
      startedAtMs: 0,
      state: this.state,
      drainsUntilMs: null,
      configFile: null,
      process: {
        cpuMicros: 0,
        rssBytes: 1,
        heapUsedBytes: 1,
        unhandledListenerErrors: 0,
        loopDelayMs: { p50: 0, p99: 0, max: 0 },
      },
      listeners: this.listeners,
      layers: this.layers,
    };
  }

  peers(query: PeersQuery = {}): { total: number; peers: readonly PeerDetail[] } {
    this.queries.push(query);
    if ((query.limit ?? 50) > 1000)
      throw new HawserError('ERR_HAWSER_ARGUMENT', 'limit must be at most 1000');
    return { total: 1, peers: [fakePeer('udp:0:1:2')] };
  }

  peer(id: string): PeerDetail | undefined {
    return id === 'udp:0:1:2' ? fakePeer(id) : undefined;
  }

  sessions(): SessionsPage | undefined {
    return this.page;
  }

  async reload(): Promise<ReloadReport> {
    this.reloads += 1;
    if (this.reloadError !== undefined) throw this.reloadError;
    return { keyIds: [1], changed: ['limits.maxPeers'], needRestart: [] };
  }

  async drain(): Promise<void> {
    this.drains += 1;
    this.state = 'DRAINING';
  }

  capture(): never {
    throw new HawserError('ERR_HAWSER_ARGUMENT', 'not here');
  }
}

/** A logger that keeps what it is told. */
export class KeptLog implements Logger {
  readonly lines: { level: string; fields: Readonly<Record<string, unknown>>; message: string }[] = [];
  readonly trace: Logger['trace'] = this.#method('trace');
  readonly debug: Logger['debug'] = this.#method('debug');
  readonly info: Logger['info'] = this.#method('info');
  readonly warn: Logger['warn'] = this.#method('warn');
  readonly error: Logger['error'] = this.#method('error');
  readonly fatal: Logger['fatal'] = this.#method('fatal');

  child(): Logger {
    return this;
  }

  /** Everything that was written, as text. */
  get text(): string {
    return JSON.stringify(this.lines, (_, value: unknown) =>
      value instanceof Error ? `${value.name}: ${value.message}` : value,
    );
  }

  #method(level: string): Logger['info'] {
    return (fields, message) => void this.lines.push({ level, fields, message });
  }
}
