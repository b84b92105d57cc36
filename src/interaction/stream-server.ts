// Everybody who connects to a server of TCP or TLS.

import * as net from 'node:net';
import * as tls from 'node:tls';
import { argumentError, checkFunction, checkInteger, checkOptions, describe } from '../base/check.js';
import type { Timer } from '../base/clock.js';
import { checkReceiver, type MessageConnection, type MessageReceiver } from '../base/message-connection.js';
import {
  type Attach,
  attachTo,
  isReady,
  type Patience,
  report,
  type Settings,
  type StreamOptions,
  settingsOf,
  streamOptionNames,
} from './over-stream.js';

/** Options of {@link serveStreams}. */
export interface StreamServerOptions extends StreamOptions {
  /**
   * Connections at the same time, those whose TLS handshake is under way included, 1 to 1,000,000; further ones are closed as they come.
   * 10,000 by default. It takes the place of `server.maxConnections`.
   */
  readonly maxConnections?: number;
  /**
   * How long a peer may take to its first whole message, in milliseconds, 1 to 3,600,000; 10,000 by default. False for peers that connect
   * and then wait to be asked.
   */
  readonly firstMessageTimeoutMs?: number | false;
  /**
   * How long a TLS handshake may take, and each message from its first byte to its last, in milliseconds, 1 to 3,600,000; by default as
   * `firstMessageTimeoutMs`, or 10,000 where that is false. Over a pipe, handshakes have the `handshakeTimeout` of the server.
   */
  readonly messageTimeoutMs?: number;
}

/** What {@link serveStreams} returns. */
export interface StreamServer extends AsyncDisposable {
  /** How many connections there are, without those whose TLS handshake is under way. */
  readonly connections: number;
  /** How many there were. */
  readonly accepted: number;
  /** Connections that were closed as they came, because there were `maxConnections`. */
  readonly refused: number;
  /** TLS handshakes that failed, those that took too long included. */
  readonly handshakeErrors: number;
  /** Connections that were closed because a message took too long. */
  readonly timedOut: number;
  /** Listens no more and ends all connections. @returns a promise that resolves, always, once they are over. */
  close(): Promise<void>;
}

const serverOptionNames = [
  ...streamOptionNames,
  'maxConnections',
  'firstMessageTimeoutMs',
  'messageTimeoutMs',
] as const;

const maxTimeoutMs = 3_600_000;

/**
 * Speaks with everybody who connects to a server, once the handshake is done where it is one of TLS. Where and how it listens, with which
 * certificate, and whose certificates it asks for, is the server's own affair: `tls.createServer({ ..., requestCert: true })`.
 *
 * @param server may listen already, or later.
 * @param accept called for each connection: makes what its messages go to. `socket` is a tls.TLSSocket where the server is one of TLS: who
 *   is at the other end is known from its certificate. Nothing else may read from it or write to it. When this throws, it is destroyed.
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function serveStreams(
  server: net.Server,
  accept: (connection: MessageConnection, socket: net.Socket) => MessageReceiver,
  options: StreamServerOptions = {},
): StreamServer {
  checkOptions('options', options, serverOptionNames);
  if (!(server instanceof net.Server)) throw argumentError('server', 'a net.Server', describe(server));
  checkFunction('accept', accept);
  return new Streams(server, accept, options);
}

/** A connection whose TLS handshake is under way. */
interface Handshake {
  readonly socket: net.Socket;
  readonly limit: Timer;
}

class Streams implements StreamServer {
  readonly #server: net.Server;
  readonly #accept: (connection: MessageConnection, socket: net.Socket) => MessageReceiver;
  readonly #settings: Settings;
  readonly #patience: Patience;
  readonly #connections = new Map<MessageConnection, net.Socket>();
  /** By the addresses of both ends, which are all that the socket beneath and the TLS socket are known to share. */
  readonly #handshakes = new Map<string, Handshake>();
  #accepted = 0;
  #refused = 0;
  #handshakeErrors = 0;
  #timedOut = 0;
  #closed: Promise<void> | undefined;

