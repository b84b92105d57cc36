// What the dashboard draws over time: a few numbers of a snapshot, small enough that the last minutes of them can be kept.

import type { Distribution, GatewaySnapshot, ListenerSnapshot } from '../snapshot.js';

/** The numbers of one instant, all listeners together. Those that end in `Total` only grow. */
export interface Sample {
  readonly timeMs: number;
  readonly peers: number;
  readonly messagesReceivedTotal: number;
  readonly messagesSentTotal: number;
  readonly bytesReceivedTotal: number;
  readonly bytesSentTotal: number;
  readonly packetsSentTotal: number;
  readonly packetsLostTotal: number;
  readonly spuriousLossesTotal: number;
  readonly dropsTotal: number;
  readonly cpuMicrosTotal: number;
  readonly rssBytes: number;
  /** The 99th percentile, in milliseconds. */
  readonly loopDelayMs: number;
  /** Round trips of the peers that are connected, in milliseconds. */
  readonly rttMs: Distribution;
}

export function sampleOf({ timeMs, process, listeners }: GatewaySnapshot): Sample {
  const sum = (value: (listener: ListenerSnapshot) => number): number =>
    listeners.reduce((total, listener) => total + value(listener), 0);
  return {
    timeMs,
    peers: sum(({ peers }) => peers),
    messagesReceivedTotal: sum(({ counters }) => counters.messagesReceived),
    messagesSentTotal: sum(({ counters }) => counters.messagesSent),
    bytesReceivedTotal: sum(({ counters }) => counters.bytesReceived),
    bytesSentTotal: sum(({ counters }) => counters.bytesSent),
    packetsSentTotal: sum(({ counters }) => counters.packetsSealed),
    packetsLostTotal: sum(({ counters }) => counters.packetsLost),
    spuriousLossesTotal: sum(({ counters }) => counters.spuriousLosses),
    dropsTotal: sum(({ drops }) => Object.values(drops).reduce((total, count) => total + count, 0)),
    cpuMicrosTotal: process.cpuMicros,
    rssBytes: process.rssBytes,
    loopDelayMs: process.loopDelayMs.p99,
    rttMs: together(listeners.map(({ rttMs }) => rttMs)),
  };
}

/** All listeners count in the same ranges. */
function together(distributions: readonly Distribution[]): Distribution {
  const bounds = distributions[0]?.bounds ?? [];
  const counts = Array.from({ length: bounds.length + 1 }, (_, index) =>
    distributions.reduce((total, { counts }) => total + (counts[index] ?? 0), 0),
  );
  return { bounds, counts };
}
