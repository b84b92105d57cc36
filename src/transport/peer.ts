// A connected client, seen from the server. There are 10,000 of these and more: what a peer says about itself stays in the
// bytes that the addon reported, in chunks shared by many peers, and is decoded when it is asked for.

import { addressToBinary, binaryAddressBytes, parseDestination, textFromBinary } from '../base/address.js';
import { checkInteger, checkOptions, maxU32 } from '../base/check.js';
import type { Wire } from '../base/wire.js';
import type { ChannelMap, DefaultChannels } from './channels.js';
import { Link } from './link.js';
import { connectRecord, netcodeWire } from './native.js';
import { checkDisconnectCode, checkReason, checkReconnectSpread } from './options.js';
import { disconnectCodes } from './results.js';
import type { Socket } from './socket.js';

const recordBytes = connectRecord.userData;
const chunkRecords = 1024;

/** The fixed part of connect records by slot. Ranges of slots that nobody uses cost next to nothing. */
export class RecordStore {
  readonly #chunks: (Uint8Array | undefined)[] = [];

  /** Keeps the fixed part of `record` for the peer that holds `slot` now. */
  put(slot: number, record: Uint8Array): void {
    const index = Math.floor(slot / chunkRecords);
    // Holes would make the array slow.
    while (this.#chunks.length <= index) this.#chunks.push(undefined);
    this.#chunks[index] ??= new Uint8Array(chunkRecords * recordBytes);
    this.#chunks[index].set(record.subarray(0, recordBytes), (slot % chunkRecords) * recordBytes);
  }

  /** A view, valid until another peer takes the slot. */
  get(slot: number): Uint8Array {
    const chunk = this.#chunks[Math.floor(slot / chunkRecords)] ?? new Uint8Array(0);
    const at = (slot % chunkRecords) * recordBytes;
    return chunk.subarray(at, at + recordBytes);
  }
}

const noUserData = new Uint8Array(0);

/** Options of `Peer.goaway`. */
export interface GoawayOptions {
  /** Why, by a number that both sides agree on; 3 (SHUTTING_DOWN) by default. */
  readonly reason?: number;
  /** In how many milliseconds the gateway will disconnect, as told to the client; 10,000 by default. */
  readonly deadlineMs?: number;
  /** The gateway to go to, with a port other than 0 and not an unspecified address; none by default. */
  readonly elsewhere?: string;
  /** As in {@link DisconnectOptions}. */
  readonly reconnectSpreadMs?: number;
}

/** Options of `Peer.disconnect`. */
export interface DisconnectOptions {
  /**
   * Over how many milliseconds the clients that are told this shall spread, at random, their first attempt to connect again, so that
   * they do not all come at once: 0 to 3,600,000; 0 by default, which asks for nothing. What they do is their own affair.
   */
  readonly reconnectSpreadMs?: number;
}

/** Tells a peer that its connection has ended; for `Server` only. */
export let endPeer: <C extends ChannelMap>(peer: Peer<C>) => void;

/** A connected client. Made by the server, one for each connection. */
export class Peer<C extends ChannelMap = DefaultChannels> extends Link<C> {
  override readonly slot: number;
  /** Tells it from others that had the same slot. */
  override readonly generation: number;
  override readonly wire: Wire;
  /** What the backend put into the token for the gateway; empty if nothing. Of netcode always 256 bytes, filled up with zeros. */
  readonly userData: Uint8Array;
  /** Yours: anything that belongs to this peer. */
  data: unknown = undefined;
  readonly #socket: Socket;
  /** Where the record is: with all others while the slot is this peer's, then in a copy. */
  #record: RecordStore | Uint8Array;
  #connected = true;
  /** Once it has ended. */
  #lastAddress: string | undefined;

