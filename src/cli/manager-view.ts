// What `hawser sync manager` tells people: a line for each session that has ended, and on a terminal, below, how it stands.

import type { SessionEnded } from '../sync/manager/events.js';
import type { SyncManager } from '../sync/manager/manager.js';
import type { SyncStore } from '../sync/store/store.js';
import { SessionLines } from './session-lines.js';
import { bytes, count, painter, printable, Screen } from './terminal.js';

const drawEveryMs = 500;

export class ManagerView {
  readonly #manager: SyncManager;
  readonly #store: SyncStore;
  readonly #lines: SessionLines;
  readonly #screen: Screen | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  #drawnMs: number = performance.now();
  #drawnItems = 0;
  #status = '';

  constructor(manager: SyncManager, store: SyncStore) {
    this.#manager = manager;
    this.#store = store;
    this.#lines = new SessionLines({
      session: (ended) => this.say(sessionText(ended)),
      untold: (agent, sessions) =>
        this.say(`agent ${agent}: ${count(sessions)} more sessions that failed or brought nothing`),
    });
    manager.on('sessionEnd', (ended) => this.#lines.ended(ended));
    manager.on('log', (level, code, message, agent) => {
      if (level === 'error' || level === 'warning') {
        this.say(`${level}: agent ${agent}: ${message} (${code})`, process.stderr);
      }
    });
    if (!process.stdout.isTTY) return;
    this.#screen = new Screen(process.stdout);
    this.#timer = setInterval(() => this.#draw(), drawEveryMs);
  }

  /** Prints a line that stays. Agents chose some of the names in it. */
  say(line: string, stream: NodeJS.WriteStream = process.stdout): void {
    this.#screen?.clear();
    stream.write(`${printable(line)}\n`);
    if (this.#status !== '') this.#screen?.draw([this.#status]);
  }

  /** Takes away what does not stay, and gives the cursor back. */
  end(): void {
    clearInterval(this.#timer);
    this.#status = '';
    this.#screen?.clear();
    this.#lines.end();
    this.#screen?.end();
  }

  #draw(): void {
    const { connections, sessions, waiting, committing, counts } = this.#manager.stats;
    const nowMs = performance.now();
    const perSecond = ((counts.itemsReceived - this.#drawnItems) * 1000) / (nowMs - this.#drawnMs);
    this.#drawnMs = nowMs;
    this.#drawnItems = counts.itemsReceived;
    const parts = [
      plural(connections, 'agent'),
      plural(sessions, 'session'),
      ...(committing === 0 ? [] : [`${count(committing)} being applied`]),
      ...(waiting === 0 ? [] : [`${count(waiting)} waiting`]),
      `${count(perSecond)} items/s`,
      `store ${bytes(this.#store.usage.bytes)}`,
    ];
    this.#status = painter(process.stdout)('dim', parts.join(', '));
    this.#screen?.draw([this.#status]);
  }
}

function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`;
}

function sessionText({ agent, module, mode, durationMs, ...session }: SessionEnded): string {
  return `agent ${agent}, module ${module}, ${mode}: ${outcomeText(mode, session)}, ${(durationMs / 1000).toFixed(2)} s`;
}

type Outcome = Pick<SessionEnded, 'applied' | 'rejected' | 'size' | 'status' | 'reason'>;

function outcomeText(mode: SessionEnded['mode'], outcome: Outcome): string {
  const { applied, rejected, size, status, reason } = outcome;
  if (status === 'ChecksumMismatch') return 'the checksums differ';
  if (status !== 'Ok') return `${status}${reason === 'None' ? '' : ` (${reason})`}`;
  if (mode === 'CHECK') return 'the checksums are equal';
  if (size === 0) return 'done';
  return `${count(applied)} items applied${rejected === 0 ? '' : `, ${count(rejected)} rejected`}`;
}
