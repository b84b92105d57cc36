import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Wire } from '../../base/wire.js';
import { createTokenMinter } from '../../token/mint.js';
import { createNetcodeTokenMinter } from '../../token/netcode-mint.js';
import { encodeNetcodeToken } from '../../token/netcode-open.js';
import { encodeToken } from '../../token/open.js';
import { formatKey, generateKey, type ServerKey } from '../../token/server-key.js';
import { Server } from '../../transport/server.js';
import { type Command, defineCommand } from '../command.js';
import { serveParent } from '../control.js';
import { driverReport, driverText, gatewayDriver, gatewayDriverOptions } from '../driver.js';
import { CommandError, exitCodes, UsageError } from '../errors.js';
import { type HttpEndpoint, type MintText, openHttp } from '../http.js';
import { impairmentNotice, simulateOption } from '../network-profile.js';
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
import { pause, watchSignals } from '../signals.js';
import {
  countByWire,
  dropsByReason,
  type GatewayStatus,
  newDrops,
  type PeersByWire,
  processStatus,
  RateWindow,
} from '../status.js';
import { count, painter } from '../terminal.js';
import { checkWholeSeconds, defaultHttpAddress, defaultListenAddress, keyOrEnvironment } from '../tokens.js';

const maxTokenAddresses = 32;
const statusIntervalMs = 1000;
const controlIntervalMs = 250;
const dayMs = 86_400_000;
const defaultNetcodeLifetimeMs = 3_600_000;
/** What `Server.listen` allows unless it is told otherwise. */
const clockSkewMs = 5000;

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
    'a module whose default export, a function, is called with the Server (default: send every message back)',
  ),
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
    'SIGINT (Ctrl-C) or SIGTERM asks the peers to leave, waits, and ends with exit code 0; a second one ends at once.',
  ],
  options,
  run,
});

/** A gateway that listens, and what it was started with. */
interface Started {
  readonly server: Server;
  readonly values: Values<typeof options>;
  readonly wires: readonly Wire[];
  readonly key: ServerKey;
  /** The key was made for this run. */
  readonly madeKey: boolean;
  /** undefined where netcode is not spoken. */
  readonly netcode: NetcodePlan | undefined;
}

interface NetcodePlan {
  readonly tokenLifetimeMs: number;
  readonly freshKeys: boolean;
}

async function run(values: Values<typeof options>): Promise<number> {
  const wires = wiresOf[values.wire];
  const given = keyOrEnvironment(values.key);
  const madeKey = given === undefined;
  const key = given ?? generateKey();
  const netcode = netcodePlan(values, wires, madeKey);
  const driver = gatewayDriver(values);
  const prepare = values.handler === undefined ? echo : await loadHandler(values.handler);
  const server = await Server.listen({
    address: values.listen,
    protocolId: values.protocolId,
    keys: [key],
    maxPeers: values.maxPeers,
    clockSkewMs,
    wires,
    ...driver,
    ...(netcode === undefined ? {} : { netcode }),
    ...(values.public.length === 0 ? {} : { publicAddresses: values.public }),
    ...(values.simulate === undefined ? {} : { simulate: values.simulate.options }),
  });
  try {
    await prepare(server);
    if (values.control) return await serveDemo(server);
    return await serve({ server, values, wires, key, madeKey, netcode });
  } finally {
    await server.close();
  }
}

function netcodePlan(
  { netcodeTokenLifetime, control }: Values<typeof options>,
  wires: readonly Wire[],
  madeKey: boolean,
): NetcodePlan | undefined {
  if (wires.includes('netcode')) {
    const lifetimeMs = netcodeTokenLifetime ?? defaultNetcodeLifetimeMs;
    return {
      tokenLifetimeMs: checkWholeSeconds('netcode-token-lifetime', lifetimeMs),
      // The demonstration hands over a key that it has made for the run.
      freshKeys: madeKey || control,
    };
  }
  if (netcodeTokenLifetime === undefined) return undefined;
  throw new UsageError('--netcode-token-lifetime goes with --wire netcode or --wire both');
}

type Handler = (server: Server) => unknown;

function echo(server: Server): void {
  server.on('message', (peer, data) => {
    peer.send(data);
  });
}

