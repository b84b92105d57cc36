// The options of `hawser gateway`, and the configuration that they stand for: a gateway is run in one way.

import { parseAddress } from '../base/address.js';
import type { Wire } from '../base/wire.js';
import type { GatewayConfig, ListenerConfig } from '../gateway/config.js';
import { formatKey, generateKey, type ServerKey } from '../token/server-key.js';
import { gatewayDriver, gatewayDriverOptions } from './driver.js';
import { UsageError } from './errors.js';
import { netcodeConfig } from './gateway-netcode.js';
import { type GatewaySessionValues, gatewaySessionOptions, sessionsConfig } from './gateway-sessions.js';
import { type NetworkProfile, simulateOption } from './network-profile.js';
import {
  address,
  choice,
  duration,
  flag,
  hidden,
  integer,
  list,
  type Option,
  optional,
  optionName,
  serverKey,
  text,
  u64,
} from './options.js';
import { PeopleLog } from './people-log.js';
import { defaultHttpAddress, defaultListenAddress, keyOrEnvironment } from './tokens.js';

const dayMs = 86_400_000;
const defaultDrainMs = 5000;
const defaultMaxPeers = 10_000;

/** What `--wire` takes, and what it means. */
const wiresOf: Readonly<Record<'hawser' | 'netcode' | 'both', readonly Wire[]>> = {
  hawser: ['hawser'],
  netcode: ['netcode'],
  both: ['hawser', 'netcode'],
};

/** What `--http` and `--admin` take. */
const httpAddress = {
  placeholder: 'HOST:PORT|off',
  parse: (given: string): string => (given === 'off' ? given : address().parse(given)),
};

/** What stands for a configuration, and says nothing beside one. */
interface ShapeValues extends GatewaySessionValues {
  readonly listen: string | undefined;
  readonly public: readonly string[];
  readonly key: ServerKey | undefined;
  readonly protocolId: bigint | undefined;
  readonly maxPeers: number | undefined;
  readonly driver: 'loop' | 'threads' | undefined;
  readonly threads: number | undefined;
  readonly spinMicros: number | undefined;
  readonly wire: 'hawser' | 'netcode' | 'both' | undefined;
  readonly netcodeTokenLifetime: number | undefined;
  readonly handler: string | undefined;
  readonly metrics: string | undefined;
  readonly http: string | undefined;
  readonly admin: string | undefined;
  readonly controlSocket: string | undefined;
  readonly capturePlaintext: boolean;
  readonly simulate: NetworkProfile | undefined;
  readonly drain: number | undefined;
}

/** The values of {@link gatewayOptions}. */
export interface GatewayValues extends ShapeValues {
  readonly config: string | undefined;
  readonly json: boolean;
  readonly control: boolean;
}

type OptionsOf<V> = { readonly [K in keyof V]: Option<V[K]> };

const shapeOptions: OptionsOf<ShapeValues> = {
  listen: optional(
    address(),
    `the UDP address to bind; 0.0.0.0:PORT or [::]:PORT for every interface (default: ${defaultListenAddress})`,
  ),
  public: list(
    address(),
    'the addresses under which clients reach it, as tokens list them (default: the bound ones)',
  ),
  key: optional(
    serverKey,
    'server key; also read from the environment variable HAWSER_KEY (default: a new one for this run)',
  ),
  protocolId: optional(u64, 'the application that it serves (default: 1)'),
  maxPeers: optional(integer(1, 1_000_000), `peers at a time (default: ${defaultMaxPeers})`),
  driver: optional(
    choice(['loop', 'threads']),
    'who sends and receives: the event loop, or I/O threads (Linux only) (default: loop)',
  ),
  threads: gatewayDriverOptions.threads,
  spinMicros: gatewayDriverOptions.spinMicros,
  wire: optional(choice(['hawser', 'netcode', 'both']), 'which protocols it speaks (default: hawser)'),
  netcodeTokenLifetime: optional(
    duration(1000, dayMs),
    'with netcode: for how long the netcode tokens live that backends mint; it refuses those that live longer (default: 1h)',
  ),
  handler: optional(
    text('MODULE'),
    'a module whose default export, a function, is called with the Server and its context; with sessions, one that exports onRequest, onQuery, onExpire (default: send everything back)',
  ),
  ...gatewaySessionOptions,
  metrics: optional(
    address(),
    'where to answer GET /metrics for Prometheus, and nothing else; needs the package prom-client',
  ),
  http: optional(
    httpAddress,
    `where to answer POST /token and GET /healthz. Whoever can reach it gets tokens: for development only (default: ${defaultHttpAddress})`,
  ),
  admin: optional(
    httpAddress,
    'where the dashboard, its API, health and metrics are, on this machine alone: a configuration can give it a token for others (default: 127.0.0.1:4490, or a free port where that is taken)',
  ),
  controlSocket: optional(
    text('PATH|off'),
    'the socket by which "hawser top", "reload", "drain" and "capture" find it (default: one of this user)',
  ),
  capturePlaintext: flag(
    'let "hawser capture --plaintext" of this user have all that peers say, decrypted (default: it is refused)',
  ),
  simulate: simulateOption,
  drain: optional(duration(0, 3_600_000), 'on SIGINT or SIGTERM, how long peers have to leave (default: 5s)'),
};

