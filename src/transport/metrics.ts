// What is measured of listeners: every count of `TransportStats`, by the conventions of Prometheus. Reasons of drops keep their names.

import { type Metric, MetricMaker, metricOfEach, type Ranges } from '../base/metrics.js';
import { type MetricsRegistry, registerMetrics } from '../base/prometheus.js';
import type { Wire } from '../base/wire.js';
import type { TransportStats } from './stats.js';

/** What the metrics of a listener are made of. */
export interface ListenerMetricsSource extends TransportStats {
  readonly peersByWire: Readonly<Partial<Record<Wire, number>>>;
  /** Undefined where it is not known: then there is no sample. */
  readonly maxPeers: number | undefined;
  readonly memoryBytes: number;
  /** Round trips of the peers that are connected, in milliseconds; undefined where nobody looked. */
  readonly rttMs: Ranges | undefined;
}

/** A `Server`, or what can say the same of itself. */
export interface TransportMetricsSource {
  /** The counters. */
  readonly stats: TransportStats;
  /** Native memory. */
  readonly memoryBytes: number;
  /** How many are connected. */
  readonly peers: Iterable<{ readonly wire: Wire }>;
}

const make: MetricMaker<ListenerMetricsSource> = new MetricMaker('transport');

/** Counters of the socket that are no drops, and what they are called here. */
const socketEvents = {
  receive_calls: 'receiveCalls',
  send_calls: 'sendCalls',
  coalesced_datagrams: 'receiveCoalesced',
  segmented_datagrams: 'sendSegmented',
  send_blocked: 'sendBlocked',
  receive_errors: 'receiveErrors',
  poll_errors: 'pollErrors',
  turns: 'turns',
  unfinished_turns: 'unfinishedTurns',
  deliveries: 'deliveries',
  slabs_replaced: 'slabsReplaced',
  datagrams_handed_over: 'datagramsHandedOver',
  impaired_duplicates: 'impairedDuplicated',
  impaired_held_back: 'impairedHeldBack',
} as const;