  constructor(
    server: net.Server,
    accept: (connection: MessageConnection, socket: net.Socket) => MessageReceiver,
    options: StreamServerOptions,
  ) {
    const { maxConnections = 10_000 } = options;
    this.#server = server;
    this.#accept = accept;
    this.#settings = settingsOf(options);
    this.#patience = patienceOf(options, () => ++this.#timedOut);
    // The server counts those in a handshake too, and closes what is too much before it has cost anything.
    server.maxConnections = checkInteger('maxConnections', maxConnections, 1, 1_000_000);
    server.on('drop', this.#refuse);
    if (server instanceof tls.Server) {
      server.on('connection', this.#limitHandshake);
      server.on('secureConnection', this.#secured);
      server.on('tlsClientError', this.#failed);
    } else {
      server.on('connection', this.#connected);
    }
  }

  get connections(): number {
    return this.#connections.size;
  }

  get accepted(): number {
    return this.#accepted;
  }

  get refused(): number {
    return this.#refused;
  }

  get handshakeErrors(): number {
    return this.#handshakeErrors;
  }

  get timedOut(): number {
    return this.#timedOut;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const server = this.#server;
    server.off('drop', this.#refuse);
    server.off('connection', this.#connected);
    server.off('connection', this.#limitHandshake);
    server.off('secureConnection', this.#secured);
    server.off('tlsClientError', this.#failed);
    // It is over before its last sockets have told so. An error only says that it did not listen.
    const over = [new Promise<void>((resolve) => server.close(() => resolve()))];
    for (const { socket } of this.#handshakes.values()) socket.destroy();
    for (const [connection, socket] of this.#connections) {
      over.push(new Promise((resolve) => socket.once('close', () => resolve())));
      connection.close('the server closes');
    }
    await Promise.all(over);
  }

  readonly #refuse = (): void => {
    ++this.#refused;
  };

  readonly #limitHandshake = (socket: net.Socket): void => {
    const ends = endsOf(socket);
    if (ends === undefined) return;
    const limit = this.#settings.clock.setTimeout(() => socket.destroy(), this.#patience.eachMs);
    const handshake = { socket, limit };
    this.#handshakes.set(ends, handshake);
    socket.once('close', () => {
      limit.clear();
      if (this.#handshakes.get(ends) === handshake) this.#handshakes.delete(ends);
    });
  };

  readonly #failed = (): void => {
    ++this.#handshakeErrors;
  };

  readonly #secured = (socket: tls.TLSSocket): void => {
    const ends = endsOf(socket);
    if (ends !== undefined) {
      this.#handshakes.get(ends)?.limit.clear();
      this.#handshakes.delete(ends);
    }
    this.#connected(socket);
  };

  readonly #connected = (socket: net.Socket): void => {
    // It may be gone again.
    if (!isReady(socket)) return;
    ++this.#accepted;
    const attach: Attach<MessageReceiver> = (connection) => {
      this.#connections.set(connection, socket);
      socket.once('close', () => this.#connections.delete(connection));
      return checkReceiver('accept', this.#accept(connection, socket));
    };
    try {
      attachTo(socket, attach, this.#settings, this.#patience);
    } catch (error) {
      report(this.#settings, error, 'accept');
    }
  };
}

function patienceOf(options: StreamServerOptions, expired: () => void): Patience {
  const { firstMessageTimeoutMs: firstMs = 10_000 } = options;
  if (firstMs !== false) checkInteger('firstMessageTimeoutMs', firstMs, 1, maxTimeoutMs);
  const { messageTimeoutMs: eachMs = firstMs === false ? 10_000 : firstMs } = options;
  checkInteger('messageTimeoutMs', eachMs, 1, maxTimeoutMs);
  return { firstMs, eachMs, expired };
}

/** The addresses of both ends; undefined for a pipe, which has none, and for a socket that is closed. */
function endsOf({ localAddress, localPort, remoteAddress, remotePort }: net.Socket): string | undefined {
  if (localAddress === undefined || remoteAddress === undefined) return undefined;
  return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;
}
