import { existsSync } from 'node:fs';
import { HawserError } from '../../base/errors.js';
import { type ConfigFile, configNames, loadConfig } from '../../gateway/config-file.js';
import type { Gateway } from '../../gateway/gateway.js';
import { openGateway } from '../../gateway/open-gateway.js';
import { Systemd } from '../../gateway/systemd.js';
import { type Command, defineCommand } from '../command.js';
import { serveParent } from '../control.js';
import { exitCodes, UsageError } from '../errors.js';
import { type Announced, announce, listeningEvent } from '../gateway-announcement.js';
import { configOf, type GatewayValues, gatewayOptions, shapingOptions } from '../gateway-config.js';
import { peersText, printEvent, printStatuses, statusOf } from '../gateway-status.js';
import { SessionTeller } from '../session-teller.js';
import { type Interruption, pause, watchSignals } from '../signals.js';
import type { GatewayStatus } from '../status.js';
import { count } from '../terminal.js';

const controlIntervalMs = 250;
const serviceStatusMs = 10_000;
/** How long the end may take beyond the deadline for peers. */
const stoppingMs = 10_000;

export const gateway: Command = defineCommand({
  name: 'gateway',
  summary: 'runs a gateway, from options or from a configuration',
  details: [
    'It sends every message back to its sender, or does what --handler says. POST /token takes {"clientId"?, "userData"?, "wire"?, "listener"?} and answers {"token", "clientId"}; "hawser ping" and "hawser load" use it when they are given no key.',
    'With --sessions or --store it serves sessions, and nothing else: see docs/sessions.md, and docs/cluster.md for several gateways with one store. A password of etcd is read from HAWSER_ETCD_USER and HAWSER_ETCD_PASSWORD, certificates for etcds:// from the files that HAWSER_ETCD_CACERT, HAWSER_ETCD_CERT and HAWSER_ETCD_KEY name.',
    'With --config it serves what the configuration says: several listeners and layers at once (docs/gateway.md). Its log goes to standard error, in lines of JSON unless that is a terminal.',
    'SIGHUP has it read the configuration and its secrets again: keys, limits, the token of the admin server. SIGINT (Ctrl-C) or SIGTERM hands its sessions over, asks the peers to leave, waits, and ends with exit code 0; a second one ends at once.',
  ],
  options: gatewayOptions,
  run,
});

/** What to open, and what to say of it. */
interface Setup extends Announced {
  readonly source: Parameters<typeof openGateway>[0];
  /** Whether events of sessions are told in lines of the command, and not by the log. */
  readonly tellsSessions: boolean;
}

async function run(values: GatewayValues): Promise<number> {
  const setup = await setupOf(values);
  if (values.control) return serveDemo(setup);
  const interruption = watchSignals();
  try {
    return await serve(setup, values.json, interruption);
  } finally {
    interruption.dispose();
  }
}

async function setupOf(values: GatewayValues): Promise<Setup> {
  const file = await configFile(values);
  if (file !== undefined)
    return { source: file, madeKey: undefined, simulate: undefined, tellsSessions: false };
  const { config, madeKey } = configOf(values);
  return { source: config, madeKey, simulate: values.simulate, tellsSessions: true };
}

/** @returns undefined for a gateway of options. @throws UsageError for options that a configuration stands for. */
async function configFile(values: GatewayValues): Promise<ConfigFile | undefined> {
  const [other] = shapingOptions(values);
  if (values.config !== undefined) {
    if (other === undefined) return loadConfig(values.config);
    throw new UsageError(`${other} and --config exclude each other: say it in the configuration`);
  }
  const isThere = other === undefined && !values.control && configNames.some((name) => existsSync(name));
  return isThere ? loadConfig() : undefined;
}

// ---- By itself -----------------------------------------------------------------------------------------------------

