// Statistics by name. The addon counts into memory that JavaScript sees; reading it is no call.

/**
 * The totals of a socket's protocol since it was opened; `peers` to `handshakeQueuePeak` are levels instead. Of a server with several I/O
 * threads they are sums over these, except that a peak is the highest of any one.
 */
export const counterNames = [
  'datagramsReceived',
  'datagramsSent',
  'bytesReceived',
  'bytesSent',
  'packetsOpened',
  'packetsSealed',
  'messagesReceived',
  'messagesSent',
  'messageBytesReceived',
  'messageBytesSent',
  'requestsReceived',
  'challengesSent',
  'responsesReceived',
  'acceptsSent',
  'deniedSent',
  'resetsSent',
  'resetsReceived',
  'handshakesCompleted',
  'handshakesRefused',
  'peersConnected',
  'peersDisconnected',
  'peersTimedOut',
  'peersReplaced',
  'peersProtocolError',
  'peersSlowConsumer',
  'peersSendMemoryFull',
  'peersNoProgress',
  'halfOpenExpired',
  'pingsSent',
  'pongsReceived',
  'unexpectedPong',
  'controlFramesRepeated',
  'packetsLost',
  'spuriousLosses',
  'acksIncomplete',
  'messagesExpired',
  'messagesLost',
  'creditRefusals',
  'redundantBytes',
  'movesBegun',
  'movesCompleted',
  'movesCancelled',
  'movesFailed',
  'keyUpdates',
  'keyUpdatesRefused',
  'turns',
  'timersFired',
  'peers',
  'halfOpen',
  'packetBuffersInUse',
  'packetBuffersPeak',
  'sendQueueBytes',
  'grownCreditBytes',
  'reassemblyBytes',
  'reassemblyBytesPeak',
  'handshakeQueueLength',
  'handshakeQueuePeak',
] as const;
/** One of `counterNames`. */
export type CounterName = (typeof counterNames)[number];

/** Why a datagram or a message was dropped; docs/protocol.md says what makes each one count. */
export const dropReasons = [
  'length',
  'unknownType',
  'reflected',
  'version',
  'protocol',
  'tokenLifetime',
  'tokenExpired',
  'tokenFuture',
  'unknownKey',
  'tokenInvalid',
  'tokenPredates',
  'tokenUsed',
  'tokenHistoryFull',
  'wrongAddress',
  'addressConnected',
  'clientIdConnected',
  'singleUseRefused',
  'cookieExpired',
  'cookieInvalid',
  'cookieConsumed',
  'cookieTableFull',
  'responseInvalid',
  'halfOpenFull',
  'handshakeBudget',
  'unexpected',
  'unknownConnection',
  'foreignShard',
  'unknownEpoch',
  'authentication',
  'foreignBudget',
  'replayed',
  'tooOld',
  'peerCeiling',
  'pingRateLimited',
  'repeatedMessage',
  'outdated',
  'reassemblyFull',
  'queueFull',
  'unconfirmedOverflow',
  'resetInvalid',
  'pathMtu',
  'outputFull',
  'notConnected',
  'eventQueueFull',
  'slabDetached',
  'undecodable',
] as const;
/** Why something was dropped: a name of docs/protocol.md. */
export type DropReason = (typeof dropReasons)[number];

/** Those that only JavaScript knows of. */
export const localDropReasons = ['slabDetached', 'undecodable'] as const;
type LocalDropReason = (typeof localDropReasons)[number];

/** A snapshot of what a socket counted. */
export interface TransportStats {
  /** By name. */
  readonly counters: Readonly<Record<CounterName, number>>;
  /**
   * Dropped datagrams and messages by reason. `slabDetached`: messages that could not be delivered because a listener
   * transferred the memory of their batch away. `undecodable`: messages that the codec of their channel refused.
   */
  readonly drops: Readonly<Record<DropReason, number>>;
  /** What the operating system's socket did, by the names of `SocketCounters` in native/io/udp_socket.hpp. */
  readonly socket: Readonly<Record<string, number>>;
}

/** `length` -> `dropLength`: how the addon names the counter of a drop. */
export function dropCounterName(reason: DropReason): string {
  return `drop${reason.charAt(0).toUpperCase()}${reason.slice(1)}`;
}

/** Places of counters by name, for each list of names that an addon has. */
const indexes = new WeakMap<readonly string[], ReadonlyMap<string, number>>();

function indexOf(names: readonly string[]): ReadonlyMap<string, number> {
  let index = indexes.get(names);
  if (index === undefined) {
    index = new Map(names.map((name, place) => [name, place]));
    indexes.set(names, index);
  }
  return index;
}

/** Reads the addon's cells by name; made once per socket. */
export class StatsReader {
  readonly #counters: BigUint64Array;
  readonly #counterIndex: ReadonlyMap<string, number>;
  readonly #socketCounters: BigUint64Array;
  readonly #socketNames: readonly string[];
  /** Counted here, because only JavaScript knows that it happened. */
  readonly local: Record<LocalDropReason, number> = { slabDetached: 0, undecodable: 0 };
  /** Messages of `queueFull` that never reached the addon. */
  queueFull = 0;

  constructor(
    counters: BigUint64Array,
    names: readonly string[],
    socketCounters: BigUint64Array,
    socketNames: readonly string[],
  ) {
    this.#counters = counters;
    this.#counterIndex = indexOf(names);
    this.#socketCounters = socketCounters;
    this.#socketNames = socketNames;
  }

  counter(name: string): number {
    const index = this.#counterIndex.get(name);
    return index === undefined ? 0 : Number(this.#counters[index] ?? 0n);
  }

  drop(reason: DropReason): number {
    if (isLocal(reason)) return this.local[reason];
    return this.counter(dropCounterName(reason)) + (reason === 'queueFull' ? this.queueFull : 0);
  }

  snapshot(): TransportStats {
    return {
      counters: record(counterNames, (name) => this.counter(name)),
      drops: record(dropReasons, (reason) => this.drop(reason)),
      socket: record(this.#socketNames, (_, index) => Number(this.#socketCounters[index] ?? 0n)),
    };
  }
}

/** What sockets counted together. */
export function addStats(stats: readonly TransportStats[]): TransportStats {
  return {
    counters: record(counterNames, (name) => total(name, stats, ({ counters }) => counters[name])),
    drops: record(dropReasons, (reason) => total(reason, stats, ({ drops }) => drops[reason])),
    socket: record(Object.keys(stats[0]?.socket ?? {}), (name) =>
      total(name, stats, ({ socket }) => socket[name] ?? 0),
    ),
  };
}

/** A sum; of peaks, which need not have come at the same time, the highest. */
function total(
  name: string,
  stats: readonly TransportStats[],
  value: (stats: TransportStats) => number,
): number {
  const combine = name.endsWith('Peak') ? Math.max : (sum: number, more: number): number => sum + more;
  return stats.map(value).reduce((before, more) => combine(before, more), 0);
}

function isLocal(reason: DropReason): reason is LocalDropReason {
  return localDropReasons.some((each) => each === reason);
}

function record<K extends string>(
  keys: readonly K[],
  value: (key: K, index: number) => number,
): Record<K, number> {
  // The keys are exactly those of the result, which fromEntries cannot express.
  return Object.fromEntries(keys.map((key, index) => [key, value(key, index)])) as Record<K, number>;
}
