// How far `hawser sync push` is: a bar on a terminal, a line now and then elsewhere.

import type { SyncProgress } from '../sync/agent/results.js';
import { bar, bytes, clock, count, painter, printable, Screen } from './terminal.js';

const drawEveryMs = 100;
const lineEveryMs = 5000;
const barColumns = 30;

/** Where a session was when its progress was first heard of: one that is resumed begins in its midst. */
interface Beginning {
  readonly atMs: number;
  readonly size: number;
  readonly done: number;
}

/** Draws to standard error, so that what the command prints can be read by programs. */
export class PushProgress {
  readonly #stream: NodeJS.WriteStream;
  readonly #isQuiet: boolean;
  readonly #screen: Screen | undefined;
  #shownMs: number;
  #beginning: Beginning | undefined;
  #done = 0;

  /** @param isQuiet nothing is shown. */
  constructor(stream: NodeJS.WriteStream, isQuiet: boolean) {
    this.#stream = stream;
    this.#isQuiet = isQuiet;
    this.#screen = stream.isTTY && !isQuiet ? new Screen(stream) : undefined;
    // Where lines stay, whoever is done soon needs none.
    this.#shownMs = this.#screen === undefined ? performance.now() : Number.NEGATIVE_INFINITY;
  }

  reading(documents: number): void {
    this.#show(() => `reading: ${count(documents)} documents`);
  }

  connecting(): void {
    if (this.#screen !== undefined) this.#show(() => 'connecting', true);
  }

  syncing(progress: SyncProgress): void {
    if (progress.size === 0) return;
    const done = Math.min(progress.sent, progress.size);
    const nowMs = performance.now();
    if (this.#beginning?.size !== progress.size || done < this.#done)
      this.#beginning = { atMs: nowMs, size: progress.size, done };
    this.#done = done;
    // Nothing more may be heard until the manager is done.
    const isLast = done === progress.size && this.#screen !== undefined;
    const from = this.#beginning;
    this.#show(() => this.#text(progress, done, from, nowMs), isLast);
  }

  /** @param reason why nothing goes on. */
  waiting(reason: string, ms: number): void {
    this.note(`${reason}; trying again in ${(ms / 1000).toFixed(1)} s`);
  }

  /** Shows a line that stays. */
  note(text: string): void {
    if (this.#isQuiet) return;
    this.#screen?.clear();
    this.#stream.write(`${printable(text)}\n`);
  }

  /** Takes the drawing away, and gives the cursor back. */
  end(): void {
    this.#screen?.clear();
    this.#screen?.end();
  }

  #text(progress: SyncProgress, done: number, from: Beginning, nowMs: number): string {
    const { size, bytes: sentBytes, retransmitted } = progress;
    const again = retransmitted > 0 ? `, ${count(retransmitted)} again` : '';
    const text = `${count(done)} of ${count(size)} items, ${bytes(sentBytes)}${again}`;
    if (done === size) return `${this.#bar(1)} ${text}: the manager applies them`;
    const perSecond = (done - from.done) / Math.max((nowMs - from.atMs) / 1000, 0.001);
    const left = perSecond > 0 ? `, ${count(perSecond)}/s, ${clock((size - done) / perSecond)} left` : '';
    return `${this.#bar(done / size)} ${text}${left}`;
  }

  #bar(share: number): string {
    if (this.#screen === undefined) return `${Math.floor(share * 100)} %`;
    const paint = painter(this.#stream);
    const { full, empty } = bar(share, barColumns);
    return `${paint('green', full)}${paint('dim', empty)}`;
  }

  #show(text: () => string, isAtOnce = false): void {
    if (this.#isQuiet) return;
    const nowMs = performance.now();
    if (!isAtOnce && nowMs - this.#shownMs < (this.#screen === undefined ? lineEveryMs : drawEveryMs)) return;
    this.#shownMs = nowMs;
    if (this.#screen === undefined) this.#stream.write(`${text()}\n`);
    else this.#screen.draw([text()]);
  }
}
