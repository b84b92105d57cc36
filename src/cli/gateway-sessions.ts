// The sessions of `hawser gateway`: its options for them, the store, and what serves them.

import { randomInt } from 'node:crypto';
import { parseAddress } from '../base/address.js';
import { HawserError } from '../base/errors.js';
import { systemRandom } from '../base/random.js';
import { systemWheel } from '../base/timing-wheel.js';
import type { Wire } from '../base/wire.js';
import { Members } from '../sessions/cluster/members.js';
import { type SessionChannels, serveSessions } from '../sessions/over-hawser.js';
import { type ClusterMode, clusterModes } from '../sessions/server/options.js';
import { SessionServer } from '../sessions/server/session-server.js';
import type { SessionStore } from '../sessions/store/store.js';
import type { Server } from '../transport/server.js';
import { describeError, UsageError } from './errors.js';
import type { SessionHandlers } from './gateway-handler.js';
import { address, choice, duration, flag, type Option, optional } from './options.js';
import { openStoreAt, type StoreAddress, storeAddress } from './session-store.js';
import { pause } from './signals.js';

export const gatewaySessionOptions: {
  readonly sessions: Option<boolean>;
  readonly store: Option<StoreAddress | undefined>;
  readonly advertise: Option<string | undefined>;
  readonly cluster: Option<ClusterMode | undefined>;
  readonly keepAlive: Option<number | undefined>;
  readonly sessionTimeout: Option<number | undefined>;
  readonly metrics: Option<string | undefined>;
} = {
  sessions: flag('serve sessions that outlive connections, instead of messages'),
  store: optional(
    storeAddress,
    'serve sessions, and keep them: memory (the default), lmdb:DIR, or etcd://HOST:PORT,...[/NAMESPACE] for several gateways',
  ),
  advertise: optional(
    address(),
    'with sessions: where clients are sent to reach this gateway, and its name in the store (default: the first public address)',
  ),
  cluster: optional(
    choice(clusterModes),
    'with sessions: whether every gateway serves, or only the one that is elected (default: active)',
  ),
  keepAlive: optional(
    duration(10_000, 120_000),
    'with sessions: how often clients say that they are there (default: 30s)',
  ),
  sessionTimeout: optional(
    duration(20_000, 3_600_000),
    'with sessions: how long after that a session ends, at least twice --keep-alive (default: three times)',
  ),
  metrics: optional(
    address(),
    'with sessions: where to answer GET /metrics for Prometheus; needs the package prom-client',
  ),
};

/** The values of {@link gatewaySessionOptions}. */
export interface GatewaySessionValues {
  readonly sessions: boolean;
  readonly store: StoreAddress | undefined;
  readonly advertise: string | undefined;
  readonly cluster: ClusterMode | undefined;
  readonly keepAlive: number | undefined;
  readonly sessionTimeout: number | undefined;
  readonly metrics: string | undefined;
}

/** What is to be served, and how. */
export interface SessionPlan {
  readonly store: StoreAddress;
  readonly cluster: ClusterMode;
  readonly times: { readonly keepAliveIntervalMs?: number; readonly sessionTimeoutMs?: number };
}

/** What else was asked for that has to do with it. */
interface Surroundings {
  readonly wires: readonly Wire[];
  readonly hasKey: boolean;
  /** Whether it was said where clients reach this gateway. */
  readonly isAddressKnown: boolean;
}

const defaultKeepAliveMs = 30_000;

/** @returns undefined for a gateway without sessions. @throws UsageError for options that do not go together. */
export function sessionPlan(values: GatewaySessionValues, around: Surroundings): SessionPlan | undefined {
  const { advertise, cluster, keepAlive, sessionTimeout, metrics } = values;
  const store = values.store ?? (values.sessions ? storeAddress.parse('memory') : undefined);
  if (store === undefined) {
    const given = { advertise, cluster, 'keep-alive': keepAlive, 'session-timeout': sessionTimeout, metrics };
    const [first] = Object.entries(given).find(([, value]) => value !== undefined) ?? [];
    if (first !== undefined) throw new UsageError(`--${first} goes with --sessions or --store`);
    return undefined;
  }
  if (around.wires.includes('netcode')) {
    throw new UsageError('sessions need reliable channels, which netcode has not: leave --wire out');
  }
  if (store.type === 'etcd') checkShared(around);
  const keepAliveMs = keepAlive ?? defaultKeepAliveMs;
  if (sessionTimeout !== undefined && sessionTimeout < 2 * keepAliveMs) {
    throw new UsageError(
      `--session-timeout must be at least twice --keep-alive (${keepAliveMs / 1000} s); got ${sessionTimeout / 1000} s`,
    );
  }
  return {
    store,
    cluster: cluster ?? 'active',
    times: {
      ...(keepAlive !== undefined && { keepAliveIntervalMs: keepAlive }),
      ...(sessionTimeout !== undefined && { sessionTimeoutMs: sessionTimeout }),
    },
  };
}

