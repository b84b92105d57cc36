import { formatKey, generateKey } from '../../token/server-key.js';
import { type Command, defineCommand } from '../command.js';
import { ControlledProcess } from '../control.js';
import {
  bytesPerPeer,
  checkWritable,
  type DemoMeasurements,
  reportLines,
  reportOf,
  writeReport,
} from '../demo-report.js';
import { DemoView } from '../demo-view.js';
import { driverText, gatewayDriver, gatewayDriverOptions } from '../driver.js';
import { exitCodes } from '../errors.js';
import { showLive } from '../live-view.js';
import type { LoadStatus } from '../load.js';
import { impairmentNotice, simulateOption } from '../network-profile.js';
import { optional, text, type Values } from '../options.js';
import { type Interruption, pause, watchSignals } from '../signals.js';
import type { GatewayStatus } from '../status.js';
import { painter } from '../terminal.js';
import { wireOption } from '../tokens.js';
import { checkMessageBytes } from '../wires.js';
import type { GatewayRequests } from './gateway.js';
import { type LoadRequests, loadOptions } from './load.js';

const options = {
  ...loadOptions,
  wire: wireOption('which protocol gateway and load speak'),
  ...gatewayDriverOptions,
  simulate: simulateOption,
  json: optional(text('FILE'), 'write a report as JSON when the run ends'),
};

export const demo: Command = defineCommand({
  name: 'demo',
  summary: 'a gateway and its load in two processes, with a live view',
  details: [
    'Starts "hawser gateway" and "hawser load" on this machine, connects the peers, then lets them send until Ctrl-C or for --seconds. On a terminal the view is drawn in place; elsewhere it is a line each second.',
    'Exit code 1 when not all peers could connect, or none was left.',
  ],
  options,
  run,
});

const drawIntervalMs = 250;
/** Longer than the second that disconnecting takes at most. */
const endGraceMs = 5000;

async function run(values: Values<typeof options>): Promise<number> {
  checkMessageBytes(values.size.max, values.wire);
  gatewayDriver(values);
  if (values.json !== undefined) checkWritable(values.json);
  if (values.simulate !== undefined) process.stdout.write(`${impairmentNotice(values.simulate)}\n`);
  const view = new DemoView(values.wire, values.peers, values.seconds);
  view.driver = driverText(values);
  const output = showLive(view, drawIntervalMs);
  const interruption = watchSignals(output.end);
  const processes = new DemoProcesses(view, values);
  try {
    const measured = await measure(processes, view, values, interruption);
    view.phase = 'disconnecting';
    await processes.close();
    output.end();
    if (measured === undefined) return exitCodes.interrupted;
    const report = reportOf(values.wire, measured);
    if (values.json !== undefined) writeReport(values.json, report);
    const lines = reportLines(report, measured.final, painter(process.stdout));
    process.stdout.write(`${lines.join('\n')}\n`);
    if (values.json !== undefined) process.stdout.write(`The report is in ${values.json}\n`);
    // Without --seconds, Ctrl-C is how the run is meant to end.
    if (interruption.signal.aborted && values.seconds !== undefined) return exitCodes.interrupted;
    const { requested, connected, disconnected } = report.peers;
    return connected < requested || connected === disconnected ? exitCodes.failure : exitCodes.ok;
  } finally {
    output.end();
    await processes.end();
    interruption.dispose();
  }
}

class DemoProcesses {
  readonly gateway: ControlledProcess<GatewayRequests>;
  #load: ControlledProcess<LoadRequests> | undefined;
  readonly #view: DemoView;
  readonly #values: Values<typeof options>;
  readonly #gone = new AbortController();
  readonly #key: string = formatKey(generateKey());

