// `hawser top` on a terminal: asks the gateway each second, draws what came, and does what keys say.

import { askGateway } from '../gateway/control/ask-gateway.js';
import type { PeerDetail, PeerOrder, PeersPage } from '../gateway/snapshot.js';
import { describeError } from './errors.js';
import { pause } from './signals.js';
import { type Paint, Screen, type TerminalOutput } from './terminal.js';
import { keysOf, press, type TopChoice, type TopContext } from './top-keys.js';
import { printableTexts, TopModel } from './top-model.js';
import { detailLines, peerLines } from './top-peers.js';
import { overviewLines } from './top-view.js';

const everyMs = 1000;
/** Of the list: its title and its heads. */
const peerHeadLines = 2;
const leastPeerLines = 6;
const hint = 'o O order   / search   ↑ ↓ mark   enter show   q quit';
const detailHint = 'esc back   q back   Ctrl-C quit';

/** What a terminal is to it. */
export interface TopTerminal {
  readonly output: TerminalOutput;
  readonly paint: Paint;
}

interface SeenPeer {
  readonly peer: PeerDetail;
  readonly timeMs: number;
}

export class TopApp {
  readonly #path: string;
  readonly #terminal: TopTerminal;
  readonly #screen: Screen;
  readonly #model = new TopModel();
  /** Aborted to end. */
  readonly #ending = new AbortController();
  /** Aborted to ask at once instead of in a second. */
  #waiting = new AbortController();
  #choice: TopChoice;
  #page: PeersPage = { total: 0, peers: [] };
  #detail: SeenPeer | undefined;
  #detailBefore: SeenPeer | undefined;
  /** Whether the gateway has said that the peer that is shown is not there. */
  #isGone = false;
  /** Why what is shown is old. */
  #trouble: string | undefined;

  constructor(path: string, order: PeerOrder, terminal: TopTerminal) {
    this.#path = path;
    this.#terminal = terminal;
    this.#screen = new Screen(terminal.output);
    this.#choice = { order, search: '', searching: false, offset: 0, marked: 0, peer: undefined };
  }

  /** Resolves when the user, or `signal`, ends it. A gateway that is gone is waited for: it may be restarted. */
  async run(signal: AbortSignal): Promise<void> {
    const end = AbortSignal.any([signal, this.#ending.signal]);
    // The alternate screen: what was on the terminal is there again afterwards.
    this.#terminal.output.write('\x1b[?1049h\x1b[H');
    try {
      while (!end.aborted) {
        await this.#ask(end);
        this.draw();
        this.#waiting = new AbortController();
        await pause(everyMs, AbortSignal.any([end, this.#waiting.signal]));
      }
    } finally {
      this.#screen.end();
      this.#terminal.output.write('\x1b[?1049l');
    }
  }

  /** What was typed. */
  type(input: string): void {
    for (const key of keysOf(input)) {
      const choice = press(key, this.#choice, this.#context());
      if (choice === undefined) {
        this.#ending.abort();
        return;
      }
      const before = this.#choice;
      this.#choice = choice;
      if (choice.peer !== before.peer) {
        this.#detail = undefined;
        this.#isGone = false;
      }
      const isNewQuestion =
        choice.offset !== before.offset ||
        choice.order !== before.order ||
        choice.search !== before.search ||
        choice.peer !== before.peer;
      if (isNewQuestion) this.#waiting.abort();
    }
    this.draw();
  }

  draw(): void {
    const rows = (this.#terminal.output.rows || 24) - 1;
    const { paint } = this.#terminal;
    const foot = this.#trouble === undefined ? paint('dim', this.#hint()) : paint('red', this.#trouble);
    const lines = this.#choice.peer === undefined ? this.#listLines(rows - 1) : this.#detailLines();
    const body = lines.slice(0, rows - 1);
    // The last line of the screen, wherever the rest ends.
    this.#screen.draw([...body, ...new Array<string>(Math.max(0, rows - 1 - body.length)).fill(''), foot]);
  }

  #hint(): string {
    return this.#choice.peer === undefined ? hint : detailHint;
  }

  /** The overview, cut where it would leave too little for peers, and the peers below. */
  #listLines(rows: number): string[] {
    const overview = this.#overview(rows);
    const room = rows - overview.length - 1;
    const nowMs = this.#model.snapshot?.timeMs ?? 0;
    return [...overview, '', ...peerLines(this.#page, this.#choice, nowMs, room, this.#terminal.paint)];
  }

  #overview(rows: number): string[] {
    return overviewLines(this.#model, this.#terminal.paint, Math.max(2, rows - leastPeerLines));
  }

  #detailLines(): string[] {
    const { paint } = this.#terminal;
    const head = overviewLines(this.#model, paint, 2);
    if (this.#detail === undefined) {
      return [...head, '', paint('dim', this.#isGone ? 'this peer is not connected any more' : 'asking')];
    }
    const { peer, timeMs } = this.#detail;
    return [...head, '', ...detailLines(peer, timeMs, this.#detailBefore, paint)];
  }

  #context(): TopContext {
    const rows = (this.#terminal.output.rows || 24) - 2;
    const room = rows - this.#overview(rows).length - 1 - peerHeadLines;
    const shown = this.#page.peers.map(({ id }) => id);
    return { shown, total: this.#page.total, room: Math.max(1, room) };
  }

  async #ask(signal: AbortSignal): Promise<void> {
    try {
      const snapshot = await askGateway(this.#path, { command: 'snapshot' }, signal);
      if (snapshot === undefined) {
        this.#trouble = 'the gateway does not run; waiting for it (q quits)';
        return;
      }
      this.#model.push(snapshot);
      await this.#askPeers(signal);
      this.#trouble = undefined;
    } catch (error) {
      if (!signal.aborted) this.#trouble = describeError(error);
    }
  }

  async #askPeers(signal: AbortSignal): Promise<void> {
    const { order, search, offset, peer: id } = this.#choice;
    if (id !== undefined) {
      const peer = await askGateway(this.#path, { command: 'peer', id }, signal);
      if (this.#choice.peer === id) this.#seePeer(peer ?? undefined);
      return;
    }
    const query = { order, offset, limit: this.#context().room, ...(search !== '' && { search }) };
    const page = await askGateway(this.#path, { command: 'peers', query }, signal);
    this.#page = printableTexts(page ?? { total: 0, peers: [] });
    // Those at the end may have left.
    if (offset > 0 && this.#page.peers.length === 0) this.#choice = { ...this.#choice, offset: 0, marked: 0 };
    const last = Math.max(0, this.#page.peers.length - 1);
    if (this.#choice.marked > last) this.#choice = { ...this.#choice, marked: last };
  }

  #seePeer(peer: PeerDetail | undefined): void {
    const timeMs = this.#model.snapshot?.timeMs ?? 0;
    this.#isGone = peer === undefined;
    this.#detailBefore = this.#detail;
    this.#detail = peer === undefined ? undefined : { peer: printableTexts(peer), timeMs };
  }
}
