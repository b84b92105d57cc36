import { SyncManager } from '../../sync/manager/manager.js';
import { serveSync, syncChannels } from '../../sync/over-hawser.js';
import { type LmdbSyncStore, openStore } from '../../sync/store/lmdb-store.js';
import { formatKey, generateKey } from '../../token/server-key.js';
import { Server } from '../../transport/server.js';
import { type Command, defineCommand } from '../command.js';
import { gatewayDriver, gatewayDriverOptions } from '../driver.js';
import { exitCodes, UsageError } from '../errors.js';
import { ManagerView } from '../manager-view.js';
import { impairmentNotice, simulateOption } from '../network-profile.js';
import {
  address,
  decimal,
  duration,
  flag,
  integer,
  list,
  optional,
  required,
  serverKey,
  text,
  u64,
  type Values,
  withDefault,
} from '../options.js';
import { SessionLines } from '../session-lines.js';
import { pause, watchSignals } from '../signals.js';
import { processStatus } from '../status.js';
import { bytes, count, painter, printableJson } from '../terminal.js';
import { defaultListenAddress, keyOrEnvironment } from '../tokens.js';

const statusIntervalMs = 1000;
const gibibyte = 2 ** 30;

const options = {
  store: required(text('DIR'), 'where to keep what agents bring; made when it is missing'),
  listen: withDefault(
    address(),
    defaultListenAddress,
    'the UDP address to bind; 0.0.0.0:PORT or [::]:PORT for every interface',
  ),
  public: list(
    address(),
    'the addresses under which agents reach it, as tokens list them (default: the bound ones)',
  ),
  key: optional(
    serverKey,
    'server key; also read from the environment variable HAWSER_KEY (default: a new one for this run, which is shown)',
  ),
  protocolId: withDefault(u64, '1', 'the application that it serves'),
  maxAgents: withDefault(integer(1, 1_000_000), '10000', 'agents that are connected at a time'),
  maxSessions: withDefault(
    integer(1, 100_000),
    '1000',
    'sessions at a time; further agents are told to come later',
  ),
  maxStore: withDefault(decimal(0.001, 65_536, 'GIB'), '64', 'the greatest size of the store in GiB'),
  maxAgentStore: optional(
    decimal(0.001, 65_536, 'GIB'),
    'how much of it the documents of one agent may take, in GiB (default: a quarter)',
  ),
  ...gatewayDriverOptions,
  simulate: simulateOption,
  drain: withDefault(
    duration(0, 3_600_000),
    '5s',
    'on SIGINT or SIGTERM, how long sessions have to end; what is not done goes on after the next start',
  ),
  json: flag('print a status as one line of JSON each second, and one for each session'),
};

export const syncManager: Command = defineCommand({
  name: 'sync manager',
  summary: 'runs a manager, to which agents bring their state',
  details: [
    'Agents are told apart by the client id of their tokens ("hawser token --client-id", "hawser sync push --agent"). "hawser sync dump" prints what they brought, while no manager has the store open.',
    'SIGINT (Ctrl-C) or SIGTERM lets sessions end for a while, and ends with exit code 0; a second one ends at once. Whatever an agent was told is done survives both, and a crash.',
  ],
  options,
  run,
});

type ManagerValues = Values<typeof options>;

interface Running {
  readonly values: ManagerValues;
  readonly server: Server<typeof syncChannels>;
  readonly manager: SyncManager;
  readonly store: LmdbSyncStore;
}

