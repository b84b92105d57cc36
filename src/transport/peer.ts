// A connected client, seen from the server. There are 10,000 of these and more: what a peer says about itself stays in the
// bytes that the addon reported, in chunks shared by many peers, and is decoded when it is asked for.

import {
  addressFromBinary,
  addressToBinary,
  binaryAddressBytes,
  formatAddress,
  parseAddress,
} from '../base/address.js';
import { checkInteger, checkString } from '../base/check.js';
import { HawserError } from '../base/errors.js';
import { connectRecord } from './native.js';
import { checkDisconnectCode, checkReason } from './options.js';
import { disconnectCodes } from './results.js';
import type { Socket } from './socket.js';

const recordBytes = connectRecord.userData;
const chunkRecords = 1024;
const maxU32 = 0xffff_ffff;

/** The fixed part of connect records by slot. */
export class RecordStore {
  readonly #chunks: Uint8Array[] = [];

  /** Keeps the fixed part of `record` for the peer that holds `slot` now. */
  put(slot: number, record: Uint8Array): void {
    const index = Math.floor(slot / chunkRecords);
    while (this.#chunks.length <= index) this.#chunks.push(new Uint8Array(chunkRecords * recordBytes));
    this.#chunks[index]?.set(record.subarray(0, recordBytes), (slot % chunkRecords) * recordBytes);
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
  /** The gateway to go to; none by default. */
  readonly elsewhere?: string;
}

/** Tells a peer that its connection has ended; for `Server` only. */
export let endPeer: (peer: Peer) => void;

/** A connected client. Made by the server, one for each connection. */
export class Peer {
  /** With `generation`, what names the peer in the descriptors of `onBatch`. */
  readonly slot: number;
  readonly generation: number;
  /** What the backend put into the token for the gateway; empty if nothing. */
  readonly userData: Uint8Array;
  /** Yours: anything that belongs to this peer. */
  data: unknown = undefined;
  readonly #socket: Socket;
  /** Where the record is: with all others while the slot is this peer's, then in a copy. */
  #record: RecordStore | Uint8Array;
  #connected = true;

  static {
    endPeer = (peer) => {
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
    this.#socket = socket;
    this.slot = slot;
    this.generation = generation;
    records.put(slot, record);
    this.#record = records;
    this.userData = record.length > recordBytes ? record.slice(recordBytes) : noUserData;
  }

  /** Who the client is, from its token. */
  get clientId(): bigint {
    return this.#u64(connectRecord.clientId);
  }

  /** Where the client's packets come from: `host:port`. */
  get address(): string {
    return this.#address(connectRecord.remote);
  }

  /** The address of this gateway that the client uses: `host:port`; '' where the system cannot tell. */
  get localAddress(): string {
    return this.#address(connectRecord.local);
  }

  /** When the token was made: Unix milliseconds by the backend's clock. */
  get tokenCreateTimeMs(): number {
    return Number(this.#u64(connectRecord.create));
  }

  /** Until when the token could be used to connect: Unix milliseconds by the backend's clock. */
  get tokenExpireTimeMs(): number {
    return Number(this.#u64(connectRecord.expire));
  }

  /** After how many milliseconds without anything authentic the connection times out. */
  get timeoutMs(): number {
    return this.#view().getUint32(connectRecord.timeout, true);
  }

  /** False as soon as either side has disconnected. */
  get connected(): boolean {
    return this.#connected;
  }

  /** Smoothed round trip time (RFC 9002 section 5.3) in milliseconds; 0 before the first sample and after the end. */
  get rttMs(): number {
    return this.#status(0);
  }

  /** Mean variation of the round trip time in milliseconds. */
  get rttVariationMs(): number {
    return this.#status(1);
  }

  /** Least round trip time seen, in milliseconds. */
  get minRttMs(): number {
    return this.#status(2);
  }

  /** The client's session clock minus this side's, in milliseconds; see `remoteTimeMs`. */
  get clockOffsetMs(): number {
    return this.#status(3);
  }

  /** Whether `clockOffsetMs` can be relied on (docs/protocol.md section 8). */
  get clockSettled(): boolean {
    return this.#status(4) !== 0;
  }

  /** Packets sent to this peer and received from it, handshake excluded. */
  get packets(): { readonly sent: number; readonly received: number } {
    const status = this.#socket.status(this.slot, this.generation);
    return { sent: status[6] ?? 0, received: status[7] ?? 0 };
  }

  /** What the client's session clock says now, in milliseconds with an arbitrary origin; it never runs backwards. */
  remoteTimeMs(): number {
    return this.#socket.nowMs() + this.clockOffsetMs;
  }

  /**
   * Sends one unreliable message. It leaves at the end of this turn of the event loop, in one packet with others.
   *
   * @param data 0 to 1,158 bytes; copied at once.
   * @returns whether to go on; false means that the server should wait for `drain`. A message to a peer that is gone is dropped and
   * counted.
   * @throws HawserError ERR_HAWSER_MESSAGE_TOO_LONG, ERR_HAWSER_ARGUMENT.
   */
  send(data: Uint8Array): boolean {
    return this.#socket.send(this.slot, this.generation, data);
  }

  /**
   * Disconnects the client. `disconnect` follows on the server with the result `closed`; no message of this peer is delivered
   * any more.
   *
   * @param code 0, 3 (SHUTTING_DOWN), or an application's own code: 0x10000 and above.
   * @param reason for people: at most 256 bytes of UTF-8.
   * @returns false when it has ended already.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  disconnect(code: number = disconnectCodes.NONE, reason = ''): boolean {
    checkDisconnectCode(code);
    checkReason(reason);
    if (!this.#connected) return false;
    this.#connected = false;
    return this.#socket.disconnect(this.slot, this.generation, code, reason);
  }

  /**
   * Asks the client to go elsewhere (GOAWAY). It is told reliably and hears the first request only; what it does is its own affair.
   *
   * @returns false when it has ended already.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  goaway(options: GoawayOptions = {}): boolean {
    const reason = checkInteger('reason', options.reason ?? disconnectCodes.SHUTTING_DOWN, 0, maxU32);
    const deadlineMs = checkInteger('deadlineMs', options.deadlineMs ?? 10_000, 0, maxU32);
    const elsewhere = options.elsewhere === undefined ? null : goawayAddress(options.elsewhere);
    return this.#connected && this.#socket.goaway(this.slot, this.generation, reason, deadlineMs, elsewhere);
  }

  /**
   * 32 bytes that only the two ends of this connection know, different for each label and each connection: what binds another
   * protocol to it.
   *
   * @param label 1 to 255 bytes of UTF-8.
   * @throws HawserError ERR_HAWSER_NOT_CONNECTED, ERR_HAWSER_ARGUMENT.
   */
  exportKey(label: string): Uint8Array {
    return exportKey(this.#socket, this.slot, this.generation, label);
  }

  #status(cell: number): number {
    return this.#socket.status(this.slot, this.generation)[cell] ?? 0;
  }

  #view(): DataView {
    const bytes = this.#record instanceof RecordStore ? this.#record.get(this.slot) : this.#record;
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  #u64(offset: number): bigint {
    return this.#view().getBigUint64(offset, true);
  }

  #address(offset: number): string {
    const view = this.#view();
    const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, binaryAddressBytes);
    const address = addressFromBinary(bytes);
    return address === undefined ? '' : formatAddress(address);
  }
}

function goawayAddress(text: string): Uint8Array {
  return addressToBinary(parseAddress(text, 'elsewhere'), 'elsewhere');
}

/** `Peer.exportKey` and `Connection.exportKey`. */
export function exportKey(socket: Socket, slot: number, generation: number, label: string): Uint8Array {
  const bytes = Buffer.byteLength(checkString('label', label, 1));
  checkInteger('the length of label in bytes', bytes, 1, 255);
  const key = socket.exportKey(slot, generation, label);
  if (key !== null) return key;
  throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'a key can be exported while connected only');
}
