// The Data of a session on their way out: as fast as the connection takes them and the rate allows, in turns that leave room for others.

import { HawserError } from '../../base/errors.js';
import type { MessageConnection } from '../../base/message-connection.js';
import { nextTurn } from '../../base/next-turn.js';
import type { TokenBucket } from '../../base/token-bucket.js';
import { DataWriter } from '../wire/data-writer.js';
import { type DataItem, limits } from '../wire/messages.js';
import type { SeqRange } from './ranges.js';
import type { Waits } from './waits.js';

/** So many messages, or milliseconds, until the event loop has its turn. */
const messagesPerTurn = 64;
const turnMs = 5;
/** A rate lets items go in portions of this: one by one, each would be a message. */
const portionMs = 100;
/** When to look again whether a connection that refused a message has room. */
const refusedMs = 100;

/** What was sent. */
export interface Sent {
  /** Items, each counted once. */
  items: number;
  bytes: number;
  retransmitted: number;
  retransmittedBytes: number;
}

/** What a transfer works with. */
export interface TransferSetup {
  readonly connection: MessageConnection;
  readonly waits: Waits;
  /** Undefined where there is no limit. */
  readonly rate: TokenBucket | undefined;
  readonly batching: boolean;
  readonly batchBytes: number;
  readonly session: bigint;
  readonly items: (fromSeq: number) => IterableIterator<DataItem>;
  readonly sent: Sent;
  /** Whether nobody wants it any more. */
  readonly isOver: () => boolean;
  /** Told now and then. */
  readonly progress: () => void;
  /** The connection is over, or refuses for good. */
  readonly failed: (error: unknown) => void;
}

/** How one run of a transfer is to send. */
interface Manner {
  readonly unreliable: boolean;
  readonly again: boolean;
}

/** Sends ranges of the items of one session. */
export class Transfer {
  readonly #setup: TransferSetup;
  /** The connection has said to wait for `drained`. */
  #blocked = false;
  /** What the connection did not take, in order: copies, for the writer goes on. Never more than the few messages before a pause. */
  #refused: { readonly message: Uint8Array; readonly unreliable: boolean }[] = [];
  /** In this turn. */
  #messages = 0;
  /** A message was sent since it was last asked whether to pause. */
  #flushed = false;
  #turnEndsMs = 0;
  /** Items that may go now. */
  #allowance = 0;

  constructor(setup: TransferSetup) {
    this.#setup = setup;
  }

  /** There is room in the connection. */
  drained(): void {
    this.#blocked = false;
  }

  /**
   * Sends items; resolves when the connection has taken them, or when nobody wants them any more.
   *
   * @param manner unreliable: whether they may be lost. again: whether they were sent before.
   */
  async send(ranges: readonly SeqRange[], manner: Manner): Promise<void> {
    const { isOver } = this.#setup;
    const maxUnreliableBytes = this.#setup.connection.maxUnreliableBytes?.();
    const unreliable = manner.unreliable && maxUnreliableBytes !== undefined;
    const { session, batchBytes } = this.#setup;
    const writer = unreliable
      ? new DataWriter(session, Math.min(maxUnreliableBytes, batchBytes))
      : new DataWriter(session, batchBytes, limits.messageBytes);
    const how = { unreliable, again: manner.again };
    this.#startTurn();
    for (const range of ranges) {
      await this.#sendRange(writer, range, how);
      if (isOver()) return;
    }
    this.#flush(writer, how);
    if (this.#mustPause()) await this.#pause();
    this.#setup.progress();
  }

  async #sendRange(writer: DataWriter, { begin, end }: SeqRange, how: Manner): Promise<void> {
    const { rate, batching, isOver, sent } = this.#setup;
    const items = this.#setup.items(begin);
    for (let seq = begin; seq <= end; ++seq) {
      if (rate !== undefined && this.#allowance === 0) {
        await this.#awaitAllowance(writer, rate, end - seq + 1, how);
        if (isOver()) return;
      }
      --this.#allowance;
      const next = items.next();
      if (next.done === true) {
        throw new HawserError('ERR_HAWSER_STORE', `the snapshot ends before item ${seq}`);
      }
      // Nothing may be waited for until the item is written: it may be a view that the next reader of the queue ends.
      if (!writer.add(seq, next.value)) {
        this.#flush(writer, how);
        if (!writer.add(seq, next.value)) this.#sendAlone(seq, next.value, how.again);
      }
      if (how.again) ++sent.retransmitted;
      else ++sent.items;
      if (!batching) this.#flush(writer, how);
      if (this.#mustPause()) {
        await this.#pause();
        if (isOver()) return;
      }
    }
  }

