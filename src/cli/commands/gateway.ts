import { parseAddress } from '../../base/address.js';
import type { Wire } from '../../base/wire.js';
import { loadPromClient } from '../../sessions/health/prom-client.js';
import { registerSessionMetrics } from '../../sessions/health/prometheus.js';
import { sessionChannels } from '../../sessions/over-hawser.js';
import { generateKey } from '../../token/server-key.js';
import type { ServerOptions } from '../../transport/options.js';
import { Server } from '../../transport/server.js';
import { type Command, defineCommand } from '../command.js';
import { serveParent } from '../control.js';
import { driverReport, gatewayDriver, gatewayDriverOptions } from '../driver.js';
import { exitCodes } from '../errors.js';
import { type Announced, announce, type Endpoints, listeningEvent } from '../gateway-announcement.js';
import { type HandlerModule, loadHandler } from '../gateway-handler.js';
import { clockSkewMs, netcodePlan, netcodeTokensFrom } from '../gateway-netcode.js';
import {
  GatewaySessions,
  gatewaySessionOptions,
  openGatewayStore,
  type SessionPlan,
  sessionPlan,
} from '../gateway-sessions.js';
import { type AnyServer, byWire, peersText, printEvent, printStatuses, statusOf } from '../gateway-status.js';
import { mintersOf } from '../gateway-tokens.js';
import { type HttpEndpoint, type HttpOptions, openHttp, openMetrics } from '../http.js';
import { simulateOption } from '../network-profile.js';
import {
  address,
  choice,
  duration,
  flag,
  hidden,
  integer,
  list,
  optional,
  serverKey,
  text,
  u64,
  type Values,
  withDefault,
} from '../options.js';
import { SessionTeller } from '../session-teller.js';
import { pause, watchSignals } from '../signals.js';
import type { GatewayStatus } from '../status.js';
import { defaultHttpAddress, defaultListenAddress, keyOrEnvironment } from '../tokens.js';

const controlIntervalMs = 250;
const dayMs = 86_400_000;

/** What `--wire` takes, and what it means. */
const wiresOf: Readonly<Record<'hawser' | 'netcode' | 'both', readonly Wire[]>> = {
  hawser: ['hawser'],
  netcode: ['netcode'],
  both: ['hawser', 'netcode'],
};

/** What `--http` takes. */
const httpAddress = {
  placeholder: 'HOST:PORT|off',
  parse: (given: string): string => (given === 'off' ? given : address().parse(given)),
};

const options = {
  listen: withDefault(
    address(),
    defaultListenAddress,
    'the UDP address to bind; 0.0.0.0:PORT or [::]:PORT for every interface',
  ),
  public: list(
    address(),
    'the addresses under which clients reach it, as tokens list them (default: the bound ones)',
  ),
  key: optional(
    serverKey,
    'server key; also read from the environment variable HAWSER_KEY (default: a new one for this run)',
  ),
  protocolId: withDefault(u64, '1', 'the application that it serves'),
  maxPeers: withDefault(integer(1, 1_000_000), '10000', 'peers at a time'),
  ...gatewayDriverOptions,
  wire: withDefault(choice(['hawser', 'netcode', 'both']), 'hawser', 'which protocols it speaks'),
  netcodeTokenLifetime: optional(
    duration(1000, dayMs),
    'with netcode: for how long the netcode tokens live that backends mint; it refuses those that live longer (default: 1h)',
  ),
  handler: optional(
    text('MODULE'),
    'a module whose default export, a function, is called with the Server; with sessions, one that exports onRequest, onQuery, onExpire (default: send everything back)',
  ),
  ...gatewaySessionOptions,
  http: withDefault(
    httpAddress,
    defaultHttpAddress,
    'where to answer POST /token and GET /healthz. Whoever can reach it gets tokens: for development only',
  ),
  simulate: simulateOption,
  drain: withDefault(duration(0, 3_600_000), '5s', 'on SIGINT or SIGTERM, how long peers have to leave'),
  json: flag('print a status as one line of JSON each second'),
  control: hidden(flag('take orders from the parent process')),
};

