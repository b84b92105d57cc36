import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createTokenMinter } from '../../token/mint.js';
import { formatKey, generateKey, type ServerKey } from '../../token/server-key.js';
import { Server } from '../../transport/server.js';
import { type Command, defineCommand } from '../command.js';
import { serveParent } from '../control.js';
import { CommandError, exitCodes } from '../errors.js';
import { type HttpEndpoint, openHttp } from '../http.js';
import { impairmentNotice, simulateOption } from '../network-profile.js';
import {
  address,
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
import { dropsByReason, type GatewayStatus, newDrops, processStatus, RateWindow } from '../status.js';
import { count, painter } from '../terminal.js';
import { defaultHttpAddress, defaultListenAddress, keyOrEnvironment } from '../tokens.js';

const maxTokenAddresses = 32;
const statusIntervalMs = 1000;
const controlIntervalMs = 250;

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
    'It sends every message back to its sender, or does what --handler says. POST /token takes {"clientId"?, "userData"?} and answers {"token", "clientId"}; "hawser ping" and "hawser load" use it when they are given no key.',
    'SIGINT (Ctrl-C) or SIGTERM asks the peers to leave, waits, and ends with exit code 0; a second one ends at once.',
  ],
  options,
  run,
});

async function run(values: Values<typeof options>): Promise<number> {
  const given = keyOrEnvironment(values.key);
  const key = given ?? generateKey();
  const prepare = values.handler === undefined ? echo : await loadHandler(values.handler);
  const server = await Server.listen({
    address: values.listen,
    protocolId: values.protocolId,
    keys: [key],
    maxPeers: values.maxPeers,
    ...(values.public.length === 0 ? {} : { publicAddresses: values.public }),
    ...(values.simulate === undefined ? {} : { simulate: values.simulate.options }),
  });
  try {
    await prepare(server);
    if (values.control) return await serveDemo(server);
    return await serve(server, values, key, given === undefined);
  } finally {
    await server.close();
  }
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

async function serve(
  server: Server,
  values: Values<typeof options>,
  key: ServerKey,
  madeKey: boolean,
): Promise<number> {
  const started = performance.now();
  let draining = false;
  const interruption = watchSignals();
  const http = await openEndpoint(server, values, key, () => ({
    status: draining ? ('draining' as const) : ('ok' as const),
    address: server.address,
    protocolId: String(server.protocolId),
    peers: server.peers.size,
    maxPeers: values.maxPeers,
    uptimeSeconds: Math.round((performance.now() - started) / 1000),
    rssBytes: process.memoryUsage.rss(),
  }));
  if (values.json) printLine(listening(server, values, http));
  else announce(server, values, key, madeKey, http);
  const endPrinting = values.json ? printStatuses(server) : undefined;
  await pause(Number.POSITIVE_INFINITY, interruption.signal);
  draining = true;
  if (!values.json) {
    process.stdout.write(
      `draining ${count(server.peers.size)} peers, at most ${values.drain / 1000} s (again to end at once)\n`,
    );
  }
  await server.drain({ deadlineMs: values.drain });
  await http?.close();
  interruption.dispose();
  endPrinting?.();
  return exitCodes.ok;
}

async function openEndpoint(
  server: Server,
  values: Values<typeof options>,
  key: ServerKey,
  health: Parameters<typeof openHttp>[0]['health'],
): Promise<HttpEndpoint | undefined> {
  if (values.http === 'off') return undefined;
  const minter = await createTokenMinter({
    protocolId: values.protocolId,
    key,
    addresses: server.publicAddresses.slice(0, maxTokenAddresses),
  });
  return openHttp({ address: values.http, minter, health });
}

function listening(
  server: Server,
  { simulate }: Values<typeof options>,
  http: HttpEndpoint | undefined,
): Record<string, unknown> {
  return {
    event: 'listening',
    address: server.address,
    http: http?.url ?? null,
    ...(simulate === undefined ? {} : { notice: impairmentNotice(simulate) }),
  };
}

function announce(
  server: Server,
  values: Values<typeof options>,
  key: ServerKey,
  madeKey: boolean,
  http: HttpEndpoint | undefined,
): void {
  const paint = painter(process.stdout);
  const rows = [
    [
      'gateway',
      `udp ${paint('bold', server.address)}, protocol id ${server.protocolId}, up to ${count(values.maxPeers)} peers`,
    ],
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
  if (values.simulate !== undefined) process.stdout.write(`${impairmentNotice(values.simulate)}\n`);
}

/** Prints a status each second until the function that it returns is called, which prints the last one. */
function printStatuses(server: Server): () => void {
  const rates = new RateWindow<GatewayStatus>();
  let before = statusOf(server);
  rates.push(before);
  const print = (event: string): void => {
    const status = statusOf(server);
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

function statusOf(server: Server): GatewayStatus {
  const stats = server.stats;
  const { peersConnected, peersDisconnected, handshakesCompleted, messagesReceived, messagesSent } =
    stats.counters;
  return {
    ...processStatus(),
    peers: server.peers.size,
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
