// The live view of the demonstration.

import type { Wire } from '../base/wire.js';
import { dropsText } from './demo-report.js';
import type { LoadStatus } from './load.js';
import { type GatewayStatus, newDrops, RateWindow } from './status.js';
import { bar, bytes, clock, count, micros, type Paint, sparkline } from './terminal.js';

export type DemoPhase =
  | 'starting'
  | 'connecting'
  | 'sending'
  | 'waiting for the last echoes'
  | 'disconnecting';

const barWidth = 40;
const meterWidth = 20;
const historySeconds = 30;
const nameWidth = 11;

/** A round trip; none was measured yet when it is 0. */
function time(rttMicros: number): string {
  return rttMicros === 0 ? '-' : micros(rttMicros);
}

/** Everything that the view shows, as it comes in. */
export class DemoView {
  phase: DemoPhase = 'starting';
  address = '';
  /** Of the gateway; see `driverText`. */
  driver = '';
  bytesPerPeer: number | undefined;
  readonly #startedAt = performance.now();
  readonly #wire: Wire;
  readonly #requested: number;
  readonly #seconds: number | undefined;
  readonly #gatewayRates = new RateWindow<GatewayStatus>();
  readonly #loadRates = new RateWindow<LoadStatus>();
  readonly #messageHistory: number[] = [];
  readonly #rttHistory: number[] = [];
  #gateway: GatewayStatus | undefined;
  #load: LoadStatus | undefined;
  #steadySince: number | undefined;
  #historyAt = 0;

  constructor(wire: Wire, requested: number, seconds: number | undefined) {
    this.#wire = wire;
    this.#requested = requested;
    this.#seconds = seconds;
  }

  gateway(status: GatewayStatus): void {
    this.#gateway = status;
    this.#gatewayRates.push(status);
  }