export const gateway: Command = defineCommand({
  name: 'gateway',
  summary: 'runs a gateway, with a token endpoint for development',
  details: [
    'It sends every message back to its sender, or does what --handler says. POST /token takes {"clientId"?, "userData"?, "wire"?} and answers {"token", "clientId"}; "hawser ping" and "hawser load" use it when they are given no key.',
    'With --sessions or --store it serves sessions, and nothing else: see docs/sessions.md, and docs/cluster.md for several gateways with one store. A password of etcd is read from HAWSER_ETCD_USER and HAWSER_ETCD_PASSWORD, certificates for etcds:// from the files that HAWSER_ETCD_CACERT, HAWSER_ETCD_CERT and HAWSER_ETCD_KEY name.',
    'SIGINT (Ctrl-C) or SIGTERM asks the peers to leave, waits, and ends with exit code 0; a second one ends at once.',
  ],
  options,
  run,
});

/** What a gateway is started with. */
type Setup = Omit<Announced, 'server' | 'sessions' | 'values'> & { readonly values: Values<typeof options> };

/** A gateway that listens. */
interface Started extends Announced {
  readonly server: AnyServer & Pick<Server, 'drain'>;
  readonly values: Values<typeof options>;
}

/** What every server of the command is told. */
type ListenOptions = Omit<ServerOptions, 'channels'>;

type Health = ReturnType<HttpOptions['health']>;

async function run(values: Values<typeof options>): Promise<number> {
  const wires = wiresOf[values.wire];
  const given = keyOrEnvironment(values.key);
  const isAddressKnown =
    values.advertise !== undefined || values.public.length > 0 || !isWildcard(values.listen);
  const plan = sessionPlan(values, { wires, hasKey: given !== undefined, isAddressKnown });
  const madeKey = given === undefined;
  // The demonstration hands over a key that it has made for the run.
  const netcode = netcodePlan(values.netcodeTokenLifetime, wires, madeKey || values.control);
  const setup = { values, wires, key: given ?? generateKey(), madeKey, netcode };
  const driver = gatewayDriver(values);
  const handler =
    values.handler === undefined ? undefined : await loadHandler(values.handler, plan !== undefined);
  const publicAddresses = [...new Set([values.advertise ?? [], values.public].flat())];
  const listen: ListenOptions = {
    address: values.listen,
    protocolId: values.protocolId,
    keys: [setup.key],
    maxPeers: values.maxPeers,
    clockSkewMs,
    wires,
    ...driver,
    ...(netcode === undefined ? {} : { netcode }),
    ...(publicAddresses.length === 0 ? {} : { publicAddresses }),
    ...(values.simulate === undefined ? {} : { simulate: values.simulate.options }),
  };
  if (plan === undefined) return runMessages(setup, listen, handler);
  return untilInterrupted((interruption) => runSessions(setup, listen, handler, plan, interruption));
}

/** Whether a server that is bound there is reached by every address of the machine. */
function isWildcard(listen: string): boolean {
  return ['0.0.0.0', '::'].includes(parseAddress(listen).host);
}

/** A gateway without sessions. */
async function runMessages(
  setup: Setup,
  listen: ListenOptions,
  handler: HandlerModule | undefined,
): Promise<number> {
  const server = await Server.listen(listen);
  try {
    if (handler?.prepare === undefined) echo(server);
    else await handler.prepare(server);
    if (setup.values.control) return await serveDemo(server);
    return await untilInterrupted((interruption) =>
      serve({ ...setup, server, sessions: undefined }, interruption),
    );
  } finally {
    await server.close();
  }
}

function echo(server: Server): void {
  server.on('message', (peer, data) => {
    peer.send(data);
  });
}

async function untilInterrupted(run: (interruption: AbortSignal) => Promise<number>): Promise<number> {
  const interruption = watchSignals();
  try {
    return await run(interruption.signal);
  } finally {
    interruption.dispose();
  }
}