  constructor(view: DemoView, values: Values<typeof options>) {
    this.#view = view;
    this.#values = values;
    this.gateway = new ControlledProcess<GatewayRequests>(
      [
        'gateway',
        '--control',
        '--listen=127.0.0.1:0',
        '--http=off',
        `--max-peers=${values.peers}`,
        `--wire=${values.wire}`,
        `--driver=${values.driver}`,
        ...(values.threads === undefined ? [] : [`--threads=${values.threads}`]),
        ...(values.spinMicros === undefined ? [] : [`--spin-micros=${values.spinMicros}`]),
        ...(values.simulate === undefined ? [] : [`--simulate=${values.simulate.text}`]),
      ],
      { HAWSER_KEY: this.#key },
      // For comparing memory: what is garbage must not count.
      ['--expose-gc'],
      // The one event is what the gateway process sends: a GatewayStatus.
      (_, value) => view.gateway(value as GatewayStatus),
    );
  }

  /** @param address where the gateway is. */
  async startLoad(address: string): Promise<ControlledProcess<LoadRequests>> {
    const { peers, rate, size, sockets, wire } = this.#values;
    this.#load = new ControlledProcess<LoadRequests>(
      [
        'load',
        '--control',
        `--server=${address}`,
        `--peers=${peers}`,
        `--rate=${rate}`,
        `--size=${size.min}-${size.max}`,
        `--sockets=${sockets}`,
        `--wire=${wire}`,
      ],
      { HAWSER_KEY: this.#key },
      [],
      (_, value) => this.#onLoadStatus(value as LoadStatus),
    );
    await this.#load.request('open');
    return this.#load;
  }

  /** Aborted when the last peer has been disconnected. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  #onLoadStatus(status: LoadStatus): void {
    this.#view.load(status);
    if (status.phase === 'sending' && status.disconnected === status.connected) this.#gone.abort();
  }

  /** Disconnects the peers, then stops the gateway. */
  async close(): Promise<void> {
    await this.#load?.request('close');
    await this.gateway.request('close');
  }

  /** Ends both processes. */
  async end(): Promise<void> {
    await Promise.all([this.#load?.end(endGraceMs), this.gateway.end(endGraceMs)]);
  }
}

/** @returns undefined when it was interrupted before there was anything to report. */
async function measure(
  processes: DemoProcesses,
  view: DemoView,
  values: Values<typeof options>,
  { signal }: Interruption,
): Promise<DemoMeasurements | undefined> {
  const { gateway } = processes;
  view.address = await gateway.request('address');
  const load = await processes.startLoad(view.address);
  view.phase = 'connecting';
  const connected = await unlessAborted(signal, connectAll(gateway, load, values.peers));
  if (connected === undefined) return undefined;
  view.bytesPerPeer = connected.bytesPerPeer;

  const steadyBegin = await gateway.request('status');
  const loadBegin = await load.request('start');
  view.steady();
  const seconds = loadBegin.connected === 0 ? 0 : (values.seconds ?? Number.POSITIVE_INFINITY);
  const stop = AbortSignal.any([signal, processes.gone]);
  await Promise.race([pause(seconds * 1000, stop), gateway.failed, load.failed]);
  const steadyEnd = await gateway.request('status');
  const loadEnd = await load.request('pause');
  view.phase = 'waiting for the last echoes';
  const final = await load.request('finish');
  const { drops } = await gateway.request('status');
  return { steadyBegin, steadyEnd, loadBegin, loadEnd, final, drops, ...connected };
}

/**
 * Connects a tenth of the peers and then the others, so that the memory of each further peer can be told from what the process needs
 * anyway.
 */
async function connectAll(
  gateway: ControlledProcess<GatewayRequests>,
  load: ControlledProcess<LoadRequests>,
  peers: number,
): Promise<{ readonly bytesPerPeer: number | undefined }> {
  await load.request('connect', Math.floor(peers / 10));
  const few = await gateway.request('settledStatus');
  await load.request('connect', peers);
  return { bytesPerPeer: bytesPerPeer(few, await gateway.request('settledStatus')) };
}

/** Stops waiting, with undefined, when the signal is aborted. */
async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T | undefined> {
  const waiting = new AbortController();
  const aborted = pause(Number.POSITIVE_INFINITY, AbortSignal.any([signal, waiting.signal])).then(
    () => undefined,
  );
  try {
    return await Promise.race([work, aborted]);
  } finally {
    waiting.abort();
    // Its processes are ended next, which it is not to complain about.
    work.catch(() => undefined);
  }
}
