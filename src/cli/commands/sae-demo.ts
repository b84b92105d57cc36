import type { SessionState } from '../../keys/protocol/states.js';
import type { Role } from '../../keys/wire/messages.js';
import { type Command, defineCommand } from '../command.js';
import { ControlledProcess } from '../control.js';
import { CommandError, exitCodes } from '../errors.js';
import { showLive } from '../live-view.js';
import { duration, integer, optional, text, type Values, withDefault } from '../options.js';
import { saeDemoLines, saeDemoReport, writeSaeReport } from '../sae-demo-report.js';
import { DemoSetup } from '../sae-demo-setup.js';
import { SaeDemoView } from '../sae-demo-view.js';
import { type Interruption, pause, watchSignals } from '../signals.js';
import { painter } from '../terminal.js';
import type { SaeProcessStatus, SaeRequests } from './sae-run.js';

const options = {
  seconds: optional(integer(1, 86_400), 'for how long (default: until Ctrl-C)'),
  every: withDefault(duration(2000, 3_600_000), '3s', 'how often to rotate'),
  rate: withDefault(integer(1, 20_000), '1000', 'messages per second over the connection meanwhile'),
  json: optional(text('FILE'), 'write a report as JSON when the run ends'),
};

export const saeDemo: Command = defineCommand({
  name: 'sae demo',
  summary: 'two KMEs and two SAEs that rotate the keys of a connection, with a live view',
  details: [
    'Makes certificates and keys in a temporary folder, starts two KMEs with a common pool of keys, and a master and a slave in processes of their own that get keys from them over HTTPS with mutual TLS. The two SAEs have a hawser connection, over which they agree on each key and on a time, and whose own keys they change with it, while messages flow.',
    'Exit code 0 when keys were rotated, no message was lost, and both ends agree in the end.',
  ],
  options,
  run,
});

const drawIntervalMs = 100;
/** How long both ends have to be idle with the same key in the end, and to end. */
const settleMs = 15_000;
const endGraceMs = 5000;
const connectMs = 15_000;
/** So long before it a rotation is announced. */
const minLeadMs = 1000;
const maxLeadMs = 5000;
/** Rotations are at whole seconds: so much later than announced, on average. */
const roundingMs = 500;

async function run(values: Values<typeof options>): Promise<number> {
  if (values.json !== undefined) writeSaeReport(values.json, undefined);
  const view = new SaeDemoView(values.seconds);
  const output = showLive(view, drawIntervalMs);
  const interruption = watchSignals(output.end);
  const beganAt = performance.now();
  let processes: DemoProcesses | undefined;
  const leadMs = Math.max(minLeadMs, Math.min(maxLeadMs, values.every / 3));
  // An interval begins when a rotation is through.
  const intervalMs = Math.max(leadMs, values.every - leadMs - roundingMs);
  const setup = await DemoSetup.open({ intervalMs, leadMs }).catch((error: unknown) => {
    output.end();
    throw error;
  });
  view.setup = setup;
  try {
    processes = new DemoProcesses(setup, view, values.rate);
    const finals = await rotate(processes, view, values, interruption);
    view.phase = 'closing';
    await processes.close();
    output.end();
    if (finals === undefined) return exitCodes.interrupted;
    const report = saeDemoReport((performance.now() - beganAt) / 1000, finals.master, finals.slave);
    if (values.json !== undefined) writeSaeReport(values.json, report);
    process.stdout.write(`${saeDemoLines(report, painter(process.stdout)).join('\n')}\n`);
    if (values.json !== undefined) process.stdout.write(`The report is in ${values.json}\n`);
    if (!report.ok) return exitCodes.failure;
    // Without --seconds, Ctrl-C is how the run is meant to end.
    return interruption.signal.aborted && values.seconds !== undefined ? exitCodes.interrupted : exitCodes.ok;
  } finally {
    output.end();
    await processes?.end();
    await setup.close();
    interruption.dispose();
  }
}

interface FinalStatus {
  readonly master: SaeProcessStatus;
  readonly slave: SaeProcessStatus;
}

