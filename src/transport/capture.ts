// What goes over the sockets of a server, seen by somebody who looks on: for the captures of a gateway. It is no part of the public
// interface.

import { type Address, addressToBinary } from '../base/address.js';
import { HawserError } from '../base/errors.js';
import { tapKind, tapRecord } from './native.js';
import { type Server, socketsOf } from './server.js';
import type { Socket } from './socket.js';

/** What a tap sees. */
export interface TapOptions {
  /** Also packets without their seal. */
  readonly plaintext: boolean;
  /** At most so many bytes of each, 64 to 65,535. */
  readonly snapLengthBytes: number;
  /** Only what comes from or goes to this address; its port 0 stands for every port. */
  readonly only: Address | undefined;
}

/** `hawserPacket` and `netcodePacket` are packets without their seal; their datagrams come as well. */
export type TapKind = keyof typeof tapKind;

/** An IP address as the addon has it: family 0 (not known), 1 (IPv4) or 2 (IPv6), and 4 or 16 bytes. */
export interface TapAddress {
  readonly family: number;
  readonly ip: Uint8Array;
  readonly port: number;
}

/** One datagram or packet. Its byte arrays are views that are valid until the next `read`. */
export interface TapRecord {
  readonly kind: TapKind;
  readonly sent: boolean;
  /** The ECN bits of a datagram, or the type of a netcode packet; 0 of others. */
  readonly detail: number;
  readonly unixMicros: number;
  /** Bytes there were; `bytes` may be fewer. */
  readonly lengthBytes: number;
  readonly remote: TapAddress;
  /** Of this side; where the system chose it, the address that the listener is bound to. */
  readonly local: TapAddress;
  /** Of packets. */
  readonly number: bigint;
  readonly epoch: number;
  /** Of HAWSER packets; empty of others. */
  readonly connectionId: Uint8Array;
  readonly bytes: Uint8Array;
}

const kinds = new Map<number, TapKind>([
  [tapKind.datagram, 'datagram'],
  [tapKind.hawserPacket, 'hawserPacket'],
  [tapKind.netcodePacket, 'netcodePacket'],
]);

/** Room for records of one read; the least there may be, since a turn of the reader should be short. */
const readBytes = tapRecord.maxBytes;

/** A server with whatever channels. */
export type TappedServer = Pick<Server, 'address' | 'state'>;

/** The taps of all sockets of one server. */
export class ServerTap implements Disposable {
  readonly #server: TappedServer;
  readonly #sockets: readonly Socket[];
  readonly #buffer = new Uint8Array(readBytes);
  readonly #view = new DataView(this.#buffer.buffer);
  readonly #plaintext: boolean;
  #dropped = 0;
  #over = false;

  /**
   * Begins to look on.
   *
   * @throws HawserError ERR_HAWSER_CAPTURE_BUSY when somebody does already, ERR_HAWSER_CLOSED when the server is not running,
   * ERR_HAWSER_ARGUMENT when the zone of `only` is no interface of this machine.
   */
  constructor(server: TappedServer, options: TapOptions) {
    const { plaintext, snapLengthBytes, only } = options;
    this.#server = server;
    this.#plaintext = plaintext;
    const binary = only === undefined ? null : addressToBinary(only);
    if (server.state === 'STOPPED') throw new HawserError('ERR_HAWSER_CLOSED', 'the server is closed');
    const tapped: Socket[] = [];
    for (const socket of socketsOf(server)) {
      if (socket.state !== 'STOPPED' && socket.startCapture(plaintext, snapLengthBytes, binary)) {
        tapped.push(socket);
        continue;
      }
      for (const begun of tapped) begun.stopCapture();
      throw new HawserError(
        'ERR_HAWSER_CAPTURE_BUSY',
        `what goes over ${server.address} is being captured already; one capture at a time`,
      );
    }
    this.#sockets = tapped;
  }

  /** Records that were left out because they came faster than they were read. */
  get dropped(): number {
    return this.#over ? this.#dropped : this.#countDropped();
  }

  /** The server has closed: what it did to the end can be read, and nothing more will come. */
  get closed(): boolean {
    return this.#server.state === 'STOPPED';
  }

  /**
   * Hands over what has come, oldest first of each socket, at most about 128 KiB of each.
   *
   * @returns whether there was anything.
   */
  read(take: (record: TapRecord) => void): boolean {
    if (this.#over) return false;
    let any = false;
    for (const socket of this.#sockets) {
      const end = socket.readCapture(this.#buffer);
      for (let at = 0; at < end; at += this.#view.getUint32(at + tapRecord.size, true)) {
        const record = this.#recordAt(at);
        if (record !== undefined) take(record);
        any = true;
      }
    }
    return any;
  }

  /** Looks on no more. What was not read is lost; plaintext is wiped. */
  stop(): void {
    if (this.#over) return;
    this.#dropped = this.#countDropped();
    this.#over = true;
    for (const socket of this.#sockets) socket.stopCapture();
    if (this.#plaintext) this.#buffer.fill(0);
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  #countDropped(): number {
    return this.#sockets.reduce((sum, socket) => sum + socket.captureDropped(), 0);
  }

  #recordAt(at: number): TapRecord | undefined {
    const view = this.#view;
    const kind = kinds.get(view.getUint8(at + tapRecord.kind));
    if (kind === undefined) return undefined;
    const detail = view.getUint8(at + tapRecord.detail);
    const start = at + tapRecord.headerBytes;
    const idStart = at + tapRecord.connectionId;
    return {
      kind,
      sent: view.getUint8(at + tapRecord.direction) === 1,
      detail: kind === 'hawserPacket' ? 0 : detail,
      unixMicros: Number(view.getBigUint64(at + tapRecord.time, true)),
      lengthBytes: view.getUint32(at + tapRecord.length, true),
      remote: this.#addressAt(at + tapRecord.remote),
      local: this.#addressAt(at + tapRecord.local),
      number: view.getBigUint64(at + tapRecord.number, true),
      epoch: view.getUint32(at + tapRecord.epoch, true),
      connectionId: this.#buffer.subarray(idStart, idStart + (kind === 'hawserPacket' ? detail : 0)),
      bytes: this.#buffer.subarray(start, start + view.getUint32(at + tapRecord.captured, true)),
    };
  }

  /** The 24 bytes of `addressToBinary`. */
  #addressAt(at: number): TapAddress {
    const family = this.#view.getUint8(at);
    return {
      family,
      port: this.#view.getUint16(at + 2, true),
      ip: this.#buffer.subarray(at + 8, at + (family === 2 ? 24 : 12)),
    };
  }
}
