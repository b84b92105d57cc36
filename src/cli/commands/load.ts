import { type Command, defineCommand } from '../command.js';
import { serveParent } from '../control.js';
import { clientDriver, driverOptions } from '../driver.js';
import { exitCodes } from '../errors.js';
import { Load, type LoadStatus, messageHeaderBytes } from '../load.js';
import {
  decimal,
  duration,
  flag,
  hidden,
  integer,
  type Option,
  optional,
  type SizeRange,
  sizeRange,
  u64,
  type Values,
  withDefault,
} from '../options.js';
import { pause, watchSignals } from '../signals.js';
import { newDrops, RateWindow } from '../status.js';
import { count, micros, percent } from '../terminal.js';
import { randomClientId, type TokenFactory, tokenFactory, tokenOptions } from '../tokens.js';
import { checkMessageBytes, longestMessageBytes } from '../wires.js';

/** The options that say how much load. */
export const loadOptions: {
  readonly peers: Option<number>;
  readonly rate: Option<number>;
  readonly size: Option<SizeRange>;
  readonly seconds: Option<number | undefined>;
  readonly sockets: Option<number>;
} = {
  peers: withDefault(integer(1, 1_000_000), '10000', 'how many peers'),
  rate: withDefault(decimal(0.01, 100_000), '2', 'messages per second of each peer'),
  size: withDefault(
    sizeRange(messageHeaderBytes, longestMessageBytes),
    '64-200',
    'size of each message in bytes, or a range from which it is drawn at random; at most 1158, with netcode 1200',
  ),
  seconds: optional(
    decimal(0.1, 1_000_000),
    'for how long to send, counted from when all peers are connected (default: until Ctrl-C)',
  ),
  sockets: withDefault(integer(1, 1024), '4', 'how many UDP sockets share the peers'),
};

const options = {
  ...loadOptions,
  ...driverOptions,
  ...tokenOptions,
  firstClientId: optional(
    u64,
    'client id of the first peer; the ids of the others follow it (default: a random one). A second load with the same ids takes the sessions over',
  ),
  connectTimeout: withDefault(duration(100, 3_600_000), '10s', 'how long each peer tries to connect'),
  json: flag('print the result as JSON; progress goes to standard error'),
  control: hidden(flag('take orders from the parent process')),
};

export const load: Command = defineCommand({
  name: 'load',
  summary: 'simulates peers over real sockets and measures round trips',
  details: [
    'The gateway has to send every message back, as "hawser gateway" does. Each peer has its own token, keys and clock and, when a gateway on this machine is reached over IPv4, its own source address 127.x.y.z. A message counts as lost when its echo has not come a second after the last one was sent.',
    'Exit code 1 when not all peers could connect, or none was left.',
  ],
  options,
  run,
});

async function run(values: Values<typeof options>): Promise<number> {
  checkMessageBytes(values.size.max, values.wire);
  const driver = clientDriver(values);
  const tokens = await tokenFactory(values);
  const open = (): Promise<Load> => openLoad(values, driver, tokens);
  if (values.control) return serveDemo(open);
  const interruption = watchSignals();
  const running = await open();
  const show = (line: string): void => {
    (values.json ? process.stderr : process.stdout).write(`${line}\n`);
  };
  const progress = showProgress(running, show);
  try {
    await running.connect(values.peers, interruption.signal);
    if (interruption.signal.aborted) return exitCodes.interrupted;
    running.start();
    const stop = AbortSignal.any([interruption.signal, running.gone]);
    const seconds = running.status().connected === 0 ? 0 : (values.seconds ?? Number.POSITIVE_INFINITY);
    await pause(seconds * 1000, stop);
    await running.finish();
    const status = running.status();
    process.stdout.write(
      values.json ? `${JSON.stringify(resultOf(status))}\n` : `${summary(status).join('\n')}\n`,
    );
    // Without --seconds, Ctrl-C is how the run is meant to end.
    if (interruption.signal.aborted && values.seconds !== undefined) return exitCodes.interrupted;
    return status.connected < status.requested || running.gone.aborted ? exitCodes.failure : exitCodes.ok;
  } finally {
    clearInterval(progress);
    await running.close();
    interruption.dispose();
  }
}