  static {
    endPeer = (peer) => {
      peer.#lastAddress = peer.address;
      peer.#connected = false;
      if (peer.#record instanceof RecordStore) peer.#record = peer.#record.get(peer.slot).slice();
    };
  }

  /**
   * For `Server` only.
   *
   * @param record the bytes of a connect event.
   */
  constructor(socket: Socket, records: RecordStore, slot: number, generation: number, record: Uint8Array) {
    super();
    this.#socket = socket;
    this.slot = slot;
    this.generation = generation;
    records.put(slot, record);
    this.#record = records;
    this.wire = this.#u32(connectRecord.wire) === netcodeWire ? 'netcode' : 'hawser';
    this.userData = record.length > recordBytes ? record.slice(recordBytes) : noUserData;
  }

  /** Who the client is, from its token. */
  get clientId(): bigint {
    return this.#u64(connectRecord.clientId);
  }

  /** Where the client's packets come from: `host:port`. It changes when the client moves (docs/protocol.md section 14). */
  get address(): string {
    return (
      this.#lastAddress ??
      (this.#socket.remoteAddress(this.slot, this.generation) || this.#address(connectRecord.remote))
    );
  }

  /** The address of this gateway that the client uses: `host:port`; '' where the system cannot tell. */
  get localAddress(): string {
    return this.#address(connectRecord.local);
  }

  override get clientIndex(): number | undefined {
    return this.wire === 'netcode' ? this.#u32(connectRecord.clientIndex) : undefined;
  }

  override get maxClients(): number | undefined {
    return this.wire === 'netcode' ? this.#u32(connectRecord.maxClients) : undefined;
  }

  /** When the token was made: Unix milliseconds by the backend's clock. 0 with netcode, whose clients do not tell. */
  get tokenCreateTimeMs(): number {
    return Number(this.#u64(connectRecord.create));
  }

  /** Until when the token could be used to connect: Unix milliseconds by the backend's clock. */
  get tokenExpireTimeMs(): number {
    return Number(this.#u64(connectRecord.expire));
  }

  /** After how many milliseconds without anything authentic the connection times out; 0: never, which netcode allows. */
  get timeoutMs(): number {
    return this.#u32(connectRecord.timeout);
  }

  /**
   * Which I/O thread of the server it belongs to, from 0 to `threads` - 1: with `slot` and `generation`, what names it in the batches of
   * `onBatch`.
   */
  get shard(): number {
    return this.#socket.shard;
  }

  /** @internal */
  override get carrier(): Socket {
    return this.#socket;
  }

  /** False as soon as either side has disconnected. */
  override get connected(): boolean {
    return this.#connected;
  }

  /**
   * Disconnects the client. `disconnect` follows on the server with the result `closed`; no message of this peer is delivered
   * any more. Netcode transmits neither code nor reason nor spread: its clients learn only that they are disconnected.
   *
   * @param code 0, 3 (SHUTTING_DOWN), or an application's own code: 0x10000 and above.
   * @param reason for people: at most 256 bytes of UTF-8.
   * @returns false if the connection has ended already. With `driver: 'threads'`, true means that the request is passed to the thread: the
   * connection may have ended there before, which the `disconnect` event then reports.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  disconnect(code: number = disconnectCodes.NONE, reason = '', options: DisconnectOptions = {}): boolean {
    checkDisconnectCode(code);
    checkReason(reason);
    checkOptions('options', options, ['reconnectSpreadMs']);
    const spreadMs = checkReconnectSpread(options.reconnectSpreadMs);
    if (!this.#connected) return false;
    this.#connected = false;
    return this.#socket.disconnect(this.slot, this.generation, code, reason, spreadMs);
  }

  /**
   * Asks the client to go elsewhere (GOAWAY). It is told reliably and hears the first request only; what it does is its own affair.
   *
   * @returns false if the connection has ended already, or its wire format has no such request: netcode. With `driver: 'loop'`, true means
   * that the request is queued, and false also that the peer's queue of control frames is full: 16 wait for acknowledgement. With
   * `driver: 'threads'`, true means that the request is passed to the thread, which drops it if the connection has ended there or that
   * queue is full.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  goaway(options: GoawayOptions = {}): boolean {
    const reason = checkInteger('reason', options.reason ?? disconnectCodes.SHUTTING_DOWN, 0, maxU32);
    const deadlineMs = checkInteger('deadlineMs', options.deadlineMs ?? 10_000, 0, maxU32);
    const spreadMs = checkReconnectSpread(options.reconnectSpreadMs);
    const elsewhere = options.elsewhere === undefined ? null : goawayAddress(options.elsewhere);
    if (!this.#connected || this.wire === 'netcode') return false;
    return this.#socket.goaway(this.slot, this.generation, reason, deadlineMs, spreadMs, elsewhere);
  }

  #view(): DataView {
    const bytes = this.#record instanceof RecordStore ? this.#record.get(this.slot) : this.#record;
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  #u32(offset: number): number {
    return this.#view().getUint32(offset, true);
  }

  #u64(offset: number): bigint {
    return this.#view().getBigUint64(offset, true);
  }

  #address(offset: number): string {
    const view = this.#view();
    return textFromBinary(new Uint8Array(view.buffer, view.byteOffset + offset, binaryAddressBytes));
  }
}

function goawayAddress(text: string): Uint8Array {
  return addressToBinary(parseDestination(text, 'elsewhere'), 'elsewhere');
}
