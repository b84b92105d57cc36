// The HTTPS server of a development KME: it lets in who has a certificate of the right authority, and nobody else.

import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { HawserError } from '../../base/errors.js';
import type { KmeServerSettings } from './kme-server-options.js';

/** How long a request may take to come in, and a connection may be idle. */
const requestTimeoutMs = 10_000;
const idleTimeoutMs = 30_000;

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function makeServer({ ca, cert, key, maxConnections }: KmeServerSettings): Server {
  try {
    const server = createServer({
      ca,
      cert,
      key,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      requestTimeout: requestTimeoutMs,
      headersTimeout: requestTimeoutMs,
      handshakeTimeout: requestTimeoutMs,
      keepAliveTimeout: idleTimeoutMs,
    });
    server.maxConnections = maxConnections;
    return server;
  } catch (cause) {
    throw new HawserError('ERR_HAWSER_ARGUMENT', 'ca, cert and key must be PEM that TLS can use', { cause });
  }
}

const listenCodes = {
  EADDRINUSE: ['ERR_HAWSER_ADDRESS_IN_USE', 'another program listens there'],
  EADDRNOTAVAIL: ['ERR_HAWSER_ADDRESS_NOT_AVAILABLE', 'it is no address of this machine'],
  EACCES: ['ERR_HAWSER_PERMISSION', 'this user may not listen there'],
} as const;

/** Why it cannot listen. */
export function listenError(cause: Error, { host, port }: KmeServerSettings): HawserError {
  const where = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  const given = 'code' in cause ? cause.code : undefined;
  for (const [name, [code, reason]] of Object.entries(listenCodes)) {
    if (name === given) return new HawserError(code, `cannot listen on ${where}: ${reason}`, { cause });
  }
  return new HawserError('ERR_HAWSER_SYSTEM', `cannot listen on ${where}: ${cause.message}`, { cause });
}

/** The URL of a server that listens. */
export function urlOf(host: string, address: string | AddressInfo | null): string {
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Why a handshake failed, fit to be printed. */
export function refusalText(error: Error): string {
  const code = 'code' in error ? String(error.code) : '';
  return /^[\w-]{1,100}$/.test(code) ? code : 'the handshake failed';
}
