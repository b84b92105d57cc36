// Who waits for the other side: for room to send more, or for the confirmation of a message.

import { maxU32 } from '../base/check.js';
import { HawserError } from '../base/errors.js';
import { handleKey } from './native.js';
import type { DisconnectInfo } from './results.js';

interface Deferred {
  readonly resolve: () => void;
  readonly reject: (error: HawserError) => void;
}

/** What waits for one peer. */
interface PeerWaits {
  readonly slot: number;
  readonly generation: number;
  /** A `send` has returned false since the last `drain`. */
  drainOwed: boolean;
  /** Promises of `sent()`. */
  room: Deferred[];
  /** By confirm id. */
  readonly confirms: Map<number, Deferred>;
}

/** Everything that waits on one socket. */
export class Waiting {
  /** By `handleKey`; undefined until anything waits, which on most sockets nothing ever does. */
  #peers: Map<number, PeerWaits> | undefined;
  #confirms = 0;
  #lastId = 0;

  /** Whether any message waits for its confirmation. */
  get forConfirms(): boolean {
    return this.#confirms > 0;
  }

  // ---- Room --------------------------------------------------------------------------------------------------------

  /** Whether `drain` is owed to a peer. */
  isDrainOwed(slot: number, generation: number): boolean {
    return this.#find(slot, generation)?.drainOwed === true;
  }

  oweDrain(slot: number, generation: number): void {
    this.#of(slot, generation).drainOwed = true;
  }

  /** Resolves with the next `release` of the peer, rejects with its `end`. */
  room(slot: number, generation: number): Promise<void> {
    const { room } = this.#of(slot, generation);
    return new Promise((resolve, reject) => {
      room.push({ resolve, reject });
    });
  }

  /** The peers for which anything waits for room, as slot and generation. */
  forRoom(): [slot: number, generation: number][] {
    const found: [number, number][] = [];
    for (const { slot, generation, drainOwed, room } of this.#all()) {
      if (drainOwed || room.length > 0) found.push([slot, generation]);
    }
    return found;
  }

  /** There is room. @returns whether `drain` was owed. */
  release(slot: number, generation: number): boolean {
    const waits = this.#find(slot, generation);
    if (waits === undefined) return false;
    const { drainOwed, room } = waits;
    waits.drainOwed = false;
    waits.room = [];
    this.#forget(waits);
    for (const { resolve } of room) resolve();
    return drainOwed;
  }

  // ---- Confirmations -----------------------------------------------------------------------------------------------

  /** An id for a message to be confirmed, not 0 and not in use for that peer. */
  nextId(slot: number, generation: number): number {
    const confirms = this.#find(slot, generation)?.confirms;
    do {
      this.#lastId = this.#lastId === maxU32 ? 1 : this.#lastId + 1;
    } while (confirms?.has(this.#lastId));
    return this.#lastId;
  }

  /** A message with an id of `nextId` was sent. */
  confirm(slot: number, generation: number, id: number): Promise<void> {
    const { confirms } = this.#of(slot, generation);
    ++this.#confirms;
    return new Promise((resolve, reject) => {
      confirms.set(id, { resolve, reject });
    });
  }

  /** The fate of a message is known. */
  settle(slot: number, generation: number, id: number, expired: boolean): void {
    const waits = this.#find(slot, generation);
    const confirm = waits?.confirms.get(id);
    if (waits === undefined || confirm === undefined) return;
    waits.confirms.delete(id);
    --this.#confirms;
    this.#forget(waits);
    if (expired) {
      const message = 'the time to live of the message passed before it was acknowledged';
      confirm.reject(new HawserError('ERR_HAWSER_EXPIRED', message));
    } else {
      confirm.resolve();
    }
  }

  // ---- The end -----------------------------------------------------------------------------------------------------

  /** The connection has ended: nothing of it comes true any more. `info` is asked for only when something waits. */
  end(slot: number, generation: number, info: () => DisconnectInfo): void {
    const waits = this.#find(slot, generation);
    if (waits === undefined) return;
    this.#peers?.delete(handleKey(slot, generation));
    this.#confirms -= waits.confirms.size;
    if (waits.room.length === 0 && waits.confirms.size === 0) return;
    const cause = info();
    const because = cause.reason === '' ? cause.result : `${cause.result}: ${cause.reason}`;
    const fail = ({ reject }: Deferred, what: string): void => {
      const message = `the connection ended (${because}) before ${what}`;
      reject(new HawserError('ERR_HAWSER_NOT_CONNECTED', message, { cause }));
    };
    for (const each of waits.confirms.values()) fail(each, 'the message was acknowledged');
    for (const each of waits.room) fail(each, 'there was room to send');
  }

  /** The socket has closed. */
  endAll(info: DisconnectInfo): void {
    for (const { slot, generation } of this.#all()) this.end(slot, generation, () => info);
  }

  #all(): PeerWaits[] {
    return [...(this.#peers?.values() ?? [])];
  }

  #find(slot: number, generation: number): PeerWaits | undefined {
    return this.#peers?.get(handleKey(slot, generation));
  }

  #of(slot: number, generation: number): PeerWaits {
    const found = this.#find(slot, generation);
    if (found !== undefined) return found;
    const waits: PeerWaits = { slot, generation, drainOwed: false, room: [], confirms: new Map() };
    this.#peers ??= new Map();
    this.#peers.set(handleKey(slot, generation), waits);
    return waits;
  }

  #forget({ slot, generation, drainOwed, room, confirms }: PeerWaits): void {
    if (!drainOwed && room.length === 0 && confirms.size === 0)
      this.#peers?.delete(handleKey(slot, generation));
  }
}
