// What a session server can be told about how it is to work.

import { randomUUID } from 'node:crypto';
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
import { type Random, systemRandom } from '../../base/random.js';
import { systemWheel, TimingWheel } from '../../base/timing-wheel.js';
import type { SessionStore } from '../store/store.js';
import { limits } from '../wire/messages.js';
import type { ExpireHandler, QueryHandler, RequestHandler } from './handler.js';

/** How several gateways share a store. */
export const clusterModes = ['active', 'leader'] as const;
/** One of {@link clusterModes}. */
export type ClusterMode = (typeof clusterModes)[number];

/** What to do about a client whose clock differs too much. */
export const skewPolicies = ['reject', 'warn'] as const;
/** One of {@link skewPolicies}. */
export type SkewPolicy = (typeof skewPolicies)[number];

/** What keeps a session alive: KeepAlives only, or whatever comes of its client. */
export const renewals = ['keepalive', 'any'] as const;
/** One of {@link renewals}. */
export type Renewal = (typeof renewals)[number];

/** Options of {@link SessionServer}. The defaults and ranges of times are those of the source document, "Timing Requirements". */
export interface SessionServerOptions {
  /** Where sessions are kept. It stays open when the server is closed. */
  readonly store: SessionStore;
  /** Its name among the gateways of the store, 1 to 256 bytes of UTF-8 without `/`; a new UUID by default. */
  readonly gateway?: string;
  /** Where clients reach it, `host:port` as tokens list it: what clients of another gateway are sent to. Unknown by default. */
  readonly advertise?: string;
  /** `active` (the default): every gateway serves. `leader`: only the elected one does, as in the source document. */
  readonly cluster?: ClusterMode;
  /** Requests are refused (`HandlerFailed`) without one. */
  readonly onRequest?: RequestHandler;
  /** Queries are refused (`HandlerFailed`) without one. */
  readonly onQuery?: QueryHandler;
  /** Told of sessions that end; see {@link ExpireHandler}. */
  readonly onExpire?: ExpireHandler;
  /** How often clients send KeepAlive, in milliseconds, 10,000 to 120,000; 30,000 by default. */
  readonly keepAliveIntervalMs?: number;
  /** After how long without KeepAlive a session expires, at least 2 intervals, at most 3,600,000; 3 intervals by default. */
  readonly sessionTimeoutMs?: number;
  /**
   * After how long without KeepAlive a session is told of (`sessionWarning`): between `keepAliveIntervalMs` and `sessionTimeoutMs`; five sixths
   * of the latter by default, which is 75 s of 90 s.
   */
  readonly warningThresholdMs?: number;
  /** How long the sessions of a gateway that is gone have to be continued, `sessionTimeoutMs` to 86,400,000; 1.5 times that by default. */
  readonly graceMs?: number;
  /** By how much a timestamp may be ahead, in milliseconds, 0 to 3,600,000; 10,000 by default. It may be behind by `sessionTimeoutMs`. */
  readonly clockSkewToleranceMs?: number;
  /** What a timestamp beyond that means: the KeepAlive does not count and is not answered (`reject`, the default), or does (`warn`). */
  readonly skewPolicy?: SkewPolicy;
  /** What puts off expiry besides Create and Continue: KeepAlive alone (the default, as the source document says), or whatever comes. */
  readonly renewOn?: Renewal;
  /** Allows times from 1 ms on, for tests. False by default. */
  readonly testRanges?: boolean;
  /** Sessions that this gateway keeps, 1 to 10,000,000; 100,000 by default. Beyond it none is created. */
  readonly maxSessions?: number;
  /** Sessions of one identity on this gateway, 1 to 1,000,000; 16 by default. */
  readonly maxSessionsPerIdentity?: number;
  /** Sessions created in a second, 100 to 1,000,000; 1,000 by default; as many as ten seconds' at once. Beyond it `Other` is answered. */
  readonly createsPerSecond?: number;
  /** Bytes of the payload of a request or a query, 0 to 1,048,576; that by default. */
  readonly maxRequestBytes?: number;
  /** Requests and queries of a session that are under way or wait, 1 to 10,000; 100 by default. */
  readonly maxRequestsInFlight?: number;
  /** Requests of a session that are handled at a time, 1 to `maxRequestsInFlight`; 1 by default: in the order in which they came. */
  readonly requestsAtOnce?: number;
  /** Outcomes that are kept for a session, `maxRequestsInFlight` to 100,000; 256 by default. Beyond it requests are refused until the client says that it has some. */
  readonly maxKeptResponses?: number;
  /** Server requests of a session that are sent and not acknowledged, 1 to 1,000; 10 by default. The next ones wait. */
  readonly maxServerRequestsInFlight?: number;
  /** Server requests of a session that are kept, 1 to 100,000; 1,000 by default. A commit that would add more is refused as a failure of its handler. */
  readonly maxServerRequests?: number;
  /** After how long a server request is sent again, 1,000 to 600,000; 10,000 by default. */
  readonly serverRequestRetryMs?: number;
  /** Where its timers run; one for the whole process by default. */
  readonly wheel?: TimingWheel;
  /** Where jitter is taken from; {@link systemRandom} by default. Session ids are never made of it. */
  readonly random?: Random;
}