async function loadHandler(path: string): Promise<Handler> {
  let module: unknown;
  try {
    module = await import(pathToFileURL(resolve(path)).href);
  } catch (error) {
    // A module that is not there is a slip; one that throws needs its stack to be mended.
    const missing = error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND';
    const reason = error instanceof Error ? (missing ? error.message : error.stack) : String(error);
    throw new CommandError(`cannot load the handler ${path}: ${reason}`);
  }
  const handler: unknown =
    typeof module === 'object' && module !== null && 'default' in module && module.default;
  if (typeof handler === 'function') return (server) => handler(server);
  throw new CommandError(`the handler ${path} must export a function (server) => void as its default`);
}

// ---- By itself -----------------------------------------------------------------------------------------------------

async function serve(started: Started): Promise<number> {
  const { server, values } = started;
  const startedAt = performance.now();
  const tokensFrom = netcodeTokensFrom(started);
  let draining = false;
  const interruption = watchSignals();
  const http = await openEndpoint(started, tokensFrom, () => ({
    status: draining ? ('draining' as const) : ('ok' as const),
    address: server.address,
    protocolId: String(server.protocolId),
    peers: server.peers.size,
    ...byWire(server, started.wires),
    maxPeers: values.maxPeers,
    ...driverReport(values),
    uptimeSeconds: Math.round((performance.now() - startedAt) / 1000),
    rssBytes: process.memoryUsage.rss(),
  }));
  if (values.json) printLine(listening(started, tokensFrom, http));
  else announce(started, tokensFrom, http);
  const endPrinting = values.json ? printStatuses(server, started.wires) : undefined;
  await pause(Number.POSITIVE_INFINITY, interruption.signal);
  draining = true;
  if (!values.json) {
    process.stdout.write(
      `draining ${peersText(started)}, at most ${values.drain / 1000} s (again to end at once)\n`,
    );
  }
  await server.drain({ deadlineMs: values.drain });
  await http?.close();
  interruption.dispose();
  endPrinting?.();
  return exitCodes.ok;
}

/**
 * From when on netcode tokens count, as Unix milliseconds of a whole second: those with the whole lifetime that were minted earlier may
 * be from before the start. undefined where all count.
 */
function netcodeTokensFrom({ netcode }: Started): number | undefined {
  if (netcode === undefined || netcode.freshKeys) return undefined;
  return (Math.floor((Date.now() + clockSkewMs) / 1000) + 1) * 1000;
}

async function openEndpoint(
  started: Started,
  tokensFrom: number | undefined,
  health: Parameters<typeof openHttp>[0]['health'],
): Promise<HttpEndpoint | undefined> {
  const address = started.values.http;
  if (address === 'off') return undefined;
  return openHttp({ address, minters: await mintersOf(started, tokensFrom), health });
}

async function mintersOf(
  { server, values, wires, key, netcode }: Started,
  tokensFrom: number | undefined,
): Promise<ReadonlyMap<Wire, MintText>> {
  const common = {
    protocolId: values.protocolId,
    key,
    addresses: server.publicAddresses.slice(0, maxTokenAddresses),
  };
  const minters = new Map<Wire, MintText>();
  if (wires.includes('hawser')) {
    const minter = await createTokenMinter(common);
    minters.set('hawser', (client) => encodeToken(minter.mint(client)));
  }
  if (netcode !== undefined) {
    const minter = await createNetcodeTokenMinter({
      ...common,
      lifetimeMs: netcode.tokenLifetimeMs,
      // Its own tokens are new, whatever the time: they count within a second of the start.
      now: () => Math.max(Date.now(), tokensFrom ?? 0),
    });
    minters.set('netcode', (client) => encodeNetcodeToken(minter.mint(client)));
  }
  return minters;
}

function listening(
  { server, values, wires }: Started,
  tokensFrom: number | undefined,
  http: HttpEndpoint | undefined,
): Record<string, unknown> {
  return {
    event: 'listening',
    address: server.address,
    wires,
    ...driverReport(values),
    http: http?.url ?? null,
    ...(tokensFrom === undefined ? {} : { netcodeTokensFrom: secondText(tokensFrom) }),
    ...(values.simulate === undefined ? {} : { notice: impairmentNotice(values.simulate) }),
  };
}