async function run(values: ManagerValues): Promise<number> {
  const given = keyOrEnvironment(values.key);
  if (given === undefined && values.json)
    throw new UsageError('--json needs --key (or HAWSER_KEY): of a new one nobody would learn');
  const key = given ?? generateKey();
  const driver = gatewayDriver(values);
  const { maxStore, maxAgentStore } = values;
  if (maxAgentStore !== undefined && maxAgentStore > maxStore) {
    throw new UsageError('--max-agent-store must be no more than --max-store');
  }
  const store = await openStore(values.store, {
    maxBytes: Math.round(maxStore * gibibyte),
    ...(maxAgentStore !== undefined && { maxBytesPerAgent: Math.round(maxAgentStore * gibibyte) }),
  });
  const manager = new SyncManager({ store, maxSessions: values.maxSessions });
  try {
    const server = await Server.listen({
      address: values.listen,
      channels: syncChannels,
      protocolId: values.protocolId,
      keys: [key],
      maxPeers: values.maxAgents,
      ...driver,
      ...(values.public.length === 0 ? {} : { publicAddresses: values.public }),
      ...(values.simulate === undefined ? {} : { simulate: values.simulate.options }),
    });
    try {
      serveSync(server, manager);
      return await serve(
        { values, server, manager, store },
        given === undefined ? formatKey(key) : undefined,
      );
    } finally {
      await server.close();
    }
  } finally {
    await manager.close();
    await store.close();
  }
}

/** @param madeKey the text of a key that nobody else has yet. */
async function serve(running: Running, madeKey: string | undefined): Promise<number> {
  const { values, manager, store } = running;
  let view: ManagerView | undefined;
  // Whoever is told that it listens may end it.
  const interruption = watchSignals(() => view?.end());
  announce(running, madeKey);
  if (!values.json) view = new ManagerView(manager, store);
  const endTelling = values.json ? tellJson(running) : undefined;
  await pause(Number.POSITIVE_INFINITY, interruption.signal);
  const { sessions } = manager.stats;
  if (sessions > 0) {
    view?.say(
      `waiting for ${count(sessions)} sessions, at most ${values.drain / 1000} s (again to end at once)`,
    );
  }
  await drained(manager, values.drain);
  endTelling?.();
  view?.end();
  interruption.dispose();
  return exitCodes.ok;
}

/** Waits until the sessions that are under way have ended, or that time has passed. */
async function drained(manager: SyncManager, ms: number): Promise<void> {
  const end = new AbortController();
  await Promise.race([manager.drain(), pause(ms, end.signal)]);
  end.abort();
}

function announce({ values, server, store }: Running, madeKey: string | undefined): void {
  if (values.json) {
    printLine({
      event: 'listening',
      address: server.address,
      store: values.store,
      ...(values.simulate === undefined ? {} : { notice: impairmentNotice(values.simulate) }),
    });
    return;
  }
  const paint = painter(process.stdout);
  const { bytes: used, maxBytes } = store.usage;
  const rows = [
    ['manager', `udp ${paint('bold', server.address)}, protocol id ${server.protocolId}`],
    ['store', `${values.store}, ${bytes(used)} of at most ${bytes(maxBytes)}`],
    ...(madeKey === undefined ? [] : [['key', `${madeKey} (new, for this run only)`]]),
  ];
  for (const [name = '', value = ''] of rows)
    process.stdout.write(`${paint('dim', name.padEnd(8))} ${value}\n`);
  if (values.simulate !== undefined) process.stdout.write(`${impairmentNotice(values.simulate)}\n`);
}

/** Prints a status each second until the function that it returns is called, which prints the last one. */
function tellJson({ server, manager, store }: Running): () => void {
  const lines = new SessionLines({
    session: (ended) => printLine({ event: 'session', ...ended }),
    untold: (agent, sessions) => printLine({ event: 'untold', agent, sessions }),
  });
  manager.on('sessionEnd', (ended) => lines.ended(ended));
  manager.on('log', (level, code, message, agent) => {
    if (level !== 'debug') printLine({ event: 'log', level, code, message, agent });
  });
  const print = (event: string): void => {
    const { timeMs: _, ...own } = processStatus();
    printLine({
      event,
      time: new Date().toISOString(),
      ...own,
      peers: server.peers.size,
      ...manager.stats,
      storeBytes: store.usage.bytes,
    });
  };
  const timer = setInterval(print, statusIntervalMs, 'status');
  return () => {
    clearInterval(timer);
    lines.end();
    print('closed');
  };
}

function printLine(content: unknown): void {
  process.stdout.write(`${printableJson(JSON.stringify(content))}\n`);
}