/** All metrics of one listener. */
export const listenerMetrics: readonly Metric<ListenerMetricsSource>[] = [
  // ---- Peers
  make.gaugeBy(
    'peers',
    'wire',
    'Peers that are connected, by wire format.',
    ({ peersByWire }) => peersByWire,
  ),
  make.gauge('peers_limit', 'Peers that there may be at a time.', ({ maxPeers }) => maxPeers),
  make.levels(
    'peer_rtt_seconds',
    'Peers of HAWSER that are connected now, by their round trip: levels, not for rate().',
    ({ rttMs }) => rttMs,
  ),
  make.counter('peers_connected_total', 'Peers that connected.', count('peersConnected')),
  make.counter(
    'peers_disconnected_total',
    'Peers that ended with a Disconnect, of either side.',
    count('peersDisconnected'),
  ),
  make.counter(
    'peers_timed_out_total',
    'Peers of which nothing was heard for too long.',
    count('peersTimedOut'),
  ),
  make.counter('peers_replaced_total', 'Peers whose client connected anew.', count('peersReplaced')),
  make.counter(
    'peers_protocol_errors_total',
    'Peers that were disconnected since they broke the protocol.',
    count('peersProtocolError'),
  ),
  make.counter(
    'peers_no_progress_total',
    'Peers that were disconnected because their unfinished messages or acknowledgements made no progress.',
    count('peersNoProgress'),
  ),
  make.counterBy(
    'peers_slow_total',
    'reason',
    'Peers that were disconnected because of the memory held for messages to them: their own limit, or that of all peers.',
    ({ counters: { peersSlowConsumer, peersSendMemoryFull } }) => ({
      slow_consumer: peersSlowConsumer,
      send_memory_full: peersSendMemoryFull,
    }),
  ),
  // ---- Handshakes
  make.gauge('half_open', 'Handshakes that wait for their confirmation.', count('halfOpen')),
  make.gauge('handshake_queue_length', 'Handshakes that wait for their turn.', count('handshakeQueueLength')),
  make.gauge('handshake_queue_peak', 'The most that ever waited.', count('handshakeQueuePeak')),
  make.counterBy(
    'handshakes_total',
    'result',
    'Handshakes: completed, refused with a denial, or expired half open.',
    ({ counters: { handshakesCompleted, handshakesRefused, halfOpenExpired } }) => ({
      completed: handshakesCompleted,
      refused: handshakesRefused,
      expired: halfOpenExpired,
    }),
  ),
  make.counterBy(
    'handshake_datagrams_total',
    'kind',
    'Datagrams of handshakes and resets, by kind.',
    ({ counters }) => ({
      request_received: counters.requestsReceived,
      challenge_sent: counters.challengesSent,
      response_received: counters.responsesReceived,
      accept_sent: counters.acceptsSent,
      denied_sent: counters.deniedSent,
      reset_sent: counters.resetsSent,
      reset_received: counters.resetsReceived,
    }),
  ),
  // ---- Traffic
  directed('datagrams_total', 'Datagrams.', 'datagramsReceived', 'datagramsSent'),
  directed(
    'datagram_bytes_total',
    'Bytes of datagrams, UDP and IP headers apart.',
    'bytesReceived',
    'bytesSent',
  ),
  directed('packets_total', 'Session packets that were opened or sealed.', 'packetsOpened', 'packetsSealed'),
  directed('messages_total', 'Messages.', 'messagesReceived', 'messagesSent'),
  directed('message_bytes_total', 'Bytes of messages.', 'messageBytesReceived', 'messageBytesSent'),
  make.counterBy(
    'dropped_total',
    'reason',
    'Datagrams and messages that were dropped, by reason; docs/protocol.md says what makes each one count.',
    ({ drops }) => drops,
  ),
  make.counter('packets_lost_total', 'Sent packets that were declared lost.', count('packetsLost')),
  make.counter(
    'spurious_losses_total',
    'Packets that were declared lost and acknowledged later.',
    count('spuriousLosses'),
  ),
  make.counter(
    'acks_incomplete_total',
    'ACK frames that left out a packet received since the ACK before, because an ACK lists a limited number of ranges.',
    count('acksIncomplete'),
  ),
  make.counter(
    'redundant_bytes_total',
    'Bytes of frames that repeated messages before these were known to be lost.',
    count('redundantBytes'),
  ),
  make.counterBy(
    'messages_given_up_total',
    'reason',
    'Messages that were not delivered: their time to live passed, or they were lost and are not sent again.',
    ({ counters: { messagesExpired, messagesLost } }) => ({ expired: messagesExpired, lost: messagesLost }),
  ),
  make.counterBy('pings_total', 'kind', 'Pings and pongs.', ({ counters }) => ({
    ping_sent: counters.pingsSent,
    pong_received: counters.pongsReceived,
    pong_unexpected: counters.unexpectedPong,
  })),
  make.counter(
    'control_frames_repeated_total',
    'Control frames that came again, and had no effect.',
    count('controlFramesRepeated'),
  ),
  // ---- Addresses and keys
  make.counterBy(
    'moves_total',
    'state',
    'Peers that came from another address, by what became of it.',
    ({ counters }) => ({
      begun: counters.movesBegun,
      completed: counters.movesCompleted,
      cancelled: counters.movesCancelled,
      failed: counters.movesFailed,
    }),
  ),
  make.counterBy('key_updates_total', 'result', 'Key updates of connections.', ({ counters }) => ({
    done: counters.keyUpdates,
    refused: counters.keyUpdatesRefused,
  })),
  // ---- Memory
  make.gauge(
    'grown_credit_bytes',
    'By how much the credit of all peers is larger than at first.',
    count('grownCreditBytes'),
  ),
  make.counter(
    'credit_refusals_total',
    'How often credit of a peer did not grow because that of all peers had.',
    count('creditRefusals'),
  ),
  make.gauge('send_queue_bytes', 'What waits to be sent or acknowledged.', count('sendQueueBytes')),
  make.gauge('reassembly_bytes', 'What waits for missing parts.', count('reassemblyBytes')),
  make.gauge(
    'reassembly_peak_bytes',
    'Upper bound of the most that ever waited: the sum of the peaks of each kind of message.',
    count('reassemblyBytesPeak'),
  ),
  make.gauge('packet_buffers', 'Packet buffers that are in use.', count('packetBuffersInUse')),
  make.gauge('packet_buffers_peak', 'The most that ever were.', count('packetBuffersPeak')),
  make.gauge('native_memory_bytes', 'Native memory: peers, pools, maps.', ({ memoryBytes }) => memoryBytes),
  // ---- Work
  make.counter('engine_turns_total', 'Turns of the protocol.', count('turns')),
  make.counter('timers_fired_total', 'Timers that fired.', count('timersFired')),
  make.counterBy(
    'socket_datagrams_total',
    'direction',
    'Datagrams, as the socket counts them: before any of them is dropped.',
    ({ socket }) => ({ received: socket.datagramsIn ?? 0, sent: socket.datagramsOut ?? 0 }),
  ),
  make.counterBy(
    'socket_bytes_total',
    'direction',
    'Bytes of UDP payload, as the socket counts them.',
    ({ socket }) => ({ received: socket.bytesIn ?? 0, sent: socket.bytesOut ?? 0 }),
  ),
  make.counterBy(
    'socket_events_total',
    'event',
    'What the driver and the system did: calls, offloads, turns.',
    ({ socket }) =>
      Object.fromEntries(Object.entries(socketEvents).map(([name, cell]) => [name, socket[cell] ?? 0])),
  ),
  make.counterBy(
    'socket_dropped_total',
    'reason',
    'Datagrams that the socket, the driver or the system dropped, by reason; kernelReceive: the receive buffer was full.',
    ({ socket }) => socketDrops(socket),
  ),
];