export const gatewayOptions: OptionsOf<GatewayValues> = {
  config: optional(
    text('FILE'),
    'a configuration, which stands for all options but --json: docs/gateway.md (default, where there are no other options: hawser.config.js, .mjs, .ts or .json of this directory)',
  ),
  ...shapeOptions,
  json: flag('print a status as one line of JSON each second'),
  control: hidden(flag('take orders from the parent process')),
};

/** The options beside a configuration that say what it says, too. */
export function shapingOptions(values: GatewayValues): readonly string[] {
  const names = Object.keys(shapeOptions) as (keyof typeof shapeOptions)[];
  return names
    .filter((name) => {
      const value = values[name];
      return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
    })
    .map((name) => `--${optionName(name)}`);
}

/** A configuration with what is said of it. */
export interface CommandConfig {
  readonly config: GatewayConfig;
  /** The text of the key that was made for the run. */
  readonly madeKey: string | undefined;
}

/** @throws UsageError for options that do not go together. */
export function configOf(values: GatewayValues): CommandConfig {
  const wires = wiresOf[values.wire ?? 'hawser'];
  const listen = values.listen ?? defaultListenAddress;
  const given = keyOrEnvironment(values.key);
  const isAddressKnown = values.advertise !== undefined || values.public.length > 0 || !isWildcard(listen);
  const sessions = sessionsConfig(values, { wires, hasKey: given !== undefined, isAddressKnown });
  const netcode = netcodeConfig(values.netcodeTokenLifetime, wires);
  const { driver = 'loop', threads, spinMicros } = values;
  const key = formatKey(given ?? generateKey());
  const listener: ListenerConfig = {
    address: listen,
    wires,
    layers: [sessions === undefined ? 'messages' : 'sessions'],
    ...gatewayDriver({ driver, threads, spinMicros }),
    // The demonstration hands over a key that it has made for the run.
    freshKeys: given === undefined || values.control,
    ...(netcode !== undefined && { netcode }),
    ...(values.public.length > 0 && { publicAddresses: values.public }),
    ...(values.simulate !== undefined && { simulate: values.simulate.options }),
  };
  const config: GatewayConfig = {
    protocolId: values.protocolId ?? 1n,
    keys: [key],
    listeners: [listener],
    limits: { maxPeers: values.maxPeers ?? defaultMaxPeers },
    ...(sessions !== undefined && { sessions }),
    ...(values.handler !== undefined && { handlers: values.handler }),
    ...endpointsOf(values),
    drain: { deadlineMs: values.drain ?? defaultDrainMs },
    log: { events: false, logger: new PeopleLog('warn') },
  };
  return { config, madeKey: given === undefined ? key : undefined };
}

/** @throws UsageError. */
function endpointsOf({
  http = defaultHttpAddress,
  admin,
  metrics,
  controlSocket,
  capturePlaintext,
  control,
}: GatewayValues): Pick<GatewayConfig, 'tokens' | 'admin' | 'metrics' | 'control' | 'capture'> {
  if (admin !== undefined && admin !== 'off' && !isLoopback(admin)) {
    throw new UsageError(
      '--admin: only an address of this machine; a configuration can have another, with a token',
    );
  }
  return {
    tokens: http === 'off' || control ? false : { address: http },
    admin: admin === 'off' || control ? false : admin === undefined ? true : { address: admin },
    ...(metrics !== undefined && { metrics: { address: metrics } }),
    control: controlSocket === 'off' || control ? false : (controlSocket ?? true),
    ...(capturePlaintext && { capture: { plaintext: true } }),
  };
}

function isLoopback(listen: string): boolean {
  const { host } = parseAddress(listen);
  return host === '::1' || host.startsWith('127.');
}

/** Whether a server that is bound there is reached by every address of the machine. */
function isWildcard(listen: string): boolean {
  return ['0.0.0.0', '::'].includes(parseAddress(listen).host);
}
