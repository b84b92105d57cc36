// Connections over TCP and TLS to a server.

import * as net from 'node:net';
import * as tls from 'node:tls';
import { abortedError, throwIfAborted } from '../base/abort.js';
import { argumentError, describe } from '../base/check.js';
import { HawserError, type HawserErrorCode } from '../base/errors.js';
import { type Connector, checkReceiver, type MessageReceiver } from '../base/message-connection.js';
import { type Attach, attachTo, type Settings, type StreamOptions, settingsOf } from './over-stream.js';

/** Options of {@link tcpConnector}: those of `net.connect`, and ours. */
export type TcpConnectorOptions = Omit<net.TcpNetConnectOpts, 'onread'> & StreamOptions;

/** Options of {@link tlsConnector}: those of `tls.connect`, and ours. */
export type TlsConnectorOptions = Omit<tls.ConnectionOptions, 'socket'> & StreamOptions;

/**
 * Connects over TCP, in the clear: for tests, and for networks that are protected otherwise.
 *
 * @param options those of `net.connect`, which looks up host names and tries the addresses that it finds; and those of the connection. How
 *   long an attempt may take is a matter of the signal.
 * @throws HawserError ERR_HAWSER_ARGUMENT. The promise of the connector rejects with ERR_HAWSER_ABORTED; ERR_HAWSER_TIMED_OUT,
 *   ERR_HAWSER_PERMISSION, ERR_HAWSER_ADDRESS_IN_USE, ERR_HAWSER_ADDRESS_NOT_AVAILABLE, ERR_HAWSER_TOO_MANY_FILES, and for all else
 *   ERR_HAWSER_SYSTEM, with the error of Node.js as their cause (its code may be ECONNREFUSED or ENOTFOUND); ERR_HAWSER_ARGUMENT for an
 *   option that Node.js refuses; what `attach` throws.
 */
export function tcpConnector(options: TcpConnectorOptions): Connector {
  checkIsOptions(options);
  const settings = settingsOf(options);
  refuseOption(options, 'onread', 'left out: what comes is read here');
  const asked = { ...options };
  return (attach, signal) =>
    connect(
      { open: () => net.connect(asked), ready: 'connect', refusal: () => undefined },
      attach,
      signal,
      settings,
    );
}

/**
 * Connects over TLS, 1.2 at least unless `minVersion` says otherwise (devices with mash-go want 'TLSv1.3', a certificate of this side, and
 * the protocol name 'mash/1'). A certificate that is not signed by one of `ca`, or not for the host, is refused unless `rejectUnauthorized`
 * is false; no variable of the environment changes that. The server is told the name of the host (SNI). With `ALPNProtocols`, a server that
 * chooses none of them is refused. In TLS 1.3 a server that does not accept the certificate of this side says so after the connection is
 * made: `closed` follows.
 *
 * @param options those of `tls.connect`, read once: the certificates are parsed here and not for each connection; and those of the
 *   connection.
 * @throws HawserError as {@link tcpConnector}, and ERR_HAWSER_TLS, whose cause is the error of Node.js, such as
 *   DEPTH_ZERO_SELF_SIGNED_CERT or ERR_TLS_CERT_ALTNAME_INVALID.
 */
export function tlsConnector(options: TlsConnectorOptions): Connector {
  checkIsOptions(options);
  const settings = settingsOf(options);
  refuseOption(options, 'socket', 'left out: each connection has one of its own');
  const least: tls.SecureContextOptions =
    options.secureProtocol === undefined ? { minVersion: 'TLSv1.2' } : {};
  const asked = { rejectUnauthorized: true, ...least, ...nameOf(options.host), ...options };
  const secureContext = asked.secureContext ?? contextOf(asked);
  const needsProtocol = namesProtocols(asked.ALPNProtocols ?? []);
  return (attach, signal) =>
    connect<tls.TLSSocket>(
      {
        open: () => tls.connect({ ...asked, secureContext }),
        ready: 'secureConnect',
        refusal: (socket) =>
          needsProtocol && socket.alpnProtocol === false
            ? new HawserError('ERR_HAWSER_TLS', 'the server speaks none of the protocols asked for (ALPN)')
            : undefined,
      },
      attach,
      signal,
      settings,
    );
}

