// The options of a client, checked, with their defaults.

import {
  argumentError,
  checkBoolean,
  checkFunction,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkText,
  describe,
} from '../../base/check.js';
import type { ConnectionManagerOptions } from '../../base/connection-manager.js';
import { type Random, systemRandom } from '../../base/random.js';
import { systemWheel, TimingWheel } from '../../base/timing-wheel.js';
import { encodeClientMessage } from '../wire/codec.js';
import {
  type Capabilities,
  capabilitiesBytes,
  type Delivery,
  deliveries,
  deliveryCapability,
  hawserCapability,
  limits,
} from '../wire/messages.js';
import type {
  AdaptiveIntervals,
  ReceivedServerRequest,
  SessionClientOptions,
  SessionConnector,
  SessionSnapshot,
} from './options.js';
import type { SessionLink } from './session-link.js';

/** From one KeepAlive to the next, in milliseconds. */
export interface IntervalSettings {
  readonly busyMs: number;
  readonly idleMs: number;
  readonly poorNetworkMs: number;
}

/** The options with their defaults. */
export interface ClientSettings {
  readonly connector: SessionConnector;
  /** With those that this package adds. */
  readonly capabilities: Capabilities;
  readonly delivery: Delivery;
  readonly intervals: IntervalSettings;
  /** Undefined: by the round trip. */
  readonly answerTimeoutMs: number | undefined;
  readonly sessionAnswerTimeoutMs: number;
  readonly requestResendMs: number;
  readonly maxPending: number;
  readonly onServerRequest: ((request: ReceivedServerRequest) => void | Promise<void>) | undefined;
  readonly reconnection: Omit<
    ConnectionManagerOptions<SessionLink>,
    'connect' | 'release' | 'clock' | 'random' | 'reconnectAfter'
  >;
  readonly reconnectAfter: (reason: unknown) => boolean;
  readonly wheel: TimingWheel;
  readonly random: Random;
}

const optionNames = [
  'connector',
  'capabilities',
  'delivery',
  'intervals',
  'answerTimeoutMs',
  'sessionAnswerTimeoutMs',
  'requestResendMs',
  'maxPending',
  'onServerRequest',
  'reconnection',
  'testRanges',
  'wheel',
  'random',
] as const;
/** A client may have so many of its own, beside those of this package. */
const maxOwnCapabilities = 60;
/** Source document, "Heartbeat Intervals": 30 s, from 10 s to 120 s. */
const defaultIdleMs = 30_000;
const leastIntervalMs = 10_000;
const mostIntervalMs = 120_000;
/** At once after a loss and then with growing delays (source document, "Client-Side Detection"); a session that ends at once does not begin them anew. */
const defaultReconnection: ClientSettings['reconnection'] = {
  firstAttemptAtOnce: true,
  stableMs: 10_000,
  attemptTimeoutMs: 15_000,
  backoff: { initialMs: 500, maxMs: 30_000 },
};

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkClientOptions(options: SessionClientOptions): ClientSettings {
  checkOptions('options', options, optionNames);
  const least = checkBoolean('testRanges', options.testRanges ?? false) ? 1 : undefined;
  const intervals = checkIntervals(options.intervals ?? {}, least ?? leastIntervalMs);
  const delivery = checkOneOf('delivery', options.delivery ?? 'exactly-once', deliveries);
  const { answerTimeoutMs, onServerRequest } = options;
  const { reconnectAfter = () => true, ...reconnection } = options.reconnection ?? {};
  const { sessionAnswerTimeoutMs = 5000, requestResendMs = 10_000 } = options;
  return {
    connector: checkFunction('connector', options.connector),
    capabilities: checkCapabilities(options.capabilities ?? {}, delivery),
    delivery,
    intervals,
    answerTimeoutMs:
      answerTimeoutMs === undefined
        ? undefined
        : checkNumber('answerTimeoutMs', answerTimeoutMs, least ?? 100, intervals.idleMs),
    sessionAnswerTimeoutMs: checkNumber(
      'sessionAnswerTimeoutMs',
      sessionAnswerTimeoutMs,
      least ?? 100,
      600_000,
    ),
    requestResendMs: checkNumber('requestResendMs', requestResendMs, least ?? 1000, 600_000),
    maxPending: checkInteger('maxPending', options.maxPending ?? 100, 1, 100_000),
    onServerRequest: onServerRequest && checkFunction('onServerRequest', onServerRequest),
    reconnection: { ...defaultReconnection, ...reconnection },
    reconnectAfter: checkFunction('reconnectAfter', reconnectAfter),
    wheel: checkWheel(options.wheel ?? systemWheel()),
    random: checkFunction('random', options.random ?? systemRandom),
  };
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkSnapshot(session: SessionSnapshot): SessionSnapshot {
  checkOptions('session', session, ['id', 'nextRequestId', 'lastServerRequestId']);
  const id = (name: 'nextRequestId' | 'lastServerRequestId'): number =>
    checkInteger(`session.${name}`, session[name], 0, Number.MAX_SAFE_INTEGER);
  return {
    id: checkText('session.id', session.id, limits.sessionIdBytes),
    nextRequestId: id('nextRequestId'),
    lastServerRequestId: id('lastServerRequestId'),
  };
}

function checkIntervals(intervals: AdaptiveIntervals, leastMs: number): IntervalSettings {
  checkOptions('intervals', intervals, ['busyMs', 'idleMs', 'poorNetworkMs']);
  const idleMs = checkNumber('idleMs', intervals.idleMs ?? defaultIdleMs, leastMs, mostIntervalMs);
  const part = (name: 'busyMs' | 'poorNetworkMs', divisor: number): number =>
    checkNumber(name, intervals[name] ?? Math.max(leastMs, idleMs / divisor), leastMs, idleMs);
  return { busyMs: part('busyMs', 2), idleMs, poorNetworkMs: part('poorNetworkMs', 3) };
}

function checkCapabilities(own: Readonly<Record<string, string>>, delivery: Delivery): Capabilities {
  const names = [hawserCapability.name, deliveryCapability];
  const entries = Object.entries(checkRecord(own));
  if (entries.length > maxOwnCapabilities) {
    throw argumentError('capabilities', `at most ${maxOwnCapabilities}`, String(entries.length));
  }
  for (const [name] of entries) {
    if (names.includes(name))
      throw argumentError('capabilities', `without ${describe(name)}`, 'one of that name');
  }
  const all = new Map<string, string>([...entries, [hawserCapability.name, hawserCapability.value]]);
  if (delivery !== 'exactly-once') all.set(deliveryCapability, delivery);
  // What cannot be written is refused here, not when a gateway has been reached.
  encodeClientMessage({ type: 'CreateSession', capabilities: all, nonce: 1n });
  if (capabilitiesBytes(all) > limits.capabilitiesBytes) {
    const rule = `names and values of at most ${limits.capabilitiesBytes} bytes together`;
    throw argumentError('capabilities', rule, `${capabilitiesBytes(all)}`);
  }
  return all;
}

function checkRecord(value: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  if (Object.prototype.toString.call(value) === '[object Object]') return value;
  throw argumentError('capabilities', 'an object', describe(value));
}

function checkWheel(wheel: TimingWheel): TimingWheel {
  if (wheel instanceof TimingWheel) return wheel;
  throw argumentError('wheel', 'a TimingWheel', describe(wheel));
}