function count(name: keyof ListenerMetricsSource['counters']): (source: ListenerMetricsSource) => number {
  return ({ counters }) => counters[name];
}

/** A counter with the label `direction`. */
function directed(
  name: string,
  help: string,
  received: keyof ListenerMetricsSource['counters'],
  sent: keyof ListenerMetricsSource['counters'],
): Metric<ListenerMetricsSource> {
  return make.counterBy(name, 'direction', help, ({ counters }) => ({
    received: counters[received],
    sent: counters[sent],
  }));
}

/** `dropKernelReceive` -> `kernelReceive`. */
function socketDrops(socket: TransportStats['socket']): Record<string, number> {
  const drops = Object.entries(socket).filter(([name]) => name.startsWith('drop'));
  return Object.fromEntries(
    drops.map(([name, value]) => [name.charAt(4).toLowerCase() + name.slice(5), value]),
  );
}

/** Listeners with the names that they have in the label `listener`. */
export type NamedListeners = readonly { readonly name: string; readonly source: ListenerMetricsSource }[];

/** All metrics of any number of listeners. */
export const transportMetrics: readonly Metric<NamedListeners>[] = listenerMetrics.map((metric) =>
  metricOfEach(metric, 'listener', (listeners: NamedListeners) => listeners),
);

/**
 * Puts all metrics of servers into a registry of prom-client. They are read when the registry is. The round trips of peers are not among them,
 * since somebody would have to look at each peer: a gateway of `hawser/gateway` does.
 *
 * @param servers by the names that they have in the label `listener`.
 * @param registry a `Registry` of prom-client 15.
 * @throws HawserError ERR_HAWSER_ARGUMENT when the registry has a metric of that name already: nothing is put into it.
 */
export function registerTransportMetrics(
  servers: Readonly<Record<string, TransportMetricsSource>>,
  registry: MetricsRegistry,
): void {
  const read = (): NamedListeners =>
    Object.entries(servers).map(([name, server]) => ({ name, source: sourceOf(server) }));
  registerMetrics(transportMetrics, read, registry);
}

function sourceOf({ stats, memoryBytes, peers }: TransportMetricsSource): ListenerMetricsSource {
  const peersByWire: Record<Wire, number> = { hawser: 0, netcode: 0 };
  for (const { wire } of peers) ++peersByWire[wire];
  return { ...stats, memoryBytes, peersByWire, maxPeers: undefined, rttMs: undefined };
}