/** The master and the slave in processes of their own. */
class DemoProcesses {
  readonly slave: ControlledProcess<SaeRequests>;
  #master: ControlledProcess<SaeRequests> | undefined;
  readonly #setup: DemoSetup;
  readonly #view: SaeDemoView;
  readonly #rate: number;

  constructor(setup: DemoSetup, view: SaeDemoView, rate: number) {
    this.#setup = setup;
    this.#view = view;
    this.#rate = rate;
    this.slave = new ControlledProcess<SaeRequests>(
      ['sae', 'slave', '--control', '--config', setup.slaveConfig()],
      {},
      [],
      (event, value) => this.#hear('slave', event, value),
    );
  }

  /** Starts the master, which connects to the slave. */
  async startMaster(): Promise<ControlledProcess<SaeRequests>> {
    const address = await this.slave.request('address');
    if (address === null) throw new CommandError('the slave does not listen');
    this.#view.address = address;
    this.#master = new ControlledProcess<SaeRequests>(
      [
        'sae',
        'master',
        '--control',
        '--config',
        this.#setup.masterConfig(address),
        `--traffic=${this.#rate}`,
      ],
      {},
      [],
      (event, value) => this.#hear('master', event, value),
    );
    await this.#master.request('address');
    return this.#master;
  }

  /** The process of an SAE, which is this package, sends a SessionState as `state`, and a SaeProcessStatus as `status`. */
  #hear(role: Role, event: string, value: unknown): void {
    if (event === 'state') this.#view.entered(role, value as SessionState);
    else this.#view[role](value as SaeProcessStatus);
  }

  /** The master first: the slave is to hear its goodbye. */
  async close(): Promise<void> {
    await this.#master?.request('close');
    await this.slave.request('close');
  }

  /** Ends both processes. */
  async end(): Promise<void> {
    await Promise.all([this.#master?.end(endGraceMs), this.slave.end(endGraceMs)]);
  }
}

/** @returns undefined when it was interrupted before there was anything to report. */
async function rotate(
  processes: DemoProcesses,
  view: SaeDemoView,
  { seconds }: Values<typeof options>,
  { signal }: Interruption,
): Promise<FinalStatus | undefined> {
  const master = await processes.startMaster();
  view.phase = 'connecting';
  const connected = await until(
    connectMs,
    signal,
    async () => (await master.request('status')).keyEpoch !== null,
  );
  if (signal.aborted) return undefined;
  if (!connected) throw new CommandError('the master could not connect to the slave');
  view.steady();
  const time = seconds === undefined ? Number.POSITIVE_INFINITY : seconds * 1000;
  await Promise.race([pause(time, signal), master.failed, processes.slave.failed]);
  view.phase = 'waiting for the last rotation';
  // Also after Ctrl-C: a second one ends at once.
  await until(settleMs, new AbortController().signal, async () => {
    const [ours, theirs] = [await master.request('status'), await processes.slave.request('status')];
    return isSettled(ours, theirs);
  });
  const finals = { master: await master.request('finish'), slave: await processes.slave.request('status') };
  view.master(finals.master);
  view.slave(finals.slave);
  return finals;
}

/** Both ends are idle and use the same key. */
function isSettled(master: SaeProcessStatus, slave: SaeProcessStatus): boolean {
  const [ours, theirs] = [master.sae.peers[0], slave.sae.peers[0]];
  if (ours === undefined || theirs === undefined) return false;
  const isIdle = ours.session === undefined && theirs.session === undefined;
  return isIdle && ours.productionKeyId !== null && ours.productionKeyId === theirs.productionKeyId;
}

const askEveryMs = 50;

/** @returns whether it came true in time. */
async function until(ms: number, signal: AbortSignal, holds: () => Promise<boolean>): Promise<boolean> {
  const endAtMs = performance.now() + ms;
  while (performance.now() < endAtMs) {
    if (await holds()) return true;
    if (!(await pause(askEveryMs, signal))) return false;
  }
  return false;
}