  /** For an item that is longer than one datagram. */
  #sendAlone(seq: number, item: DataItem, again: boolean): void {
    const writer = new DataWriter(this.#setup.session, limits.messageBytes);
    if (!writer.add(seq, item)) {
      throw new HawserError('ERR_HAWSER_MESSAGE_TOO_LONG', `item ${seq} does not fit into a message`);
    }
    this.#flush(writer, { unreliable: false, again });
  }

  // ---- Messages ----------------------------------------------------------------------------------------------------

  #flush(writer: DataWriter, { unreliable, again }: Manner): void {
    if (writer.count === 0) return;
    const message = writer.finish();
    const { sent } = this.#setup;
    sent.bytes += message.length;
    if (again) sent.retransmittedBytes += message.length;
    ++this.#messages;
    this.#flushed = true;
    if (this.#refused.length > 0 || !this.#hand(message, unreliable)) {
      this.#refused.push({ message: message.slice(), unreliable });
    }
  }

  /** @returns false when the connection has no room for it now. */
  #hand(message: Uint8Array, unreliable: boolean): boolean {
    const { connection, failed } = this.#setup;
    try {
      const goesOn = unreliable ? connection.sendUnreliable?.(message) : connection.send(message);
      this.#blocked ||= goesOn === false;
      return true;
    } catch (error) {
      const code = error instanceof HawserError ? error.code : undefined;
      // The path takes shorter datagrams than it did a moment ago.
      if (code === 'ERR_HAWSER_MESSAGE_TOO_LONG' && unreliable) return this.#hand(message, false);
      this.#blocked = true;
      if (code === 'ERR_HAWSER_QUEUE_FULL') return false;
      failed(error);
      return true;
    }
  }

  #handRefused(): void {
    this.#blocked = false;
    while (!this.#blocked) {
      const [first] = this.#refused;
      if (first === undefined || !this.#hand(first.message, first.unreliable)) return;
      this.#refused.shift();
    }
  }

  // ---- Pauses ------------------------------------------------------------------------------------------------------

  #startTurn(): void {
    this.#messages = 0;
    this.#turnEndsMs = this.#setup.waits.nowMs + turnMs;
  }

  #mustPause(): boolean {
    if (!this.#flushed) return false;
    this.#flushed = false;
    return this.#blocked || this.#messages >= messagesPerTurn || this.#setup.waits.nowMs >= this.#turnEndsMs;
  }

  /** Until the connection has room, but at least until others have had their turn. */
  async #pause(): Promise<void> {
    const { waits, isOver, progress } = this.#setup;
    progress();
    await nextTurn();
    while (this.#blocked && !isOver()) {
      const lookMs = this.#refused.length === 0 ? Number.POSITIVE_INFINITY : waits.nowMs + refusedMs;
      await waits.until(
        () => !this.#blocked || isOver(),
        () => lookMs,
      );
      if (this.#refused.length > 0 && !isOver()) this.#handRefused();
    }
    this.#startTurn();
  }

  /** Until the rate lets some of the next `wanted` items go. */
  async #awaitAllowance(writer: DataWriter, rate: TokenBucket, wanted: number, how: Manner): Promise<void> {
    const { waits, isOver } = this.#setup;
    let available = rate.available(waits.nowMs);
    if (available === 0) {
      // Nothing is to lie about meanwhile.
      this.#flush(writer, how);
      if (this.#mustPause()) await this.#pause();
      const dueMs = waits.nowMs + rate.delayMs(Math.min(wanted, rate.portion(portionMs)), waits.nowMs);
      await waits.until(isOver, () => dueMs);
      if (isOver()) return;
      this.#startTurn();
      available = rate.available(waits.nowMs);
    }
    this.#allowance = Math.min(available, wanted);
    rate.take(this.#allowance, waits.nowMs);
  }
}