/** The options with their defaults. */
export interface ServerSettings {
  readonly store: SessionStore;
  readonly gateway: string;
  readonly advertise: string;
  readonly cluster: ClusterMode;
  readonly onRequest: RequestHandler | undefined;
  readonly onQuery: QueryHandler | undefined;
  readonly onExpire: ExpireHandler | undefined;
  readonly keepAliveIntervalMs: number;
  readonly sessionTimeoutMs: number;
  readonly warningThresholdMs: number;
  readonly graceMs: number;
  readonly clockSkewToleranceMs: number;
  readonly skewPolicy: SkewPolicy;
  readonly renewOn: Renewal;
  readonly maxSessions: number;
  readonly maxSessionsPerIdentity: number;
  readonly createsPerSecond: number;
  readonly maxRequestBytes: number;
  readonly maxRequestsInFlight: number;
  readonly requestsAtOnce: number;
  readonly maxKeptResponses: number;
  readonly maxServerRequestsInFlight: number;
  readonly maxServerRequests: number;
  readonly serverRequestRetryMs: number;
  readonly wheel: TimingWheel;
  readonly random: Random;
}

const optionNames = [
  'store',
  'gateway',
  'advertise',
  'cluster',
  'onRequest',
  'onQuery',
  'onExpire',
  'keepAliveIntervalMs',
  'sessionTimeoutMs',
  'warningThresholdMs',
  'graceMs',
  'clockSkewToleranceMs',
  'skewPolicy',
  'renewOn',
  'testRanges',
  'maxSessions',
  'maxSessionsPerIdentity',
  'createsPerSecond',
  'maxRequestBytes',
  'maxRequestsInFlight',
  'requestsAtOnce',
  'maxKeptResponses',
  'maxServerRequestsInFlight',
  'maxServerRequests',
  'serverRequestRetryMs',
  'wheel',
  'random',
] as const;

