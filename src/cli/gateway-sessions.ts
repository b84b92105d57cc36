// The sessions of `hawser gateway`: its options for them, and what these mean in a configuration.

import type { Wire } from '../base/wire.js';
import type { SessionsConfig } from '../gateway/config.js';
import type { StoreAddress } from '../gateway/session-store.js';
import { type ClusterMode, clusterModes } from '../sessions/server/options.js';
import { UsageError } from './errors.js';
import { address, choice, duration, flag, type Option, optional } from './options.js';
import { storeAddress } from './session-store.js';

export const gatewaySessionOptions: {
  readonly sessions: Option<boolean>;
  readonly store: Option<StoreAddress | undefined>;
  readonly advertise: Option<string | undefined>;
  readonly cluster: Option<ClusterMode | undefined>;
  readonly keepAlive: Option<number | undefined>;
  readonly sessionTimeout: Option<number | undefined>;
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
};

/** The values of {@link gatewaySessionOptions}. */
export interface GatewaySessionValues {
  readonly sessions: boolean;
  readonly store: StoreAddress | undefined;
  readonly advertise: string | undefined;
  readonly cluster: ClusterMode | undefined;
  readonly keepAlive: number | undefined;
  readonly sessionTimeout: number | undefined;
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
export function sessionsConfig(
  values: GatewaySessionValues,
  around: Surroundings,
): SessionsConfig | undefined {
  const { advertise, cluster, keepAlive, sessionTimeout } = values;
  const store = values.store ?? (values.sessions ? storeAddress.parse('memory') : undefined);
  if (store === undefined) {
    const given = { advertise, cluster, 'keep-alive': keepAlive, 'session-timeout': sessionTimeout };
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
    store: store.text,
    ...(advertise !== undefined && { advertise }),
    ...(cluster !== undefined && { cluster }),
    ...(keepAlive !== undefined && { keepAliveIntervalMs: keepAlive }),
    ...(sessionTimeout !== undefined && { sessionTimeoutMs: sessionTimeout }),
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