function announce(
  { server, values, wires, key, madeKey, netcode }: Started,
  tokensFrom: number | undefined,
  http: HttpEndpoint | undefined,
): void {
  const paint = painter(process.stdout);
  const rows = [
    [
      'gateway',
      `udp ${paint('bold', server.address)}, protocol id ${server.protocolId}, up to ${count(values.maxPeers)} peers`,
    ],
    ['driver', driverText(values)],
    ...(netcode === undefined ? [] : [['speaks', wires.join(' and ')]]),
    ...(server.publicAddresses.join() === server.address
      ? []
      : [['public', server.publicAddresses.join(', ')]]),
    ['tokens', http === undefined ? 'no endpoint (--http off)' : `POST ${http.url}/token (for development)`],
    ...(http === undefined ? [] : [['health', `GET ${http.url}/healthz`]]),
    ['key', madeKey ? `${key.id}, new, for this run only` : String(key.id)],
  ];
  // Only where nobody could get a token otherwise is a key that was made just now worth showing.
  if (madeKey && http === undefined) rows.push(['', formatKey(key)]);
  for (const [name = '', value = ''] of rows)
    process.stdout.write(`${paint('dim', name.padEnd(8))} ${value}\n`);
  if (netcode !== undefined && tokensFrom !== undefined)
    process.stdout.write(`${refusalNotice(netcode, tokensFrom)}\n`);
  if (values.simulate !== undefined) process.stdout.write(`${impairmentNotice(values.simulate)}\n`);
}

function refusalNotice({ tokenLifetimeMs }: NetcodePlan, tokensFrom: number): string {
  return [
    `netcode tokens from before ${secondText(tokensFrom)} are refused: a REQUEST does not say when its token was minted, so it may have been used before a restart.`,
    `That holds for tokens that live ${count(tokenLifetimeMs / 1000)} s (--netcode-token-lifetime), and if none was ever minted to live longer: see docs/netcode.md`,
  ].join(' ');
}

/** A time of a whole second. */
function secondText(unixMs: number): string {
  return new Date(unixMs).toISOString().replace('.000', '');
}

/** `3 peers`; `3 peers (1 hawser, 2 netcode)` where both are spoken. */
function peersText({ server, wires }: Started): string {
  const { peersByWire } = byWire(server, wires);
  const total = `${count(server.peers.size)} peers`;
  if (peersByWire === undefined) return total;
  return `${total} (${wires.map((wire) => `${count(peersByWire[wire])} ${wire}`).join(', ')})`;
}

/** Nothing where one wire format is spoken. */
function byWire(server: Server, wires: readonly Wire[]): { readonly peersByWire?: PeersByWire } {
  return wires.length > 1 ? { peersByWire: countByWire(server.peers) } : {};
}

/** Prints a status each second until the function that it returns is called, which prints the last one. */
function printStatuses(server: Server, wires: readonly Wire[]): () => void {
  const rates = new RateWindow<GatewayStatus>();
  let before = statusOf(server, wires);
  rates.push(before);
  const print = (event: string): void => {
    const status = statusOf(server, wires);
    rates.push(status);
    const { cpuMicros: _cpu, timeMs: _time, drops, ...totals } = status;
    printLine({
      event,
      time: new Date().toISOString(),
      ...totals,
      messagesPerSecond: Math.round(rates.perSecond(({ messagesReceived }) => messagesReceived)),
      cpuPercent: Math.round(rates.cpuShare() * 1000) / 10,
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

function printLine(content: unknown): void {
  process.stdout.write(`${JSON.stringify(content)}\n`);
}

function statusOf(server: Server, wires: readonly Wire[] = []): GatewayStatus {
  const stats = server.stats;
  const { peersConnected, peersDisconnected, handshakesCompleted, messagesReceived, messagesSent } =
    stats.counters;
  return {
    ...processStatus(),
    peers: server.peers.size,
    ...byWire(server, wires),
    peersConnected,
    peersDisconnected,
    handshakesCompleted,
    messagesReceived,
    messagesSent,
    drops: dropsByReason(stats),
  };
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
