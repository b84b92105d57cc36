// The live view of `hawser sae demo`.

import type { PeerStatus } from '../keys/agent/status.js';
import { type SessionState, sessionStates } from '../keys/protocol/states.js';
import type { Role } from '../keys/wire/messages.js';
import type { SaeProcessStatus } from './commands/sae-run.js';
import type { DemoSetup } from './sae-demo-setup.js';
import { inText, plural, shortId } from './sae-lines.js';
import { clock, count, type Paint, sparkline } from './terminal.js';

export type SaeDemoPhase =
  | 'starting'
  | 'connecting'
  | 'rotating'
  | 'waiting for the last rotation'
  | 'closing';

const nameWidth = 10;
const historySeconds = 30;
const trailMs = 1500;
const flow: readonly SessionState[] = sessionStates.filter((state) => state !== 'ROLLING_BACK');
/** As the view has room for. */
const shortNames: Partial<Record<SessionState, string>> = { CLEANUP_STATUS_CHECKING: 'CLEANUP' };

/** Everything that the view shows, as it comes in. */
export class SaeDemoView {
  phase: SaeDemoPhase = 'starting';
  setup: DemoSetup | undefined;
  address = '';
  readonly #startedAt = performance.now();
  readonly #seconds: number | undefined;
  readonly #history: number[] = [];
  #rotatingSince: number | undefined;
  #historyAt = 0;
  #historyEchoed = 0;
  #master: SaeProcessStatus | undefined;
  #slave: SaeProcessStatus | undefined;
  /** When each side was last in each state: most last a few milliseconds only. */
  readonly #masterStates: StateTimes = new Map();
  readonly #slaveStates: StateTimes = new Map();

  constructor(seconds: number | undefined) {
    this.#seconds = seconds;
  }

