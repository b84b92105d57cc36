import { readSaeConfig, type SaeConfig } from '../../gateway/sae/config.js';
import type { SaeStatus } from '../../keys/agent/status.js';
import { type Command, defineCommand } from '../command.js';
import { serveParent } from '../control.js';
import { exitCodes } from '../errors.js';
import { flag, hidden, integer, required, text, type Values, withDefault } from '../options.js';
import { openControl } from '../sae-control.js';
import { controlHandler } from '../sae-control-handler.js';
import { openSaeHost, type SaeHost } from '../sae-host.js';
import { SaeTraffic, type TrafficStatus } from '../sae-traffic.js';
import { SaeView } from '../sae-view.js';
import { pause, watchSignals } from '../signals.js';
import { painter } from '../terminal.js';

const options = {
  config: required(text('FILE'), 'the configuration, as docs/cli.md describes it'),
  verbose: flag('also tell each transition of a session'),
  json: flag('print lines of JSON: each event, and a status each second'),
  // For `hawser sae demo`.
  control: hidden(flag('serve a parent process')),
  traffic: hidden(withDefault(integer(0, 100_000), '0', 'messages per second over the connection')),
};

export const saeMaster: Command = roleCommand('master');
export const saeSlave: Command = roleCommand('slave');

function roleCommand(role: 'master' | 'slave'): Command {
  const part = role === 'master' ? 'which begins rotations' : 'which follows a master';
  return defineCommand({
    name: `sae ${role}`,
    summary: `runs an SAE, ${part}`,
    details: [
      role === 'master'
        ? 'Takes keys from its KME, agrees with each peer on one and on a time, and has both devices use it from then on. It rotates by itself where "intervalMs" is configured, and when "hawser sae rotate" asks.'
        : 'Gets the keys that a master names from its KME, and has its device use one at the agreed time.',
      'SIGINT (Ctrl-C) or SIGTERM ends it with exit code 0; a second one ends it at once. What is under way survives both, and a crash: it goes on after the next start.',
    ],
    options,
    run: (values) => run(values, role),
  });
}

/** What `hawser sae demo` asks. */
export type SaeRequests = {
  readonly address: () => Promise<string | null>;
  readonly status: () => Promise<SaeProcessStatus>;
  /** Sends no more messages, and waits for those that are on their way. */
  readonly finish: () => Promise<SaeProcessStatus>;
  readonly close: () => Promise<void>;
};

/** How an SAE in a process of its own stands. */
export interface SaeProcessStatus {
  readonly sae: SaeStatus;
  /** Of the connection with the first peer; null where there is none. */
  readonly keyEpoch: number | null;
  readonly traffic: TrafficStatus;
}

const reportEveryMs = 200;
const lastEchoesMs = 5000;

async function run(values: Values<typeof options>, role: 'master' | 'slave'): Promise<number> {
  const config = readSaeConfig(values.config);
  return values.control ? serveDemo(config, role, values.traffic) : serve(config, role, values);
}

async function serve(
  config: SaeConfig,
  role: 'master' | 'slave',
  { json, verbose }: Values<typeof options>,
): Promise<number> {
  const view = new SaeView({ json, verbose });
  const interruption = watchSignals(() => view.end());
  let host: SaeHost | undefined;
  try {
    host = await openSaeHost(config, {
      role,
      opened: (sae) => view.watch(sae),
      onConnection: (saeId, lostBy) => view.connection(saeId, lostBy),
      onError: (error, saeId) => view.error(error, saeId),
    });
    const control = await openControl(config.control, controlHandler(host.sae));
    try {
      announce(view, config, role, host, json);
      view.begin();
      await pause(Number.POSITIVE_INFINITY, interruption.signal);
    } finally {
      await control.close();
    }
  } finally {
    view.end();
    await host?.close();
    interruption.dispose();
  }
  return exitCodes.ok;
}

function announce(view: SaeView, config: SaeConfig, role: string, host: SaeHost, json: boolean): void {
  const { saeId, store, control, kme, peers } = config;
  if (json) {
    const places = { address: host.address ?? null, store: store.path, control };
    view.tell('listening', { saeId, role, peers: peers.length, ...places }, '');
    return;
  }
  const paint = painter(process.stdout);
  const rows = [
    [
      role,
      `${paint('bold', saeId)}, with ${peers
        .map((peer) => peer.saeId)
        .slice(0, 5)
        .join(', ')}${peers.length > 5 ? ` and ${peers.length - 5} more` : ''}`,
    ],
    ...(host.address === undefined ? [] : [['gateway', `udp ${host.address}`]]),
    ...(config.udp === undefined ? [] : [['sae-json', `udp ${config.udp}`]]),
    ['KME', kme.url],
    ['store', store.path],
    ['control', control],
  ];
  for (const [name = '', value = ''] of rows) {
    process.stdout.write(`${paint('dim', name.padEnd(8))} ${value}\n`);
  }
}

/** The demonstration says when this ends. */
async function serveDemo(config: SaeConfig, role: 'master' | 'slave', perSecond: number): Promise<number> {
  const traffic = new SaeTraffic(perSecond);
  let host: SaeHost | undefined;
  const opening = openSaeHost(config, {
    role,
    traffic,
    onConnection: () => undefined,
    // A connection that is refused is made anew; the view shows that there is none.
    onError: () => undefined,
    opened: (sae) => sae.on('state', ({ session }) => send('state', session.state)),
  }).then((opened) => {
    host = opened;
    return opened;
  });
  const [first] = config.peers;
  const status = async (): Promise<SaeProcessStatus> => {
    const { sae, links } = await opening;
    return {
      sae: sae.status(),
      keyEpoch: links.keyEpochOf(first?.saeId ?? '') ?? null,
      traffic: traffic.status,
    };
  };
  const send = serveParent<SaeRequests>({
    address: async () => (await opening).address ?? null,
    status,
    finish: async () => {
      await traffic.finish(lastEchoesMs);
      return status();
    },
    close: async () => {
      clearInterval(timer);
      traffic.close();
      await host?.close();
    },
  });
  const timer = setInterval(() => {
    if (host !== undefined) void status().then((value) => send('status', value));
  }, reportEveryMs);
  await opening;
  await new Promise(() => undefined);
  return exitCodes.ok;
}