async function serve(setup: Setup, json: boolean, interruption: Interruption): Promise<number> {
  const { signal } = interruption;
  let teller: SessionTeller | undefined;
  const gateway = await open(setup, signal, (prepared) => {
    const { sessionServer } = prepared;
    if (setup.tellsSessions && sessionServer !== undefined) teller = new SessionTeller(sessionServer, json);
  });
  if (gateway === undefined) return exitCodes.interrupted;
  const service = Systemd.fromEnvironment({ log: gateway.log });
  const onReload = (): void => void reload(gateway, service);
  process.on('SIGHUP', onReload);
  try {
    if (json) printEvent(listeningEvent(gateway, setup));
    else announce(gateway, setup);
    teller?.begin();
    const endPrinting = json ? printStatuses(gateway) : undefined;
    const endStatus = tellService(gateway, service);
    await untilEnd(gateway, signal);
    endStatus();
    teller?.end();
    await drain(gateway, json, service);
    endPrinting?.();
    return exitCodes.ok;
  } finally {
    process.off('SIGHUP', onReload);
    service?.[Symbol.dispose]();
    await gateway.close();
  }
}

/** @returns undefined when the signal came first. */
async function open(
  { source }: Setup,
  signal: AbortSignal,
  prepared: (gateway: Gateway) => void,
): Promise<Gateway | undefined> {
  const opening = new AbortController();
  const giveUp = (): void => opening.abort();
  signal.addEventListener('abort', giveUp);
  try {
    return await openGateway(source, { signal: opening.signal, prepared });
  } catch (error) {
    if (signal.aborted && error instanceof HawserError && error.code === 'ERR_HAWSER_ABORTED')
      return undefined;
    throw error;
  } finally {
    // Once it runs, a signal lets it end gently.
    signal.removeEventListener('abort', giveUp);
  }
}

/** Until a signal, or until somebody had it drain. */
async function untilEnd(gateway: Gateway, signal: AbortSignal): Promise<void> {
  const ended = new AbortController();
  const onState = (): void => ended.abort();
  gateway.on('state', onState);
  await pause(Number.POSITIVE_INFINITY, AbortSignal.any([signal, ended.signal]));
  gateway.off('state', onState);
}

async function drain(gateway: Gateway, json: boolean, service: Systemd | undefined): Promise<void> {
  const peers = peersText(gateway);
  const drained = gateway.drain();
  const { drainsUntilMs } = gateway.snapshot();
  const withinMs = drainsUntilMs === null ? 0 : Math.max(0, drainsUntilMs - Date.now());
  service?.stopping(withinMs + stoppingMs);
  if (!json) {
    const seconds = Math.round(withinMs / 100) / 10;
    process.stdout.write(`draining ${peers}, at most ${seconds} s (again to end at once)\n`);
  }
  await drained;
}

async function reload(gateway: Gateway, service: Systemd | undefined): Promise<void> {
  service?.reloading();
  try {
    await gateway.reload();
  } catch (error) {
    gateway.log.error({ err: error }, 'the configuration was not read again; nothing has changed');
  }
  service?.ready();
}

/** @returns what ends it. */
function tellService(gateway: Gateway, service: Systemd | undefined): () => void {
  if (service === undefined) return () => undefined;
  service.ready();
  const tell = (): void => {
    const peers = gateway.servers.reduce((sum, { server }) => sum + server.peers.size, 0);
    service.status(`${gateway.state}, ${count(peers)} peers`);
  };
  tell();
  const timer = setInterval(tell, serviceStatusMs);
  return () => clearInterval(timer);
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

async function serveDemo({ source }: Setup): Promise<number> {
  const gateway = await openGateway(source);
  const closed = new Promise<void>((resolve) => {
    gateway.on('state', (state) => {
      if (state === 'STOPPED') resolve();
    });
  });
  const send = serveParent<GatewayRequests>({
    address: () => gateway.servers[0]?.server.address ?? '',
    status: () => statusOf(gateway),
    settledStatus: async () => {
      // Twice, with a turn of the event loop between: finalizers of the first give more free.
      globalThis.gc?.();
      await new Promise((resolve) => setImmediate(resolve));
      globalThis.gc?.();
      return statusOf(gateway);
    },
    close: () => gateway.close(),
  });
  const timer = setInterval(() => send('status', statusOf(gateway)), controlIntervalMs);
  await closed;
  clearInterval(timer);
  return exitCodes.ok;
}