/** Their names are those of Node.js, which are not checked. */
function checkIsOptions(options: object): void {
  if (typeof options !== 'object' || options === null)
    throw argumentError('options', 'an object', describe(options));
}

function refuseOption(options: object, name: string, rule: string): void {
  const value: unknown = Reflect.get(options, name);
  if (value !== undefined) throw argumentError(name, rule, describe(value));
}

function contextOf(options: tls.SecureContextOptions): tls.SecureContext {
  try {
    return tls.createSecureContext(options);
  } catch (cause) {
    const text = 'options must have certificates, keys and versions that TLS can use';
    throw new HawserError('ERR_HAWSER_ARGUMENT', text, { cause });
  }
}

/** The name that a server may choose its certificate by; an address is none. */
function nameOf(host: string | undefined): { readonly servername?: string } {
  return host === undefined || net.isIP(host) !== 0 ? {} : { servername: host };
}

function namesProtocols(protocols: NonNullable<tls.ConnectionOptions['ALPNProtocols']>): boolean {
  return (ArrayBuffer.isView(protocols) ? protocols.byteLength : protocols.length) > 0;
}

/** How one kind of socket is connected. */
interface Way<S extends net.Socket> {
  readonly open: () => S;
  /** The event that says that it is. */
  readonly ready: 'connect' | 'secureConnect';
  /** Why it is not taken all the same. */
  readonly refusal: (socket: S) => HawserError | undefined;
}

function connect<S extends net.Socket>(
  way: Way<S>,
  attach: Attach<MessageReceiver>,
  signal: AbortSignal,
  settings: Settings,
): Promise<void> {
  return new Promise((resolve, reject) => {
    // What is thrown in here rejects the promise.
    throwIfAborted(signal);
    const socket = openSocket(way);
    const settle = (): void => {
      signal.removeEventListener('abort', abort);
      socket.off(way.ready, ready);
      socket.off('error', fail);
    };
    const giveUp = (error: HawserError): void => {
      settle();
      socket.destroy();
      reject(error);
    };
    const abort = (): void => giveUp(abortedError(signal));
    const fail = (error: unknown): void => giveUp(connectError(error));
    const ready = (): void => {
      const refusal = way.refusal(socket);
      if (refusal !== undefined) {
        giveUp(refusal);
        return;
      }
      settle();
      try {
        attachTo(socket, (connection) => checkReceiver('attach', attach(connection)), settings);
        resolve();
      } catch (error) {
        reject(error);
      }
    };
    signal.addEventListener('abort', abort);
    socket.on(way.ready, ready);
    socket.on('error', fail);
  });
}

function openSocket<S extends net.Socket>({ open }: Way<S>): S {
  try {
    return open();
  } catch (cause) {
    throw new HawserError('ERR_HAWSER_ARGUMENT', 'options must be those that Node.js takes to connect', {
      cause,
    });
  }
}

const connectCodes: Readonly<Record<string, HawserErrorCode>> = {
  ETIMEDOUT: 'ERR_HAWSER_TIMED_OUT',
  EACCES: 'ERR_HAWSER_PERMISSION',
  EPERM: 'ERR_HAWSER_PERMISSION',
  EADDRINUSE: 'ERR_HAWSER_ADDRESS_IN_USE',
  EADDRNOTAVAIL: 'ERR_HAWSER_ADDRESS_NOT_AVAILABLE',
  EMFILE: 'ERR_HAWSER_TOO_MANY_FILES',
  ENFILE: 'ERR_HAWSER_TOO_MANY_FILES',
};

function connectError(cause: unknown): HawserError {
  // The error of several addresses has no text of its own.
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const [text = ''] = cause instanceof Error ? cause.message.split('\n') : [];
  const why = text === '' ? code : text;
  return new HawserError(connectCodes[code] ?? otherCode(code), `cannot connect: ${why}`, { cause });
}

/** ECONNREFUSED and EAI_AGAIN are of the system; EPROTO, ERR_SSL_... and names of what is wrong with a certificate are of TLS. */
function otherCode(code: string): HawserErrorCode {
  return /^E(?!RR_|PROTO$)/.test(code) ? 'ERR_HAWSER_SYSTEM' : 'ERR_HAWSER_TLS';
}