/** @throws UsageError for what would not work once there is another gateway. */
function checkShared({ hasKey, isAddressKnown }: Surroundings): void {
  if (!hasKey) throw new UsageError('gateways of a cluster need the same key: --key or HAWSER_KEY');
  if (isAddressKnown) return;
  throw new UsageError(
    '--listen names every interface of this machine: say with --advertise at which address clients reach this gateway',
  );
}

// ---- The store at the start ----------------------------------------------------------------------------------------

const retryMs = 1000;
const complainMs = 5000;

/**
 * Opens the store of a gateway. One that is elsewhere is waited for.
 *
 * @param signal ends the waiting.
 * @returns undefined when that came first.
 * @throws HawserError, UsageError (rejects) as `openStoreAt`.
 */
export async function openGatewayStore(
  store: StoreAddress,
  signal: AbortSignal,
): Promise<SessionStore | undefined> {
  for (let saidMs = Number.NEGATIVE_INFINITY; !signal.aborted; ) {
    try {
      return await openStoreAt(store);
    } catch (error) {
      if (!(error instanceof HawserError && error.code === 'ERR_HAWSER_STORE_UNAVAILABLE')) throw error;
      if (performance.now() - saidMs >= complainMs) {
        sayUnreachable(store, describeError(error));
        saidMs = performance.now();
      }
      await pause(retryMs, signal);
    }
  }
  return undefined;
}

function sayUnreachable({ text }: StoreAddress, reason: string): void {
  process.stderr.write(
    `cannot reach the store ${text}: ${reason}; trying again until it answers (Ctrl-C ends). Is etcd running there?\n`,
  );
}

// ---- Serving -------------------------------------------------------------------------------------------------------

/** What a gateway serves sessions with. */
export class GatewaySessions {
  readonly plan: SessionPlan;
  readonly server: SessionServer;
  readonly advertise: string;
  readonly #own: readonly string[];
  /** Of a store that other gateways may have, too. */
  readonly #members: Members | undefined;

  /** Serves the peers of a server from now on; `start` has to follow. */
  constructor(
    plan: SessionPlan,
    store: SessionStore,
    server: Server<SessionChannels>,
    handlers: SessionHandlers,
  ) {
    const [advertise = server.address] = server.publicAddresses;
    this.plan = plan;
    this.advertise = advertise;
    this.#own = server.publicAddresses;
    this.server = new SessionServer({
      store,
      gateway: advertise,
      advertise,
      cluster: plan.cluster,
      ...plan.times,
      ...(Object.keys(handlers).length > 0 ? handlers : echo),
    });
    this.#members = store.shared
      ? new Members({ store, wheel: systemWheel(), random: systemRandom })
      : undefined;
    serveSessions(server, this.server);
  }

  /** Resolves once the gateway has its lease. @returns false when the signal came first. */
  async start(signal: AbortSignal): Promise<boolean> {
    this.#members?.start();
    const complaints = setInterval(() => {
      sayUnreachable(this.plan.store, 'this gateway has no lease yet');
    }, complainMs);
    const end = new AbortController();
    const ended = AbortSignal.any([signal, end.signal]);
    try {
      const started = this.server.start().then(() => true);
      // When it fails after all, nobody waits for it.
      started.catch(() => undefined);
      return await Promise.race([started, pause(Number.POSITIVE_INFINITY, ended)]);
    } finally {
      end.abort();
      clearInterval(complaints);
    }
  }

  /**
   * Where a client may go, at most `limit`: this gateway, then the others that live, in any order, so that the clients of one that dies do not
   * all meet at one other.
   */
  addresses(limit: number): readonly string[] {
    const others = Array.from(this.#members?.all() ?? [], ([, { advertise }]) => advertise);
    return [...new Set([...this.#own, ...shuffled(others.filter(isAddress))])].slice(0, limit);
  }

  /** What a status says of sessions. */
  report(): Readonly<Record<string, unknown>> {
    const { skewMs: _skew, cleanupMs: _cleanup, roundTripMs: _roundTrip, ...counts } = this.server.stats;
    return { sessions: counts };
  }

  /** Tells the clients, and gives up the lease, so that others can go on with them at once. */
  async close(): Promise<void> {
    this.#members?.[Symbol.dispose]();
    await this.server.close();
  }
}

/** Sessions without a handler: every request and query is answered with what it says. */
const echo: SessionHandlers = {
  onRequest: ({ payload }) => ({ result: payload }),
  onQuery: ({ payload }) => payload,
};

/** What other gateways say of themselves may be anything. */
function isAddress(text: string): boolean {
  try {
    return parseAddress(text).port > 0;
  } catch {
    return false;
  }
}

function shuffled<T>(values: readonly T[]): T[] {
  const left = [...values];
  return values.flatMap(() => left.splice(randomInt(left.length), 1));
}
