// What `hawser gateway` says of itself as it runs.

import type { Wire } from '../base/wire.js';
import type { TransportStats } from '../transport/stats.js';
import {
  countByWire,
  dropsByReason,
  type GatewayStatus,
  newDrops,
  type PeersByWire,
  processStatus,
  RateWindow,
} from './status.js';
import { count, printableJson } from './terminal.js';

const statusIntervalMs = 1000;

/** A server, whatever its channels. */
export interface AnyServer {
  readonly address: string;
  readonly protocolId: bigint;
  readonly publicAddresses: readonly string[];
  readonly peers: Iterable<{ readonly wire: Wire }> & { readonly size: number };
  readonly stats: TransportStats;
}

/** `3 peers`; `3 peers (1 hawser, 2 netcode)` where both are spoken. */
export function peersText(server: AnyServer, wires: readonly Wire[]): string {
  const { peersByWire } = byWire(server, wires);
  const total = `${count(server.peers.size)} peers`;
  if (peersByWire === undefined) return total;
  return `${total} (${wires.map((wire) => `${count(peersByWire[wire])} ${wire}`).join(', ')})`;
}

/** Nothing where one wire format is spoken. */
export function byWire(server: AnyServer, wires: readonly Wire[]): { readonly peersByWire?: PeersByWire } {
  return wires.length > 1 ? { peersByWire: countByWire(server.peers) } : {};
}

export function statusOf(server: AnyServer, wires: readonly Wire[] = []): GatewayStatus {
  const stats = server.stats;
  const { peersConnected, peersDisconnected, handshakesCompleted, messagesReceived, messagesSent } =
    stats.counters;
  return {
    ...processStatus(),
    peers: server.peers.size,
    ...byWire(server, wires),
    peersConnected,
    peersDisconnected,
    handshakesCompleted,
    messagesReceived,
    messagesSent,
    drops: dropsByReason(stats),
  };
}

/**
 * Prints a status each second until the function that it returns is called, which prints the last one.
 *
 * @param more what else belongs to it.
 */
export function printStatuses(
  server: AnyServer,
  wires: readonly Wire[],
  more: () => Readonly<Record<string, unknown>>,
): () => void {
  const rates = new RateWindow<GatewayStatus>();
  let before = statusOf(server, wires);
  rates.push(before);
  const print = (event: string): void => {
    const status = statusOf(server, wires);
    rates.push(status);
    const { cpuMicros: _cpu, timeMs: _time, drops, ...totals } = status;
    printEvent({
      event,
      time: new Date().toISOString(),
      ...totals,
      messagesPerSecond: Math.round(rates.perSecond(({ messagesReceived }) => messagesReceived)),
      cpuPercent: Math.round(rates.cpuShare() * 1000) / 10,
      ...more(),
      // Since the line before.
      drops: newDrops(drops, before.drops),
    });
    before = status;
  };
  const timer = setInterval(print, statusIntervalMs, 'status');
  return () => {
    clearInterval(timer);
    print('closed');
  };
}

/** One event of `--json`. */
export function printEvent(content: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${printableJson(JSON.stringify(content))}\n`);
}