  master(status: SaeProcessStatus): void {
    this.#master = status;
    const now = performance.now();
    const passed = now - this.#historyAt;
    if (this.#rotatingSince === undefined || passed < 1000) return;
    const { echoed } = status.traffic;
    if (this.#historyAt > 0) this.#history.push(((echoed - this.#historyEchoed) * 1000) / passed);
    if (this.#history.length > historySeconds) this.#history.shift();
    this.#historyAt = now;
    this.#historyEchoed = echoed;
  }

  slave(status: SaeProcessStatus): void {
    this.#slave = status;
  }

  /** A side is in another state. */
  entered(role: Role, state: SessionState): void {
    (role === 'master' ? this.#masterStates : this.#slaveStates).set(state, performance.now());
  }

  steady(): void {
    this.phase = 'rotating';
    this.#rotatingSince = performance.now();
  }

  // ---- On a terminal -----------------------------------------------------------------------------------------------

  lines(paint: Paint): string[] {
    const row = (name: string, text: string): string => ` ${paint('bold', name.padEnd(nameWidth))} ${text}`;
    const master = peerOf(this.#master);
    const slave = peerOf(this.#slave);
    return [
      '',
      ` ${paint(['bold', 'cyan'], 'hawser sae demo')}  ${paint('dim', this.#headline())}`,
      '',
      row('KMEs', this.#kmeText(paint)),
      row('', paint('dim', this.#kmeTotals())),
      '',
      ...sideRows('Master', master, this.#masterStates, paint, row),
      '',
      ...sideRows('Slave', slave, this.#slaveStates, paint, row),
      '',
      row('Keys', this.#agreementText(paint)),
      row('Rotations', this.#rotationText(paint)),
      row('Messages', this.#messageText(paint)),
      row('', paint('dim', this.#messageTotals())),
      '',
      ` ${paint('dim', `${this.#elapsed()}  ${this.#phaseText()}  Ctrl-C ends`)}`,
    ];
  }

  #headline(): string {
    const way = this.address === '' ? '' : ` on udp ${this.address}`;
    return `SAE_A and SAE_B${way}, keys over mutual TLS`;
  }

  #elapsed(): string {
    return clock((performance.now() - this.#startedAt) / 1000);
  }

  /** `rotating, 6 s of 20 s`. */
  #phaseText(): string {
    if (this.phase !== 'rotating' || this.#rotatingSince === undefined) return this.phase;
    const seconds = Math.floor((performance.now() - this.#rotatingSince) / 1000);
    return this.#seconds === undefined
      ? `rotating, ${seconds} s`
      : `rotating, ${seconds} s of ${this.#seconds} s`;
  }

  #kmeText(paint: Paint): string {
    if (this.setup === undefined) return paint('dim', 'starting');
    const names = ['KME_A', 'KME_B'];
    return this.setup.kmes.map(({ url }, index) => `${names[index]} ${paint('dim', url)}`).join('  ');
  }

  #kmeTotals(): string {
    if (this.setup === undefined) return '';
    const { pool, delivered } = this.setup;
    return `${count(pool.stored)} keys left; ${count(delivered.master)} delivered to the master, ${count(delivered.slave)} to the slave`;
  }

  #agreementText(paint: Paint): string {
    const [master, slave] = [peerOf(this.#master), peerOf(this.#slave)];
    const epochs = [this.#master?.keyEpoch, this.#slave?.keyEpoch];
    if (master === undefined || slave === undefined) return paint('dim', 'none yet');
    const keys = [master.productionKeyId, slave.productionKeyId];
    const connection = `connection: key epoch ${epochs.map((epoch) => epoch ?? '-').join(' and ')}`;
    if (keys[0] === null && keys[1] === null) return paint('dim', `none yet, ${connection}`);
    const same = keys[0] === keys[1];
    const text = same ? `both use ${shortId(keys[0] ?? null)}` : 'changing: both ends take both keys';
    return `${paint(same ? 'green' : 'yellow', text)}, ${connection}`;
  }

  #rotationText(paint: Paint): string {
    const peer = peerOf(this.#master);
    if (peer === undefined) return '-';
    const failed =
      peer.failures === 0 ? paint('green', 'none failed') : paint('red', `${count(peer.failures)} failed`);
    const next =
      peer.nextBeginAtMs === null || peer.session !== undefined
        ? ''
        : `, next ${inText(peer.nextBeginAtMs - Date.now())}`;
    return `${paint('bold', count(peer.rotations))}, ${failed}${next}`;
  }

  #messageText(paint: Paint): string {
    const rate = this.#history.at(-1) ?? 0;
    return `${paint('bold', count(rate).padStart(6))} a second back  ${paint('cyan', sparkline(this.#history, historySeconds))}`;
  }

  #messageTotals(): string {
    const { sent = 0, echoed = 0, lost = 0, misordered = 0, longestGapMs = 0 } = this.#master?.traffic ?? {};
    const order = misordered === 0 ? '' : `, ${count(misordered)} out of order`;
    return `${count(sent)} sent, ${count(echoed)} back, ${count(lost)} lost${order}, longest pause ${longestGapMs.toFixed(0)} ms`;
  }

  // ---- Elsewhere ---------------------------------------------------------------------------------------------------

  /** All of it in one line, for logs. */
  line(): string {
    const [master, slave] = [peerOf(this.#master), peerOf(this.#slave)];
    const { sent = 0, echoed = 0, lost = 0 } = this.#master?.traffic ?? {};
    const side = (name: string, peer: PeerStatus | undefined): string =>
      `${name} ${peer?.session?.state ?? 'IDLE'} key ${shortId(peer?.productionKeyId ?? null)}`;
    return [
      `${this.#elapsed()} ${this.#phaseText()}`,
      side('SAE_A', master),
      side('SAE_B', slave),
      plural(master?.rotations ?? 0, 'rotation'),
      `${count(this.setup?.pool.stored ?? 0)} keys in the KMEs`,
      `key epoch ${this.#master?.keyEpoch ?? '-'}`,
      `${count(sent)} messages, ${count(echoed)} back, ${count(lost)} lost`,
    ].join(' | ');
  }
}

/** The one peer of an SAE of the demonstration. */
function peerOf(status: SaeProcessStatus | undefined): PeerStatus | undefined {
  return status?.sae.peers[0];
}

type StateTimes = Map<SessionState, number>;

type Row = (name: string, text: string) => string;

/** The states, the present one marked, and those that it came through just now; and the key. */
function sideRows(
  name: string,
  peer: PeerStatus | undefined,
  times: StateTimes,
  paint: Paint,
  row: Row,
): string[] {
  const state = peer?.session?.state ?? 'IDLE';
  const now = performance.now();
  const paintState = (each: SessionState): string => {
    const text = shortNames[each] ?? each;
    if (each === state) return paint(['bold', 'cyan'], `[${text}]`);
    return now - (times.get(each) ?? Number.NEGATIVE_INFINITY) < trailMs
      ? paint('cyan', text)
      : paint('dim', text);
  };
  const states = flow.map(paintState);
  if (state === 'ROLLING_BACK') states.push(paint(['bold', 'red'], `[${state}]`));
  const key = peer === undefined ? 'starting' : keyText(peer);
  return [row(name, states.join(paint('dim', '›'))), row('', paint('dim', key))];
}

/** `key 6f1c2a9e…, changes to 0d3b8f9a… in 1.2 s`. */
function keyText({ productionKeyId, session }: PeerStatus): string {
  const key = `key ${shortId(productionKeyId)}`;
  if (session === undefined || session.newKeyId === null || session.newKeyId === productionKeyId) return key;
  const left = session.rotationAtMs - Date.now();
  return `${key}, changes to ${shortId(session.newKeyId)} ${left > 0 ? `in ${(left / 1000).toFixed(1)} s` : 'now'}`;
}
