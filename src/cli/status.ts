// What processes of the command report about themselves: totals, and rates over the last second.

import { performance } from 'node:perf_hooks';
import type { Wire } from '../base/wire.js';
import { dropReasons, type TransportStats } from '../transport/stats.js';

/** Totals of a process since it was started. */
export interface ProcessStatus {
  /** Milliseconds, monotonic, with an origin of the process's own. */
  readonly timeMs: number;
  readonly cpuMicros: number;
  readonly rssBytes: number;
}

/** What a gateway counted. */
export interface GatewayStatus extends ProcessStatus {
  readonly peers: number;
  /** Where both wire formats are spoken. */
  readonly peersByWire?: PeersByWire;
  readonly peersConnected: number;
  readonly peersDisconnected: number;
  readonly handshakesCompleted: number;
  readonly messagesReceived: number;
  readonly messagesSent: number;
  /** By reason, every one that there is. */
  readonly drops: Readonly<Record<string, number>>;
}

/** User and system time, memory and the time of now. */
export function processStatus(): ProcessStatus {
  const { user, system } = process.cpuUsage();
  return { timeMs: performance.now(), cpuMicros: user + system, rssBytes: process.memoryUsage.rss() };
}

/** Every drop by reason: those of the protocol, and those of the operating system's socket (`dropKernelReceive`: `kernelReceive`). */
export function dropsByReason(stats: TransportStats): Record<string, number> {
  const drops: Record<string, number> = {};
  for (const reason of dropReasons) drops[reason] = stats.drops[reason];
  for (const [name, value] of Object.entries(stats.socket)) {
    const [, initial, rest] = /^drop([A-Z])(.*)$/.exec(name) ?? [];
    if (initial !== undefined && rest !== undefined) drops[initial.toLowerCase() + rest] = value;
  }
  return drops;
}

/** The reasons for which anything was dropped since an earlier status, with how much. */
export function newDrops(
  now: Readonly<Record<string, number>>,
  before: Readonly<Record<string, number>>,
): Record<string, number> {
  const since = Object.entries(now).map(
    ([reason, total]) => [reason, total - (before[reason] ?? 0)] as const,
  );
  return Object.fromEntries(since.filter(([, more]) => more > 0));
}

/** Rates over about the last second, from statuses as they come. */
export class RateWindow<S extends ProcessStatus> {
  readonly #statuses: S[] = [];
  readonly #spanMs: number;

  constructor(spanMs = 1000) {
    this.#spanMs = spanMs;
  }

  push(status: S): void {
    this.#statuses.push(status);
    // The oldest one kept is the newest that is a whole span old.
    while (status.timeMs - (this.#statuses[1]?.timeMs ?? status.timeMs) >= this.#spanMs)
      this.#statuses.shift();
  }

  /** Forgets all: another process counts from zero. */
  clear(): void {
    this.#statuses.length = 0;
  }

  /** How much a total grows in a second; 0 before there are two statuses. */
  perSecond(total: (status: S) => number): number {
    const [oldest] = this.#statuses;
    const newest = this.#statuses.at(-1);
    if (oldest === undefined || newest === undefined || newest.timeMs <= oldest.timeMs) return 0;
    return ((total(newest) - total(oldest)) * 1000) / (newest.timeMs - oldest.timeMs);
  }

  /** The share of one core: 1 is all of it. */
  cpuShare(): number {
    return this.perSecond((status) => status.cpuMicros) / 1e6;
  }
}

/** How many peers speak what. */
export type PeersByWire = Readonly<Record<Wire, number>>;

export function countByWire(peers: Iterable<{ readonly wire: Wire }>): PeersByWire {
  const counts = { hawser: 0, netcode: 0 };
  for (const { wire } of peers) ++counts[wire];
  return counts;
}
