// Datagrams: one socket for all peers that have an address.

import { createSocket, type Socket } from 'node:dgram';
import { isIP, SocketAddress } from 'node:net';
import { argumentError, checkInteger, checkOptions, describe, maxU16 } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { messageLimits } from '../wire/messages.js';
import type { SaeLink } from './link.js';

/** Where datagrams go to or come to. */
export interface UdpAddress {
  /** An IPv4 or IPv6 address; names are not looked up, for whoever answers for them could send datagrams elsewhere. */
  readonly host: string;
  /** 1 to 65,535. */
  readonly port: number;
}

/** So many datagrams may wait for the system at a time; more are lost. */
const maxWaiting = 1024;

/** Who is told of datagrams. */
export interface DatagramReceiver {
  /** @param bytes a view that is valid during the call. @param host where it says that it comes from: anybody may write that. */
  datagram(bytes: Uint8Array, host: string): void;
  /** It was too long for any message. */
  tooLong(): void;
}

/**
 * @param leastPort 0 where the system may choose one.
 * @returns the address, the host in the form of RFC 5952.
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function checkUdpAddress(name: string, address: UdpAddress, leastPort: 0 | 1): UdpAddress {
  checkOptions(name, address, ['host', 'port']);
  const { host } = address;
  if (typeof host !== 'string' || isIP(host) === 0) {
    throw argumentError(`${name}.host`, 'an IP address', describe(host));
  }
  const port = checkInteger(`${name}.port`, address.port, leastPort, maxU16);
  return { host: canonicalHost(host), port };
}

/** As a socket names where datagrams come from: they are told apart by it. */
function canonicalHost(host: string): string {
  // One with a zone is known on this machine alone, as it is.
  if (isIP(host) !== 6 || host.includes('%')) return host;
  return new SocketAddress({ address: host, family: 'ipv6' }).address;
}

/** Datagrams that were not sent. */
export interface UdpCounts {
  /** Too many waited already. */
  readonly refused: number;
  /** The system did not take them. */
  readonly failed: number;
}

export class UdpSocket implements AsyncDisposable {
  readonly #socket: Socket;
  #waiting = 0;
  #refused = 0;
  #failed = 0;
  #closing: Promise<void> | undefined;

  private constructor(socket: Socket, receiver: DatagramReceiver) {
    this.#socket = socket;
    socket.on('message', (bytes, { address }) => {
      if (bytes.length > messageLimits.bytes) receiver.tooLong();
      else receiver.datagram(bytes, address);
    });
    // Errors of sending go to the callbacks; what else the system says of the network passes, as the network does.
    socket.on('error', () => {
      ++this.#failed;
    });
  }

  /**
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT, ERR_HAWSER_ADDRESS_IN_USE, ERR_HAWSER_ADDRESS_NOT_AVAILABLE, ERR_HAWSER_PERMISSION,
   *   ERR_HAWSER_SYSTEM.
   */
  static async open(address: UdpAddress, receiver: DatagramReceiver): Promise<UdpSocket> {
    const { host, port } = checkUdpAddress('udp', address, 0);
    const socket = createSocket({ type: isIP(host) === 6 ? 'udp6' : 'udp4' });
    await new Promise<void>((resolve, reject) => {
      socket.once('error', (error) => reject(openError(error, host, port)));
      socket.bind(port, host, () => {
        socket.removeAllListeners('error');
        resolve();
      });
    });
    return new UdpSocket(socket, receiver);
  }

  /** Where it is bound. */
  get address(): UdpAddress {
    const { address, port } = this.#socket.address();
    return { host: address, port };
  }

  get counts(): UdpCounts {
    return { refused: this.#refused, failed: this.#failed };
  }

  /** A way to a peer. */
  linkTo({ host, port }: UdpAddress): SaeLink {
    return { delivers: false, send: (bytes) => this.#send(bytes, host, port) };
  }

  /** Closing twice is closing once. */
  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => this.#socket.close(resolve));
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #send(bytes: Uint8Array, host: string, port: number): boolean {
    if (this.#closing !== undefined) return false;
    if (this.#waiting >= maxWaiting) {
      ++this.#refused;
      return false;
    }
    ++this.#waiting;
    // Node keeps the array until it is sent.
    this.#socket.send(Buffer.from(bytes), port, host, (error) => {
      --this.#waiting;
      if (error !== null) ++this.#failed;
    });
    return true;
  }
}

function openError(error: NodeJS.ErrnoException, host: string, port: number): HawserError {
  const where = `${host} port ${port}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return new HawserError('ERR_HAWSER_ADDRESS_IN_USE', `another socket is bound to ${where}`, {
        cause: error,
      });
    case 'EADDRNOTAVAIL':
      return new HawserError('ERR_HAWSER_ADDRESS_NOT_AVAILABLE', `${host} is no address of this machine`, {
        cause: error,
      });
    case 'EACCES':
      return new HawserError('ERR_HAWSER_PERMISSION', `this process may not bind ${where}`, { cause: error });
    default:
      return new HawserError('ERR_HAWSER_SYSTEM', `cannot bind ${where}: ${error.message}`, { cause: error });
  }
}
