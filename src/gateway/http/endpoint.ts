// A small HTTP server, of those that a gateway has beside that for operators.

import { createServer, type RequestListener } from 'node:http';
import { parseAddress } from '../../base/address.js';
import { HawserError } from '../../base/errors.js';
import { listenHttp } from './listen.js';
import { oneAtATime } from './one-at-a-time.js';

const maxHeaderBytes = 8192;
const timeoutMs = 10_000;
/** How often these times are looked at: 30 s, if it is not said. */
const checkIntervalMs = 1000;
/** Of a connection on which nothing moves: one whose answer is not taken, too. */
const idleTimeoutMs = 30_000;
const maxConnections = 1024;

/** An HTTP server that listens. */
export interface HttpEndpoint {
  /** `http://host:port`. */
  readonly url: string;
  /** Ends all connections. */
  close(): Promise<void>;
}

/**
 * Opens one.
 *
 * @param address `host:port`; port 0 takes any that is free.
 * @param advice what to do when the address cannot be bound.
 * @throws HawserError (rejects) as `listenHttp`.
 */
export async function openEndpoint(
  address: string,
  advice: string,
  answerer: RequestListener,
): Promise<HttpEndpoint> {
  const options = {
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: timeoutMs,
    requestTimeout: timeoutMs,
    connectionsCheckingInterval: checkIntervalMs,
  };
  const server = createServer(options, oneAtATime(answerer));
  server.maxConnections = maxConnections;
  server.timeout = idleTimeoutMs;
  const url = await listenHttp(server, parseAddress(address), 'HTTP').catch((error: unknown) => {
    if (!(error instanceof HawserError)) throw error;
    throw new HawserError(error.code, `${error.message}; ${advice}`, { cause: error });
  });
  return {
    url,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