function openLoad(
  values: Values<typeof options>,
  driver: ReturnType<typeof clientDriver>,
  tokens: TokenFactory,
): Promise<Load> {
  return Load.open({
    peers: values.peers,
    rate: values.rate,
    size: values.size,
    sockets: values.sockets,
    driver,
    connectTimeoutMs: values.connectTimeout,
    tokens,
    firstClientId: values.firstClientId ?? randomClientId(),
  });
}

// ---- Output --------------------------------------------------------------------------------------------------------

function showProgress(running: Load, show: (line: string) => void): NodeJS.Timeout {
  const rates = new RateWindow<LoadStatus>();
  return setInterval(() => {
    const status = running.status();
    rates.push(status);
    show(status.phase === 'connecting' ? connectingLine(status) : sendingLine(status, rates));
  }, 1000);
}

function connectingLine({ connected, requested, tried }: LoadStatus): string {
  const failed = tried - connected;
  return `connected ${count(connected)} of ${count(requested)}${failed > 0 ? `, ${count(failed)} failed` : ''}`;
}

function sendingLine(status: LoadStatus, rates: RateWindow<LoadStatus>): string {
  const { p50, p99 } = status.recentRttMicros;
  const live = status.connected - status.disconnected;
  return [
    `${count(live)} peers`,
    `${count(rates.perSecond(({ echoed }) => echoed))} messages/s`,
    `rtt p50 ${micros(p50)} p99 ${micros(p99)}`,
    `cpu ${percent(rates.cpuShare())}`,
  ].join(', ');
}

/** What `--json` prints: names as in the report of the demonstration. */
function resultOf(status: LoadStatus): Record<string, unknown> {
  const { p50, p99 } = status.rttMicros;
  return {
    peers: { requested: status.requested, connected: status.connected, disconnected: status.disconnected },
    connectSeconds: status.connectSeconds,
    messages: { sent: status.sent, echoed: status.echoed, lost: status.sent - status.echoed },
    rttMicros: { p50, p99 },
    failures: status.failures,
    drops: newDrops(status.drops, {}),
  };
}

/** The end of a run, for people. */
export function summary(status: LoadStatus): string[] {
  const lost = status.sent - status.echoed;
  const { p50, p90, p99, max } = status.rttMicros;
  return [
    `peers       ${count(status.connected)} of ${count(status.requested)} connected in ${status.connectSeconds.toFixed(1)} s, ${count(status.disconnected)} disconnected`,
    ...Object.entries(status.failures).map(([reason, times]) => `            ${count(times)} x ${reason}`),
    `messages    ${count(status.sent)} sent, ${count(status.echoed)} echoed, ${count(lost)} lost (${percent(lost / Math.max(1, status.sent))})`,
    `round trip  p50 ${micros(p50)}, p90 ${micros(p90)}, p99 ${micros(p99)}, max ${micros(max)}`,
  ];
}

// ---- For the demonstration -----------------------------------------------------------------------------------------

/** What the demonstration asks of the load process. */
export type LoadRequests = {
  open(): Promise<void>;
  connect(total: number): Promise<LoadStatus>;
  start(): LoadStatus;
  /** Sends no more, but waits for nothing. */
  pause(): LoadStatus;
  finish(): Promise<LoadStatus>;
  close(): Promise<void>;
};

const controlIntervalMs = 250;

async function serveDemo(open: () => Promise<Load>): Promise<number> {
  let opened: Load | undefined;
  const running = (): Load => {
    if (opened === undefined) throw new Error('the load is not open');
    return opened;
  };
  await new Promise<void>((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const send = serveParent<LoadRequests>({
      open: async () => {
        opened = await open();
        timer = setInterval(() => send('status', running().status()), controlIntervalMs);
      },
      connect: async (total) => {
        await running().connect(total);
        return running().status();
      },
      start: () => {
        running().start();
        return running().status();
      },
      pause: () => {
        running().pause();
        return running().status();
      },
      finish: async () => {
        await running().finish();
        return running().status();
      },
      close: async () => {
        clearInterval(timer);
        await opened?.close();
        resolve();
      },
    });
  });
  return exitCodes.ok;
}
