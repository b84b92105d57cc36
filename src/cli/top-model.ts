// What `hawser top` knows: snapshots as they come, and from them rates over about a second.

import { printable } from '../base/printable.js';
import type { GatewaySnapshot, ListenerSnapshot } from '../gateway/snapshot.js';
import { type ProcessStatus, RateWindow } from './status.js';

interface Status extends ProcessStatus {
  readonly listeners: ReadonlyMap<string, ListenerSnapshot>;
}

/** Why something was dropped, how often, and how often in a second now. */
export interface DropRate {
  readonly reason: string;
  readonly total: number;
  readonly perSecond: number;
}

/** How much a listener does now. */
export interface ListenerRates {
  readonly datagramsIn: number;
  readonly datagramsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly messagesIn: number;
  readonly messagesOut: number;
  /** The share of the packets of the last second that were lost, 0 to 1. */
  readonly lossShare: number;
  /** Packets that were declared lost and acknowledged later, as a share of the packets of the last second, 0 to 1. */
  readonly spuriousLossShare: number;
  /** Those that grow now first, the fastest of them before the others; then by their totals. */
  readonly drops: readonly DropRate[];
}

export class TopModel {
  readonly #window = new RateWindow<Status>();
  #snapshot: GatewaySnapshot | undefined;

  /** The newest; every text in it is fit for a terminal. */
  get snapshot(): GatewaySnapshot | undefined {
    return this.#snapshot;
  }

  push(given: GatewaySnapshot): void {
    const snapshot = printableTexts(given);
    const { startedAtMs, pid } = this.#snapshot ?? snapshot;
    // Another process counts from zero.
    if (startedAtMs !== snapshot.startedAtMs || pid !== snapshot.pid) this.#window.clear();
    this.#snapshot = snapshot;
    this.#window.push({
      timeMs: snapshot.timeMs,
      cpuMicros: snapshot.process.cpuMicros,
      rssBytes: snapshot.process.rssBytes,
      listeners: new Map(snapshot.listeners.map((listener) => [listener.name, listener])),
    });
  }

  /** The share of one core: 1 is all of it. */
  cpuShare(): number {
    return this.#window.cpuShare();
  }

  ratesOf(name: string): ListenerRates {
    const rate = (of: (listener: ListenerSnapshot) => number): number =>
      this.#window.perSecond(({ listeners }) => {
        const listener = listeners.get(name);
        return listener === undefined ? 0 : (of(listener) ?? 0);
      });
    const sealed = rate(({ counters }) => counters.packetsSealed);
    const shareOfSealed = (perSecond: number): number => (sealed > 0 ? Math.min(1, perSecond / sealed) : 0);
    const listener = this.#snapshot?.listeners.find((each) => each.name === name);
    return {
      datagramsIn: rate(({ counters }) => counters.datagramsReceived),
      datagramsOut: rate(({ counters }) => counters.datagramsSent),
      bytesIn: rate(({ counters }) => counters.bytesReceived),
      bytesOut: rate(({ counters }) => counters.bytesSent),
      messagesIn: rate(({ counters }) => counters.messagesReceived),
      messagesOut: rate(({ counters }) => counters.messagesSent),
      lossShare: shareOfSealed(rate(({ counters }) => counters.packetsLost)),
      spuriousLossShare: shareOfSealed(rate(({ counters }) => counters.spuriousLosses)),
      drops: listener === undefined ? [] : dropRates(listener, rate),
    };
  }
}

function dropRates(
  listener: ListenerSnapshot,
  rate: (of: (listener: ListenerSnapshot) => number) => number,
): DropRate[] {
  return Object.entries(dropsOf(listener))
    .filter(([, total]) => total > 0)
    .map(([reason, total]) => ({ reason, total, perSecond: rate((each) => dropsOf(each)[reason] ?? 0) }))
    .sort((a, b) => b.perSecond - a.perSecond || b.total - a.total);
}

/** Of the protocol, and of the operating system's socket (`dropKernelReceive`: `kernelReceive`), whatever the version of the gateway. */
function dropsOf({ drops, socket }: ListenerSnapshot): Readonly<Record<string, number>> {
  const all: Record<string, number> = { ...drops };
  for (const [name, value] of Object.entries(socket)) {
    const [, initial, rest] = /^drop([A-Z])(.*)$/.exec(name) ?? [];
    if (initial !== undefined && rest !== undefined) all[initial.toLowerCase() + rest] = value;
  }
  return all;
}

/** What came from a gateway, with every text in it as a terminal may have it: peers and agents choose some of them. */
export function printableTexts<T>(value: T): T {
  // The same shape comes out that goes in; that cannot be said of a function over any type.
  return convert(value) as T;
}

function convert(value: unknown): unknown {
  if (typeof value === 'string') return printable(value);
  if (Array.isArray(value)) return value.map(convert);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [printable(key), convert(item)]));
}