  load(status: LoadStatus): void {
    this.#load = status;
    this.#loadRates.push(status);
    if (status.phase !== 'sending' || status.timeMs - this.#historyAt < 1000) return;
    this.#historyAt = status.timeMs;
    this.#messageHistory.push(this.#echoRate());
    this.#rttHistory.push(status.recentRttMicros.p99);
    if (this.#messageHistory.length > historySeconds) this.#messageHistory.shift();
    if (this.#rttHistory.length > historySeconds) this.#rttHistory.shift();
  }

  steady(): void {
    this.phase = 'sending';
    this.#steadySince = performance.now();
  }

  #echoRate(): number {
    return this.#loadRates.perSecond(({ echoed }) => echoed);
  }

  #elapsed(): string {
    return clock((performance.now() - this.#startedAt) / 1000);
  }

  /** `sending, 6 s of 20 s`. */
  #phaseText(): string {
    if (this.phase !== 'sending' || this.#steadySince === undefined) return this.phase;
    const seconds = Math.floor((performance.now() - this.#steadySince) / 1000);
    return this.#seconds === undefined
      ? `sending, ${seconds} s`
      : `sending, ${seconds} s of ${this.#seconds} s`;
  }

  // ---- On a terminal -----------------------------------------------------------------------------------------------

  lines(paint: Paint): string[] {
    const row = (name: string, text: string): string => ` ${paint('bold', name.padEnd(nameWidth))} ${text}`;
    return [
      '',
      ` ${paint(['bold', 'cyan'], 'hawser demo')}  ${paint('dim', this.#headline())}`,
      '',
      row('Peers', this.#peerBar(paint)),
      row('', paint('dim', this.#peerText())),
      row('Messages', this.#messageText(paint)),
      row('', paint('dim', this.#messageTotals())),
      row('Round trip', this.#rttText(paint)),
      row('', paint('dim', this.#rttTotals())),
      row('Gateway', this.#meters(this.#gateway, this.#gatewayRates, paint) + this.#perPeerText()),
      row('Load', this.#meters(this.#load, this.#loadRates, paint)),
      row('Drops', this.#dropText(paint)),
      '',
      ` ${paint('dim', `${this.#elapsed()}  ${this.#phaseText()}  Ctrl-C ends`)}`,
    ];
  }

  #headline(): string {
    return this.address === '' ? this.#wire : `${this.#wire}, gateway on udp ${this.address}, ${this.driver}`;
  }

  #peerBar(paint: Paint): string {
    const live = this.#gateway?.peers ?? 0;
    const { full, empty } = bar(live / this.#requested, barWidth);
    const colour = live >= this.#requested ? 'green' : 'cyan';
    return `${paint(colour, full)}${paint('dim', empty)}  ${paint('bold', count(live))} of ${count(this.#requested)}`;
  }

  #peerText(): string {
    const load = this.#load;
    if (load === undefined) return 'starting';
    const failed = load.tried - load.connected;
    const disconnected = `, ${count(load.disconnected)} disconnected${failed > 0 ? `, ${count(failed)} failed` : ''}`;
    if (load.phase !== 'connecting') return `connected in ${load.connectSeconds.toFixed(1)} s${disconnected}`;
    const rate = this.#gatewayRates.perSecond(({ handshakesCompleted }) => handshakesCompleted);
    return `${count(rate)} handshakes a second${disconnected}`;
  }

  #messageText(paint: Paint): string {
    return `${paint('bold', count(this.#echoRate()).padStart(8))} a second  ${paint('cyan', sparkline(this.#messageHistory, historySeconds))}`;
  }

  #messageTotals(): string {
    const { sent = 0, echoed = 0, phase = 'connecting' } = this.#load ?? {};
    const rest = phase === 'finished' ? 'lost' : 'on their way';
    return `${count(sent)} sent, ${count(echoed)} echoed, ${count(sent - echoed)} ${rest}`;
  }

  #rttText(paint: Paint): string {
    const { p50, p99 } = this.#load?.recentRttMicros ?? { p50: 0, p99: 0 };
    return `p50 ${paint('bold', time(p50).padStart(8))}   p99 ${paint('bold', time(p99).padStart(8))}   ${paint('cyan', sparkline(this.#rttHistory, historySeconds))}`;
  }

  #rttTotals(): string {
    const { p50, p99, max } = this.#load?.rttMicros ?? { p50: 0, p99: 0, max: 0 };
    return `whole run: p50 ${time(p50)}, p99 ${time(p99)}, max ${time(max)}`;
  }

  #meters<S extends GatewayStatus | LoadStatus>(
    status: S | undefined,
    rates: RateWindow<S>,
    paint: Paint,
  ): string {
    const share = rates.cpuShare();
    const { full, empty } = bar(share, meterWidth);
    const colour = share > 0.9 ? 'red' : share > 0.7 ? 'yellow' : 'green';
    const cpu = `${Math.round(share * 100)} %`.padStart(5);
    const memory = status === undefined ? '' : `memory ${bytes(status.rssBytes)}`;
    return `CPU ${paint('bold', cpu)} ${paint(colour, full)}${paint('dim', empty)}  ${memory}`;
  }

  #perPeerText(): string {
    return this.bytesPerPeer === undefined ? '' : `, ${bytes(this.bytesPerPeer)} per peer`;
  }

  #dropText(paint: Paint): string {
    const drops = Object.entries(newDrops(this.#gateway?.drops ?? {}, {}));
    return drops.length === 0 ? paint('green', 'none') : paint('yellow', dropsText(drops));
  }

  // ---- Elsewhere ---------------------------------------------------------------------------------------------------

  /** All of it in one line, for logs. */
  line(): string {
    const { p50, p99 } = this.#load?.recentRttMicros ?? { p50: 0, p99: 0 };
    const drops = Object.values(this.#gateway?.drops ?? {}).reduce((sum, each) => sum + each, 0);
    return [
      `${this.#elapsed()} ${this.#phaseText()}`,
      `${count(this.#gateway?.peers ?? 0)} ${this.#wire} peers`,
      `${count(this.#echoRate())} messages/s`,
      `rtt p50 ${time(p50)} p99 ${time(p99)}`,
      `gateway ${Math.round(this.#gatewayRates.cpuShare() * 100)} % ${bytes(this.#gateway?.rssBytes ?? 0)}`,
      `load ${Math.round(this.#loadRates.cpuShare() * 100)} % ${bytes(this.#load?.rssBytes ?? 0)}`,
      `${count(drops)} drops`,
    ].join(' | ');
  }
}