/** The clean-up of the source document comes each second; a timeout must not be shorter than ten of them. */
export const cleanupIntervalMs = 1000;
const hourMs = 3_600_000;
const dayMs = 86_400_000;
const maxGatewayBytes = 256;

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkServerOptions(options: SessionServerOptions): ServerSettings {
  checkOptions('options', options, optionNames);
  const relaxed = checkBoolean('testRanges', options.testRanges ?? false);
  const integer = (name: keyof SessionServerOptions, usual: number, min: number, max: number): number =>
    checkInteger(name, options[name] ?? usual, min, max);
  const ms = (name: keyof SessionServerOptions, usual: number, min: number, max: number): number =>
    checkNumber(name, options[name] ?? usual, relaxed ? 1 : min, max);
  const keepAliveIntervalMs = ms('keepAliveIntervalMs', 30_000, 10_000, 120_000);
  const leastTimeoutMs = Math.max(2 * keepAliveIntervalMs, 10 * cleanupIntervalMs);
  const sessionTimeoutMs = ms('sessionTimeoutMs', 3 * keepAliveIntervalMs, leastTimeoutMs, hourMs);
  const warningThresholdMs = checkBetween(
    options.warningThresholdMs ?? (sessionTimeoutMs * 5) / 6,
    keepAliveIntervalMs,
    sessionTimeoutMs,
  );
  const maxRequestsInFlight = integer('maxRequestsInFlight', 100, 1, 10_000);
  return {
    store: checkStore(options.store),
    gateway: checkGateway(options.gateway ?? randomUUID()),
    advertise:
      options.advertise === undefined ? '' : checkText('advertise', options.advertise, maxGatewayBytes),
    cluster: checkOneOf('cluster', options.cluster ?? 'active', clusterModes),
    onRequest: options.onRequest === undefined ? undefined : checkFunction('onRequest', options.onRequest),
    onQuery: options.onQuery === undefined ? undefined : checkFunction('onQuery', options.onQuery),
    onExpire: options.onExpire === undefined ? undefined : checkFunction('onExpire', options.onExpire),
    keepAliveIntervalMs,
    sessionTimeoutMs,
    warningThresholdMs,
    graceMs: checkNumber('graceMs', options.graceMs ?? sessionTimeoutMs * 1.5, sessionTimeoutMs, dayMs),
    clockSkewToleranceMs: checkNumber(
      'clockSkewToleranceMs',
      options.clockSkewToleranceMs ?? 10_000,
      0,
      hourMs,
    ),
    skewPolicy: checkOneOf('skewPolicy', options.skewPolicy ?? 'reject', skewPolicies),
    renewOn: checkOneOf('renewOn', options.renewOn ?? 'keepalive', renewals),
    maxSessions: integer('maxSessions', 100_000, 1, 10_000_000),
    maxSessionsPerIdentity: integer('maxSessionsPerIdentity', 16, 1, 1_000_000),
    createsPerSecond: integer('createsPerSecond', 1000, 100, 1_000_000),
    maxRequestBytes: integer('maxRequestBytes', limits.requestBytes, 0, limits.requestBytes),
    maxRequestsInFlight,
    requestsAtOnce: integer('requestsAtOnce', 1, 1, maxRequestsInFlight),
    maxKeptResponses: integer(
      'maxKeptResponses',
      Math.max(256, maxRequestsInFlight),
      maxRequestsInFlight,
      100_000,
    ),
    maxServerRequestsInFlight: integer('maxServerRequestsInFlight', 10, 1, 1000),
    maxServerRequests: integer('maxServerRequests', 1000, 1, 100_000),
    serverRequestRetryMs: ms('serverRequestRetryMs', 10_000, 1000, 600_000),
    wheel: checkWheel(options.wheel ?? systemWheel()),
    random: checkFunction('random', options.random ?? systemRandom),
  };
}

function checkBetween(value: number, low: number, high: number): number {
  if (typeof value === 'number' && value > low && value < high) return value;
  const rule = `between keepAliveIntervalMs (${low}) and sessionTimeoutMs (${high})`;
  throw argumentError('warningThresholdMs', rule, describe(value));
}

function checkGateway(value: string): string {
  if (!checkText('gateway', value, maxGatewayBytes).includes('/')) return value;
  throw argumentError('gateway', 'a name without /', describe(value));
}

function checkStore(store: SessionStore): SessionStore {
  if (typeof store?.txn === 'function' && typeof store.lease === 'function') return store;
  throw argumentError('store', 'a SessionStore', describe(store));
}

function checkWheel(wheel: TimingWheel): TimingWheel {
  if (wheel instanceof TimingWheel) return wheel;
  throw argumentError('wheel', 'a TimingWheel', describe(wheel));
}
