// What `hawser gateway` says of itself as it runs.

import type { Wire } from '../base/wire.js';
import type { Gateway } from '../gateway/gateway.js';
import { sessionCounts } from '../gateway/tokens/health.js';
import { addStats, type TransportStats } from '../transport/stats.js';
import {
  dropsByReason,
  type GatewayStatus,
  newDrops,
  type PeersByWire,
  processStatus,
  RateWindow,
} from './status.js';
import { count, printableJson } from './terminal.js';

const statusIntervalMs = 1000;

/** The listeners of a gateway together. */
interface Totals {
  readonly stats: TransportStats;
  readonly peers: number;
  /** Where more than one wire format is spoken. */
  readonly byWire: PeersByWire | undefined;
  readonly sessions: Readonly<Record<string, unknown>> | undefined;
}

function totalsOf(gateway: Gateway): Totals {
  const { listeners, layers } = gateway.snapshot();
  const wires = new Set(listeners.flatMap((listener) => listener.wires));
  const sum = (wire: Wire): number => listeners.reduce((all, { peersByWire }) => all + peersByWire[wire], 0);
  return {
    stats: addStats(listeners),
    peers: listeners.reduce((all, { peers }) => all + peers, 0),
    byWire: wires.size > 1 ? { hawser: sum('hawser'), netcode: sum('netcode') } : undefined,
    sessions: layers.sessions === undefined ? undefined : sessionCounts(layers.sessions),
  };
}

/** `3 peers`; `3 peers (1 hawser, 2 netcode)` where both are spoken. */
export function peersText(gateway: Gateway): string {
  const { peers, byWire } = totalsOf(gateway);
  const total = `${count(peers)} peers`;
  if (byWire === undefined) return total;
  return `${total} (${count(byWire.hawser)} hawser, ${count(byWire.netcode)} netcode)`;
}

export function statusOf(gateway: Gateway): GatewayStatus {
  const { stats, peers, byWire } = totalsOf(gateway);
  const { peersConnected, peersDisconnected, handshakesCompleted, messagesReceived, messagesSent } =
    stats.counters;
  return {
    ...processStatus(),
    peers,
    ...(byWire !== undefined && { peersByWire: byWire }),
    peersConnected,
    peersDisconnected,
    handshakesCompleted,
    messagesReceived,
    messagesSent,
    drops: dropsByReason(stats),
  };
}

/** Prints a status each second until the function that it returns is called, which prints the last one. */
export function printStatuses(gateway: Gateway): () => void {
  const rates = new RateWindow<GatewayStatus>();
  let before = statusOf(gateway);
  rates.push(before);
  const print = (event: string): void => {
    const status = statusOf(gateway);
    const { sessions } = totalsOf(gateway);
    rates.push(status);
    const { cpuMicros: _cpu, timeMs: _time, drops, ...totals } = status;
    printEvent({
      event,
      time: new Date().toISOString(),
      ...totals,
      messagesPerSecond: Math.round(rates.perSecond(({ messagesReceived }) => messagesReceived)),
      cpuPercent: Math.round(rates.cpuShare() * 1000) / 10,
      ...(sessions !== undefined && { sessions }),
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