async function runSessions(
  setup: Setup,
  listen: ListenOptions,
  handler: HandlerModule | undefined,
  plan: SessionPlan,
  interruption: AbortSignal,
): Promise<number> {
  const store = await openGatewayStore(plan.store, interruption);
  if (store === undefined) return exitCodes.interrupted;
  try {
    const server = await Server.listen({ ...listen, channels: sessionChannels });
    try {
      const sessions = new GatewaySessions(plan, store, server, handler?.sessions ?? {});
      const teller = new SessionTeller(sessions.server, setup.values.json);
      try {
        await handler?.prepare?.(server, sessions.server);
        if (!(await sessions.start(interruption))) return exitCodes.interrupted;
        return await serve({ ...setup, server, sessions }, interruption, teller);
      } finally {
        teller.end();
        await sessions.close();
      }
    } finally {
      await server.close();
    }
  } finally {
    await store.close();
  }
}

// ---- By itself -----------------------------------------------------------------------------------------------------

async function serve(started: Started, interruption: AbortSignal, teller?: SessionTeller): Promise<number> {
  const { server, values, sessions } = started;
  const startedAt = performance.now();
  const tokensFrom = netcodeTokensFrom(started.netcode);
  let draining = false;
  const health = (): Health => ({
    status: draining ? 'draining' : 'ok',
    address: server.address,
    protocolId: String(server.protocolId),
    peers: server.peers.size,
    ...byWire(server, started.wires),
    maxPeers: values.maxPeers,
    ...driverReport(values),
    uptimeSeconds: Math.round((performance.now() - startedAt) / 1000),
    rssBytes: process.memoryUsage.rss(),
    ...sessions?.report(),
  });
  const endpoints = await openEndpoints(started, tokensFrom, health);
  if (values.json) printEvent(listeningEvent(started, tokensFrom, endpoints));
  else announce(started, tokensFrom, endpoints);
  teller?.begin();
  const more = (): Readonly<Record<string, unknown>> => sessions?.report() ?? {};
  const endPrinting = values.json ? printStatuses(server, started.wires, more) : undefined;
  await pause(Number.POSITIVE_INFINITY, interruption);
  draining = true;
  if (!values.json) {
    const peers = peersText(server, started.wires);
    process.stdout.write(`draining ${peers}, at most ${values.drain / 1000} s (again to end at once)\n`);
  }
  teller?.end();
  await sessions?.close();
  await server.drain({ deadlineMs: values.drain });
  await endpoints.http?.close();
  await endpoints.metrics?.close();
  endPrinting?.();
  return exitCodes.ok;
}

async function openEndpoints(
  started: Started,
  tokensFrom: number | undefined,
  health: HttpOptions['health'],
): Promise<Endpoints> {
  const { values, sessions } = started;
  const metrics =
    sessions === undefined || values.metrics === undefined
      ? undefined
      : await openSessionMetrics(values.metrics, sessions);
  if (values.http === 'off') return { http: undefined, metrics };
  try {
    const minters = await mintersOf(started, tokensFrom);
    return { http: await openHttp({ address: values.http, minters, health }), metrics };
  } catch (error) {
    // It would keep the process alive.
    await metrics?.close();
    throw error;
  }
}

async function openSessionMetrics(address: string, { server }: GatewaySessions): Promise<HttpEndpoint> {
  const { Registry } = await loadPromClient();
  const registry = new Registry();
  registerSessionMetrics(server, registry);
  return openMetrics(address, registry);
}

// ---- For the demonstration -----------------------------------------------------------------------------------------

/** What the demonstration asks of the gateway process. */
export type GatewayRequests = {
  address(): string;
  status(): GatewayStatus;
  /** A status after a full collection of garbage, for comparing memory. */
  settledStatus(): Promise<GatewayStatus>;
  close(): Promise<void>;
};

async function serveDemo(server: Server): Promise<number> {
  const closed = new Promise<void>((resolve) => {
    server.once('close', resolve);
  });
  const send = serveParent<GatewayRequests>({
    address: () => server.address,
    status: () => statusOf(server),
    settledStatus: async () => {
      // Twice, with a turn of the event loop between: finalizers of the first give more free.
      globalThis.gc?.();
      await new Promise((resolve) => setImmediate(resolve));
      globalThis.gc?.();
      return statusOf(server);
    },
    close: () => server.close(),
  });
  const timer = setInterval(() => send('status', statusOf(server)), controlIntervalMs);
  await closed;
  clearInterval(timer);
  return exitCodes.ok;
}
